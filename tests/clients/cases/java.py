"""Java's HttpClient, which is known by its process: it sends the proxy no password."""

from cases import errand


def run(kit):
    errand.check(kit, "java", ["java", kit.agents / "Errand.java"])

"""wget, which finds its certificates in its settings alone."""

from cases import errand


def run(kit):
    errand.check(kit, "wget", ["sh", kit.agents / "wget.sh"])

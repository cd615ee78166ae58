"""curl."""

from cases import errand


def run(kit):
    errand.check(kit, "curl", ["sh", kit.agents / "curl.sh"])

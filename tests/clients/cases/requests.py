"""Python's requests."""

from cases import errand


def run(kit):
    errand.check(kit, "requests", [kit.python, kit.agents / "requests_errand.py"])

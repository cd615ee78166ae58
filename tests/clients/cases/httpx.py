"""Python's httpx."""

from cases import errand


def run(kit):
    errand.check(kit, "httpx", [kit.python, kit.agents / "httpx_errand.py"])

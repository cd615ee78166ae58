"""Node's fetch, which follows the proxy variables from Node 24 on."""

from cases import errand


def run(kit):
    errand.check(kit, "node", [kit.node, kit.agents / "fetch.mjs"])

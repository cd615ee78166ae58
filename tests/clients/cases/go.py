"""Go's net/http."""

from cases import errand


def run(kit):
    errand.check(kit, "go", [kit.goclient])

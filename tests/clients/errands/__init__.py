"""One file per client: `run(kit)` raises AssertionError when something does not hold."""

#!/usr/bin/env python3
"""Runs real clients through `nexus-sidecar run`: one line each, then `N passed, N failed`."""

import argparse
import importlib
import pathlib
import sys
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from kit import Kit, timed  # noqa: E402

CLIENTS = ["curl", "wget", "requests", "httpx", "node", "go", "java", "git", "boto3", "pip"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/release/nexus-sidecar", help="the sidecar to test")
    parser.add_argument("--only", action="append", choices=CLIENTS, help="this client alone; may be repeated")
    parser.add_argument("--keep", action="store_true", help="leave the scratch folder behind")
    options = parser.parse_args()

    passed = failed = 0
    kit = Kit(options.binary)
    try:
        for name in options.only or CLIENTS:
            try:
                seconds = timed(lambda: importlib.import_module(f"cases.{name}").run(kit))
                print(f"{name:<9} ok      {seconds:5.1f} s", flush=True)
                passed += 1
            except Exception as error:
                print(f"{name:<9} FAILED", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stdout)
                print(error, flush=True)
                failed += 1
    finally:
        kit.close(keep=options.keep or failed)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

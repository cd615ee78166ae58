#!/usr/bin/env python3
"""Runs real clients through `nexus-sidecar run`: one line each, then `N passed, N failed`."""

import argparse
import concurrent.futures
import pathlib
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

from kit import Kit  # noqa: E402
from table import CLIENTS, markdown  # noqa: E402
from versions import others  # noqa: E402


def outcome(kit, client, narrow):
    """One client's line, and what to print below it when it failed."""
    start = time.monotonic()
    try:
        client.test(kit, narrow)
        return f"{client.key:<18} ok      {time.monotonic() - start:5.1f} s", None
    except AssertionError as error:
        return f"{client.key:<18} FAILED", str(error)
    except Exception:
        return f"{client.key:<18} FAILED", traceback.format_exc()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default="target/release/nexus-sidecar", help="the sidecar to test")
    parser.add_argument("--only", action="append", choices=[client.key for client in CLIENTS], metavar="CLIENT",
                        help="this client alone; may be repeated")
    parser.add_argument("--keep", action="store_true", help="leave the scratch folder behind")
    parser.add_argument("--jobs", type=int, default=3, help="clients at a time (3)")
    parser.add_argument("--narrow", action="store_true",
                        help="leave each client the variables alone that its row names: is the table right?")
    parser.add_argument("--table", action="store_true", help="print the table of README.md, and run nothing")
    options = parser.parse_args()

    if options.table:
        print(markdown(), end="")
        return
    if markdown() not in (HERE / "README.md").read_text():
        sys.exit("tests/clients/README.md does not hold the table that  tests/clients/run.py --table  prints")

    passed = failed = 0
    kit = Kit(options.binary)
    try:
        chosen = [client for client in CLIENTS if not options.only or client.key in options.only]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            running = [pool.submit(outcome, kit, client, options.narrow) for client in chosen]
            for done in concurrent.futures.as_completed(running):
                line, problem = done.result()
                print(line, *[problem] * bool(problem), sep="\n", flush=True)
                passed, failed = passed + (not problem), failed + bool(problem)
    finally:
        kit.close(keep=options.keep or failed)
    for note in others():
        print(f"note: {note}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

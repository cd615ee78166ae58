#!/usr/bin/env python3
"""Tries the served Authority against its own OpenAPI document with schemathesis.

All checks, default phases, at least 50 examples an operation. The seed is printed; SEED=… repeats a
run. Left out is the event stream alone, which does not end and has contract tests of its own.

  python3 tests/schemathesis/run.py --binary target/release/nexus-sidecar
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / "target/clients/venv/bin"
STREAMS = "/api/v2/events"
PATIENCE = 30

# Far above what the run sends: limits have tests of their own.
CONFIG = """\
version: 1
authority:
  listen: 127.0.0.1:0
  limits: { rate: 10000000/minute, leases: 10000000/minute, unauthenticated: 10000000/minute }
"""

# One of each, so that what names a connection finds one.
CONNECTIONS = [
    {"name": "github", "provider": "github", "fields": {"token": "canary-of-the-conformance-run"}},
    {
        "name": "tickets",
        "bindings": [{"hosts": ["api.tickets.example"], "strategy": {"type": "oauth2"}}],
        "fields": {"access_token": "canary-of-the-conformance-run"},
    },
]


class Authority:
    """The binary, in a home of its own."""

    def __init__(self, binary, home):
        self.log = home / "log"
        (home / "c.yaml").write_text(CONFIG)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "NO_COLOR": "1"}
        command = [str(binary), "authority", "serve", "--config", str(home / "c.yaml")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=log)
        self.address = self.wait_for(r"authority=\[([0-9.:]+)")
        self.key = Path(self.wait_for(r"made the first key.* (/\S+)")).read_text().strip()

    def wait_for(self, pattern):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log.read_text())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        sys.exit(f"the Authority does not say {pattern!r}:\n{self.log.read_text()}")

    def post(self, path, body):
        """Posts as the administrator; what came back."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        request = urllib.request.Request(f"http://{self.address}{path}", json.dumps(body).encode(), headers)
        return json.loads(urllib.request.urlopen(request, timeout=PATIENCE).read())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def run(binary, tool, seed, examples, more):
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        authority = Authority(binary, home)
        try:
            for connection in CONNECTIONS:
                authority.post("/api/v2/connections", connection)
            authority.post("/api/v2/agents", {"name": "triage-bot"})
            made = CONNECTIONS[0]["name"]
            authority.post("/api/v2/grants", {"agent": "triage-bot", "connection": made})
            sidecar = authority.post("/api/v2/keys", {"name": "s", "scope": "sidecar", "agents": ["triage-bot"]})
            lease = authority.post("/api/v2/keys", {"name": "l", "scope": "lease", "connections": [made]})
            keys = {"SIDECAR_KEY": sidecar["key"], "LEASE_KEY": lease["key"]}
            print(f"schemathesis: seed {seed}, {examples} examples an operation, without {STREAMS}", flush=True)
            command = [
                str(tool), "--config-file", str(HERE / "schemathesis.toml"), "run",
                f"http://{authority.address}/openapi.json",
                "--checks", "all", "--max-examples", str(examples), "--seed", str(seed),
                "--exclude-path", STREAMS, "--header", f"Authorization: Bearer {authority.key}",
                "--request-timeout", "20", "--generation-database", "none", *more,
            ]
            status = subprocess.run(command, cwd=home, env={**os.environ, **keys}).returncode
        finally:
            ended = authority.stop()
        log = authority.log.read_text()
        if "panic" in log or ended != 0:
            print(f"the Authority ended with {ended}:\n{log[-4000:]}", file=sys.stderr)
            status = status or 1
        for secret in ["canary-of-the-conformance-run", authority.key, *keys.values()]:
            if secret in log:
                print("the Authority's log holds what no log may hold", file=sys.stderr)
                status = status or 1
        return status


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/nexus-sidecar")
    parser.add_argument("--schemathesis", type=Path, default=VENV / "schemathesis")
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("more", nargs="*", help="handed on to schemathesis, after --")
    arguments = parser.parse_args()
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    sys.exit(run(arguments.binary.resolve(), arguments.schemathesis, seed, arguments.examples, arguments.more))


if __name__ == "__main__":
    main()

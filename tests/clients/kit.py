"""One scratch folder with everything that a client test needs, and the unprivileged user in it.

The sidecar and the clients run as that user, from copies outside the caller's home: as root every
read of /proc succeeds, and what the sidecar closes would seem open.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from canary import leaks, leaks_below
from servers import Certificates

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target"
NOBODY = 65534
CLIENT_SECONDS = 180


class Kit:
    """Binaries, certificates, the user's home and the way to run a client in it."""

    def __init__(self, binary):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="nexus-clients-", dir="/tmp"))
        self.root.chmod(0o711)
        self.home = self._users("home")
        self.bin = self.root / "bin"
        self.bin.mkdir()
        self.sidecar = self._copy(binary, "nexus-sidecar")
        self.node = self._copy(TARGET / "clients/node/bin/node", "node")
        self.goclient = self._copy(TARGET / "clients/goclient", "goclient")
        self.s3s = TARGET / "tools/bin/s3s-fs"
        if not self.s3s.exists():
            raise SystemExit(f"{self.s3s} is missing: run  make install-tools")
        self._tree(TARGET / "clients/venv", "venv")
        self.python = self.root / "venv/bin/python"
        self._tree(HERE / "agents", "agents")
        self.agents = self.root / "agents"
        certificates = self.root / "certificates"
        certificates.mkdir(mode=0o700)
        self.certificates = Certificates(certificates)
        self.ca = shutil.copy(self.certificates.ca, self.root / "test-ca.pem")
        os.chmod(self.ca, 0o644)
        self.config = self.home / "nexus-sidecar.yaml"
        self.config.write_text(json.dumps({
            "version": 1,
            "upstream": {
                "ca_files": [str(self.ca)],
                "hosts": {name: "127.0.0.1" for name in ["api.test", "git.test", "pypi.test", "s3.eu-west-1.test"]},
            },
        }))
        self.config.chmod(0o644)

    def _users(self, name):
        folder = self.root / name
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return folder

    def _copy(self, source, name):
        source = pathlib.Path(source)
        if not source.exists():
            raise SystemExit(f"{source} is missing: run  make install-tools release")
        target = self.bin / name
        shutil.copy(source, target)
        target.chmod(0o755)
        return target

    def _tree(self, source, name):
        if not source.exists():
            raise SystemExit(f"{source} is missing: run  make install-tools")
        shutil.copytree(source, self.root / name, symlinks=True)

    def as_user(self, command, extra=None, stdin=None, seconds=CLIENT_SECONDS):
        """Runs a command as the unprivileged user, in a small environment of its own."""
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8",
            "XDG_CONFIG_HOME": str(self.home / "config"), "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_STATE_HOME": str(self.home / "state"), **(extra or {}),
        }
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            [str(part) for part in command], cwd=self.home, env=environment, capture_output=True, timeout=seconds,
            **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}), **user)

    def connect(self, name, strategy, host, fields, settings=None):
        """`connection add`: the fields go in by standard input, never on the command line."""
        command = [self.sidecar, "connection", "add", name, "--config", self.config, "--strategy", strategy,
                   "--host", host]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        done = self.as_user([*command, "--fields", "-"], stdin=json.dumps(fields).encode())
        if done.returncode != 0:
            raise AssertionError(f"connection add {name}: {done.returncode} {done.stdout!r} {done.stderr!r}")

    def run(self, name, rules, client, extra=None):
        """Runs a client through the sidecar under these rules; asserts that it succeeded."""
        policy = self.root / f"{name}.policy.yaml"
        policy.write_text(json.dumps({"version": 1, "rules": rules}))
        policy.chmod(0o644)
        work = self._users(f"work-{name}")
        out = work / "agent"
        done = self.as_user(
            [self.sidecar, "run", "--config", self.config, "--policy", policy, "--log", work / "sidecar.log", "--",
             "sh", self.agents / "inside.sh", out, *client],
            {"WORK": str(work), **(extra or {})})
        ran = Ran(self, work, done)
        if done.returncode != 0:
            raise AssertionError(f"the client ended with {done.returncode}\n{ran.everything()}")
        return ran

    def close(self, keep):
        """Removes the scratch folder, or says where it is."""
        if keep:
            print(f"kept for a look: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)


class Ran:
    """A client that ran, and what its side could see."""

    def __init__(self, kit, work, done):
        self.kit, self.work, self.done = kit, work, done
        self.stdout = self._read("agent.stdout")

    def _read(self, name):
        path = self.work / name
        return path.read_text(errors="replace") if path.exists() else ""

    def everything(self):
        """For a failure's message: the ends of all that was printed."""
        parts = {"agent": self.stdout, "agent, errors": self._read("agent.stderr"),
                 "run": (self.done.stdout + self.done.stderr).decode(errors="replace"),
                 "log": self._read("sidecar.log")}
        return "\n".join(f"--- {name}\n{text[-2000:]}" for name, text in parts.items())

    def expect(self, *lines):
        """The client printed each of these lines."""
        for line in lines:
            if line not in self.stdout.splitlines():
                raise AssertionError(f"not printed: {line!r}\n{self.everything()}")

    def never_held(self, *canaries):
        """Neither the client's side nor any file of its user holds a canary, in any spelling."""
        environ = (self.work / "agent.environ").read_bytes()
        for variable in (b"HTTPS_PROXY=", b"https_proxy="):
            if variable not in environ:
                raise AssertionError(f"the dumped environment is not the client's: no {variable!r}")
        if any(part.startswith(b"NEXUS_") for part in environ.split(b"\0")):
            raise AssertionError("a NEXUS_ variable reached the client")
        if parent := self._read("agent.parent"):
            raise AssertionError(f"the client could read its parent:\n{parent}")
        verified = self.kit.as_user([self.kit.sidecar, "audit", "verify", "--config", self.kit.config])
        if verified.returncode != 0 or not list((self.kit.home / "state").rglob("*.head")):
            raise AssertionError(f"the audit does not verify: {verified.stdout!r} {verified.stderr!r}")
        for canary in canaries:
            found = leaks_below(canary, self.work) + leaks_below(canary, self.kit.home)
            printed = leaks(canary, self.done.stdout + self.done.stderr)
            if found or printed:
                raise AssertionError(f"a secret leaked: {found} {['printed by run: ' + form for form in printed]}")


def timed(action):
    """Runs it and answers the seconds that it took."""
    start = time.monotonic()
    action()
    return time.monotonic() - start

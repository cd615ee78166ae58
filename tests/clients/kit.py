"""One scratch folder with everything that a client test needs, and the unprivileged user in it.

The sidecar and the clients run as that user, from copies outside the caller's home: as root every
read of /proc succeeds, and what the sidecar closes would seem open.
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import threading

from canary import leaks, leaks_below
from servers import NAMES, Certificates

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target"
NOBODY = 65534
CLIENT_SECONDS = 180
# What install.sh leaves beside what it installed: the list that it worked from.
INSTALLED = {"requirements.txt": "venv/requirements.txt", "packages/package-lock.json": "npm/installed.json"}
DENO, BUN, NODE = {
    "x86_64": ("@deno/linux-x64-glibc/deno", "@oven/bun-linux-x64/bin/bun", "linux-x64/bin/node"),
    "aarch64": ("@deno/linux-arm64-glibc/deno", "@oven/bun-linux-aarch64/bin/bun", "linux-arm64/bin/node"),
}[platform.machine()]


class Kit:
    """Binaries, certificates and agents, which all clients share, and nobody but root may change."""

    def __init__(self, binary):
        for wanted, there in INSTALLED.items():
            there = TARGET / "clients" / there
            if not there.exists() or there.read_bytes() != (HERE / wanted).read_bytes():
                raise SystemExit(f"{there.parent} is not what {HERE / wanted} says: run  make install-tools")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="nexus-clients-", dir="/tmp"))
        self.root.chmod(0o711)
        self._copies, self._copying = {}, threading.Lock()
        self.sidecar = self.copy(pathlib.Path(binary), "nexus-sidecar")
        self.agents = self.copy(HERE / "agents", "agents")
        self.s3s = TARGET / "tools/bin/s3s-fs"
        certificates = self.root / "certificates"
        certificates.mkdir(mode=0o700)
        self.certificates = Certificates(certificates)
        self.ca = shutil.copy(self.certificates.ca, self.root / "test-ca.pem")
        os.chmod(self.ca, 0o644)

    def copy(self, source, name):
        """A file or a tree, at a place that every user reaches; made at the first call."""
        with self._copying:
            if name not in self._copies:
                if not source.exists():
                    raise SystemExit(f"{source} is missing: run  make install-tools release")
                target = self.root / name
                if source.is_dir():
                    shutil.copytree(source, target, symlinks=True, copy_function=link_or_copy)
                else:
                    shutil.copy(source, target)
                    target.chmod(0o755)
                self._copies[name] = target
            return self._copies[name]

    @property
    def python(self):
        """The Python that has the packages of requirements.txt."""
        return self.copy(TARGET / "clients/venv", "venv") / "bin/python"

    @property
    def packages(self):
        """What packages/package.json names: beside `agents`, where imports look for it."""
        return self.copy(TARGET / "clients/npm/node_modules", "node_modules")

    def go(self, name):
        """A program of the Go module."""
        return self.copy(TARGET / "clients/go", "go") / name

    @property
    def go_command(self):
        """The go command where it lies: a toolchain of the system's."""
        found = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True)
        return pathlib.Path(found.stdout.strip()) / "bin/go"

    @property
    def rust(self):
        """The folder of cargo and rustc."""
        found = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True)
        sysroot = pathlib.Path(found.stdout.strip())
        self.copy(sysroot / "lib", "rust/lib")
        return self.copy(sysroot / "bin", "rust/bin")

    def close(self, keep):
        """Removes the scratch folder, or says where it is."""
        if keep:
            print(f"kept for a look: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)


def link_or_copy(source, target):
    """A second name where the file system allows it: the trees are large."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


class Box:
    """What one client has for itself: its user's home, configuration, store and audit."""

    def __init__(self, kit, name, narrow=None):
        # `narrow` names the variables that the client is left with, of those that `run` sets.
        self.kit, self.name, self.narrow = kit, name, narrow
        self.root = kit.root / f"box-{name}"
        self.root.mkdir(mode=0o711)
        self.home, self.work = self.folder("home"), self.folder("work")
        self.config = self.file("nexus-sidecar.yaml", json.dumps({
            "version": 1,
            "upstream": {"ca_files": [str(kit.ca)], "hosts": {name: "127.0.0.1" for name in NAMES}},
        }))

    @property
    def environment(self):
        """What a login would set."""
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8", "WORK": str(self.work),
            "XDG_CONFIG_HOME": str(self.home / "config"), "XDG_DATA_HOME": str(self.home / "data"),
            "XDG_STATE_HOME": str(self.home / "state"),
        }

    def folder(self, name):
        """A folder of the unprivileged user's."""
        folder = self.root / name
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return folder

    def file(self, name, content):
        """A file that the unprivileged user may read, and not change."""
        path = self.root / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o644)
        return path

    def as_user(self, command, extra=None, stdin=None, seconds=CLIENT_SECONDS):
        """Runs a command as the unprivileged user, in a small environment of its own."""
        environment = {**self.environment, **(extra or {})}
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        return subprocess.run(
            [str(part) for part in command], cwd=self.home, env=environment, capture_output=True, timeout=seconds,
            **({"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}), **user)

    def connect(self, strategy, host, fields, settings=None):
        """`connection add` under the client's name, of a service that is no provider."""
        command = ["--strategy", strategy, "--host", host, "--fields", "-"]
        for key, value in (settings or {}).items():
            command += ["--set", f"{key}={value}"]
        self._add(self.name, *command, stdin=json.dumps(fields))

    def connect_provider(self, name, credential):
        """`connection add` of a provider, which needs nothing but its credential: one value, or its fields."""
        if isinstance(credential, str):
            self._add(name, stdin=credential)
        else:
            self._add(name, "--fields", "-", stdin=json.dumps(credential))

    def _add(self, name, *options, stdin):
        """The credential goes in by standard input, never on the command line."""
        done = self.as_user([self.kit.sidecar, "connection", "add", name, "--config", self.config, *options],
                            stdin=stdin.encode())
        if done.returncode != 0:
            raise AssertionError(f"connection add: {done.returncode} {done.stdout!r} {done.stderr!r}")

    def run(self, rules, client, extra=None):
        """Runs a client through the sidecar under these rules; asserts that it succeeded."""
        if self.narrow is not None:
            names = ",".join([*self.environment, *(extra or {}), *self.narrow])
            client = ["python3", self.kit.agents / "narrow.py", names, *client]
        policy = self.file("policy.yaml", json.dumps({"version": 1, "rules": rules}))
        inside = ["sh", self.kit.agents / "inside.sh", self.work / "agent", *client]
        done = self.as_user(
            [self.kit.sidecar, "run", "--config", self.config, "--policy", policy, "--log", self.work / "sidecar.log",
             "--", *inside], extra)
        ran = Ran(self, done)
        if done.returncode != 0:
            raise AssertionError(f"the client ended with {done.returncode}\n{ran.everything()}")
        return ran


class Ran:
    """A client that ran, and what its side could see."""

    def __init__(self, box, done):
        self.box, self.work, self.done = box, box.work, done
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
        verified = self.box.as_user([self.box.kit.sidecar, "audit", "verify", "--config", self.box.config])
        if verified.returncode != 0 or not list((self.box.home / "state").rglob("*.head")):
            raise AssertionError(f"the audit does not verify: {verified.stdout!r} {verified.stderr!r}")
        for canary in canaries:
            found = leaks_below(canary, self.work) + leaks_below(canary, self.box.home)
            printed = leaks(canary, self.done.stdout + self.done.stderr)
            if found or printed:
                raise AssertionError(f"a secret leaked: {found} {['printed by run: ' + form for form in printed]}")

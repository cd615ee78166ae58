"""The first hour of a new user: the commands of README.md, word for word, from the tarball, in an
empty root with an empty home.

    python3 tests/firsthour/run.py --tarball target/dist/nexus-sidecar-VERSION-ARCH-linux.tar.gz

Every ```sh block of the README that stands behind a line `<!-- first hour -->` is run, all of them
in one shell at a terminal. api.github.com is a look-alike at a public address, inside network
namespaces of our own: nothing leaves them. Needs user namespaces, which root and most
users may make; without them it says so and ends with 77 (and 1 where the variable CI is set).
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/clients"))
sys.path.insert(0, str(HERE))

import network  # noqa: E402
from canary import canary, leaks, leaks_below  # noqa: E402
from servers import Certificates, Service  # noqa: E402
from terminal import Terminal  # noqa: E402

MARK = "<!-- first hour -->"
NAME, ADDRESS = "api.github.com", "140.82.112.5"
TOKEN = "ghp_" + canary(36)
NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child"]
# What the bar allows from the tarball to the first injected call.
COMMANDS = 5
SKIPPED = 77


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tarball", type=pathlib.Path, required=True)
    options.add_argument("--inside", type=pathlib.Path, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.inside:
        return inside(options.inside, options.tarball)
    probe = subprocess.run([*NAMESPACES, "mount", "-t", "proc", "proc", "/proc"], capture_output=True, text=True)
    if probe.returncode != 0:
        print(f"first hour: left out, since no namespaces can be made here: {probe.stderr.strip()}")
        return 1 if os.environ.get("CI") else SKIPPED
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="nexus-first-hour-"))
    try:
        again = [sys.executable, __file__, "--tarball", options.tarball.resolve(), "--inside", scratch]
        return subprocess.run([*NAMESPACES, *again]).returncode
    finally:
        shutil.rmtree(scratch)


def inside(scratch, tarball):
    """In the namespaces: the network, the look-alike, the root, and then the user."""
    network.up([ADDRESS])
    names = network.Names({NAME: ADDRESS})
    certificates = scratch / "certificates"
    certificates.mkdir()
    certificates = Certificates(certificates, [NAME])
    github = Service(certificates, look_alike, (ADDRESS, 443))
    root = make_root(scratch, tarball, certificates.ca)

    started = time.monotonic()
    ran = session(root, commands((scratch / "unpacked/share/doc/nexus-sidecar/README.md").read_text()))
    check_calls(ran, github.seen)
    check_home(root, tarball)

    # The same by /etc/hosts, where DNS knows nothing.
    names.forget()
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {NAME}\n")
    before = len(github.seen)
    path = next(command for command, _, _ in ran if "PATH=" in command)
    session(root, [path, next(command for command, _, _ in ran if " run " in command)])
    expect(len(github.seen) > before, "by /etc/hosts alone the look-alike is reached")
    print(f"first hour: ok, {len(ran)} commands in {time.monotonic() - started:.1f} s")
    return 0


def look_alike(seen):
    if seen.header("Authorization") != [f"Bearer {TOKEN}"]:
        return 401, [("Content-Type", "application/json")], b'{"message": "Bad credentials"}\n'
    return 200, [("Content-Type", "application/json")], b'{"login": "newuser"}\n'


def make_root(scratch, tarball, ca):
    root = scratch / "root"
    unpacked = scratch / "unpacked"
    unpacked.mkdir()
    subprocess.run(["tar", "xzf", tarball, "--strip-components=1", "-C", unpacked], check=True)
    binary = unpacked / "bin/nexus-sidecar"
    subprocess.run([HERE / "root.sh", root, binary], check=True)
    shutil.copy(tarball, root / "home/newuser")
    shutil.copy(ca, root / "etc/ssl/certs/ca-certificates.crt")
    if is_static(binary):
        poison(scratch, root)
    return root


def is_static(binary):
    headers = subprocess.run(["readelf", "-lW", binary], check=True, capture_output=True, text=True).stdout
    return "INTERP" not in headers


def poison(scratch, root):
    """A plugin for names that ends every process which loads it: a static binary must not."""
    source = scratch / "poison.c"
    source.write_text("#include <unistd.h>\n__attribute__((constructor)) static void end(void) { _exit(86); }\n")
    folder = next(root.glob("usr/lib/*/libc.so.6")).parent
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "libnss_poison.so.2", source], check=True)
    # Where a static binary looks for the loader that the plugin's libc wants.
    for loader in root.glob("lib64/ld-linux*"):
        shutil.copy(loader, folder)
    (root / "etc/nsswitch.conf").write_text("hosts: poison files dns\n")


def commands(readme):
    """The commands of the marked blocks: a line, and those that a backslash leads on to."""
    found = []
    for part in readme.split(MARK)[1:]:
        block = re.match(r"\s*```sh\n(.*?)```", part, re.DOTALL)
        expect(block, f"behind {MARK} stands a block of sh")
        lines = block.group(1).replace("\\\n", "").splitlines()
        found += [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    expect(found, f"the README has {MARK}")
    return found


def session(root, lines):
    """Runs the commands in one shell at a terminal, and answers (command, exit code, output)."""
    script = root / "tmp/session.sh"
    text = "".join(f"{line}\nprintf '\\036%s\\036' $?\n" for line in lines)
    script.write_text(text)
    terminal = Terminal([HERE / "enter.sh", root, "sh", "/tmp/session.sh"], {"token": TOKEN})
    fields = terminal.transcript().split("\x1e")
    ran = []
    for number, line in enumerate(lines):
        output, code = (fields[2 * number:2 * number + 2] + ["", ""])[:2]
        print(f"$ {line}\n{output.strip()}", flush=True)
        expect(code == "0", f"`{line}` ends with 0, and not with {code or 'the shell'}")
        ran.append((line, int(code), output))
    expect(not leaks(TOKEN, terminal.transcript().encode()), "the token is never shown")
    return ran


def check_calls(ran, seen):
    first = next((number for number, (line, _, _) in enumerate(ran) if " run " in line), None)
    expect(first is not None, "a command of the README is a `run`")
    expect(first + 1 <= COMMANDS, f"the first injected call takes {COMMANDS} commands at most, and not {first + 1}")
    expect("newuser" in ran[first][2], "the first call answers with the user")
    expect(not any(re.search(r">|<<|\btee\b|\bvi\b", line.split(" #")[0]) for line, _, _ in ran[:first + 1]),
           "no file is written by hand")
    expect(any(call.path == "/user" for call in seen), "the look-alike was asked for /user")
    expect(all(call.header("Authorization") == [f"Bearer {TOKEN}"] for call in seen), "every call was injected")
    said = "".join(output for line, _, output in ran if " connection test " in line)
    expect("works as newuser at GitHub" in said, "the look-alike says whose token it is")
    expect(all("path: /repos/me/mine" in output for line, _, output in ran if "sidecar why" in line),
           "the rule that would have allowed it is shown")
    refused = [output for line, _, output in ran if " DELETE " in line]
    expect(refused and all("POLICY_DENIED" in output for output in refused), "what no rule allows is refused")
    expect(not any(call.method == "DELETE" for call in seen), "what is refused does not leave")


def check_home(root, tarball):
    """What was unpacked is where it belongs, and nothing holds the token in plain."""
    home = root / "home/newuser"
    for file in ["bin/nexus-sidecar", "share/man/man1/nexus-sidecar-run.1",
                 "share/bash-completion/completions/nexus-sidecar", "share/doc/nexus-sidecar/THIRD-PARTY-NOTICES.txt"]:
        expect((home / ".local" / file).exists(), f"{tarball.name} brings ~/.local/{file}")
    leaked = leaks_below(TOKEN, home) + leaks_below(TOKEN, root / "tmp")
    expect(not leaked, f"no file holds the token: {', '.join(leaked)}")
    for folder in [".local/share/nexus-sidecar", ".local/state/nexus-sidecar"]:
        mode = (home / folder).stat().st_mode & 0o077
        expect(mode == 0, f"~/{folder} is the user's alone")


def expect(truth, what):
    if not truth:
        sys.exit(f"first hour: FAILED: {what}")


if __name__ == "__main__":
    sys.exit(main())

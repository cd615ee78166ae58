"""Which version of each client the table speaks of: the pinned one, or the machine's at the last look."""

import json
import re
import subprocess

from kit import HERE

# Programs of the machine: the version that the table says, and the command that tells the present one.
SYSTEM = {
    "cargo": ("1.95", "cargo --version"),
    "curl": ("7.88", "curl --version"),
    "gh": ("2.23", "gh --version"),
    "git": ("2.39", "git --version"),
    "go": ("1.26", "go version"),
    "java": ("17", "java --version"),
    "npm": ("11.19", "npm --version"),
    "perl": ("5.36", "perl --version"),
    "pip": ("23.0", "target/clients/venv/bin/pip --version"),
    "python": ("3.11", "/usr/bin/python3 --version"),
    "ruby": ("3.1", "ruby --version"),
    "wget": ("1.21", "wget --version"),
}


def of_system(program):
    return SYSTEM[program][0]


def of_pip(package):
    pinned = re.search(rf"^{package}==(\S+)$", (HERE / "requirements.txt").read_text(), re.MULTILINE)
    return pinned[1]


def of_npm(package):
    described = json.loads((HERE / "packages/package.json").read_text())
    return {**described["dependencies"], **described["optionalDependencies"]}[package].rpartition("@")[2]


def of_go(module):
    return re.search(rf"^\t{module} v(\S+)", (HERE / "go/go.mod").read_text(), re.MULTILINE)[1]


def others():
    """The programs that have another version here than the table says; not a failure, but to be known."""
    found = []
    for program, (said, command) in SYSTEM.items():
        told = subprocess.run(command.split(), cwd=HERE.parent.parent, capture_output=True, text=True).stdout
        here = re.search(r"\d+(\.\d+)+", told)
        if here and f"{here[0]}.".startswith(f"{said}."):
            continue
        found.append(f"{program} is {here[0] if here else 'unknown'} here; the table says {said}")
    return found

"""Prints the licences of what the binary contains: every crate that is compiled into it, glibc
and Rust's own runtime. Fails where a crate brings no licence text and none is known for it.

Offline: the texts are those that the crates carry in Cargo's own folder.
"""

import collections
import hashlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE")

# Crates that carry no text, and under which licence we take them: MIT's words are filled in with
# the authors that the crate names.
WITHOUT_TEXT = {"asn1-rs-impl": "Apache-2.0", "base64-simd": "MIT", "vsimd": "MIT"}
MIT = """Copyright (c) {authors}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

HEAD = """nexus-sidecar is under the Apache License 2.0, see LICENSE. Its binary also contains what is listed
here, each under its own licence; the texts follow the list.

  The Rust standard library  MIT OR Apache-2.0, see THIRD-PARTY-NOTICES-rust.html
  The GNU C Library          LGPL-2.1-or-later, where it is linked statically: its licence is the
                             last text here. nexus-sidecar's source is at
                             {repository}, and
                             `make dist` there links it anew, with a glibc that was changed too.
  GCC's runtime (libgcc)     GPL-3.0-or-later WITH GCC-exception-3.1, which asks for nothing here
  SQLite                     in the public domain
"""


def main():
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host()],
        check=True, capture_output=True, text=True, cwd=HERE.parent).stdout)
    crates = compiled_in(metadata)
    own = next(package for package in metadata["packages"] if package["id"] == metadata["resolve"]["root"])
    texts = collections.OrderedDict()
    missing = []
    for crate in crates:
        found = texts_of(crate)
        if not found:
            missing.append(f"{crate['name']} {crate['version']} ({crate['license']})")
        for text in found:
            key = hashlib.sha256(" ".join(text.split()).encode()).digest()
            texts.setdefault(key, (text, []))[1].append(f"{crate['name']} {crate['version']}")
    if missing:
        sys.exit("notices.py: no licence text, and none in WITHOUT_TEXT: " + ", ".join(missing))
    print(HEAD.format(repository=own["repository"]))
    for crate in crates:
        print(f"  {crate['name']} {crate['version']}: {crate['license']}  {crate['repository'] or ''}".rstrip())
    for text, users in texts.values():
        section(", ".join(dict.fromkeys(users)), text)
    section("The GNU C Library", (HERE / "licenses/LGPL-2.1.txt").read_text())


def host():
    lines = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
    return next(line.removeprefix("host: ") for line in lines if line.startswith("host: "))


def compiled_in(metadata):
    """Every package but our own that a normal dependency leads to, by name: procedural macros
    are among them, since they leave code behind."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, waiting = set(), [root]
    while waiting:
        for dependency in nodes[waiting.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                waiting.append(dependency["pkg"])
    return sorted((packages[one] for one in seen - {root}), key=lambda crate: (crate["name"], crate["version"]))


def texts_of(crate):
    """The licence texts of a crate, also of the C sources that it bundles at its top."""
    folder = pathlib.Path(crate["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name.upper().startswith(NAMES))
    if not files and crate["license_file"]:
        files = [folder / crate["license_file"]]
    if files:
        return [file.read_text(encoding="utf-8", errors="replace") for file in files]
    licence = WITHOUT_TEXT.get(crate["name"])
    if licence is None or licence not in crate["license"]:
        return []
    if licence == "Apache-2.0":
        return [(HERE.parent / "LICENSE").read_text()]
    return [MIT.format(authors=", ".join(crate["authors"]) or f"the authors of {crate['name']}")]


def section(title, text):
    print(f"\n{'=' * 100}\n{title}\n{'=' * 100}\n\n{text.strip()}")


if __name__ == "__main__":
    main()

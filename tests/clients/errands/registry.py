"""Package managers, which install one package from a registry.

Either the registry wants a credential, which the sidecar injects and the client knows nothing of;
or it stands behind a tunnel rule, where the bytes pass untouched and the certificate is its own.
"""

from canary import canary
from registries import GREETING


def injected(registry, box, command):
    secret = canary()
    service = registry.serve(box.kit.certificates, secret)
    try:
        box.connect(registry.strategy, registry.host, registry.fields(secret), registry.settings)
        rules = [{"name": "packages", "method": ["GET", "HEAD"], "connection": box.name, **place(registry, service)}]
        ran = box.run(rules, command, {"REGISTRY": f"https://{registry.host}:{service.port}"})
    finally:
        service.close()

    ran.expect(GREETING)
    assert service.seen, "the registry was not asked"
    for seen in service.seen:
        assert seen.header("Authorization") == [registry.expected(secret)], f"{seen.path}: not the credential"
    ran.never_held(secret)


def tunnelled(registry, box, command):
    service = registry.serve(box.kit.certificates)
    try:
        rules = [{"name": "packages", "action": "tunnel", **place(registry, service)}]
        ran = box.run(rules, ["sh", box.kit.agents / "issuer.sh", *command],
                      {"REGISTRY": f"https://{registry.host}:{service.port}"})
    finally:
        service.close()

    ran.expect(GREETING, "issuer: CN=Client tests CA")
    assert service.seen and not any(seen.header("Authorization") for seen in service.seen)
    ran.never_held()


def place(registry, service):
    return {"host": registry.host, "port": service.port, "networks": ["127.0.0.0/8"]}

"""pip from an index behind a tunnel rule: the bytes pass untouched, the certificate is the index's own."""

import servers


def run(kit):
    folder = kit.root / "index"
    folder.mkdir()
    service = servers.index(kit.certificates, folder)
    try:
        rules = [{"name": "packages", "action": "tunnel", "host": "pypi.test", "port": service.port,
                  "networks": ["127.0.0.0/8"]}]
        ran = kit.run("pip", rules, ["sh", kit.agents / "pip.sh"],
                      {"INDEX": f"https://pypi.test:{service.port}", "PYTHON": str(kit.python)})
    finally:
        service.close()

    ran.expect("installed through a tunnel", "issuer: CN=Client tests CA")
    assert service.seen and not any(seen.header("Authorization") for seen in service.seen)
    ran.never_held()

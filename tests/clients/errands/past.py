"""Clients that ignore what `run` sets, shown to do so: they reach a service of this machine under a
policy that allows nothing.

A client that follows the proxy gets a refusal, and the service hears nothing of it.
"""

import servers


def check(box, command):
    service = servers.Service(None, lambda seen: (200, [("Content-Type", "application/json")], b'{"object": "list"}'))
    try:
        ran = box.run([], command, {"API": f"http://127.0.0.1:{service.port}"})
    finally:
        service.close()

    assert service.seen, f"the client follows the proxy, or asked nothing\n{ran.everything()}"
    for seen in service.seen:
        assert not seen.path.startswith("http") and not seen.header("Proxy-Authorization"), "it follows the proxy"
    ran.never_held()

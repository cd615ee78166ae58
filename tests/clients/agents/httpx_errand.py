"""The errand of a plain HTTP client, by httpx."""

import os

import httpx

api = os.environ["API"]


def show(name, answer):
    print(f"{name}: {answer.status_code} {answer.headers.get('x-nexus-error', '')}")
    print(answer.headers.raw, dict(answer.cookies), answer.text)


with httpx.Client(timeout=60) as client:
    show("bare", client.get(f"{api}/items?x=1"))
    show("placeholder", client.get(f"{api}/items?x=1", headers={"Authorization": "Bearer placeholder"}))
    show("post", client.post(f"{api}/items", content=bytes(1 << 20)))
    show("denied", client.get(f"{api}/admin"))
    try:
        client.get("https://unnamed.test/")
        print("unnamed: 200")
    except httpx.ProxyError as refused:
        print(f"unnamed: {'403' if '403' in str(refused) else refused}")

"""The errand of a plain HTTP client, by requests."""

import os

import requests

api = os.environ["API"]


def show(name, answer):
    print(f"{name}: {answer.status_code} {answer.headers.get('x-nexus-error', '')}")
    print(answer.headers, answer.cookies.get_dict(), answer.text)


with requests.Session() as session:
    show("bare", session.get(f"{api}/items?x=1", timeout=60))
    show("placeholder", session.get(f"{api}/items?x=1", headers={"Authorization": "Bearer placeholder"}, timeout=60))
    show("post", session.post(f"{api}/items", data=bytes(1 << 20), timeout=60))
    show("denied", session.get(f"{api}/admin", timeout=60))
    try:
        session.get("https://unnamed.test/", timeout=60)
        print("unnamed: 200")
    except requests.exceptions.ProxyError as refused:
        print(f"unnamed: {'403' if '403' in str(refused) else refused}")

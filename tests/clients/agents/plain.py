"""The errand of a plain HTTP client, by the Python client that the argument names.

Each `with_*` answers a function: method, URL, headers and body to status, headers and text.
"""

import asyncio
import os
import sys


def with_requests():
    import requests

    session = requests.Session()

    def ask(method, url, headers, body):
        answer = session.request(method, url, headers=headers, data=body, timeout=60)
        return answer.status_code, {**answer.headers, **answer.cookies.get_dict()}, answer.text

    return ask


def with_httpx():
    import httpx

    client = httpx.Client(timeout=60)

    def ask(method, url, headers, body):
        answer = client.request(method, url, headers=headers, content=body)
        return answer.status_code, {**answer.headers, **answer.cookies}, answer.text

    return ask


def with_aiohttp():
    import aiohttp

    async def once(method, url, headers, body):
        async with aiohttp.ClientSession(trust_env=True) as session:
            async with session.request(method, url, headers=headers, data=body) as answer:
                return answer.status, dict(answer.headers), await answer.text()

    return lambda *request: asyncio.run(once(*request))


def with_urllib3():
    import urllib3

    pool = urllib3.ProxyManager(os.environ["HTTPS_PROXY"], timeout=60, retries=False)

    def ask(method, url, headers, body):
        answer = pool.request(method, url, headers=headers, body=body)
        return answer.status, dict(answer.headers), answer.data.decode()

    return ask


def with_urllib():
    import urllib.error
    import urllib.request

    def ask(method, url, headers, body):
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as refused:
            answer = refused
        return answer.status, dict(answer.headers), answer.read().decode()

    return ask


def with_httplib2():
    import httplib2

    client = httplib2.Http(timeout=60)

    def ask(method, url, headers, body):
        answer, content = client.request(url, method, headers=headers, body=body)
        return answer.status, dict(answer), content.decode()

    return ask


def with_stripe():
    import stripe

    stripe.ca_bundle_path = os.environ["SSL_CERT_FILE"]
    client = stripe.RequestsClient()

    def ask(method, url, headers, body):
        content, status, answered = client.request(method, url, headers, body)
        return status, dict(answered), content

    return ask


def main():
    api, ask = os.environ["API"], globals()[f"with_{sys.argv[1]}"]()

    def show(name, method, url, headers=None, body=None):
        status, answered, text = ask(method, url, headers or {}, body)
        refusal = {key.lower(): value for key, value in answered.items()}.get("x-nexus-error", "")
        print(f"{name}: {status} {refusal}")
        print(answered, text)

    show("bare", "GET", f"{api}/items?x=1")
    show("placeholder", "GET", f"{api}/items?x=1", {"Authorization": "Bearer placeholder"})
    show("post", "POST", f"{api}/items", body=bytes(1 << 20))
    show("denied", "GET", f"{api}/admin")
    try:
        print("unnamed:", ask("GET", "https://unnamed.test/", {}, None)[0])
    except Exception as refused:  # each client has its own
        print(f"unnamed: {'403' if '403' in str(refused) else repr(refused)}")


main()

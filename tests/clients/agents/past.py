"""One request, by a Python client that is left as it comes, named by the argument."""

import asyncio
import os
import sys

API = os.environ["API"]


def with_aiohttp():
    import aiohttp

    async def ask():
        async with aiohttp.ClientSession() as session, session.get(API):
            pass

    asyncio.run(ask())


def with_urllib3():
    import urllib3

    urllib3.PoolManager(retries=False, timeout=60).request("GET", API)


globals()[f"with_{sys.argv[1]}"]()

"""Requests with httpx: http_client.py URL {1.1|2} [CA CERT KEY]."""
import asyncio
import ssl
import sys

import httpx


async def main(url, version, *files):
    context = True
    if files:
        context = ssl.create_default_context(cafile=files[0])
        context.load_cert_chain(*files[1:])
    async with httpx.AsyncClient(http1=version == "1.1", http2=version == "2", verify=context, trust_env=False) as client:

        async def hello():
            answer = await client.get(url + "/hello")
            assert (answer.status_code, answer.text, answer.http_version) == (200, "hello", "HTTP/" + version), answer

        await asyncio.gather(*(hello() for _ in range(50)))
        body = bytes(range(256)) * 4096
        assert (await client.post(url + "/echo", content=body)).content == body


asyncio.run(main(*sys.argv[1:]))

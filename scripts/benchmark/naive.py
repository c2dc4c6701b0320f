"""The naive reference: a passthrough as one writes it in an afternoon, Quart-Trio with a shared httpx client. It bills
nothing.

python naive.py PORT PLAIN_URL STREAM_URL
"""

import sys
from collections.abc import AsyncIterator

import httpx
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import Response, request
from quart_trio import QuartTrio

app = QuartTrio(__name__)
app.config["RESPONSE_TIMEOUT"] = None
UPSTREAMS = dict(zip(("bench-plain", "bench-stream"), sys.argv[2:], strict=True))
client = httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=None, max_keepalive_connections=None))


@app.post("/v1/chat/completions")
async def chat() -> Response:
    if request.headers.get("Authorization") != "Bearer sk-bench":
        return Response('{"error": {"message": "wrong key"}}', 401, content_type="application/json")
    asked = await request.get_json()
    url = UPSTREAMS[asked["model"]] + "/chat/completions"
    headers = {"Authorization": "Bearer sk-upstream"}
    if not asked.get("stream"):
        answer = await client.post(url, json=asked, headers=headers)
        return Response(answer.content, answer.status_code, content_type=answer.headers["content-type"])
    answer = await client.send(client.build_request("POST", url, json=asked, headers=headers), stream=True)

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in answer.aiter_bytes():
            yield piece
        await answer.aclose()

    response = Response(pieces(), answer.status_code, content_type=answer.headers["content-type"])
    response.timeout = None
    return response


if __name__ == "__main__":
    trio.run(serve, app, Config.from_mapping(bind=[f"127.0.0.1:{sys.argv[1]}"], backlog=4096))

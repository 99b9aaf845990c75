"""JSON that is nested too deeply for Python is read all the same, but for what is too deep."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest
from aiohttp import web

from interplay_operator.wire import MAX_DEPTH, Response, loads
from tests.apiserver.processes import free_ports


def nested(depth: int, opening: str = '{"f:a":', closing: str = "}") -> str:
    return f'{{"name": "a \\" [{{[", "deep": {opening * depth}1{closing * depth}, "last": [1]}}'


@pytest.mark.parametrize("depth", [10, 2_000, 200_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"f:a":', "}"), ("[", "]"), ('[{"b":', "}]")])
def test_what_is_not_too_deep_is_kept(depth: int, opening: str, closing: str) -> None:
    begun = time.process_time()
    found = loads(nested(depth, opening, closing).encode())
    assert time.process_time() - begun < 2
    assert found["name"] == 'a " [{['
    assert found["last"] == [1]
    if depth > 1000:
        assert json.dumps(found).count("[") + json.dumps(found).count("{") <= MAX_DEPTH + 4


def test_what_is_no_json_stays_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        loads(b"{" + b"[" * 5)


def test_kopf_reads_lines_that_can_be_parsed() -> None:
    lines = [nested(3), nested(50_000), nested(300), "not json"]
    body = "\n".join(lines).encode()

    async def watch(_request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(_request)
        for at in range(0, len(body), 70_001):
            await answer.write(body[at : at + 70_001])
        return answer

    async def everything(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=nested(50_000).encode())

    async def read() -> tuple[bytes, object]:
        (port,) = free_ports(1)
        app = web.Application()
        app.router.add_get("/watch", watch)
        app.router.add_get("/list", everything)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession(response_class=Response) as session:
                async with session.get(f"{url}/watch") as answer:
                    told = b"".join([c async for c in answer.content.iter_chunked(1 << 16)])
                async with session.get(f"{url}/list") as answer:
                    return told, await answer.json()
        finally:
            await runner.cleanup()

    told, listed = asyncio.run(read())
    first, deep, third, last = told.split(b"\n")
    assert (first.decode(), third.decode(), last.decode()) == (lines[0], lines[2], lines[3])
    assert json.loads(deep)["last"] == [1]
    assert listed == json.loads(deep)

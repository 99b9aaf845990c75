"""The client against a local HTTP server: typed errors, rotated tokens, long watch lines."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from interplay_operator.client import Client, Login
from interplay_operator.errors import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    GoneError,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from interplay_operator.resources import JOBS, RUNS
from tests.apiserver.processes import free_ports

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def against(handler: Handler, use: Callable[[Client], Awaitable[Any]]) -> tuple[Any, int]:
    """What `use` gives with a client of a server that answers by `handler`; and the logins."""
    (port,) = free_ports(1)
    logins = 0

    async def login() -> Login:
        nonlocal logins
        logins += 1
        headers = {"Authorization": f"Bearer {logins}"}
        return Login(f"http://127.0.0.1:{port}", headers, ssl.create_default_context())

    async def run() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        client = Client(login)
        try:
            return await use(client)
        finally:
            await client.close()
            await runner.cleanup()

    return asyncio.run(run()), logins


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", RefusedError),
        (403, "Forbidden", ApiError),
        (404, "NotFound", NotFoundError),
        (404, "", UnavailableError),  # a proxy's page says nothing of the object
        (409, "AlreadyExists", AlreadyExistsError),
        (409, "Conflict", ConflictError),
        (410, "Expired", GoneError),
        (413, "", RefusedError),
        (422, "Invalid", RefusedError),
        (429, "TooManyRequests", UnavailableError),
        (500, "InternalError", UnavailableError),
    ],
)
def test_every_answer_has_one_error(status: int, reason: str, kind: type[ApiError]) -> None:
    async def handler(_request: web.Request) -> web.Response:
        body = {"kind": "Status", "reason": reason, "message": "because"}
        return web.json_response(body, status=status, headers={"Retry-After": "7"})

    async def use(client: Client) -> ApiError:
        with pytest.raises(ApiError) as caught:
            await client.get(JOBS, "team", "a")
        return caught.value

    error, _ = against(handler, use)
    assert type(error) is kind
    assert (error.status, error.reason, error.retry_after) == (status, reason, 7.0)
    assert error.message == f"get jobs: {status}: because"


def test_a_rotated_token_is_fetched_once_for_everybody() -> None:
    async def handler(request: web.Request) -> web.Response:
        known = request.headers["Authorization"] == "Bearer 2"
        return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}},
                                 status=200 if known else 401)  # fmt: skip

    async def use(client: Client) -> int:
        pages = await asyncio.gather(*(client.list_page(RUNS) for _ in range(5)))
        return len(pages)

    assert against(handler, use) == (5, 2)


def test_nobody_there_is_unavailable_and_counted() -> None:
    counted: list[tuple[str, str, int]] = []

    async def use(client: Client) -> None:
        client.on_request = lambda *what: counted.append(what)
        with pytest.raises(UnavailableError):
            await client.get(JOBS, "team", "a")

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    against(handler, use)
    assert counted == [("get", "jobs", 0)]


def test_a_status_write_names_the_object_that_was_looked_at() -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(path=request.path, body=await request.json(), query=dict(request.query))
        return web.json_response(seen["body"])

    async def use(client: Client) -> Any:
        return await client.replace_status(RUNS, "team", "a", "uid", 7, {"attempt": 1})

    against(handler, use)
    assert seen["path"].endswith("/namespaces/team/modelruns/a/status")
    meta = {"namespace": "team", "name": "a", "uid": "uid", "resourceVersion": "7"}
    assert seen["body"]["metadata"] == meta
    assert seen["query"] == {"fieldManager": "interplay-operator"}


def test_watch_lines_may_be_long_and_broken_anywhere() -> None:
    events = [{"type": "ADDED", "object": {"n": n, "text": "x" * 300_000}} for n in range(3)]
    data = "".join(json.dumps(e) + "\n" for e in events).encode()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == "true"
        response = web.StreamResponse()
        await response.prepare(request)
        for i in range(0, len(data), 70_001):
            await response.write(data[i : i + 70_001])
        return response

    async def use(client: Client) -> list[int]:
        return [e["object"]["n"] async for e in client.watch(RUNS, "", "", 5, 60)]

    assert against(handler, use)[0] == [0, 1, 2]

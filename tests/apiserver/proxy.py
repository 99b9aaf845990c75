"""A proxy between the operator and the API server that does harm when it is told to.

Three things can be set, all of them called on the proxy's own thread: `judge` is asked about every
request, `edit` about every line of every watch, and `rewrite` may change what a request asks for.
`stall` and `flow` hold all bytes back and let them go again. By default everything passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.apiserver.processes import free_ports
from tests.apiserver.server import ApiServer

__all__ = ["AFTER", "BEFORE", "CONFLICT", "PASS", "EndOfStream", "Harm", "Proxy", "Request", "gone"]

READS = ("GET", "HEAD", "OPTIONS")
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
KEPT = ("Authorization", "Content-Type", "Accept")
PATH = re.compile(
    r"/apis?/(?:[^/]+\.[^/]+/|batch/)?v[^/]+/(?:namespaces/(?P<namespace>[^/]+)/)?"
    r"(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?"
)


@dataclass(frozen=True, slots=True)
class Harm:
    """What happens to one request; nothing by default."""

    cut: str = ""
    """`before` the request reaches the server, or `after` it was answered: no answer comes back."""
    status: int = 0
    """Answered by the proxy itself."""
    reason: str = ""
    """Of the Status object in that answer; a plain text without one, as a load balancer sends."""
    retry_after: int | None = None
    delay: float = 0.0
    """Seconds before anything else happens."""
    line: bytes = b""
    """All that a watch is told before it ends."""


PASS = Harm()
BEFORE = Harm(cut="before")
AFTER = Harm(cut="after")
CONFLICT = Harm(status=409, reason="Conflict")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as the proxy sees it."""

    method: str
    path: str
    query: Mapping[str, str]

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method not in READS and "dryRun" not in self.query

    @property
    def watches(self) -> bool:
        """Whether it is a watch."""
        return self.query.get("watch", "").lower() in ("true", "1")

    @property
    def resource(self) -> str:
        """`<plural>`, or `<plural>/<subresource>`."""
        found = PATH.match(self.path)
        if not found:
            return self.path
        return "/".join(filter(None, (found["plural"], found["sub"])))

    @property
    def name(self) -> str:
        """Of the object, where the path has one."""
        found = PATH.match(self.path)
        return found["name"] or "" if found else ""

    @property
    def what(self) -> str:
        """`<verb> <resource>`, for people."""
        verb = "watch" if self.watches else "read"
        return f"{VERBS.get(self.method, verb)} {self.resource}"


class EndOfStream(Exception):  # noqa: N818 - it ends a watch and is no error
    """Raised by `edit`: the watch ends after these last lines."""

    def __init__(self, *lines: bytes) -> None:
        super().__init__()
        self.lines = lines


def gone() -> bytes:
    """The line that tells a watch that its resourceVersion is too old."""
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "injected: too old"}
    return json.dumps({"type": "ERROR", "object": status}).encode()


Edit = Callable[[Request, bytes], Iterable[bytes]]


class Proxy:
    """Plain HTTP on a loopback port."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        (self.port,) = free_ports(1)
        self.judge: Callable[[Request], Harm] = lambda _request: PASS
        self.after: Callable[[], None] = lambda: None
        """Called where a connection was cut, before the operator can notice."""
        self.edit: Edit | None = None
        self.rewrite: Callable[[Request], Request] = lambda request: request
        self.answer: Callable[[Request, bytes, int], tuple[bytes, int]] | None = None
        """Changes the body and the status of what is not a watch."""
        self.held: Callable[[Request, bytes], bool] | None = None
        """Whether a line of a watch has to wait; asked again at `recheck`."""
        self.writes = 0
        """How many were made so far."""
        self._streams_stalled = self._all_stalled = False
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._flow = asyncio.Event()
        self._started = threading.Event()
        self._streams: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy")

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()
        if not self._started.wait(10):
            raise TimeoutError("the proxy did not start")

    def stop(self) -> None:
        """End it with all connections."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def kubeconfig(self, path: Path, token: str = "") -> Path:
        """A kubeconfig through this proxy: the administrator's, or that of another token."""
        text = self._server.kubeconfig.read_text()
        text = text.replace(self._server.url, f"http://127.0.0.1:{self.port}")
        path.write_text(text.replace(self._server.token, token or self._server.token))
        return path

    def calm(self) -> None:
        """Do no harm any more; what was held flows."""
        self.judge, self.edit, self.held = lambda _request: PASS, None, None
        self.rewrite, self.answer = lambda request: request, None
        self.flow()

    def stall(self, *, requests: bool) -> None:
        """Hold the bytes of the watches that are open, or of all that is and comes."""
        self._streams_stalled, self._all_stalled = True, requests
        self._loop.call_soon_threadsafe(self._flow.clear)

    def flow(self) -> None:
        """Let all bytes flow again."""
        self._streams_stalled = self._all_stalled = False
        self.recheck()

    def recheck(self) -> None:
        """Ask again about every line that is held."""
        self._loop.call_soon_threadsafe(self._wake)

    def break_streams(self) -> None:
        """End every open watch at once, as a server that goes away does."""
        self._loop.call_soon_threadsafe(lambda: [t.cancel() for t in list(self._streams)])

    def _wake(self) -> None:
        self._flow.set()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        rest = asyncio.all_tasks(self._loop)
        for task in rest:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self._loop.close()

    async def _serve(self) -> None:
        tls = ssl.create_default_context(cafile=str(self._server.ca))
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        ) as session:

            async def handle(request: web.Request) -> web.StreamResponse:
                try:
                    return await self._pass(session, request)
                except (aiohttp.ClientError, OSError):
                    # One side is gone: killed, as a rule.
                    return self._cut(request)

            app = web.Application(client_max_size=8 * 1024 * 1024)
            app.router.add_route("*", "/{path:.*}", handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _pass(
        self, session: aiohttp.ClientSession, request: web.Request
    ) -> web.StreamResponse:
        asked = Request(request.method, request.path, dict(request.query))
        while self._all_stalled:
            await self._next_wake()
        harm = self.judge(asked)
        if harm.delay:
            await asyncio.sleep(harm.delay)
        if harm.status:
            return _refusal(harm)
        if harm.line:
            return web.Response(body=harm.line + b"\n", content_type="application/json")
        if harm.cut == "before":
            self.after()
            return self._cut(request)
        self.writes += asked.writes
        passed = self.rewrite(asked)
        async with session.request(
            request.method,
            self._server.url + passed.path,
            params=passed.query,
            headers={k: v for k, v in request.headers.items() if k in KEPT},
            skip_auto_headers=["Accept-Encoding"],
            data=await request.read() or None,
        ) as answer:
            if asked.watches and answer.status == 200:
                return await self._watch(request, asked, answer)
            body, status = await answer.read(), answer.status
            if harm.cut == "after":
                self.after()
                return self._cut(request)
            while self._all_stalled:
                await self._next_wake()
            if self.answer is not None:
                body, status = self.answer(asked, body, status)
            kept = {k: v for k, v in answer.headers.items() if k == "Retry-After"}
            return web.Response(
                body=body, status=status, content_type=answer.content_type, headers=kept
            )

    async def _watch(
        self, request: web.Request, asked: Request, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = answer.content_type
        await response.prepare(request)
        stalled_before = self._streams_stalled
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            async for line in _lines(answer):
                # A watch that was opened during a stall of the others flows.
                while self._all_stalled or (self._streams_stalled and not stalled_before):
                    await self._next_wake()
                while self.held is not None and self.held(asked, line):
                    await self._next_wake()
                for out in self.edit(asked, line) if self.edit is not None else (line,):
                    await response.write(out + b"\n")
        except EndOfStream as end:
            for out in end.lines:
                await response.write(out + b"\n")
        except asyncio.CancelledError:
            if self._stop.is_set():
                raise
            return self._cut(request)
        finally:
            self._streams.discard(task)
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _next_wake(self) -> None:
        self._flow.clear()
        await self._flow.wait()

    @staticmethod
    def _cut(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)


async def _lines(answer: aiohttp.ClientResponse) -> Any:
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line


def _refusal(harm: Harm) -> web.Response:
    headers = {} if harm.retry_after is None else {"Retry-After": str(harm.retry_after)}
    if not harm.reason:
        return web.Response(text=f"{harm.status} injected", status=harm.status, headers=headers)
    body = {"kind": "Status", "reason": harm.reason, "message": "injected", "code": harm.status}
    return web.json_response(body, status=harm.status, headers=headers)

"""A proxy between the operator and the API server that does harm to writes when it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.apiserver.processes import free_ports
from tests.apiserver.server import ApiServer

__all__ = ["Harm", "Proxy", "Request"]

READS = ("GET", "HEAD", "OPTIONS")


class Harm(Enum):
    """What happens to one write."""

    NONE = "it passes"
    BEFORE = "the connection is cut before the write"
    AFTER = "the connection is cut after the write was applied"
    CONFLICT = "409 without any write"


@dataclass(frozen=True, slots=True)
class Request:
    """One write, as the proxy sees it."""

    method: str
    path: str


class Proxy:
    """Plain HTTP on a loopback port; `judge` is asked about every write, on the proxy's thread."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        (self.port,) = free_ports(1)
        self.judge: Callable[[Request], Harm] = lambda _request: Harm.NONE
        self.after: Callable[[], None] = lambda: None
        """Called where a connection was cut, before the operator can notice."""
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
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

    def kubeconfig(self, path: Path) -> Path:
        """The administrator's kubeconfig through this proxy."""
        text = self._server.kubeconfig.read_text()
        path.write_text(text.replace(self._server.url, f"http://127.0.0.1:{self.port}"))
        return path

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
        harm = Harm.NONE
        if request.method not in READS:
            harm = self.judge(Request(request.method, request.path))
        if harm is Harm.CONFLICT:
            body = {"kind": "Status", "reason": "Conflict", "message": "injected", "code": 409}
            return web.json_response(body, status=409)
        if harm is Harm.BEFORE:
            self.after()
            return self._cut(request)
        kept = {
            k: v
            for k, v in request.headers.items()
            if k in ("Authorization", "Content-Type", "Accept")
        }
        async with session.request(
            request.method,
            self._server.url + request.path_qs,
            headers=kept,
            data=await request.read() or None,
        ) as answer:
            if harm is Harm.AFTER:
                await answer.read()
                self.after()
                return self._cut(request)
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    @staticmethod
    def _cut(request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

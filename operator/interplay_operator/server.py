"""HTTP of the operator itself: /healthz and /readyz on one port, /metrics on another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

__all__ = ["serve"]

Check = Callable[[], str]


async def serve(
    probes_port: int,
    metrics_port: int,
    health: Check,
    ready: Check,
    metrics: Callable[[], bytes],
) -> Callable[[], Awaitable[None]]:
    """Start both servers; returns what stops them. A check returns what is wrong, or nothing."""

    async def render(_request: web.Request) -> web.Response:
        # Beside the loop: with many Evaluations this is long.
        page = await asyncio.to_thread(metrics)
        return web.Response(
            body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    probes, scrapes = web.Application(), web.Application()
    probes.router.add_get("/healthz", _checked(health))
    probes.router.add_get("/readyz", _checked(ready))
    scrapes.router.add_get("/metrics", render)
    runners = [await _listen(probes, probes_port), await _listen(scrapes, metrics_port)]

    async def stop() -> None:
        for runner in runners:
            await runner.cleanup()

    return stop


def _checked(check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_request: web.Request) -> web.Response:
        problem = check()
        return web.Response(text=problem or "ok", status=503 if problem else 200)

    return handler


async def _listen(app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner

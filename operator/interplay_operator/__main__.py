"""`python -m interplay_operator`: kopf runs the process, logs in, feeds Evaluations and library."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import aiohttp
import kopf

from interplay_api.catalog import LIBRARY_KINDS
from interplay_api.constants import GROUP, VERSION

from .client import Client, Login
from .operator import Operator
from .resources import EVALUATIONS, library_resource
from .server import serve
from .settings import Settings
from .wire import PLAIN, Response

__all__ = ["main"]

log = logging.getLogger("interplay.operator")

SWITCH_SECONDS = 0.001
"""A large plan or the page of metrics is made in a thread, and Python's 5 ms would be as many for
each step of all the others."""

GC_OBJECTS = 20_000
"""Python's 700 would look for cycles several times in each page of a list, and it has none: with
so many a start takes a third less."""

EXIT_SECONDS = 10
"""How long kopf may take to end; a pod's grace is 30 s."""


class EndlessBackoff:
    """Delays for kopf's own requests: it exits when they run out, and outages have no end."""

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay
            delay = min(delay * 2, 5.0)


class NoDiffBase(kopf.DiffBaseStorage):
    """Nothing here asks kopf what changed, so it need not copy each object to find out."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """What of an object can change."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:
        """What it was before."""

    def store(self, **_: Any) -> None:
        """Remember it."""


def connection(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """Who we are: the pod's service account, or the kubeconfig outside of a cluster."""
    info = kopf.login_with_service_account(settings=settings)
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{n}", "") for n in ("HOST", "PORT"))
    if info is not None and host:
        # By address: a cluster without DNS is a cluster too.
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return replace(info, server=server)
    info = info or kopf.login_with_kubeconfig(settings=settings)
    if info is None:
        raise kopf.LoginError("neither a service account nor KUBECONFIG is there")
    return info


def session(info: kopf.ConnectionInfo) -> kopf.AiohttpSession:
    """kopf's connection, but for how it reads JSON."""
    made = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers={**info.as_http_headers(), **PLAIN},
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        response_class=Response,
    )
    return kopf.AiohttpSession(
        server=info.server,
        default_namespace=info.default_namespace,
        priority=info.priority,
        expiration=info.expiration,
        aiohttp_session=made,
    )


def registry_of(operator: Operator, work: asyncio.Task[None]) -> kopf.OperatorRegistry:
    """All handlers; none of them decides anything."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.AiohttpSession:
        return session(connection(settings))

    @kopf.on.startup(registry=registry)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.peering.standalone = True
        settings.networking.error_backoffs = EndlessBackoff()
        settings.networking.request_timeout = 60
        # After a failure it waits for watches that wait for a login: then the process is killed.
        settings.process.ultimate_exiting_timeout = EXIT_SECONDS
        settings.watching.server_timeout = 290
        settings.watching.chunk_size = 50
        # A worker of kopf's keeps its last object, whole, until it is idle for so long.
        settings.queueing.idle_timeout = 0.1
        settings.persistence.diffbase_storage = NoDiffBase()
        # Our lists first: kopf tells of every object anew, and would be in their way.
        synced = asyncio.create_task(operator.synced.wait())
        await asyncio.wait({synced, work}, return_when=asyncio.FIRST_COMPLETED)
        synced.cancel()

    @kopf.on.cleanup(registry=registry)
    async def stop(**_: Any) -> None:
        # Before kopf waits for tasks that it does not know: nothing is written after SIGTERM.
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    for resource in (EVALUATIONS, *(library_resource(kind) for kind in LIBRARY_KINDS)):
        _feed(registry, operator, resource.plural, resource.kind)
    return registry


def _feed(registry: kopf.OperatorRegistry, operator: Operator, plural: str, kind: str) -> None:
    @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)
    async def feed(event: kopf.RawEvent, **_: Any) -> None:
        operator.feed.take(kind, event["type"], event["object"])


async def _run(settings: Settings) -> None:
    kopf_settings = kopf.OperatorSettings()

    async def login() -> Login:
        info = connection(kopf_settings)
        return Login(info.server, info.as_http_headers(), info.as_ssl_context())

    operator = Operator(settings, Client(login))
    stop = await serve(
        settings.probes_port,
        settings.metrics_port,
        operator.health,
        operator.ready,
        operator.metrics.render,
    )
    stopped = asyncio.Event()
    work = asyncio.create_task(operator.run(), name="interplay operator")
    # Should our half end, kopf's ends too, and Kubernetes starts both anew.
    work.add_done_callback(lambda _: stopped.set())
    try:
        await kopf.operator(
            registry=registry_of(operator, work),
            settings=kopf_settings,
            clusterwide=not settings.watch_namespaces,
            namespaces=settings.watch_namespaces,
            stop_flag=stopped,
        )
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await stop()
    if not work.cancelled() and (error := work.exception()):
        raise error


def main() -> int:
    """Read the environment, run, and return the exit status."""
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        print(f"interplay-operator: {error}", file=sys.stderr)
        return 2
    text = kopf.LogFormat.FULL if settings.log_format == "text" else kopf.LogFormat.JSON
    kopf.configure(log_format=text)
    # One line per event is too much; ours say what happened.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(GC_OBJECTS)
    asyncio.run(_run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())

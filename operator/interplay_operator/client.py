"""The only module that talks to the API server: dicts over plain HTTP, one pool, typed errors."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from interplay_api.constants import API_VERSION

from .errors import ApiError, NotFoundError, UnavailableError, error_of
from .resources import CLAIMS, JOBS, PODS, Resource
from .wire import PLAIN, loads

__all__ = ["Client", "Login", "Page"]

Object = dict[str, Any]
CONCURRENCY = 32
TIMEOUT_SECONDS = 30
LOG_BYTES = 1024 * 1024
"""A report of 512 KiB in lines of 8 KiB, and room for what the runner logs after it."""
LOG_LINES = 200
PAGE = 100
OWNER = "interplay-operator"
"""Name of our field manager."""


@dataclass(frozen=True, slots=True)
class Login:
    """Where the API server is and who we are."""

    server: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Page:
    """One chunk of a list."""

    items: list[Object]
    version: int
    more: str


class Client:
    """Requests as the operator's service account.

    `login` is called at the start and again when the server no longer knows us: tokens are rotated.
    """

    def __init__(self, login: Callable[[], Awaitable[Login]]) -> None:
        self._login = login
        self._session: aiohttp.ClientSession | None = None
        self._retired: aiohttp.ClientSession | None = None
        self._server = ""
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._logging_in = asyncio.Lock()
        self.on_request: Callable[[str, str, int], None] = lambda _verb, _plural, _code: None

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._session, self._retired):
            if session is not None:
                await session.close()
        self._session = self._retired = None

    async def create(self, resource: Resource, item: Object) -> Object:
        """Create an object."""
        path = resource.path(item["metadata"]["namespace"])
        answer = await self._call("create", resource, "POST", path, body=item)
        return _object(answer)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object afresh."""
        path = resource.path(namespace, name)
        return _object(await self._call("get", resource, "GET", path))

    async def replace_status(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        uid: str,
        version: int,
        status: Object,
        *,
        dry_run: bool = False,
    ) -> Object:
        """Replace a status, if the object is still the one that we looked at."""
        meta = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version)}
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": meta,
            "status": status,
        }
        path = resource.path(namespace, name, "status")
        query = {"dryRun": "All"} if dry_run else None
        return _object(await self._call("update", resource, "PUT", path, query=query, body=body))

    async def suspend_job(self, namespace: str, name: str, version: int, on: bool) -> Object:
        """Set a Job's `suspend`, the one field of a Job that is ever changed."""
        body = {"metadata": {"resourceVersion": str(version)}, "spec": {"suspend": on}}
        path = JOBS.path(namespace, name)
        return _object(await self._call("patch", JOBS, "PATCH", path, body=body))

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str, version: int | None = None
    ) -> Object | None:
        """Delete this very object, in the background; what is gone already is fine.

        Returns the object where it still waits for something, and nothing where it is gone.
        """
        preconditions: Object = {"uid": uid}
        if version is not None:
            preconditions["resourceVersion"] = str(version)
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        }
        path = resource.path(namespace, name)
        try:
            answer = await self._call("delete", resource, "DELETE", path, body=body)
        except NotFoundError:
            return None
        left = _object(answer)
        return None if left.get("kind") == "Status" else left

    async def list_page(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        more: str = "",
    ) -> Page:
        """One chunk of a list."""
        query = {
            "limit": str(PAGE),
            "labelSelector": labels,
            "fieldSelector": fields,
            "continue": more,
        }
        path = resource.path(namespace)
        answer = _object(await self._call("list", resource, "GET", path, query=query))
        meta = answer["metadata"]
        return Page(answer["items"], int(meta["resourceVersion"]), meta.get("continue") or "")

    async def pod_log(self, namespace: str, name: str, container: str) -> str:
        """The end of a container's log, bounded."""
        query = {
            "container": container,
            "tailLines": str(LOG_LINES),
            "limitBytes": str(LOG_BYTES),
        }
        path = PODS.path(namespace, name, "log")
        data = await self._call("get", PODS, "GET", path, query=query)
        return data.decode(errors="replace")

    async def claim_labels(self, namespace: str, name: str) -> dict[str, str]:
        """Labels of a PersistentVolumeClaim."""
        labels: dict[str, str] = (await self.get(CLAIMS, namespace, name))["metadata"].get(
            "labels", {}
        )
        return labels

    async def served_schema(self) -> Object:
        """The OpenAPI document of our group, as this server serves it."""
        path = f"/openapi/v3/apis/{API_VERSION}"
        return _object(await self._call("get", Resource("", "openapi", ""), "GET", path))

    async def watch(
        self, resource: Resource, namespace: str, labels: str, version: int, seconds: int
    ) -> AsyncGenerator[Object, None]:
        """Watch events as they come, bookmarks included, until the server ends the stream."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": str(version),
            "timeoutSeconds": str(seconds),
            "labelSelector": labels,
        }
        session = await self._connected()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_SECONDS)
        url = self._server + resource.path(namespace)
        try:
            async with session.get(url, params=_given(query), timeout=timeout) as response:
                self.on_request("watch", resource.plural, response.status)
                if response.status == 401:
                    await self._log_in_again(session)
                if response.status != 200:
                    raise _error("watch", resource, response, await response.read())
                async for line in _lines(response):
                    yield loads(line)
        except (aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"watch {resource.plural}: {error!r}") from error

    async def _call(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> bytes:
        params = _given(query or {})
        if method in ("POST", "PUT", "PATCH"):
            params["fieldManager"] = OWNER
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        async with self._slots:
            for last in (False, True):
                session = await self._connected()
                try:
                    async with session.request(
                        method,
                        self._server + path,
                        params=params,
                        data=data,
                        headers={"Content-Type": kind} if data is not None else {},
                        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
                    ) as response:
                        answer = await response.read()
                except (aiohttp.ClientError, OSError) as error:
                    self.on_request(verb, resource.plural, 0)
                    raise UnavailableError(f"{verb} {resource.plural}: {error!r}") from error
                self.on_request(verb, resource.plural, response.status)
                if response.status == 401 and not last:
                    await self._log_in_again(session)
                    continue
                break
        if response.status > 299:
            raise _error(verb, resource, response, answer)
        return answer

    async def _connected(self) -> aiohttp.ClientSession:
        async with self._logging_in:
            if self._session is None:
                login = await self._login()
                self._server = login.server.rstrip("/")
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, ssl=login.tls),
                    headers={
                        **login.headers,
                        **PLAIN,
                        "Accept": "application/json",
                        "User-Agent": OWNER,
                    },
                )
            return self._session

    async def _log_in_again(self, refused: aiohttp.ClientSession) -> None:
        async with self._logging_in:
            if self._session is refused:
                # What is under way on it may end; it is closed with the next one's turn.
                before, self._retired, self._session = self._retired, refused, None
                if before is not None:
                    await before.close()


def _given(query: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in query.items() if v}


def _object(answer: bytes) -> Object:
    found: Object = loads(answer)
    return found


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length; the stream's own reader refuses long ones."""
    rest = b""
    async for chunk in response.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line


def _error(
    verb: str, resource: Resource, response: aiohttp.ClientResponse, answer: bytes
) -> ApiError:
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    text = said.get("message") or answer[:200].decode(errors="replace")
    message = f"{verb} {resource.plural}: {response.status}: {text}"
    return error_of(response.status, said.get("reason", ""), message, _retry_after(response))


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return min(float(text), 60.0) if text.isdigit() else None

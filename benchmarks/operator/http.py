"""An asyncio client as thin as one can be: the load, the controllers and the bare client use it."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

__all__ = ["Api", "ApiError", "Object"]

Object = dict[str, Any]
API = "/apis/interplay.dev/v1alpha1"


class ApiError(Exception):
    """What the API server answered instead of an object."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status}: {text[:300]}")


class Api:
    """One user of one API server, with one pool of connections."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server = cluster["server"]
        self._token = config["users"][0]["user"]["token"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            timeout=aiohttp.ClientTimeout(total=120),
        )
        return self

    async def __aexit__(
        self,
        type_: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def call(
        self, method: str, path: str, body: Object | None = None, **query: str
    ) -> Object:
        """One request; raises ApiError above 299."""
        patch = "application/merge-patch+json"
        async with self._session.request(
            method,
            self._server + path,
            params=query,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": patch if method == "PATCH" else "application/json"},
        ) as response:
            answer = await response.read()
        if response.status > 299:
            raise ApiError(response.status, answer.decode(errors="replace"))
        found: Object = json.loads(answer)
        return found

    async def listed(self, path: str, **query: str) -> list[Object]:
        """All objects of a collection, in chunks."""
        items: list[Object] = []
        more = ""
        while True:
            page = await self.call("GET", path, None, limit="500", **{"continue": more}, **query)
            items += page["items"]
            more = page["metadata"].get("continue") or ""
            if not more:
                return items

    async def version(self, path: str) -> str:
        """The resourceVersion to watch a collection from."""
        page = await self.call("GET", path, None, limit="1")
        found: str = page["metadata"]["resourceVersion"]
        return found

    async def watch(self, path: str, version: str, **query: str) -> AsyncIterator[Object]:
        """Events from a resourceVersion on, until the caller has enough."""
        params = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "3600", **query}
        timeout = aiohttp.ClientTimeout(total=None)
        rest = b""
        async with self._session.get(
            self._server + path, params=params, timeout=timeout
        ) as response:
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 0), str(event["object"]))
                    yield event

"""The past through the proxy: watches that stand still at a revision, and reads that show it."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.apiserver.proxy import Proxy, Request

__all__ = ["Past"]

OURS = ("evaluations", "modelruns", "jobs", "pods")


class Past:
    """Set into a proxy it shows one namespace's objects as of a revision, until `now`."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._revision: int | None = None
        self._reads = False
        proxy.held, proxy.rewrite, proxy.answer = self._held, self._rewrite, self._answer

    def at(self, revision: int, *, reads: bool) -> None:
        """Watches tell nothing newer; with `reads` lists and gets are of that time too.

        A real API server never shows old reads to a client that gives no resourceVersion, as ours
        does; watches of one that lags behind in a highly available cluster may well stand still.
        """
        self._reads, self._revision = reads, revision

    def now(self) -> None:
        """What was held comes, and reads are true again."""
        self._revision = None
        self._proxy.recheck()

    def _held(self, _request: Request, line: bytes) -> bool:
        at = self._revision
        if at is None:
            return False
        return int(json.loads(line)["object"].get("metadata", {}).get("resourceVersion") or 0) > at

    def _rewrite(self, request: Request) -> Request:
        at = self._revision
        if (
            at is None
            or not self._reads
            or request.writes
            or request.watches
            or request.query.get("continue")
            or request.resource not in OURS
        ):
            return request
        past = {"resourceVersion": str(at), "resourceVersionMatch": "Exact"}
        if not request.name:
            return replace(request, query={**request.query, **past})
        collection, _, name = request.path.rpartition("/")
        return replace(
            request, path=collection, query={**past, "fieldSelector": f"metadata.name={name}"}
        )

    def _answer(self, request: Request, body: bytes, status: int) -> tuple[bytes, int]:
        """One object was asked for, and a list came."""
        if not request.name or request.writes or status != 200 or not body.startswith(b"{"):
            return body, status
        found = json.loads(body)
        if not str(found.get("kind", "")).endswith("List"):
            return body, status
        if found["items"]:
            return json.dumps(found["items"][0]).encode(), 200
        gone = {"kind": "Status", "code": 404, "reason": "NotFound", "message": "not there then"}
        return json.dumps(gone).encode(), 404

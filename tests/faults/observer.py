"""What really happened: every version of every object, by a watch that no fault touches."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import urllib3

from interplay_api.constants import API_VERSION
from tests.apiserver.client import ApiError, Object
from tests.apiserver.server import ApiServer

__all__ = ["AuditLog", "Change", "Observer", "Wrote"]

T = TypeVar("T")
WATCHED = (
    (API_VERSION, "Evaluation"),
    (API_VERSION, "ModelRun"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
)
STREAM_SECONDS = 4
"""A watch is asked anew so often, so that stopping is prompt."""


@dataclass(frozen=True, slots=True)
class Change:
    """One version of one object."""

    time: float
    version: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    kind: str
    item: Object

    @property
    def uid(self) -> str:
        """Of the object."""
        uid: str = self.item["metadata"]["uid"]
        return uid


class Observer:
    """Watches the namespaces that are tracked, each change in the order of the store."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._history: dict[str, list[Change]] = {}
        self._state: dict[str, dict[str, dict[str, Object]]] = {}
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=where, name=f"observer {where[1]}")
            for where in WATCHED
        ]

    def start(self) -> None:
        """Begin; what is there already is not told."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def track(self, namespace: str) -> None:
        """Keep the history of a namespace."""
        with self._news:
            self._history[namespace] = []
            self._state[namespace] = {kind: {} for _, kind in WATCHED}

    def forget(self, namespace: str) -> None:
        """Drop it."""
        with self._news:
            self._history.pop(namespace, None)
            self._state.pop(namespace, None)

    def history(self, namespace: str) -> list[Change]:
        """All changes in the order in which the store made them."""
        with self._news:
            return sorted(self._history.get(namespace, ()), key=lambda c: c.version)

    def now(self, namespace: str, kind: str) -> list[Object]:
        """The objects of a kind as they are."""
        with self._news:
            return list(self._state[namespace][kind].values())

    def last(self, namespace: str) -> float:
        """When anything changed there, on the monotonic clock."""
        with self._news:
            changes = self._history[namespace]
            return changes[-1].time if changes else 0.0

    def wait(self, look: Callable[[], T | None], seconds: float) -> T | None:
        """Look after each change until there is something."""
        deadline = time.monotonic() + seconds
        while True:
            if found := look():
                return found
            rest = deadline - time.monotonic()
            if rest <= 0:
                return None
            with self._news:
                self._news.wait(min(rest, 0.25))

    def pause(self, seconds: float) -> None:
        """Until the next change, or so long."""
        with self._news:
            self._news.wait(seconds)

    def _watch(self, api_version: str, kind: str) -> None:
        version = expired = ""
        while not self._stop.is_set():
            try:
                if not version:
                    version = self._relist(api_version, kind, expired)
                version = self._stream(api_version, kind, version)
            except (ApiError, urllib3.exceptions.HTTPError, OSError):
                # The API server is down or too old: the campaign's own doing.
                self._stop.wait(0.2)
            except _Expired:
                version, expired = "", version or expired

    def _relist(self, api_version: str, kind: str, expired: str) -> str:
        """List; after a gap each revision in it, as one list would tell of no history.

        The watch then goes on from the last of these: the store changes while they are read.
        """
        if not expired:
            return self._list(api_version, kind)
        last = self._server.revision()
        for past in range(int(expired) + 1, last + 1):
            try:
                self._list(api_version, kind, str(past))
            except ApiError as error:
                if error.status != 410:
                    raise
        return str(max(last, int(expired)))

    def _list(self, api_version: str, kind: str, past: str = "") -> str:
        admin = self._server.admin
        exact = {"resourceVersion": past, "resourceVersionMatch": "Exact"} if past else {}
        answer = admin.request("GET", admin.path(api_version, kind), **exact)
        version = str(answer["metadata"]["resourceVersion"])
        here = {str(i["metadata"]["uid"]) for i in answer["items"]}
        for item in answer["items"]:
            self._take("MODIFIED", kind, {**item, "kind": kind, "apiVersion": api_version})
        with self._news:
            lost = [
                item
                for state in self._state.values()
                for uid, item in state[kind].items()
                if uid not in here and int(item["metadata"]["resourceVersion"]) <= int(version)
            ]
        for item in lost:
            self._take("DELETED", kind, item)
        return version

    def _stream(self, api_version: str, kind: str, version: str) -> str:
        server = self._server
        url = server.url + server.admin.path(api_version, kind)
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={STREAM_SECONDS}"
        with urllib3.PoolManager(ca_certs=str(server.ca), retries=False) as pool:
            answer = pool.request(
                "GET",
                f"{url}?{query}&resourceVersion={version}",
                headers={"Authorization": f"Bearer {server.token}"},
                preload_content=False,
                timeout=urllib3.Timeout(connect=5, read=STREAM_SECONDS + 10),
            )
            if answer.status != 200:
                raise _Expired if answer.status == 410 else OSError(answer.status)
            rest = b""
            for chunk in answer.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _Expired
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._take(event["type"], kind, event["object"])
        return version

    def _take(self, type_: str, kind: str, item: Object) -> None:
        meta = item["metadata"]
        namespace, uid = meta.get("namespace", ""), str(meta["uid"])
        item["metadata"] = {k: v for k, v in meta.items() if k != "managedFields"}
        with self._news:
            if namespace not in self._history:
                return
            state = self._state[namespace][kind]
            known = state.get(uid)
            version = int(meta["resourceVersion"])
            if known is not None and type_ != "DELETED":
                if int(known["metadata"]["resourceVersion"]) >= version:
                    return
            elif type_ == "MODIFIED":
                type_ = "ADDED"
            if type_ == "DELETED":
                state.pop(uid, None)
            else:
                state[uid] = item
            self._history[namespace].append(Change(time.monotonic(), version, type_, kind, item))
            self._news.notify_all()


class _Expired(Exception):  # noqa: N818 - a way to say: list anew
    pass


@dataclass(frozen=True, slots=True)
class Wrote:
    """One write of somebody, from the audit log."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    time: float
    """Seconds since the epoch, by the server's clock, when the request came."""


class AuditLog:
    """The audit log, read on from where the last look ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lock = threading.Lock()
        self._writes: dict[str, list[Wrote]] = defaultdict(list)

    def of(self, namespace: str, user: str) -> list[Wrote]:
        """Every write of a user into a namespace so far, oldest first."""
        with self._lock:
            self._read()
            return [w for w in self._writes[namespace] if w.user == user]

    def _read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            event = json.loads(line)
            ref, user = event.get("objectRef", {}), event["user"]["username"]
            resource = "/".join(filter(None, (ref.get("resource"), ref.get("subresource"))))
            came = _seconds(event["requestReceivedTimestamp"])
            wrote = Wrote(
                user, event["verb"], resource, ref.get("namespace", ""), ref.get("name", ""),
                event["responseStatus"]["code"], came,
            )  # fmt: skip
            self._writes[wrote.namespace].append(wrote)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

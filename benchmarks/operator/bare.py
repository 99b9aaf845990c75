"""The lower bound: one asyncio client that makes the operator's writes again, in the same order.

What the operator wrote is taken from the audit log and its objects from the API server; each
Evaluation is one chain of writes, and 32 chains are under way at a time or so many begin a second.
Nothing is watched and nothing decided.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Mapping, Sequence

from .arena import COLLECTIONS
from .audit import Call
from .http import Api, Object
from .objects import as_sent

__all__ = ["Script", "fresh", "record", "replay"]

AT_ONCE = 32
Key = tuple[str, str]


class Script:
    """Whose writes, in which order, with which bodies."""

    def __init__(self, chains: Mapping[str, Sequence[Call]], objects: Mapping[Key, Object]) -> None:
        self.chains, self.objects = chains, objects

    @property
    def writes(self) -> int:
        """How many there are, the applies included."""
        return sum(map(len, self.chains.values()))


async def record(api: Api, calls: Sequence[Call], namespace: str) -> Script:
    """All creates and status updates up to the last Job, by Evaluation."""
    last = max(c.done for c in calls if c.verb == "create" and c.resource == "jobs")
    chains: dict[str, list[Call]] = {}
    for call in calls:
        if call.verb in ("create", "update") and call.code < 300 and call.done <= last:
            chains.setdefault(call.evaluation, []).append(call)
    objects = {}
    for path in COLLECTIONS:
        for item in await api.listed(path.format(namespace)):
            objects[path.rpartition("/")[2], item["metadata"]["name"]] = item
    return Script(chains, objects)


async def replay(api: Api, script: Script, rate: float | None = None) -> None:
    """Make them all again, as many Evaluations a second as at first."""
    slots = asyncio.Semaphore(AT_ONCE)
    start = time.monotonic()

    async def run(i: int, chain: Sequence[Call]) -> None:
        if rate is not None:
            await asyncio.sleep(start + i / rate - time.monotonic())
        async with slots:
            made: dict[Key, Object] = {}
            for number, call in enumerate(chain):
                await _write(api, script.objects, made, call, number)

    async with asyncio.TaskGroup() as group:
        for i, chain in enumerate(script.chains.values()):
            group.create_task(run(i, chain))


async def _write(
    api: Api, objects: Mapping[Key, Object], made: dict[Key, Object], call: Call, number: int
) -> None:
    plural, _, part = call.resource.partition("/")
    key = plural, call.name
    (path,) = (p.format(call.namespace) for p in COLLECTIONS if p.endswith(f"/{plural}"))
    if not part:
        made[key] = await api.call("POST", path, fresh(objects[key], made))
        return
    known = made[key]
    status = copy.deepcopy(objects[key]["status"])
    # The same status twice would be no write at all.
    status["conditions"][0]["message"] = f"write {number}"
    meta = {k: known["metadata"][k] for k in ("name", "namespace", "uid", "resourceVersion")}
    body = {"apiVersion": known["apiVersion"], "kind": known["kind"], "metadata": meta}
    made[key] = await api.call("PUT", f"{path}/{call.name}/{part}", {**body, "status": status})


def fresh(item: Object, made: Mapping[Key, Object]) -> Object:
    """The object as it was sent, owned by what was just made."""
    body = as_sent(item)
    uids = {i["metadata"]["name"]: i["metadata"]["uid"] for i in made.values()}
    for owner in body["metadata"].get("ownerReferences", ()):
        owner["uid"] = uids[owner["name"]]
    return body

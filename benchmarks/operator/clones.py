"""Thousands of finished and running Evaluations, cloned from real ones without the operator.

A clone differs from its model by names and uids alone, so an operator that is right has nothing to
do about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from interplay_api.names import digest

from .arena import COLLECTIONS, NAMESPACE
from .http import Api, Object
from .objects import as_sent, renamed

__all__ = ["Family", "clone", "family_of"]

AT_ONCE = 32
NAMES = ("evaluations", "modelruns", "jobs", "pods")
PATHS = dict(zip(NAMES, COLLECTIONS, strict=False))


@dataclass(frozen=True, slots=True)
class Family:
    """An Evaluation with its ModelRun, and its Job and pod while they live."""

    members: dict[str, Object]

    @property
    def name(self) -> str:
        """The Evaluation's."""
        found: str = self.members["evaluations"]["metadata"]["name"]
        return found


async def family_of(api: Api, name: str) -> Family:
    """What there is of one Evaluation of one model."""
    members = {}
    for kind, path in PATHS.items():
        for item in await api.listed(path.format(NAMESPACE)):
            found = item["metadata"]["name"]
            if found == name or found.startswith(f"{name}-"):
                members[kind] = item
    return Family(members)


async def clone(api: Api, family: Family, names: Sequence[str]) -> None:
    """Create one more of each for every name, which is as long as the first one."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with slots:
            await _clone(api, family, name)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))


async def _clone(api: Api, family: Family, name: str) -> None:
    names = {family.name: name}
    for cell in family.members["modelruns"]["spec"]["plan"]["cells"]:
        # Other content, since the same would have been copied and not measured again.
        names[cell["key"]] = digest([name, cell["key"]])
    made = {}
    for kind, item in family.members.items():
        body = renamed(as_sent(item), names)
        made[kind] = await api.call("POST", PATHS[kind].format(NAMESPACE), body)
        names[item["metadata"]["uid"]] = made[kind]["metadata"]["uid"]
    for kind, item in family.members.items():
        if "status" in item:
            status = {"status": renamed(item["status"], names)}
            path = f"{PATHS[kind].format(NAMESPACE)}/{made[kind]['metadata']['name']}/status"
            await api.call("PATCH", path, status)

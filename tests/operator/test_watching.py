"""List + watch against a scripted server: resumes, relists, survives errors, and hears silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from interplay_operator import watching
from interplay_operator.client import Client, Page
from interplay_operator.errors import UnavailableError
from interplay_operator.resources import RUNS
from interplay_operator.watching import ListWatch
from tests.operator.test_cache import item, names, store


def event(type_: str, name: str, version: int) -> dict[str, Any]:
    return {"type": type_, "object": item(name, version)}


def bookmark(version: int) -> dict[str, Any]:
    return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": str(version)}}}


GONE = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}


class Script(Client):
    """Lists and streams in the order given; hangs when they are used up."""

    def __init__(self, lists: list[Page], streams: list[list[Any]]) -> None:
        self.lists, self.streams = lists, streams
        self.asked: list[str | int] = []

    async def list_page(self, *_args: Any, more: str = "", **_query: Any) -> Page:
        self.asked.append(f"list {more}".strip())
        return self.lists.pop(0)

    async def watch(
        self, _resource: Any, _namespace: str, _labels: str, version: int, _seconds: int
    ) -> AsyncGenerator[dict[str, Any], None]:
        self.asked.append(version)
        for said in self.streams.pop(0) if self.streams else [None]:
            if said is None:
                await asyncio.Event().wait()
            elif isinstance(said, Exception):
                raise said
            else:
                yield said


def page(version: int, *items: dict[str, Any], more: str = "") -> Page:
    return Page(list(items), version, more)


def play(script: Script, enough: Callable[[ListWatch], bool]) -> ListWatch:
    """Run a watch until there is enough."""

    async def run() -> ListWatch:
        watch = ListWatch(script, RUNS, store())
        task = asyncio.create_task(watch.run())
        async with asyncio.timeout(5):
            while not enough(watch):
                await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return watch

    return asyncio.run(run())


def test_it_lists_in_chunks_and_goes_on_where_a_stream_ended() -> None:
    script = Script(
        [page(10, item("a", 1), more="token"), page(10, item("b", 2))],
        [
            [event("ADDED", "c", 11), bookmark(15)],
            [UnavailableError("reset")],
            [event("DELETED", "a", 16)],
        ],
    )
    watch = play(script, lambda _: len(script.asked) == 6)
    assert script.asked == ["list", "list token", 10, 15, 15, 16]
    assert names(watch._store) == ["b", "c"]
    assert watch.synced.is_set()


def test_after_a_410_it_lists_again_and_ghosts_are_gone() -> None:
    script = Script([page(10, item("ghost", 1)), page(30, item("b", 22))], [[GONE]])
    watch = play(script, lambda w: w.relists == 2)
    assert names(watch._store) == ["b"]


def test_an_object_that_cannot_be_read_harms_no_other() -> None:
    broken = item("broken", 11)
    del broken["spec"]
    events = [{"type": "ADDED", "object": broken}, event("ADDED", "good", 12)]
    watch = play(Script([page(10, broken)], [events]), lambda w: len(w._store) == 1)
    assert names(watch._store) == ["good"]


def test_a_silent_stream_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SILENCE_SECONDS", 0.02)
    script = Script([page(10)], [[bookmark(12), None]])
    play(script, lambda _: len(script.asked) >= 3)
    assert script.asked[:3] == ["list", 10, 12]

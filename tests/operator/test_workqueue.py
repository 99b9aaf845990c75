"""The queue: once per key, serial per key, fair between groups, background last."""

from __future__ import annotations

import asyncio

from interplay_operator.workqueue import Key, WorkQueue


def key(name: str) -> Key:
    return Key("ModelRun", "team", name)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def take(queue: WorkQueue, count: int) -> list[str]:
    async def run() -> list[str]:
        return [(await asyncio.wait_for(queue.get(), 1)).name for _ in range(count)]

    return asyncio.run(run())


def test_a_key_waits_once_and_runs_again_only_after_it_is_done() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add(key("a"), "g")
    assert len(queue) == 1
    assert take(queue, 1) == ["a"]
    queue.add(key("a"), "g")
    queue.add(key("a"), "g")
    assert len(queue) == 0
    queue.done(key("a"))
    assert take(queue, 1) == ["a"]
    queue.done(key("a"))
    assert len(queue) == 0


def test_a_thousand_models_do_not_delay_one() -> None:
    queue = WorkQueue()
    for i in range(1000):
        queue.add(key(f"big-{i}"), "big")
    queue.add(key("small"), "small")
    assert take(queue, 3) == ["big-0", "small", "big-1"]


def test_background_keys_come_last_unless_somebody_asks() -> None:
    queue = WorkQueue()
    for name in ("a", "b", "c"):
        queue.add(key(name), name, background=True)
    queue.add(key("urgent"), "urgent")
    queue.add(key("c"), "c")
    assert take(queue, 4) == ["urgent", "c", "a", "b"]
    assert len(queue) == 0


def test_back_off_grows_per_key_and_is_forgotten_on_success() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    delays = []
    for _ in range(12):
        delays.append(queue.retry(key("a"), "g"))
        clock.now += delays[-1]
        assert take(queue, 1) == ["a"]
        queue.done(key("a"))
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert max(delays) == delays[-1] == 15.0
    assert queue.retry(key("b"), "g") == 0.1
    queue.succeeded(key("a"))
    assert queue.retry(key("a"), "g") == 0.1


def test_the_earliest_of_two_times_counts_and_age_is_that_of_the_first() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after(key("a"), "g", 600)
    queue.add_after(key("a"), "g", 5)
    queue.add_after(key("a"), "g", 60)
    clock.now = 5
    assert take(queue, 1) == ["a"]
    queue.done(key("a"))
    queue.add(key("x"), "g", background=True)
    assert queue.oldest_age() == 0
    queue.add(key("b"), "g")
    clock.now = 12
    assert queue.oldest_age() == 7

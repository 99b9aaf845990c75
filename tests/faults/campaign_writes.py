"""F01, F04, F05: what can happen to a write: a crash around it, a conflict, a lost answer."""

from __future__ import annotations

import zlib
from collections import Counter

from tests.apiserver.proxy import AFTER, BEFORE, CONFLICT, PASS, Harm, Request
from tests.faults.life import live
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import World

__all__ = ["answer_lost", "conflicts", "killed"]

PHASES = 4
"""Rounds that share the points of one seed: between two kills there is work undisturbed.

A fifth kills around every write: an operator that repeats one at each start never gets past it.
"""
GUARDED = ("evaluations/status", "modelruns/status", "jobs")


class Points:
    """Numbers the writes of a scenario: the n-th of each verb and resource."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, request: Request) -> str:
        """`<verb> <resource> <n>`."""
        self._seen[request.what] += 1
        return f"{request.what} {self._seen[request.what]}"


class Tries:
    """Counts how often each write of a scenario was tried."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def odd(self, request: Request) -> bool:
        """Whether it is the first try, the third, and so on."""
        key = (request.method, request.path)
        self._seen[key] += 1
        return self._seen[key] % 2 == 1


@campaign("F01", "SIGKILL before and after every write", quick=10, full=40)
def killed(world: World, round_: Round) -> list[Fault]:
    """Each point is hit in two of the rounds that share a seed, before and after."""
    side, phase = ("before", "after")[round_.number % 2], round_.number // 2 % (PHASES + 1)
    salt = round_.number // (2 * (PHASES + 1))
    with Rig(world, round_) as rig:
        points, tries = Points(), Tries()

        def hit(request: Request, point: str) -> bool:
            if phase == PHASES:
                return side == "after" or tries.odd(request)
            return zlib.crc32(f"{round_.seed}/{salt}/{point}".encode()) % PHASES == phase

        def judge(request: Request) -> Harm:
            if not request.writes or not rig.operator.ready:
                return PASS
            point = points.next(request)
            if not hit(request, point):
                return PASS
            rig.inject(f"{side} {point}")
            return BEFORE if side == "before" else AFTER

        rig.proxy.judge, rig.proxy.after = judge, rig.operator.kill
        live(rig)
        rig.proxy.calm()
    return rig.verdict()


@campaign("F04", "409 on status and Job writes, alone and in runs of 5", quick=3, full=10)
def conflicts(world: World, round_: Round) -> list[Fault]:
    """Every guarded write meets a conflict the first time, or five times."""
    with Rig(world, round_) as rig:
        points = Points()
        left: dict[tuple[str, str], int] = {}

        def judge(request: Request) -> Harm:
            if not request.writes or request.resource not in GUARDED:
                return PASS
            key = (request.method, request.path)
            if key not in left:
                left[key] = 5 if rig.dice.random() < 0.25 else 1
                rig.inject(f"{left[key]} x {points.next(request)}")
            if left[key]:
                left[key] -= 1
                rig.harm_ends()
                return CONFLICT
            if rig.dice.random() < 0.5:
                del left[key]
            return PASS

        rig.proxy.judge = judge
        live(rig)
        rig.proxy.calm()
    return rig.verdict()


@campaign("F05", "The answer is lost after the write was applied", quick=2, full=5)
def answer_lost(world: World, round_: Round) -> list[Fault]:
    """Every write is applied, and its answer lost, the first time that it is made."""
    with Rig(world, round_) as rig:
        points = Points()
        lost: set[tuple[str, str]] = set()

        def judge(request: Request) -> Harm:
            # An object's status is written several times, each of them once without an answer.
            key = (request.method, request.path)
            if not request.writes or key in lost:
                lost.discard(key)
                return PASS
            lost.add(key)
            rig.inject(points.next(request))
            return AFTER

        rig.proxy.judge = judge
        live(rig)
        rig.proxy.calm()
    return rig.verdict()

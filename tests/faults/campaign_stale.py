"""F02, F03, F07: what the operator sees is old, has gaps, or is too old to go on from."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.apiserver.proxy import BEFORE, PASS, EndOfStream, Harm, Request, gone
from tests.faults.life import live
from tests.faults.past import Past
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import World

__all__ = ["expire", "missed_events", "stale_state", "too_old"]

STREAMS = ("evaluations", "modelruns", "jobs", "pods")
LIVES = 2
"""Of one round."""
BACK = 25
"""Changes that time goes back at most."""


@campaign("F02", "Stale state, across restarts and without", quick=10, full=30)
def stale_state(world: World, round_: Round) -> list[Fault]:
    """Time stands still for a while, or goes back behind a restart."""
    with Rig(world, round_) as rig:
        past = Past(rig.proxy)

        def harm() -> None:
            rig.writes(4, 1.0)
            reads = rig.dice.random() < 0.5
            restart = rig.dice.random() < 0.7
            back = rig.dice.randint(1, BACK) if restart else 1
            history = world.observer.history(rig.namespace)
            revision = history[-min(back, len(history))].version
            what = f"{'reads and ' if reads else ''}watches {back} changes old"
            rig.inject(f"{what}{', behind a restart' if restart else ''}")
            if restart:
                rig.operator.held.set()
                rig.operator.kill()
            past.at(revision, reads=reads)
            if restart:
                rig.operator.held.clear()
                rig.operator.until_ready()
            time.sleep(rig.dice.uniform(0.5, 3.0))
            past.now()
            rig.harm_ends()

        live(rig, harm)
    return rig.verdict()


@campaign("F03", "Watch events dropped or merged", quick=5, full=18)
def missed_events(world: World, round_: Round) -> list[Fault]:
    """Some events never come, and the watch ends with 410: only a new list can tell."""
    with Rig(world, round_) as rig:

        def drop() -> None:
            stream, left = rig.dice.choice(STREAMS), rig.dice.randint(1, 6)
            most = left

            def edit(request: Request, line: bytes) -> list[bytes]:
                nonlocal left
                if request.resource != stream:
                    return [line]
                left -= 1
                if left > 0:
                    return []
                rig.proxy.edit = None
                rig.harm_ends()
                raise EndOfStream(gone())

            rig.inject(f"{most} events of {stream} dropped")
            rig.proxy.edit = edit
            deadline = time.monotonic() + 3
            while rig.proxy.edit is not None and time.monotonic() < deadline:
                time.sleep(0.02)
            if rig.proxy.edit is not None:
                # Fewer came. The stream ends all the same, so that nothing is lost for good.
                left = 1
                rig.proxy.edit = None
                expire(rig, (stream,))

        def merge() -> None:
            rig.inject("all watches away, then a new list")
            expire(rig, seconds=rig.dice.uniform(0.2, 1.5))

        def harm() -> None:
            rig.writes(3, 0.6)
            (drop if rig.dice.random() < 0.7 else merge)()

        for life in range(LIVES):
            live(rig, harm, f"s{life}")
    return rig.verdict()


def expire(
    rig: Rig,
    streams: tuple[str, ...] = STREAMS,
    seconds: float = 0.0,
    status: int = 200,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Break the watches; each finds its resourceVersion too old when it comes again.

    A server says so in the stream (status 200); what stands before it may say it outright (410).
    """
    left, until = set(streams), time.monotonic() + seconds

    def judge(request: Request) -> Harm:
        if not request.watches or request.resource not in left:
            return PASS
        if time.monotonic() < until:
            return BEFORE
        left.discard(request.resource)
        return Harm(line=gone()) if status == 200 else Harm(status=status, reason="Expired")

    rig.proxy.judge = judge
    rig.proxy.break_streams()
    meanwhile()
    deadline = until + 10
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
    rig.proxy.judge = lambda _request: PASS
    rig.harm_ends()


@campaign("F07", "410 on watches and continue tokens, compaction", quick=4, full=10)
def too_old(world: World, round_: Round) -> list[Fault]:
    """Lists in pages of two, and the store forgets the revision between the pages."""
    with Rig(world, round_) as rig:
        compact = 0

        def rewrite(request: Request) -> Request:
            nonlocal compact
            if request.query.get("continue") and compact:
                compact -= 1
                world.compact(world.server.revision())
            if "limit" not in request.query:
                return request
            query = {**request.query, "limit": "2"}
            return Request(request.method, request.path, query)

        def harm() -> None:
            nonlocal compact
            rig.writes(3, 1.0)
            pages = rig.dice.randint(0, 3)
            status = 410 if rig.dice.random() < 0.15 else 200
            how = "outright" if status == 410 else "in the stream"
            rig.inject(f"410 {how} on all watches, {pages} compactions between pages")
            compact = pages
            expire(rig, status=status)

        rig.proxy.rewrite = rewrite
        live(rig, harm)
    return rig.verdict()

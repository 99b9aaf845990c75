"""F06, F08, F09: the API server is away, silent, or answers badly."""

from __future__ import annotations

import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.apiserver.client import Object
from tests.apiserver.operator import model
from tests.apiserver.proxy import PASS, Harm, Request
from tests.faults.life import apply, differences, live
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import World

__all__ = ["away", "bad_answers", "silent"]

RIGS = 3
RECONNECT = 40.0
"""Of the garbage collector, which has its own back-off."""
DETECTION = 75.0
"""How long the silence of a watch may go unnoticed (operator-rules.md 28)."""
OUTAGES = 5
LIVES = 2
STALL = 100.0
BAD = 60.0
CODES = (400, 403, 404, 409, 410, 422, 429, 500, 503, 0)
"""0 is no answer at all, for longer than a client waits."""
RATES = (1, 10, 50)
REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
"""404 comes without: a server that says NotFound of what is there would be lying."""
TIMEOUT = 35.0


@campaign("F06", "API server or etcd killed, up to 30 s away", quick=2, full=10, width=1)
def away(world: World, round_: Round) -> list[Fault]:
    """Several scenarios share the harm; it is counted once, and all of them must survive."""
    world.revive()
    with contextlib.ExitStack() as stack:
        rigs = [stack.enter_context(Rig(world, round_)) for _ in range(RIGS)]
        server = world.server

        left = OUTAGES

        def harm() -> None:
            nonlocal left
            rigs[0].writes(8, 2.0)
            if not left:
                world.revive()
                return
            left -= 1
            target = rigs[0].dice.choice((server.etcd, server.apiserver))
            seconds = rigs[0].dice.choice((0.0, 1.0, 5.0, 30.0))
            hard = rigs[0].dice.random() < 0.7
            number = signal.SIGKILL if hard else signal.SIGTERM
            for rig in rigs:
                rig.inject(f"{number.name} to {target.name}, {seconds:.0f} s away", apart=RECONNECT)
            target.signal(number)
            # A server that leaves in peace must not be waited for by its own watches.
            target.stop(grace=5)
            time.sleep(seconds)
            world.revive()
            for rig in rigs:
                rig.harm_ends()

        with ThreadPoolExecutor(RIGS) as pool:
            for life in range(LIVES):
                name = f"s{life}"
                lives = [pool.submit(live, rigs[0], harm, name)]
                lives += [pool.submit(live, rig, None, name) for rig in rigs[1:]]
                for one in lives:
                    one.result()
    first, *others = [rig.verdict() for rig in rigs]
    for mine in others:
        for fault, other in zip(first, mine, strict=False):
            fault.violations += other.violations
    return first


@campaign("F08", "Silent stall of 100 s", quick=6, full=20, width=6)
def silent(world: World, round_: Round) -> list[Fault]:
    """TCP stays open and nothing comes: on watches for good, on all for 100 s, or after a sleep."""
    kind = round_.number % 3
    with Rig(world, round_) as rig:
        done = False

        def harm() -> None:
            nonlocal done
            rig.writes(12)
            if done:
                return
            done = True
            if kind == 0:
                rig.inject("the open watches say nothing any more", apart=DETECTION)
                rig.proxy.stall(requests=False)
            elif kind == 1:
                rig.inject(f"nothing passes for {STALL:.0f} s", apart=DETECTION)
                rig.proxy.stall(requests=True)
                time.sleep(STALL)
                rig.proxy.flow()
            else:
                rig.inject(f"asleep for {STALL:.0f} s, then half-open", apart=DETECTION)
                rig.operator.operator.process.signal(signal.SIGSTOP)
                rig.proxy.stall(requests=False)
                time.sleep(STALL)
                rig.operator.operator.process.signal(signal.SIGCONT)
            rig.harm_ends()

        live(rig, harm)
    return rig.verdict()


@campaign("F09", "Bad status codes for 60 s", quick=8, full=30, width=4)
def bad_answers(world: World, round_: Round) -> list[Fault]:
    """One code at one rate on every request; Evaluations come and finish meanwhile."""
    code = CODES[round_.number % len(CODES)]
    rate = RATES[(round_.number // len(CODES) + round_.number) % len(RATES)]
    with Rig(world, round_) as rig:
        harmed = 0

        def judge(_request: Request) -> Harm:
            nonlocal harmed
            if rig.dice.random() * 100 >= rate:
                return PASS
            harmed += 1
            if not code:
                return Harm(delay=TIMEOUT, cut="before")
            plain = rig.dice.random() < 0.3
            after = rig.dice.choice((None, 1, 2)) if code in (429, 503) else None
            return Harm(
                status=code, reason="" if plain else REASONS.get(code, ""), retry_after=after
            )

        fault = rig.inject("")
        rig.proxy.judge = judge
        begin = time.monotonic()
        applied: list[Object] = []
        while time.monotonic() - begin < BAD:
            number = len(applied)
            models = [model(f"m{number}-{i}") for i in range(2)]
            spec = {"models": models, "measurements": {"names": ["top1"]}}
            applied.append(apply(rig, f"e{number}", spec))
            time.sleep(rig.dice.uniform(1.0, 4.0))
        rig.proxy.calm()
        rig.harm_ends()
        what = str(code) if code else "no answer"
        fault.point = f"{what} at {rate} %: {harmed} of the requests, {rig.operator.exits} exits"
        for item in applied:
            rig.converge(item["metadata"]["name"], partial(differences, rig, item))
        rig.quiet()
        for item in applied:
            rig.hand.delete(item["metadata"]["name"])
        rig.nothing_left()
    return rig.verdict()

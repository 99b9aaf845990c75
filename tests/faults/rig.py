"""One scenario's bench: a namespace, an operator behind its proxy, controllers, and the judge."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from urllib3.exceptions import HTTPError

from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import Hand
from tests.apiserver.proxy import Proxy
from tests.faults.controllers import Controllers, Script
from tests.faults.operators import Supervised
from tests.faults.promises import Violation, check
from tests.faults.record import Fault
from tests.faults.registry import Round
from tests.faults.truth import Library, Numbers
from tests.faults.world import ACCOUNT, World

__all__ = ["LIMIT", "Rig"]

T = TypeVar("T")
LIMIT = 30.0
"""I5: seconds from the end of the last fault to the right state."""
NEVER = 240.0
"""A phase that is harmed without end is given up."""
SETTLE, QUIET = 1.5, 2.0
MEMORY = 200.0
"""MB that no operator of a few objects may reach."""
MEASUREMENTS = ("top1", "more")


class Rig:
    """Use it as a context manager; `verdict` then tells what was broken."""

    def __init__(
        self,
        world: World,
        round_: Round,
        *,
        operators: int = 1,
        module: str = "interplay_operator",
        env: Sequence[str] = (),
        beside: Sequence[str] = (),
        attempts: int | None = 1,
    ) -> None:
        self.world, self.round, self.dice = world, round_, round_.dice
        self.namespace = world.namespace()
        self.library = Library(self.namespace)
        self.numbers = Numbers()
        self.script = Script()
        self.attempts = attempts
        """Attempts that a model may need; None where faults make more of them."""
        self.repeatable: set[str] = set()
        """Uids of Jobs that were deleted by somebody else."""
        self.proxy = Proxy(world.server)
        folder = world.folder / self.namespace
        folder.mkdir()
        kubeconfig = self.proxy.kubeconfig(folder / "kubeconfig", world.token())
        self.operators = [
            Supervised(
                kubeconfig, self.namespace, folder / f"operator-{n}.log", module, env, beside
            )
            for n in range(operators)
        ]
        self.hand = Hand(world.server.admin, self.namespace)
        self.controllers = Controllers(self.hand, world.observer, self.script)
        self.faults: list[Fault] = []
        self.violations: list[Violation] = []
        self._last_harm = 0.0
        self._lock = threading.Lock()
        for name in MEASUREMENTS:
            self.measurement(name)

    @property
    def operator(self) -> Supervised:
        """The only one, or the first."""
        return self.operators[0]

    def __enter__(self) -> Self:
        self.proxy.start()
        for operator in self.operators:
            operator.start()
        self.controllers.start()
        try:
            for operator in self.operators:
                operator.until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes and threads."""
        self.proxy.calm()
        for operator in self.operators:
            operator.finish()
        self.proxy.stop()
        self.controllers.stop()

    # The library

    def measurement(self, name: str, **more: object) -> None:
        """Apply a measurement on digits."""
        spec = {"category": "benefit", "entryPoint": name, "datasets": ["digits"], **more}
        self.hand.library("Measurement", name, spec)
        self.library.add("Measurement", name, spec)

    # Faults

    def inject(self, point: str, apart: float = 0.0) -> Fault:
        """Write down that something is done now."""
        fault = self.round.fault(point, time=time.monotonic(), apart=apart)
        with self._lock:
            self.faults.append(fault)
            self._last_harm = time.monotonic()
        return fault

    @contextlib.contextmanager
    def meanwhile(self, harm: Callable[[], None]) -> Iterator[None]:
        """Do harm again and again on a thread of its own, while something goes on here."""
        over, failure = threading.Event(), []

        def work() -> None:
            try:
                while not over.is_set():
                    harm()
            except Exception as error:
                failure.append(error)

        thread = threading.Thread(target=work, name=f"harm {self.namespace}")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if failure:
            raise failure[0]

    def writes(self, most: int, seconds: float = 2.0) -> None:
        """Wait until the operator made some more writes, or for some time."""
        until = self.proxy.writes + self.dice.randint(1, most)
        deadline = time.monotonic() + self.dice.uniform(seconds / 2, seconds)
        while self.proxy.writes < until and time.monotonic() < deadline:
            time.sleep(0.01)

    def insist(self, do: Callable[[], T]) -> T:
        """Ask the API server until it answers: where a campaign took it down itself."""
        deadline = time.monotonic() + 90
        while True:
            try:
                return do()
            except (HTTPError, OSError, ApiError) as error:
                refused = isinstance(error, ApiError) and error.status not in (429, 500, 503, 504)
                if refused or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def harm_ends(self) -> None:
        """The limit counts from here on."""
        self._last_harm = time.monotonic()

    def violate(self, promise: str, what: str) -> None:
        """A promise was broken now."""
        self.violations.append(Violation(promise, what, time.monotonic()))

    # Waiting

    def now(self, kind: str) -> list[Object]:
        """The namespace's objects of a kind."""
        return self.world.observer.now(self.namespace, kind)

    def converge(
        self,
        what: str,
        differences: Callable[[], list[str]],
        promise: str = "I5",
        *,
        under_load: bool = False,
    ) -> bool:
        """Wait for the right state (I5); the seconds go to the last fault before it.

        What comes after a state that was never reached proves nothing, and is not waited for.
        `under_load` there is work for longer than the limit: it counts from the last change.
        """
        if self.violations:
            return False
        begin, left = time.monotonic(), ["never looked at"]
        while left:
            left = differences()
            if left and self.round.fast and self._judge():
                return False
            limit = LIMIT + max((f.apart for f in self.faults), default=0.0)
            # A restart counts from the operator's first successful requests.
            harmless = all(o.ready for o in self.operators)
            since = max(begin, self._last_harm, *(o.ready_at for o in self.operators))
            if under_load:
                since = max(since, self.world.observer.last(self.namespace))
            late = harmless and time.monotonic() - since > limit
            if left and (late or time.monotonic() - begin > NEVER):
                self.violate(promise, f"{what}: {'; '.join(left[:4])}")
                return False
            if left:
                self.world.observer.pause(0.1)
        if self.faults and self.faults[-1].seconds is None:
            since = max(self._last_harm, begin, *(o.ready_at for o in self.operators))
            self.faults[-1].seconds = max(time.monotonic() - since, 0.0)
        return True

    def quiet(self) -> None:
        """Nothing to do: no writes (I6)."""
        time.sleep(SETTLE)
        before = len(self.world.audit.of(self.namespace, ACCOUNT))
        time.sleep(QUIET)
        for wrote in self.world.audit.of(self.namespace, ACCOUNT)[before:]:
            self.violate("I6", f"{wrote.verb} {wrote.resource} {wrote.name}: {wrote.code}")

    def nothing_left(self, what: str = "deleted") -> bool:
        """All of ours is gone (I7); Events go after their hour."""

        def left() -> list[str]:
            kinds = ("Evaluation", "ModelRun", "Job", "Pod")
            return [f"{k} {i['metadata']['name']}" for k in kinds for i in self.now(k)]

        return self.converge(what, left, promise="I7")

    # The verdict

    def _judge(self) -> list[Violation]:
        """What all that happened so far has broken."""
        history = self.world.observer.history(self.namespace)
        return check(history, self.library, self.numbers, frozenset(self.repeatable))

    def verdict(self) -> list[Fault]:
        """The faults of this round with what each of them broke."""
        history = self.world.observer.history(self.namespace)
        found = [*self.violations, *self._judge()]
        for change in history:
            attempt = change.item.get("status", {}).get("attempt", 0)
            if change.kind == "ModelRun" and self.attempts and attempt > self.attempts:
                name = change.item["metadata"]["name"]
                found.append(Violation("I2", f"{name}: attempt {attempt} for nothing", change.time))
                break
        for operator in self.operators:
            if operator.peak > MEMORY:
                text = f"the operator had {operator.peak:.0f} MB"
                found.append(Violation("I8", text, time.monotonic()))
        if found and not self.faults:
            self.inject("before any fault").time = 0.0
        for violation in found:
            before = [f for f in self.faults if f.time <= violation.time]
            (before or self.faults)[-1 if before else 0].violations.append(
                f"{violation.promise}: {violation.what}"
            )
        self.world.observer.forget(self.namespace)
        return self.faults

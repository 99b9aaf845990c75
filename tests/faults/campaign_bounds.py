"""P02: values at their limits: lengths, alphabets, collisions, counts, the size of a status."""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import partial

from tests.apiserver.client import ApiError, Object
from tests.apiserver.operator import condition
from tests.faults.controllers import Act
from tests.faults.life import apply, differences, spec_of
from tests.faults.record import Fault
from tests.faults.registry import Round, campaign
from tests.faults.rig import Rig
from tests.faults.world import World

__all__ = ["at_the_limits", "status_at_its_cap"]

CASES = 20
NAME, ALIAS, PREFIX, WORD = 30, 63, 253, 63
VALUES = 250
"""Of one cell: with four models more than a status may hold, with three less."""
WORDS = (
    "☃ \u202eright to left\u202c \u0301 combining",
    "tab\tand\rreturn\x07bell",
    "%s %(x)s {0} {{ $(rm) `x` \\n",
    "<b>&amp;</b>",
    "é" * 2000,
)


@campaign("P02", "Lengths, alphabets, collisions and sizes at their limits", quick=3, full=10)
def at_the_limits(world: World, round_: Round) -> list[Fault]:
    """Every third round is about the size of a status, the others about names and words."""
    if round_.number % 3 == 2:
        return status_at_its_cap(world, round_)
    with Rig(world, round_) as rig:
        wanted: list[Callable[[], list[str]]] = []
        kinds = (_named, _aliased, _colliding, _worded, _labelled, _many)
        for number in range(CASES):
            wanted.append(rig.dice.choice(kinds)(rig, number))
        for look in wanted:
            rig.converge("at a limit", look, under_load=True)
        rig.quiet()
        for item in rig.now("Evaluation"):
            rig.hand.admin.delete(item)
        rig.nothing_left()
    return rig.verdict()


def status_at_its_cap(world: World, round_: Round) -> list[Fault]:
    """Just below the cap all numbers are shown, just above none, and a condition says so."""
    with Rig(world, round_) as rig:
        rig.library.values = VALUES
        rig.script.usual = lambda: Act(values=VALUES)
        applied = []
        for number in range(CASES):
            count = rig.dice.randint(2, 5)
            rig.inject(f"{count} models of {VALUES} values")
            models = [f"m{number}-{i}" for i in range(count)]
            applied.append(apply(rig, f"e{number}", spec_of(models)))
        for item in applied:
            rig.converge("at the cap", partial(differences, rig, item), under_load=True)
        rig.quiet()
        for item in applied:
            rig.hand.admin.delete(item)
        rig.nothing_left()
    return rig.verdict()


def _text(rig: Rig, length: int, inner: str = "-") -> str:
    """A name: it begins with a letter and ends with a letter or digit."""
    letters = string.ascii_lowercase + string.digits
    body = "".join(rig.dice.choice(letters + inner) for _ in range(max(length - 2, 0)))
    ends = rig.dice.choice(string.ascii_lowercase), rig.dice.choice(letters)
    return (ends[0] + body + ends[1])[:length] if length > 1 else ends[0]


def _named(rig: Rig, number: int) -> Callable[[], list[str]]:
    """The Evaluation's own name."""
    length = rig.dice.choice((3, NAME - 1, NAME, NAME + 1, WORD, PREFIX))
    name = f"{_text(rig, length - 3)}{number:03d}"
    rig.inject(f"an Evaluation's name of {len(name)} characters")
    spec = spec_of([f"m{number}"])
    return _applied_or_refused(rig, name, spec, refused=length > NAME)


def _aliased(rig: Rig, number: int) -> Callable[[], list[str]]:
    length = rig.dice.choice((4, 12, 13, ALIAS - 1, ALIAS, ALIAS + 1))
    alias = f"{_text(rig, length - 3, '-.')}{number:03d}"
    rig.inject(f"a model's name of {len(alias)} characters")
    return _applied_or_refused(rig, f"e{number}", spec_of([alias]), refused=length > ALIAS)


def _colliding(rig: Rig, number: int) -> Callable[[], list[str]]:
    """Their names are cut to the same slug."""
    stem = _text(rig, 30)
    rig.inject("five models whose names begin alike")
    applied = apply(rig, f"e{number}", spec_of([f"{stem}-{i}" for i in range(5)]))
    return partial(differences, rig, applied)


def _worded(rig: Rig, number: int) -> Callable[[], list[str]]:
    """What a runner says in its end."""
    words, alias = rig.dice.choice(WORDS), f"w{number}"
    rig.script.acts[alias] = Act(code=64, words=f"interplay: BadModel: {words}")
    rig.inject(f"last words {words[:12]!r}")
    applied = apply(rig, f"e{number}", spec_of([alias]))

    def look() -> list[str]:
        left = differences(rig, applied, {alias})
        for item in rig.now("Evaluation"):
            text = condition(item, "Failed").get("message", "")
            if not text.isprintable() or len(text) > 1024:
                left.append(f"not a line for people: {text[:40]!r}")
        return left

    return look


def _labelled(rig: Rig, number: int) -> Callable[[], list[str]]:
    """What a Mode puts on every pod."""
    key = f"{_text(rig, WORD)}.{_text(rig, WORD)}.{_text(rig, WORD)}.{_text(rig, 61)}"
    labels = {f"{key}/{_text(rig, WORD)}": _text(rig, WORD), "plain": ""}
    rig.inject(f"labels of {max(map(len, labels))} characters")
    spec = {"podLabels": labels, "podAnnotations": {f"{key}/x": "☃" * 300}}
    rig.hand.library("Mode", f"mode{number}", spec)
    rig.library.add("Mode", f"mode{number}", spec)
    applied = apply(rig, f"e{number}", spec_of([f"m{number}"], mode=f"mode{number}"))
    return partial(differences, rig, applied)


def _many(rig: Rig, number: int) -> Callable[[], list[str]]:
    count = rig.dice.choice((1, 40))
    rig.inject(f"{count} models, {count} at once")
    models = [f"m{number}-{i}" for i in range(count)]
    applied = apply(rig, f"e{number}", spec_of(models, parallelism=count))
    return partial(differences, rig, applied)


def _applied_or_refused(
    rig: Rig, name: str, spec: Object, *, refused: bool
) -> Callable[[], list[str]]:
    try:
        applied = rig.hand.evaluation(name, **spec)
    except ApiError as error:
        if error.status != 422 or not refused:
            raise
        return list
    return partial(differences, rig, applied) if not refused else lambda: [f"{name} was accepted"]

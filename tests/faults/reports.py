"""What a hostile pod may say in place of its report: a generator of lies, damage and injections."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from interplay_api.constants import MAX_RUN_STATUS_BYTES
from tests.faults.specs import POISON

__all__ = ["LIES", "Said", "lies", "mutations", "wrapped"]

Raw = dict[str, Any]
KUBELET_BYTES = 4096
OTHER = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Said:
    """A termination message, and the log behind it."""

    what: str
    message: str
    log: str | None = None


def wrapped(data: bytes) -> str:
    """A well-formed termination message around any bytes: its digest is right."""
    packed = base64.b64encode(zlib.compress(data)).decode()
    return f"interplay-report/1 {hashlib.sha256(data).hexdigest()} {packed}"


def _text(raw: Raw) -> str:
    return json.dumps(raw)


def _edit(raw: Raw, *path: str | int, to: Any) -> bytes:
    made = copy.deepcopy(raw)
    place: Any = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return _text(made).encode()


def _value(raw: Raw, field: str, to: Any) -> bytes:
    return _edit(raw, "cells", 0, "values", 0, field, to=to)


def _token(raw: Raw, token: str) -> bytes:
    """A token of JSON, or of none, where a number stands."""
    return _value(raw, "value", "@").replace(b'"@"', token.encode())


def _twice(raw: Raw, key: str) -> bytes:
    text = _text(raw)
    return text.replace(f'"{key}"', f'"{key}": 0, "{key}"', 1).encode()


LIES: Mapping[str, Callable[[Raw], bytes]] = {
    "nothing": lambda _: b"",
    "no JSON": lambda _: b"top-1 is 100 %",
    "half a JSON": lambda r: _text(r).encode()[:-40],
    "a list": lambda _: b"[]",
    "a number": lambda _: b"1.0",
    "null": lambda _: b"null",
    "another encoding": lambda r: _text(r).encode("utf-16"),
    "a byte order mark": lambda r: b"\xef\xbb\xbf" + _text(r).encode(),
    "NaN": lambda r: _token(r, "NaN"),
    "Infinity": lambda r: _token(r, "Infinity"),
    "-Infinity": lambda r: _token(r, "-Infinity"),
    "1e400": lambda r: _token(r, "1e400"),
    "a number of 10,000 digits": lambda r: _token(r, "9" * 10_000),
    "a number in hexadecimal": lambda r: _token(r, "0x10"),
    "a number in a text": lambda r: _token(r, '"0.99"'),
    "true as a number": lambda r: _token(r, "true"),
    "a list as a number": lambda r: _token(r, "[0.99]"),
    "deep lists": lambda r: _token(r, "[" * 10_000 + "]" * 10_000),
    "deep maps": lambda r: _token(r, '{"a":' * 10_000 + "1" + "}" * 10_000),
    "lists that never close": lambda _: b"[" * 10_000,
    "texts that never close": lambda _: b'{"' + b'\\"' * 100_000,
    "a raw control character": lambda r: _value(r, "reason", "@").replace(b"@", b"\x07\x1b[2J"),
    "n below zero": lambda r: _value(r, "n", -1),
    "n of more than the world holds": lambda r: _value(r, "n", 2**64),
    "n is half": lambda r: _value(r, "n", 1.5),
    "neither number nor reason": lambda r: _value(r, "value", None),
    "a label in a metric": lambda r: _value(r, "metric", 'x",evaluation="forged'),
    "a line in a metric": lambda r: _value(r, "metric", "x\ninterplay_value 1"),
    "HTML in a metric": lambda r: _value(r, "metric", "<script>alert(1)</script>"),
    "a long metric": lambda r: _value(r, "metric", "x" * 101),
    "an empty metric": lambda r: _value(r, "metric", ""),
    "a metric in another alphabet": lambda r: _value(r, "metric", "\u0442op1"),
    "an unknown field of a value": lambda r: _value(r, "verified", True),
    "a long reason": lambda r: _value(r, "reason", "x" * 301),
    "one value twice": lambda r: _edit(
        r, "cells", 0, "values", to=[r["cells"][0]["values"][0]] * 2
    ),
    "too many values": lambda r: _edit(
        r, "cells", 0, "values", to=[r["cells"][0]["values"][0]] * 513
    ),
    "a state of its own": lambda r: _edit(r, "cells", 0, "state", to="Perfect"),
    "no cells": lambda r: _edit(r, "cells", to=[]),
    "a cell too few": lambda r: _edit(r, "cells", to=r["cells"][1:]),
    "a cell too many": lambda r: _edit(r, "cells", to=[*r["cells"], r["cells"][0]]),
    "a million cells": lambda r: _edit(r, "cells", to=[0] * 900_000),
    "another ModelRun": lambda r: _edit(r, "modelrunUid", to=OTHER),
    "no ModelRun": lambda r: _edit(r, "modelrunUid", to=""),
    "another pod": lambda r: _edit(r, "podUid", to=OTHER),
    "another plan": lambda r: _edit(r, "planDigest", to="0" * 64),
    "an old attempt": lambda r: _edit(r, "attempt", to=r["attempt"] - 1),
    "an attempt to come": lambda r: _edit(r, "attempt", to=r["attempt"] + 1),
    "an attempt that is huge": lambda r: _edit(r, "attempt", to=10**40),
    "another version": lambda r: _edit(r, "version", to=2),
    "forwards without end": lambda r: _edit(r, "provenance", "forwards", to=10**30),
    "seconds without end": lambda r: _edit(
        r, "provenance", "seconds", to={str(i): 1.0 for i in range(25)}
    ),
    "versions that are long": lambda r: _edit(r, "provenance", "versions", to={"x" * 41: "1"}),
    "weights of no digest": lambda r: _edit(r, "provenance", "weightsSha256", to="abc"),
    "a status of its own": lambda r: _edit(r, "conditions", to=[{"type": "Complete"}]),
    "an empty key": lambda r: _edit(r, "", to=1),
    "the prototype": lambda r: _edit(r, "__proto__", to={"cells": []}),
    "the plan twice": lambda r: _twice(r, "planDigest"),
    "the cells twice": lambda r: _twice(r, "cells"),
    "a value twice": lambda r: _twice(r, "value"),
    "two reports": lambda r: (_text(r) * 2).encode(),
    "two mebibytes of nothing": lambda r: _text(r).encode() + b" " * MAX_RUN_STATUS_BYTES * 2,
    "a mebibyte of keys": lambda _: b"{" + b",".join(b'"%d":0' % i for i in range(90_000)) + b"}",
    "a mebibyte of lists": lambda r: _token(r, "[" + "[]," * 340_000 + "[]]"),
    "a mebibyte of lists without commas": lambda r: _token(r, "[[[[]]]]" * 130_000),
    "as many lists as there may be": lambda r: _token(r, "[" + "[[[[]]]]," * 19_000 + "[]]"),
    "as many cells as there may be": lambda r: _edit(r, "cells", to=[{}] * 49_000),
    "as many keys as there may be": lambda r: _edit(
        r, "cells", to=[{f"k{i}": 0 for i in range(60)}] * 1500
    ),
}
"""Each of them as the bytes of a report; none may be believed, however well it is wrapped."""


def _messages(raw: Raw) -> Iterator[Said]:
    """Lies of the wrapping itself."""
    good = wrapped(_text(raw).encode())
    mark, sha, packed = good.split(" ")
    yield Said("an empty message", "")
    yield Said("only the mark", mark)
    yield Said("another mark", good.replace("/1", "/2"))
    yield Said("another digest", f"{mark} {'0' * 64} {packed}")
    yield Said("a digest in capitals", f"{mark} {sha.upper()} {packed}")
    yield Said("no base64", f"{mark} {sha} !!!!")
    yield Said("base64 with lines", f"{mark} {sha} {packed[:10]}\n{packed[10:]}")
    yield Said("not packed", f"{mark} {sha} {base64.b64encode(_text(raw).encode()).decode()}")
    yield Said("more behind it", f"{good} and more")
    yield Said("two messages", f"{good}\n{good}")
    bomb = base64.b64encode(zlib.compress(b" " * 200_000_000, 9)).decode()
    yield Said("a bomb of 200 MB", f"{mark} {sha} {bomb}")
    long = wrapped(_text({**raw, "x": random.Random(1).randbytes(6000).hex()}).encode())
    yield Said("cut at 4,096 bytes", long[:KUBELET_BYTES], "nothing of it")
    yield Said("the last 4,096 bytes", long[-KUBELET_BYTES:])
    yield Said("overflow and no log", f"{mark} {sha} overflow", "")
    for what, lines in _logs(mark, sha, packed):
        yield Said(what, f"{mark} {sha} overflow", "\n".join(lines))


def _logs(mark: str, sha: str, packed: str) -> Iterator[tuple[str, list[str]]]:
    yield "a log of another report", [f"{mark} {'0' * 64} 1/1 {packed}"]
    yield "a log without its end", [f"{mark} {sha} 1/2 {packed}"]
    yield "a log that counts from zero", [f"{mark} {sha} 0/1 {packed}"]
    yield "a log that claims 9,999 parts", [f"{mark} {sha} 9999/9999 {packed}"]
    yield "a log in other digits", [f"{mark} {sha} \u0661/\u0661 {packed}"]
    yield "a log with other bytes", [f"{mark} {sha} 1/1 {packed[::-1]}"]
    yield "a log of one line of a megabyte", [f"{mark} {sha} 1/1 " + "A" * 1_000_000]
    yield "a log of 100,000 lines", [f"{mark} {sha} {i % 9999 + 1}/9999 AAAA" for i in range(10**5)]
    yield "a log of spaces", [" " * 500_000 + f"{mark} {sha} 1/1" + " " * 500_000]


def lies(raw: Raw) -> Iterator[Said]:
    """Every lie about this honest report; none of them may be believed."""
    for what, lie in LIES.items():
        yield Said(what, wrapped(lie(raw)))
    yield from _messages(raw)


def mutations(raw: Raw, dice: random.Random) -> Iterator[Said]:
    """Endless damage to an honest report, before and after it is wrapped."""
    data = _text(raw).encode()
    while True:
        if dice.random() < 0.3:
            text = _damaged(wrapped(data).encode(), dice).decode("latin-1")
            yield Said("bytes of the message", text)
        elif dice.random() < 0.3:
            yield Said("a poisoned text", wrapped(_poisoned(raw, dice)))
        else:
            yield Said("bytes of the report", wrapped(_damaged(data, dice)))


def _damaged(data: bytes, dice: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 30))):
        at, kind = dice.randrange(len(out)), dice.randrange(5)
        if kind == 0:
            out[at] = dice.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            del out[at : at + dice.randint(1, 8)]
        elif kind == 3:
            out[at:at] = dice.choice([b"9" * 400, b"e400", b'"', b"[", b"{", b"}", b"\\", b"\x00"])
        else:
            other = dice.randrange(len(out))
            out[at:at] = out[other : other + 40]
        if not out:
            break
    return bytes(out)


def _poisoned(raw: Raw, dice: random.Random) -> bytes:
    made = copy.deepcopy(raw)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(item, dict | list):
                walk(item)

    walk(made)
    holder, key = dice.choice(places)
    holder[key] = dice.choice([*POISON, 10**30, -1, 1e308, True, None, [], {}, "x" * 400])
    return _text(made).encode()

"""The report: what a runner says, and how it travels from a pod without any token.

A pod is hostile: whatever comes back is parsed here, once, with bounds on size, depth and numbers.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError

from .base import ApiModel, Count, Sha256
from .constants import (
    MAX_LOG_BYTES,
    MAX_LOG_LINE,
    MAX_RUN_STATUS_BYTES,
    MAX_TERMINATION_BYTES,
)

__all__ = [
    "CellResult",
    "Provenance",
    "Report",
    "ReportError",
    "Value",
    "decode_log",
    "decode_termination",
    "encode_log",
    "encode_report",
    "encode_termination",
    "parse_report",
]


def _one_line(text: str) -> str:
    """Without what would move a cursor, break a line or turn the direction of writing."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


Metric = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,100}$", max_length=100)]
Short = Annotated[str, StringConstraints(max_length=300), AfterValidator(_one_line)]
Word = Annotated[str, StringConstraints(max_length=40), AfterValidator(_one_line)]
Number = Annotated[float, Field(allow_inf_nan=False)]

MARK = "interplay-report/1"
LINE = re.compile(
    rf"{MARK} ([0-9a-f]{{64}}) ([1-9][0-9]{{0,3}})/([1-9][0-9]{{0,3}}) ([A-Za-z0-9+/=]+)"
)
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)  # the last may be open: then linear too
MAX_JSON_DEPTH = 12
MAX_JSON_BYTES = MAX_RUN_STATUS_BYTES + MAX_LOG_LINE
"""What is larger would be refused in the end: its numbers must fit a status."""
MAX_JSON_ITEMS = 100_000
MAX_JSON_KEYS = 64
"""Parsed, small items take a hundred times their bytes; an honest report has fewer."""


class ReportError(ValueError):
    """A report that is not believed; the text says why."""


class Value(ApiModel):
    """One number with its n and 95 % interval, or absent with a reason."""

    metric: Metric = Field(description="<metric>[_<param>]; dataset and split are the cell's.")
    value: Number | None = Field(None, description="The number; absent when there is a reason.")
    n: int | None = Field(None, ge=0, le=10**12, description="Samples behind it.")
    low: Number | None = Field(None, description="Lower end of the 95 % interval.")
    high: Number | None = Field(None, description="Upper end of the 95 % interval.")
    method: Word | None = Field(
        None, description="How the interval was made; exact or none where there is none."
    )
    null: Number | None = Field(
        None, description="What a model without the effect would show, where that is not 0."
    )
    reason: Short | None = Field(None, description="Why there is no number.")


class CellResult(ApiModel):
    """What became of one cell of the plan, in the plan's order.

    Names and keys are not repeated here: they come from the plan, so a pod cannot forge them.
    """

    state: Literal["Succeeded", "Failed"] = Field(description="A failed cell fails alone.")
    reason: Short | None = Field(None, description="Why it failed, in one line.")
    values: Annotated[list[Value], Field(max_length=512)] = Field(
        default_factory=list, description="Its numbers."
    )


class Provenance(ApiModel):
    """Where the numbers came from; never part of a key."""

    versions: Annotated[dict[Word, Short], Field(max_length=24)] = Field(
        default_factory=dict, description="Versions of runner and libraries."
    )
    device: Short | None = Field(None, description="What computed.")
    weights_sha256: Sha256 | None = Field(None, description="Digest of the weights.")
    seconds: Annotated[dict[Word, Number], Field(max_length=24)] = Field(
        default_factory=dict, description="Wall time by phase."
    )
    forwards: Count | None = Field(None, description="Samples times views sent through.")


class Report(ApiModel):
    """All that a runner says about one attempt."""

    version: int = Field(1, ge=1, le=1)
    plan_digest: Sha256
    modelrun_uid: Annotated[str, StringConstraints(max_length=64)] = ""
    pod_uid: Annotated[str, StringConstraints(max_length=64)] = ""
    attempt: int = Field(0, ge=0, le=99)
    cells: Annotated[list[CellResult], Field(max_length=256)]
    provenance: Provenance = Provenance()


def _nine(value: Any) -> Any:
    """Nine significant digits: what fits a termination message and still gives 1e-6."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {k: _nine(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_nine(v) for v in value]
    return value


def encode_report(report: Report) -> bytes:
    """The report as JSON in ASCII; its SHA-256 marks every other form of it."""
    return json.dumps(_nine(report.wire()), separators=(",", ":"), allow_nan=False).encode()


def _depth(text: str) -> int:
    deepest = depth = 0
    for char in STRINGS.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_JSON_KEYS:
        raise ReportError(f"report: {len(pairs)} keys in one object")
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ReportError("report: a key stands twice in one object")
    return out


def _refuse_constant(token: str) -> Any:
    raise ReportError(f"report: {token} is not a number")


def parse_report(data: bytes) -> Report:
    """Read hostile bytes; raises ReportError with one line."""
    items = sum(data.count(c) for c in (b",", b"[", b"{"))
    if len(data) > MAX_JSON_BYTES or items > MAX_JSON_ITEMS:
        raise ReportError(f"report: {len(data)} bytes are too many")
    try:
        text = data.decode("ascii")
        # Nesting is bounded before parsing: the parser itself recurses.
        if _depth(text) > MAX_JSON_DEPTH:
            raise ReportError("report: nested too deeply")
        raw = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_refuse_constant)
        return Report.read(raw)
    except ReportError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"])
        raise ReportError(_one_line(f"report: {field}: {first['msg']}")[:300]) from None
    except (ValueError, RecursionError) as error:
        raise ReportError(_one_line(f"report: not JSON: {error}")[:300]) from None


def encode_termination(data: bytes) -> bytes:
    """`<sha256> <base64(zlib)>` of the report, or `<sha256> overflow` where it does not fit."""
    sha = hashlib.sha256(data).hexdigest()
    packed = base64.b64encode(zlib.compress(data, 9)).decode()
    text = f"{MARK} {sha} {packed}"
    return (text if len(text) <= MAX_TERMINATION_BYTES else f"{MARK} {sha} overflow").encode()


def _unpack(sha: str, packed: str) -> bytes:
    try:
        engine = zlib.decompressobj()
        data = engine.decompress(base64.b64decode(packed, validate=True), MAX_JSON_BYTES)
    except (ValueError, zlib.error) as error:
        raise ReportError(f"report: damaged: {error}") from None
    if engine.unconsumed_tail or not engine.eof:
        raise ReportError("report: damaged or too large when unpacked")
    if hashlib.sha256(data).hexdigest() != sha:
        raise ReportError("report: its digest does not match")
    return data


def decode_termination(message: str) -> tuple[str, bytes | None]:
    """The report's digest, and its bytes when they fit. Raises ReportError on anything else."""
    parts = message.strip().split(" ")
    if len(parts) != 3 or parts[0] != MARK or len(parts[1]) != 64:
        raise ReportError("report: the termination message has no report")
    if parts[2] == "overflow":
        return parts[1], None
    return parts[1], _unpack(parts[1], parts[2])


def encode_log(data: bytes) -> list[str]:
    """The report as lines `interplay-report/1 <sha256> <i>/<n> <base64>`."""
    sha = hashlib.sha256(data).hexdigest()
    packed = base64.b64encode(zlib.compress(data, 9)).decode()
    if len(packed) > MAX_LOG_BYTES:
        raise ReportError(f"report: {len(packed)} bytes are more than a log may carry")
    size = MAX_LOG_LINE - 128
    chunks = [packed[i : i + size] for i in range(0, len(packed), size)]
    return [f"{MARK} {sha} {i}/{len(chunks)} {c}" for i, c in enumerate(chunks, 1)]


def decode_log(lines: Iterable[str], sha: str) -> bytes:
    """Find, put together and check the report with this digest among log lines."""
    parts: dict[int, str] = {}
    total = 0
    for line in lines:
        found = LINE.fullmatch(line.strip())
        if found and found[1] == sha:
            parts[int(found[2])] = found[4]
            total = int(found[3])
    if not total or set(parts) != set(range(1, total + 1)):
        raise ReportError(f"report: {len(parts)} of {total} parts are in the log")
    return _unpack(sha, "".join(parts[i] for i in range(1, total + 1)))

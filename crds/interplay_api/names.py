"""Names and digests: deterministic, so that doing a thing twice is doing it once."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

from .constants import MAX_SLUG

__all__ = [
    "canonical_json",
    "digest",
    "job_name",
    "metric_key",
    "modelrun_name",
    "plain",
    "slug",
    "value_key",
]

MAX_DEPTH = 64


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Integral floats become ints: the API server does not keep 1.0 apart from 1.

    Raises ValueError for what is no JSON, and for nesting that no honest manifest has.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("NaN and infinity have no place in JSON")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict | list | tuple) and depth == 0:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        return {str(k): plain(v, depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v, depth - 1) for v in value]
    return value


def canonical_json(value: Any) -> str:
    """One text for one meaning: sorted keys, no spaces, ASCII, integral floats as integers."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def slug(name: str, limit: int = MAX_SLUG) -> str:
    """A DNS label of at most `limit` characters; the full name stays in an annotation."""
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:limit].strip("-")
    return cleaned or "model"


def modelrun_name(evaluation: str, model: str, plan_digest: str) -> str:
    """`<evaluation>-<model slug>-<first 8 of the plan digest>`."""
    return f"{evaluation}-{slug(model)}-{plan_digest[:8]}"


def job_name(modelrun: str, attempt: int) -> str:
    """`<modelrun>-<attempt>`; an attempt has its own Job, and a Job is never edited."""
    return f"{modelrun}-{attempt}"


def _key_part(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _param_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def metric_key(metric: str, **params: Any) -> str:
    """`<metric>[_<param>]`, lower case.

    >>> metric_key("noise_top1", sigma=0.3)
    'noise_top1_sigma0p3'
    """
    parts = [metric, *(f"{k}{_param_text(v)}" for k, v in sorted(params.items()))]
    return "_".join(_key_part(p.replace(".", "p")) for p in parts)


def value_key(dataset: str, split: str, metric: str) -> str:
    """`<dataset>_<split>_<metric>`, where the metric may carry parameters (`metric_key`).

    >>> value_key("digits-late", "test", metric_key("fgsm_top1", eps=4))
    'digits_late_test_fgsm_top1_eps4'
    """
    return "_".join(_key_part(p.replace(".", "p")) for p in (dataset, split, metric))

"""Two judges, one law: the API server and the types refuse the same manifests, by field."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.manifests import Object, bad_manifests, edited, everything, verdict
from tests.apiserver.client import ApiError, Client

pytestmark = pytest.mark.apiserver
ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    4.0,
    2.5,
    10**12,
    "",
    "7",
    "a b",
    "é",
    "x" * 2000,
    [],
    [None],
    {},
]
SAMPLE = 800


def refusal(admin: Client, item: Object) -> str:
    """What the API server says against a manifest, or nothing; nothing is stored."""
    item = edited(item, {"metadata.namespace": "default"})
    try:
        admin.create(item, dry_run=True)
    except ApiError as error:
        if error.status not in (400, 422):
            raise
        return error.message
    return ""


@pytest.mark.parametrize("case", bad_manifests(), ids=lambda c: c.id)
def test_bad_manifest_is_refused_by_name(admin: Client, case: Any) -> None:
    said = refusal(admin, case.manifest)
    assert bool(said) == (case.judge != "types")
    if said:
        assert case.field in said
        assert case.text in said


def _paths(value: Any, path: str) -> Iterator[str]:
    """Every place in a spec; inside free parameters no schema judges."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        yield f"{path}.{key}"
        if isinstance(item, dict | list) and key not in ("args", "parameters"):
            yield from _paths(item, f"{path}.{key}")


def test_odd_values_get_one_verdict_from_both(admin: Client) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    places = [
        (item, path, odd)
        for item in everything()
        for path in _paths(item["spec"], "spec")
        for odd in ODD
    ]
    for item, path, odd in random.Random(seed).sample(places, SAMPLE):
        changed = edited(item, {path: odd})
        server, types = refusal(admin, changed), verdict(changed)
        # The server drops a null from a map before anybody sees it; the types need not.
        agreed = bool(server) == bool(types) or (odd is None and types)
        assert agreed, f"{item['kind']} {path}={odd!r}: server {server!r}, types {types!r}"

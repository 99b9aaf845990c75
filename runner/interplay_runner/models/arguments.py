"""Which arguments a resource may pass to an architecture: numbers and names, no code, no files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from interplay_runner.errors import ModelError

__all__ = ["check_arguments"]

RESERVED = frozenset(
    (
        *("cache_dir", "checkpoint_path", "feature_cfg", "kwargs_filter", "model_cfg"),
        *("features_only", "out_indices", "scriptable", "exportable", "no_jit"),
        *("device", "dtype", "model_name", "num_classes"),
    )
)
"""These load files, change what the model returns, or have a field of their own."""
NAME = re.compile(r"[A-Za-z0-9_.+-]{1,64}")
"""A layer or a pooling by its registered name; a path or an address does not fit."""


def check_arguments(arguments: Mapping[str, object], field: str = "spec.args") -> None:
    """Raise ModelError for an argument that could load code or files."""
    for name, value in arguments.items():
        if name in RESERVED or name.startswith(("pretrained", "_")):
            raise ModelError(f"{field}.{name}: this argument cannot be given here")
        _check_value(value, f"{field}.{name}")


def _check_value(value: object, field: str) -> None:
    # How deep it goes is the API's to bound.
    if isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_value(item, f"{field}[{i}]")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check_value(str(key), field)
            _check_value(item, f"{field}.{key}")
    elif isinstance(value, str):
        if not NAME.fullmatch(value):
            raise ModelError(f"{field}: {value[:80]!r} is not a plain name")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ModelError(f"{field}: a {type(value).__name__} cannot be given here")

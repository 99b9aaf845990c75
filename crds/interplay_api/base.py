"""What all API types share: camelCase on the wire, unknown fields refused, everything bounded."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from .names import canonical_json, plain
from .rules import Rule

__all__ = [
    "ApiModel",
    "Count",
    "LabelKey",
    "Labels",
    "Name",
    "ParamName",
    "Parameters",
    "Sha256",
    "Text",
]

MAX_PARAMETER_BYTES = 4096
MAX_PARAMETER_DEPTH = 3
"""Lists and maps inside each other in one parameter. JSON of any depth stops whoever reads it."""


class ApiModel(BaseModel):
    """Base of every type that crosses a process border.

    Strict, since the API server is: a number is not a string, and true is not 1.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        ser_json_inf_nan="null",
    )

    rules: ClassVar[Sequence[Rule]] = ()
    """What must hold between the fields."""

    @classmethod
    def read(cls, wire: Any) -> Self:
        """Parse what came over a border, as the API server would have stored it.

        Unlike the constructor it knows no snake_case names, and 4.0 is 4.
        """
        # What is not JSON is left as it is: its field's own check refuses it by name.
        with suppress(ValueError):
            wire = plain(wire)
        return cls.model_validate(wire, by_alias=True, by_name=False)

    def wire(self) -> dict[str, Any]:
        """Plain JSON types in camelCase, without what is unset or None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """But for an unknown field, which is refused whatever it holds."""
        # Most have none; thousands of numbers are read at a start.
        if isinstance(value, dict) and None in value.values():
            return {k: v for k, v in value.items() if v is not None or not cls._knows(k)}
        return value

    @classmethod
    def _knows(cls, name: str) -> bool:
        fields = cls.model_fields
        return name in fields or any(f.alias == name for f in fields.values())

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.rules:
            if not rule.holds(self):
                raise ValueError(rule.message)
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core))
        if cls.rules:
            schema["x-kubernetes-validations"] = [r.validation() for r in cls.rules]
        return schema


def _is_deep(value: Any, depth: int = MAX_PARAMETER_DEPTH) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (depth == 0 or any(_is_deep(v, depth - 1) for v in inner))


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    for name, item in value.items():
        if _is_deep(item):
            raise ValueError(f"{name} is nested more than {MAX_PARAMETER_DEPTH} deep")
    try:
        size = len(canonical_json(value))
    except TypeError:
        raise ValueError("must hold JSON values only") from None
    if size > MAX_PARAMETER_BYTES:
        raise ValueError(f"{size} bytes as JSON, at most {MAX_PARAMETER_BYTES}")
    return value


Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$", max_length=63)
]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""Above it readers of JSON disagree, and an API server refuses what a hostile pod counted."""
Text = Annotated[str, StringConstraints(max_length=1024)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]
ParamName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$", max_length=63)
]
Parameters = Annotated[
    dict[ParamName, Any],
    Field(max_length=32, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
    AfterValidator(_small_json),
]
"""A free map of JSON values. Names and size are judged here alone: no schema can."""

LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        max_length=317,
    ),
]
LabelValue = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$", max_length=63),
]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]

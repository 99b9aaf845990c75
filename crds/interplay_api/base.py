"""What all API types share: camelCase on the wire, unknown fields refused, everything bounded."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

__all__ = [
    "ApiModel",
    "ConditionStatus",
    "Labels",
    "Name",
    "ParamName",
    "Parameters",
    "Sha256",
    "Text",
]


class ApiModel(BaseModel):
    """Base of every type that crosses a process border."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="null",
    )

    def wire(self) -> dict[str, Any]:
        """Plain JSON types in camelCase, without what is unset or None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


Name = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$", max_length=63)
]
Text = Annotated[str, StringConstraints(max_length=1024)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$", max_length=64)]
ParamName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$", max_length=63)
]
Parameters = Annotated[
    dict[ParamName, Any],
    Field(max_length=32, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}),
]
"""A free map of JSON values; `resolve` bounds its size, since a schema cannot."""
Labels = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=317)],
        Annotated[str, StringConstraints(max_length=63)],
    ],
    Field(max_length=32),
]
ConditionStatus = Annotated[str, StringConstraints(pattern="^(True|False|Unknown)$", max_length=7)]

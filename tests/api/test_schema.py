"""Types to CRDs: the committed files are current, and what a CRD cannot say raises by path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, StringConstraints

from interplay_api.base import ApiModel
from interplay_api.crd import crd, files, main
from interplay_api.kinds import KINDS
from interplay_api.rules import ExactlyOne
from interplay_api.schema import SchemaError, structural
from tests.api.manifests import ROOT, everything

Short = Annotated[str, StringConstraints(max_length=9)]
Whole = Annotated[int, Field(le=9)]


def test_committed_files_are_what_the_types_say(tmp_path: Path, capsys: Any) -> None:
    assert main(["--check", str(ROOT)]) == 0, capsys.readouterr().err
    assert main([str(tmp_path)]) == 0
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.yaml")}
    assert written == set(files())
    (tmp_path / "crds/models.yaml").write_text("other")
    (tmp_path / "crds/studies.yaml").write_text("of a kind that is gone")
    assert main(["--check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "crds/models.yaml",
        "crds/studies.yaml",
    ]
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0


class Leaf(ApiModel):
    """A leaf."""

    rules = (ExactlyOne("file_name", "url"),)

    file_name: Short | None = Field(None, description="File.")
    url: Short | None = Field(None, description="Address.")


class Good(ApiModel):
    """All that is used."""

    leaf: Leaf | None = Field(None, description="Of the field, not of the type.")
    leaves: Annotated[list[Leaf], Field(max_length=2)] = Field(description="Leaves.")
    mode: Literal["a"] = Field("a", description="One choice.")
    share: float | None = Field(None, gt=0, le=1, description="Share.")
    by_name: Annotated[dict[Short, Whole], Field(max_length=3)] = Field(
        default_factory=dict, description="Map."
    )


def test_conversion_word_by_word() -> None:
    short = {"type": "string", "maxLength": 9}
    leaf = {
        "type": "object",
        "description": "A leaf.",
        "properties": {
            "fileName": {**short, "description": "File."},
            "url": {**short, "description": "Address."},
        },
        "x-kubernetes-validations": [
            {
                "rule": "[has(self.fileName), has(self.url)].exists_one(x, x)",
                "message": "exactly one of fileName, url is required",
            }
        ],
    }
    share = {"type": "number", "minimum": 0, "exclusiveMinimum": True, "maximum": 1}
    keys = {"rule": "self.all(k, k.size() <= 9)", "message": "a key has at most 9 characters"}
    expected: dict[str, Any] = {
        "type": "object",
        "description": "All that is used.",
        "properties": {
            "leaf": {**leaf, "description": "Of the field, not of the type."},
            "leaves": {"type": "array", "maxItems": 2, "items": leaf, "description": "Leaves."},
            "mode": {"type": "string", "enum": ["a"], "description": "One choice."},
            "share": {**share, "description": "Share."},
            "byName": {
                "type": "object",
                "maxProperties": 3,
                "additionalProperties": {"type": "integer", "maximum": 9},
                "description": "Map.",
                "x-kubernetes-validations": [keys],
            },
        },
        "required": ["leaves"],
    }
    assert structural(Good, "x") == expected
    expected["properties"]["mode"]["default"] = "a"
    assert structural(Good, "x", defaults=True) == expected


class Node(ApiModel):
    """Holds itself."""

    next: Node | None = Field(None, description="Next.")


BAD: list[tuple[str, Any]] = [
    ("no description", Annotated[Whole, Field()]),
    ("string without maxLength", Annotated[str, Field(description="d")]),
    ("integer without maximum", Annotated[int, Field(ge=0, description="d")]),
    ("array without maxItems", Annotated[list[Whole], Field(description="d")]),
    ("map without maxProperties", Annotated[dict[Short, Whole], Field(description="d")]),
    ("keys without maxLength", Annotated[dict[str, Whole], Field(max_length=1, description="d")]),
    ("a union", Annotated[Whole | Short, Field(description="d")]),
    ("type None", Annotated[Any, Field(description="d")]),
    ("uniqueItems", Annotated[set[Whole], Field(max_length=1, description="d")]),
    ("prefixItems", Annotated[tuple[int, int], Field(max_length=2, description="d")]),
    ("multipleOf", Annotated[int, Field(le=9, multiple_of=2, description="d")]),
    (r"\\w means two", Annotated[str, Field(max_length=1, pattern=r"\w", description="d")]),
    ("contains itself", Annotated[Node, Field(description="d")]),
]


@pytest.mark.parametrize(("text", "field"), BAD, ids=[b[0] for b in BAD])
def test_what_no_crd_can_say_raises_by_path(text: str, field: Any) -> None:
    model = type("Odd", (ApiModel,), {"__annotations__": {"field": field}, "__doc__": "Odd."})
    with pytest.raises(SchemaError, match=rf"^Odd\.spec\.field.*{text}"):
        structural(model, "Odd.spec")


def _declared(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _declared(field, f"{path}.{name}")
    if "items" in schema:
        yield from _declared(schema["items"], path)


def _used(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _used(item, path)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield f"{path}.{name}"
            yield from _used(item, f"{path}.{name}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_everything_holds_every_field(kind: Any) -> None:
    schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    declared = set(_declared(schema["properties"]["spec"], "spec"))
    used = {p for item in everything(kind.name) for p in _used(item["spec"], "spec")}
    elsewhere = ("spec.models.inline.", "spec.plan.models.spec.")
    missing = {p for p in declared - used if not p.startswith(elsewhere)}
    assert missing == set(), "an inline model and those of a plan have their fields from Model"

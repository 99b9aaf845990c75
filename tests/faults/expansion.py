"""How a kubelet reads `$(NAME)` in env and args; from the documentation, not from its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["environment", "expanded"]


def expanded(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, `$$` a dollar; a name that is not known stays as it is."""
    out, at = [], 0
    while at < len(text):
        following = text[at + 1 : at + 2]
        if text[at] != "$" or following not in ("$", "("):
            out.append(text[at])
            at += 1
        elif following == "$":
            out.append("$")
            at += 2
        else:
            end = text.find(")", at)
            if end < 0:
                out.append("$(")
                at += 2
                continue
            name = text[at + 2 : end]
            out.append(known.get(name, f"$({name})"))
            at = end + 1
    return "".join(out)


def environment(given: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What a container sees of its env, in order: each may refer to those before it."""
    seen: dict[str, str] = {}
    for item in given:
        seen[item["name"]] = expanded(item.get("value", ""), seen)
    return seen

"""The CEL of our CRDs, judged without any server: the few words of it that the rules use.

The API server's own engine judges the same rules in the applied campaign; where the two differ,
the campaign says so.
"""

from __future__ import annotations

import ast
import functools
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["CelError", "holds", "search"]

WORDS = re.compile(r"'[^']*'|&&|\|\||!(?!=)")
PYTHON = {"&&": " and ", "||": " or ", "!": " not "}
COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
}


class CelError(ValueError):
    """A rule with a word that is not known here."""


@functools.cache
def _end(pattern: str) -> re.Pattern[str]:
    # Python's $ also stands before a last newline, RE2's does not.
    if pattern.endswith("$"):
        pattern = pattern[:-1] + r"\Z"
    return re.compile(pattern)


def search(pattern: str, text: str) -> bool:
    """Whether RE2 would find the pattern; ours hold no class that depends on the engine."""
    return _end(pattern).search(text) is not None


@functools.cache
def _tree(rule: str) -> ast.expr:
    if "\\" in rule:
        raise CelError(f"an escape in {rule}")
    text = WORDS.sub(lambda m: PYTHON.get(m.group(), m.group()), rule)
    return ast.parse(text.strip(), mode="eval").body


def holds(rule: str, value: Any) -> bool:
    """Whether a rule holds for `self`; rules about `oldSelf` hold at a creation."""
    if "oldSelf" in rule:
        return True
    return bool(_Judge({"self": value}).eval(_tree(rule)))


class _Judge:
    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names

    def eval(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self.names[name]
            case ast.Attribute(value=of, attr=name):
                return self.eval(of)[name]
            case ast.List(elts=items):
                return [self.eval(i) for i in items]
            case ast.UnaryOp(op=ast.Not(), operand=what):
                return not self.eval(what)
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self.eval(p) for p in parts)
            case ast.BoolOp(op=ast.Or(), values=parts):
                return any(self.eval(p) for p in parts)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARE:
                return COMPARE[type(op)](self.eval(left), self.eval(right))
            case ast.Call(func=ast.Name(id="has"), args=[ast.Attribute(value=of, attr=name)]):
                return name in self.eval(of)
            case ast.Call(func=ast.Attribute(value=of, attr=name), args=args):
                return self._call(self.eval(of), name, args)
        raise CelError(f"not known here: {ast.unparse(node)}")

    def _call(self, of: Any, name: str, args: list[ast.expr]) -> Any:
        if name == "size":
            return len(of)
        if name == "matches":
            return search(self.eval(args[0]), of)
        variable, body = args
        assert isinstance(variable, ast.Name)
        hits = [i for i in of if _Judge({**self.names, variable.id: i}).eval(body)]
        if name == "all":
            return len(hits) == len(of)
        if name == "exists_one":
            return len(hits) == 1
        if name == "filter":
            return hits
        raise CelError(f"not known here: {name}")

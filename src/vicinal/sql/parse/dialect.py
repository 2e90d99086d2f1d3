"""The names imported from sqlglot, and nodes for the parts of YQL that sqlglot does not have.

This is the one module that imports sqlglot; it needs the extra `sql`.
"""

from typing import Any

from vicinal.errors import need

need("sqlglot", extra="sql")

from sqlglot import exp  # noqa: E402
from sqlglot.dialects.dialect import Dialect  # noqa: E402
from sqlglot.errors import ParseError  # noqa: E402
from sqlglot.parser import Parser  # noqa: E402
from sqlglot.tokenizer_core import Token, TokenType  # noqa: E402
from sqlglot.tokens import Tokenizer  # noqa: E402

__all__ = [
    "YQL",
    "CastTo",
    "Invoke",
    "JsonCall",
    "LambdaBlock",
    "NumberList",
    "ParseError",
    "Parser",
    "Token",
    "TokenType",
    "Tokenizer",
    "exp",
    "start_of",
]


class NumberList(exp.Expression):
    """A list of plain numbers, as it is written."""

    arg_types = {"this": True}  # noqa: RUF012


class Invoke(exp.Expression):
    """`$lambda(argument, ...)`."""

    arg_types = {"this": True, "expressions": False}  # noqa: RUF012


class LambdaBlock(exp.Expression):
    """`{ $a = ...; RETURN ... }`: `names` and their values in order, then what is returned."""

    arg_types = {"this": True, "names": False, "expressions": False}  # noqa: RUF012


class CastTo(exp.Expression):
    """`CAST(x AS Type)`; the type is in `meta["kind"]`."""

    arg_types = {"this": True}  # noqa: RUF012


class JsonCall(exp.Expression):
    """`JSON_VALUE(json, path ...)`; the function and RETURNING's type are in `meta["what"]` and `meta["returning"]`."""

    arg_types = {"this": True, "path": True, "default": False}  # noqa: RUF012


class YQL(Dialect):
    """The settings in which YQL differs from sqlglot's defaults."""

    NORMALIZE_FUNCTIONS = False
    NULL_ORDERING = "nulls_are_small"
    CONCAT_COALESCE = False
    TYPED_DIVISION = True
    SAFE_DIVISION = False


def start_of(node: Any, default: int = 0) -> int:
    """Where an expression begins in the text, the default where nothing in it says."""
    found: int | None = node.meta.get("start")
    if found is None and "span" in node.meta:
        found = node.meta["span"][0]
    if found is not None:
        return found
    starts = [start_of(child, -1) for child in node.iter_expressions()]
    return min((start for start in starts if start >= 0), default=default)

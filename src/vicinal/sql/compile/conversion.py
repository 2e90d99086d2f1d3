"""Values of YQL's types in DuckDB's text, and what makes one type of another.

A value may be known while compiling: it is then converted and checked here, and stands in the text as a literal or is
bound as a parameter, never pasted. What is not known is converted by DuckDB.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from vicinal.sql.faults import SqlError, fault
from vicinal.sql.parse import literals
from vicinal.sql.parse.literals import BITS, LEVELS
from vicinal.sql.parse.query_grammar import exp, start_of
from vicinal.sql.parse.statements import Name
from vicinal.sql.types import BOOL, DOUBLE, FLOAT, NULL, STRING, TIMES, UTF8, Type, list_of

_UNKNOWN: Any = object()


@dataclass
class Expression:
    """A lowered expression: DuckDB's text or a value known already, its type, and whether it needs no row."""

    text: str
    kind: Type
    value: Any = _UNKNOWN
    free: bool = False

    @property
    def known(self) -> bool:
        """Whether the value is known while compiling."""
        return self.value is not _UNKNOWN


@dataclass
class Select:
    """A lowered SELECT: DuckDB's text, and the columns' names, names in DuckDB, and types."""

    text: str
    columns: list[tuple[str, str, Type]]
    most: float = float("inf")  # how many rows it has at most
    unique: frozenset[str] = frozenset()  # columns that no two rows have in common; empty where that is not known


class Conversion:
    """The values of one statement: those bound to it, and the vectors to compare with.

    text     : the whole text
    evaluate : gives the value of a SELECT of one value that needs no row
    start    : where the statement begins
    """

    def __init__(self, text: str, evaluate: Callable[[Any, Select, int], Any], start: int = 0) -> None:
        self.source, self.start, self._evaluate = text, start, evaluate
        self.bound: list[Any] = []
        self.targets: dict[int, bytes | None] = {}
        self._places: dict[Any, int] = {}

    # Errors.

    def error(self, node: Any, message: str) -> SqlError:
        """An error where a node or name stands."""
        return fault(self.source, self._at(node), message)

    def _at(self, node: Any) -> int:
        return node.start if isinstance(node, Name) else node if isinstance(node, int) else start_of(node, self.start)

    def _outside(self, node: Any, what: str = "") -> SqlError:
        name = what or CONSTRUCTS.get(type(node).__name__) or type(node).__name__
        return self.error(node, f"{name} is outside the subset")

    def _allow(self, node: Any, *keys: str) -> None:
        """Refuses a node that has more than the arguments named."""
        for key, value in node.args.items():
            if (
                key not in keys
                and value not in (None, False, [])
                and not (key in ("typed", "safe", "kind") and value is True)
            ):
                at = value[0] if isinstance(value, list) else value
                name = CONSTRUCTS.get(key, key.strip("_").replace("_", " ").upper())
                start = start_of(at, start_of(node, self.start)) if isinstance(at, exp.Expression) else self._at(node)
                raise self.error(start, f"{name} is outside the subset")

    # Values.

    def constant(self, value: Any, kind: Type) -> Expression:
        """An expression whose value is known."""
        return Expression("", kind, value, True)

    def made(self, text: str, kind: Type, parts: Iterable[Expression]) -> Expression:
        """An expression of others; it needs no row where none of them does."""
        return Expression(text, kind, free=all(one.free for one in parts))

    def retyped(self, value: Expression, kind: Type) -> Expression:
        """The same value under another type that is kept the same way."""
        return replace(value, kind=kind)

    def sql(self, value: Expression) -> str:
        """DuckDB's text of an expression."""
        return self._literal(value.value, value.kind) if value.known else value.text

    def target(self, string: bytes | None) -> str:
        """A number that stands for the vector in the statement, so that no row carries a copy of it."""
        key = ("target", string)
        if key not in self._places:
            self._places[key] = next_target()
            self.targets[self._places[key]] = string
        return str(self._places[key])

    def _bind(self, value: Any, kind: Type) -> str:
        key = (kind.duck, value if not isinstance(value, list) else id(value))
        if key not in self._places:
            self.bound.append(value)
            self._places[key] = len(self.bound)
        return f"CAST(${self._places[key]} AS {kind.duck})"

    def _literal(self, value: Any, kind: Type) -> str:
        if value is None:
            return "NULL" if kind == NULL else f"CAST(NULL AS {kind.duck})"
        if kind.item is not None:
            if kind.item == NULL:
                return "[]"
            return self._bind(value.tolist() if isinstance(value, np.ndarray) else list(value), kind)
        if kind == BOOL:
            return "true" if value else "false"
        if kind.whole:
            return f"({value})" if kind.name == "Int32" else f"CAST({value} AS {kind.duck})"
        if kind.real:
            text = repr(float(value))
            if text in ("nan", "inf", "-inf"):
                return f"CAST('{text}' AS {kind.duck})"
            text = text if "e" in text else text + "e0"
            return f"({text})" if kind == DOUBLE else f"CAST({text} AS FLOAT)"
        return self._bind(value, kind)

    def time(self, value: Expression, kind: Type, node: Any) -> Expression:
        """A string literal as a Date, Datetime or Timestamp."""
        text = value.value.decode("utf-8", "replace")
        try:
            if kind.name == "Date":
                return self.constant(date.fromisoformat(text) if len(text) == 10 else _refuse(), kind)
            if len(text) < 20 or not text.endswith("Z") or text[10] != "T":
                _refuse()
            moment = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
            if kind.name == "Datetime" and moment.microsecond:
                _refuse()
            return self.constant(moment, kind)
        except ValueError:
            form = {"Date": "2024-02-29", "Datetime": "2024-02-29T12:30:00Z"}.get(kind.name, "2024-02-29T12:30:00.5Z")
            raise self.error(node, f"{text!r} is no {kind}: expected the form {form}") from None

    # Types.

    def converted(self, value: Expression, to: Type, node: Any) -> Expression:
        """The value as another type where YQL converts by itself.

        Raises    SqlError where it does not.
        """
        have = value.kind.untagged
        to = to.untagged
        if have == to:
            return self.retyped(value, to)
        if have == NULL:
            return self.constant(None, to)
        if value.known and value.value is None:
            return self.constant(None, to)
        if have.numeric and to.numeric:
            return self._number_as(value, to, node)
        if value.known and have == STRING and to.name in ("Utf8", "Json"):
            return self.constant(self._text_of(value.value, to, node), to)
        if value.known and have == STRING and to.name in TIMES:
            return self.time(value, to, node)
        if have == UTF8 and to == STRING:
            if value.known:
                return self.constant(value.value.encode("utf-8"), to)
            return self.made(f"encode({value.text})", to, [value])
        if have.name in TIMES and to.name in TIMES[TIMES.index(have.name) :]:
            return self.made(f"CAST({self.sql(value)} AS {to.duck})", to, [value])
        if have.item is not None and to.item is not None:
            if have.item == NULL:
                return self.constant([], to)
            if have.item.numeric and to.item.numeric:
                if value.known:
                    return self.constant(self._numbers_as(value, to.item, node), to)
                if LEVELS.index(have.item.name) <= LEVELS.index(to.item.name):
                    return self.made(f"CAST({value.text} AS {to.duck})", to, [value])
        raise self.error(node, f"expected {to}, found {have}; use CAST")

    def _text_of(self, data: bytes, to: Type, node: Any) -> str:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(node, f"this string is not valid UTF-8, which {to} is") from None
        if to.name == "Json":
            try:
                json.loads(text)
            except ValueError as error:
                raise self.error(node, f"this string is no JSON: {error}") from None
        return text

    def _number_as(self, value: Expression, to: Type, node: Any) -> Expression:
        if value.known:
            number = value.value
            if to.whole:
                if value.kind.real or not BITS[to.name][0] <= number <= BITS[to.name][1]:
                    raise self.error(node, f"{number} does not fit {to}")
                return self.constant(int(number), to)
            with np.errstate(over="ignore"):
                return self.constant(float(np.float32(number)) if to == FLOAT else float(number), to)
        if LEVELS.index(value.kind.name) > LEVELS.index(to.name):
            raise self.error(node, f"expected {to}, found {value.kind}; use CAST")
        return self.made(f"CAST({value.text} AS {to.duck})", to, [value])

    def _numbers_as(self, value: Expression, to: Type, node: Any) -> Any:
        numbers = np.asarray(value.value)
        if to.whole and numbers.size:
            low, high = BITS[to.name]
            if numbers.dtype.kind == "f" or numbers.min() < low or numbers.max() > high:
                raise self.error(node, f"an element does not fit {to}")
        with np.errstate(over="ignore"):
            return numbers.astype(literals.NUMPY[to.name])

    def common(self, values: list[Expression], node: Any) -> Type:
        """The type to which YQL brings several values."""
        if not values:
            raise self.error(node, "expected at least one argument")
        kinds = {one.kind for one in values} - {NULL}
        if len(kinds) == 1:
            return kinds.pop()
        kinds = {one.untagged for one in kinds}
        if not kinds:
            return NULL
        if len(kinds) == 1:
            return kinds.pop()
        if all(one.numeric for one in kinds):
            return Type(max((one.name for one in kinds), key=LEVELS.index))
        if all(one.name in TIMES for one in kinds):
            return Type(max((one.name for one in kinds), key=TIMES.index))
        others = {one.kind.untagged for one in values if not (one.known and one.kind == STRING)} - {NULL}
        if len(others) == 1 and kinds - others == {STRING} and next(iter(others)).name in ("Utf8", "Json", *TIMES):
            return others.pop()
        if kinds == {STRING, UTF8}:
            return STRING
        items = [one.item for one in kinds]
        if all(item is not None for item in items):
            within = {item for item in items if item is not None} - {NULL}
            if all(item.numeric for item in within):
                return list_of(Type(max((item.name for item in within), key=LEVELS.index)))
        raise self.error(node, f"{' and '.join(sorted(map(str, kinds)))} have no common type; use CAST")

    def bytes(self, value: Expression, node: Any) -> Expression:
        """The value as a String; a value that needs no row is computed now."""
        if value.kind == NULL:
            return self.constant(None, STRING)
        if value.kind.name not in ("String", "Utf8"):
            raise self.error(node, f"expected String, found {value.kind}")
        value = self.converted(value, STRING, node)
        if value.free and not value.known:
            found = self._evaluate(self, Select(f"SELECT {value.text}", []), self._at(node))
            return self.constant(found, STRING)
        return value

    def number(self, value: Expression, kind: Type, node: Any) -> Expression:
        """The value as a number of that type."""
        if value.kind != NULL and not value.kind.numeric:
            raise self.error(node, f"expected a number, found {value.kind}")
        return self.converted(value, kind, node)

    def condition(self, value: Expression, node: Any) -> str:
        """The text of a Bool."""
        if value.kind not in (BOOL, NULL):
            raise self.error(node, f"expected Bool, found {value.kind}")
        return self.sql(self.converted(value, BOOL, node))

    def unwrapped(self, args: list[Expression]) -> Expression:
        """The value, or an error where it is NULL."""
        text = self.sql(args[0])
        message = self._bind("Unwrap: found NULL", UTF8)
        return self.made(f"coalesce({text}, CAST(error({message}) AS {args[0].kind.duck}))", args[0].kind, args)

    def cast(self, value: Expression, to: Type, node: Any) -> Expression:
        """CAST: NULL where the value does not fit."""
        have = value.kind.untagged
        if have in (to, NULL) or (value.known and value.value is None):
            return self.constant(None, to) if have != to else self.retyped(value, to)
        if have.item is not None and to.item is not None and have.item.numeric and to.item.numeric:
            if value.known and (to.item.real or have.item.whole):
                numbers = np.asarray(value.value)
                fits = to.item.real or (
                    numbers.size == 0
                    or (BITS[to.item.name][0] <= numbers.min() and numbers.max() <= BITS[to.item.name][1])
                )
                if fits:
                    with np.errstate(over="ignore"):
                        return self.constant(numbers.astype(literals.NUMPY[to.item.name]), to)
            element, variable = Expression("v", have.item), "v"
            body = self.cast(element, to.item, node)
            return self.made(f"list_transform({self.sql(value)}, lambda {variable}: {body.text})", to, [value])
        text = self.sql(value)
        if have.numeric and to.numeric:
            if have.real and to.whole:
                text = f"trunc({text})"
            word = "CAST" if to.real else "TRY_CAST"
            return self.made(f"{word}({text} AS {to.duck})", to, [value])
        if have == BOOL and to.numeric:
            return self.made(f"CAST({text} AS {to.duck})", to, [value])
        if to == BOOL and have.numeric:
            return self.made(f"({text} <> 0)", to, [value])
        if have.name in TIMES and to.name in TIMES:
            return self.made(f"CAST({text} AS {to.duck})", to, [value])
        if {have.name, to.name} == {"String", "Utf8"}:
            if to == STRING:
                return self.converted(value, to, node)
            if value.known:
                try:
                    return self.constant(value.value.decode("utf-8"), to)
                except UnicodeDecodeError:
                    return self.constant(None, to)
            return self.made(f"TRY(decode({text}))", to, [value])
        if have.whole and to.name in ("String", "Utf8"):
            found = self.made(f"CAST({text} AS VARCHAR)", UTF8, [value])
            return found if to == UTF8 else self.converted(found, STRING, node)
        if have.name in ("String", "Utf8") and to.numeric:
            text = text if have == UTF8 else f"TRY(decode({text}))"
            form = self._bind(
                r"[+-]?[0-9]+" if to.whole else r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", UTF8
            )
            return self.made(
                f"(CASE WHEN regexp_full_match({text}, {form}) THEN TRY_CAST({text} AS {to.duck}) END)", to, [value]
            )
        if have == STRING and value.known and to.name in TIMES:
            try:
                return self.time(value, to, node)
            except SqlError:
                return self.constant(None, to)
        raise self.error(node, f"CAST of {have} to {to} is outside the subset")


_count = [0]


def next_target() -> int:
    """A number that no other target has."""
    _count[0] = _count[0] % (1 << 30) + 1
    return _count[0]


def _refuse() -> Any:
    raise ValueError


# What sqlglot calls a construct, and what a user does.
CONSTRUCTS = {
    "with_": "WITH",
    "Tuple": "a tuple",
    "Lambda": "a lambda here",
    "BitwiseAnd": "&",
    "BitwiseOr": "|",
    "BitwiseXor": "^",
    "BitwiseNot": "~",
    "BitwiseLeftShift": "<<",
    "BitwiseRightShift": ">>",
    "NullSafeEQ": "IS NOT DISTINCT FROM",
    "NullSafeNEQ": "IS DISTINCT FROM",
    "AtTimeZone": "AT TIME ZONE",
    "Slice": "a slice of a list",
    "All": "ALL (...)",
    "Filter": "FILTER (...)",
    "Within": "WITHIN GROUP",
    "limit_options": "what follows LIMIT's number",
    "columns": "a list of columns after an alias",
    "all": "ALL here",
    "db": "a name of three parts",
    "Table": "a join in parentheses",
    "Lateral": "LATERAL",
    "Order": "ORDER BY here",
    "Values": "VALUES in FROM",
    "Collate": "COLLATE",
    "Except": "EXCEPT",
    "Intersect": "INTERSECT",
    "Star": "* here",
    "Distinct": "DISTINCT here",
    "Struct": "a struct",
    "Dot": "a member of a value",
    "Concat": "a string beside another",
    "laterals": "LATERAL",
    "from_": "FROM",
    "rollup": "ROLLUP",
    "cube": "CUBE",
    "grouping_sets": "GROUPING SETS",
    "spec": "a window's frame",
    "Select": "a SELECT here without parentheses",
    "Escape": "ESCAPE",
    "kind": "SELECT AS",
    "expressions": "a list of columns after an alias",
    "except_": "EXCEPT",
}

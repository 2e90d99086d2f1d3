"""Conversions between types, and the errors of one statement.

YQL converts by itself where nothing is lost; all else needs CAST (`casts`). A value that is known while compiling is
converted here, all others by DuckDB.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from vicinal.sql.compile.nodes import Call, Cast, Closure, Join, Node, Phrase
from vicinal.sql.compile.values import Evaluate, Expression, Lambda, Relation, Scope, constant
from vicinal.sql.faults import SqlError, fault, outside
from vicinal.sql.parse import literals
from vicinal.sql.parse.dialect import exp, start_of
from vicinal.sql.parse.literals import BITS, LEVELS
from vicinal.sql.parse.statements import Name
from vicinal.sql.types import BOOL, FLOAT, NULL, STRING, TIMES, UTF8, Type, list_of


class Conversion(ABC):
    """The values of one statement.

    text     : the whole text
    evaluate : gives the value of an expression that is the same for all rows
    start    : where the statement begins
    """

    def __init__(self, text: str, evaluate: Evaluate, start: int = 0) -> None:
        self.source, self.start, self.evaluate = text, start, evaluate
        self.notices: list[str] = []  # what the statement's user should hear
        self.fetch: Callable[[Node], Any] = _no_rows  # gives a SELECT's rows as an Arrow table

    @abstractmethod
    def expression(self, node: Any, scope: Scope) -> Expression:
        """Any expression, compiled."""

    @abstractmethod
    def select(self, node: Any) -> Relation:
        """A SELECT, compiled; it sees no columns of a query around it."""

    @abstractmethod
    def lookup(self, name: str, node: Any) -> Expression | Relation | Lambda:
        """What `$name` stands for."""

    @abstractmethod
    def applied(self, function: Any, item: Type, node: Any) -> tuple[Closure, Type]:
        """A lambda over an argument of a type, and the type of its value."""

    # Errors.

    def error(self, node: Any, message: str) -> SqlError:
        """An error where a node, name or character stands."""
        return fault(self.source, self.at(node), message)

    def at(self, node: Any) -> int:
        """Where a node or name stands."""
        return node.start if isinstance(node, Name) else node if isinstance(node, int) else start_of(node, self.start)

    def outside(self, node: Any, what: str = "") -> SqlError:
        """An error for a construct that the subset does not have."""
        return self.error(node, outside(what or construct(node)))

    def allow(self, node: Any, *keys: str) -> None:
        """Refuses a node that has more than the arguments named."""
        for key, value in node.args.items():
            if (
                key not in keys
                and value not in (None, False, [])
                and not (key in ("typed", "safe", "kind") and value is True)
            ):
                at = value[0] if isinstance(value, list) else value
                name = CONSTRUCTS.get(key, key.strip("_").replace("_", " ").upper())
                start = start_of(at, start_of(node, self.start)) if isinstance(at, exp.Expression) else self.at(node)
                raise self.error(start, outside(name))

    def time(self, value: Expression, kind: Type, node: Any) -> Expression:
        """A string literal as a Date, Datetime or Timestamp."""
        text = value.value.decode("utf-8", "replace")
        try:
            if kind.name == "Date":
                return constant(date.fromisoformat(text) if len(text) == 10 else _refuse(), kind)
            if len(text) < 20 or not text.endswith("Z") or text[10] != "T":
                _refuse()
            moment = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
            if kind.name == "Datetime" and moment.microsecond:
                _refuse()
            return constant(moment, kind)
        except ValueError:
            form = {"Date": "2024-02-29", "Datetime": "2024-02-29T12:30:00Z"}.get(kind.name, "2024-02-29T12:30:00.5Z")
            raise self.error(node, f"expected a {kind} of the form {form}, found {text!r}") from None

    # Types.

    def converted(self, value: Expression, to: Type, node: Any) -> Expression:
        """The value as another type where YQL converts by itself.

        Raises    SqlError where it does not.
        """
        have = value.kind.untagged
        to = to.untagged
        if have.plain == to.plain:
            return value.retyped(to)
        if have.plain != have or to.plain != to:
            return self.converted(value.retyped(have.plain), to.plain, node).retyped(to)
        if have == NULL:
            return constant(None, to)
        if value.known and value.value is None:
            return constant(None, to)
        if have.numeric and to.numeric:
            return self._number_as(value, to, node)
        if value.known and have == STRING and to.name in ("Utf8", "Json"):
            return constant(self._text_of(value.value, to, node), to)
        if value.known and have == STRING and to.name in TIMES:
            return self.time(value, to, node)
        if have == UTF8 and to == STRING:
            if value.known:
                return constant(value.value.encode("utf-8"), to)
            return Expression(Call("encode", [value.node]), to)
        if have.name in TIMES and to.name in TIMES[TIMES.index(have.name) :]:
            return Expression(Cast(value.node, to.duck), to)
        if have.item is not None and to.item is not None:
            if have.item == NULL:
                return constant([], to)
            if value.known and not (have.item.numeric and to.item.numeric):
                each = [self.converted(constant(one, have.item), to.item, node).value for one in value.value]
                return constant(each, to)
            if have.item.numeric and to.item.numeric:
                if value.known:
                    return constant(self._numbers_as(value, to.item, node), to)
                if LEVELS.index(have.item.name) <= LEVELS.index(to.item.name):
                    return Expression(Cast(value.node, to.duck), to)
        raise self.error(node, f"expected {to}, found {have}; use CAST")

    def _text_of(self, data: bytes, to: Type, node: Any) -> str:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise self.error(
                node, f"expected {to}, found bytes that are not valid UTF-8; keep them in a String"
            ) from None
        if to.name == "Json":
            try:
                json.loads(text)
            except ValueError as error:
                raise self.error(node, f"expected JSON, found a string that is not JSON: {error}") from None
        return text

    def _number_as(self, value: Expression, to: Type, node: Any) -> Expression:
        if value.known:
            number = value.value
            if to.whole:
                if value.kind.real or not BITS[to.name][0] <= number <= BITS[to.name][1]:
                    raise self.error(node, f"{number} does not fit {to}, {_limits(to)}")
                return constant(int(number), to)
            with np.errstate(over="ignore"):
                return constant(float(np.float32(number)) if to == FLOAT else float(number), to)
        if LEVELS.index(value.kind.name) > LEVELS.index(to.name):
            raise self.error(node, f"expected {to}, found {value.kind}; use CAST")
        return Expression(Cast(value.node, to.duck), to)

    def _numbers_as(self, value: Expression, to: Type, node: Any) -> Any:
        numbers = np.asarray(value.value)
        if to.whole and numbers.size:
            low, high = BITS[to.name]
            if numbers.dtype.kind == "f" or numbers.min() < low or numbers.max() > high:
                raise self.error(node, f"an element does not fit {to}, {_limits(to)}; use CAST")
        with np.errstate(over="ignore"):
            return numbers.astype(literals.NUMPY[to.name])

    def common(self, values: list[Expression], node: Any) -> Type:
        """The type to which YQL brings several values."""
        if not values:
            raise self.error(node, "expected at least one argument")
        kinds = {one.kind for one in values} - {NULL}
        if len(kinds) == 1:
            return kinds.pop()
        kinds = {one.untagged.plain for one in kinds}
        if not kinds:
            return NULL
        if len(kinds) == 1:
            return kinds.pop()
        if all(one.numeric for one in kinds):
            return Type(max((one.name for one in kinds), key=LEVELS.index))
        if all(one.name in TIMES for one in kinds):
            return Type(max((one.name for one in kinds), key=TIMES.index))
        others = {one.kind.untagged.plain for one in values if not (one.known and one.kind == STRING)} - {NULL}
        if len(others) == 1 and kinds - others == {STRING} and next(iter(others)).name in ("Utf8", "Json", *TIMES):
            return others.pop()
        if kinds == {STRING, UTF8}:
            return STRING
        items = [one.item for one in kinds]
        if all(item is not None for item in items):
            within = {item for item in items if item is not None} - {NULL}
            if all(item.numeric for item in within):
                return list_of(Type(max((item.name for item in within), key=LEVELS.index)))
        raise self.error(
            node, f"{' and '.join(sorted(map(str, kinds)))} have no common type; use CAST to make them one"
        )

    def bytes(self, value: Expression, node: Any) -> Expression:
        """The value as a String; one that is the same for all rows is computed now."""
        if value.kind == NULL:
            return constant(None, STRING)
        if value.kind.name not in ("String", "Utf8"):
            raise self.error(node, f"expected String, found {value.kind}")
        value = self.converted(value, STRING, node)
        if value.free and not value.known:
            return constant(self.evaluate(value.node, self.at(node)), STRING)
        return value

    def number(self, value: Expression, kind: Type, node: Any) -> Expression:
        """The value as a number of that type."""
        if value.kind != NULL and not value.kind.numeric:
            raise self.error(node, f"expected a number, found {value.kind}")
        return self.converted(value, kind, node)

    def condition(self, value: Expression, node: Any) -> Node:
        """The node of a Bool."""
        if value.kind not in (BOOL, NULL):
            raise self.error(node, f"expected Bool, found {value.kind}; write a comparison, such as x = 1")
        return self.converted(value, BOOL, node).node

    def listed(self, values: list[Expression], node: Any) -> Expression:
        """A list of several values."""
        if not values:
            return constant([], list_of(NULL))
        kind = self.common(values, node)
        values = [self.converted(one, kind, node) for one in values]
        if kind.numeric and all(one.known and one.value is not None for one in values):
            return constant(np.array([one.value for one in values], literals.NUMPY[kind.name]), list_of(kind))
        return Expression(Phrase(("[", Join([one.node for one in values]), "]")), list_of(kind))


def _no_rows(_: Node) -> Any:
    raise AssertionError("this compiler has no database")


def _limits(kind: Type) -> str:
    return "{} to {}".format(*BITS[kind.name])


def _refuse() -> Any:
    raise ValueError


def construct(node: Any) -> str:
    """The name that a message gives to a node of sqlglot's."""
    name = type(node).__name__
    return CONSTRUCTS.get(name, name)


# The names of sqlglot's nodes and arguments, and those that messages give them.
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

"""Statements of YQL made statements of DuckDB.

Each expression is lowered with its type, because the two languages differ where types do: a string is bytes in one and
text in the other, whole numbers divide differently, NULL sorts first, NaN compares as unequal. What has no rule here is
an error with its line, column and name. String literals and values from outside are bound as parameters, never pasted.
"""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from vicinal.sql import literals
from vicinal.sql.catalog import Table, quoted
from vicinal.sql.faults import SqlError, fault
from vicinal.sql.functions import find
from vicinal.sql.grammar import CastTo, Invoke, LambdaBlock, Name, NumberList, exp, start_of
from vicinal.sql.literals import BITS, LEVELS
from vicinal.sql.types import BOOL, DOUBLE, FLOAT, NULL, STRING, TIMES, UTF8, Type, list_of, named

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
class Function:
    """A lambda, with the names that it sees."""

    node: Any
    names: dict[str, Any]


@dataclass
class Deferred:
    """What `$name = ...;` wrote, with the names that it sees; lowered where it is used."""

    node: Any
    names: dict[str, Any]


@dataclass
class Select:
    """A lowered SELECT: DuckDB's text, and the columns' names, names in DuckDB, and types."""

    text: str
    columns: list[tuple[str, str, Type]]
    most: float = float("inf")  # how many rows it has at most
    unique: frozenset[str] = frozenset()  # columns that no two rows have in common; empty where that is not known


@dataclass
class Source:
    """What a FROM offers: an alias, and its columns as (name, text, type)."""

    alias: str
    columns: list[tuple[str, str, Type]]
    table: Table | None = None


@dataclass
class Scope:
    """The sources in sight, and the output names for ORDER BY."""

    sources: list[Source] = field(default_factory=list)
    outputs: dict[str, Expression] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    clause: str = ""  # one that takes no aggregate and no window


@dataclass
class Probe:
    """A search of an index: which table's, for which string, with which distance."""

    table: Table
    index: str
    target: bytes | None


class Lowering:
    """One statement's lowering: collects the bound values and the vectors to compare with.

    text     : the whole text
    tables   : the catalog
    names    : what `$name` stands for: an Expression, or a Deferred
    evaluate : gives the value of a SELECT of one value that needs no row
    probe    : gives the clusters that an index's search visits
    start    : where the statement begins
    """

    def __init__(
        self,
        text: str,
        tables: dict[str, Table],
        names: dict[str, Any],
        evaluate: Callable[["Lowering", Select, int], Any],
        probe: Callable[[Probe], list[int]],
        start: int = 0,
    ) -> None:
        self.source, self._tables, self.names, self.start = text, tables, names, start
        self._evaluate, self._probe = evaluate, probe
        self.bound: list[Any] = []
        self.targets: dict[int, bytes | None] = {}
        self._places: dict[Any, int] = {}
        self._lowered: dict[int, Any] = {}
        self.pairs: tuple[int, dict[str, str]] | None = None  # a SELECT that is cut to the pairs found before
        self._variables = 0

    def fresh(self) -> "Lowering":
        """Another statement's lowering in the same place."""
        return Lowering(self.source, self._tables, self.names, self._evaluate, self._probe, self.start)

    # Errors.

    def error(self, node: Any, message: str) -> SqlError:
        """An error where a node or name stands."""
        return fault(self.source, self._at(node), message)

    def _at(self, node: Any) -> int:
        return node.start if isinstance(node, Name) else node if isinstance(node, int) else start_of(node, self.start)

    def _outside(self, node: Any, what: str = "") -> SqlError:
        name = what or _CONSTRUCTS.get(type(node).__name__) or type(node).__name__
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
                name = _CONSTRUCTS.get(key, key.strip("_").replace("_", " ").upper())
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
            import json

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

    def unwrapped(self, args: list[Expression], node: Any) -> Expression:
        """The value, or an error where it is NULL."""
        text = self.sql(args[0])
        message = self._bind("Unwrap: found NULL", UTF8)
        return self.made(f"coalesce({text}, CAST(error({message}) AS {args[0].kind.duck}))", args[0].kind, args)

    # Expressions.

    def expression(self, node: Any, scope: Scope) -> Expression:
        """Any expression, lowered."""
        rule = _RULES.get(type(node))
        if rule is None:
            raise self._outside(node)
        return rule(self, node, scope)

    def _string(self, node: Any, scope: Scope) -> Expression:
        if not node.args["is_string"]:
            return self._number(node)
        try:
            data, kind = literals.read_string(node.this)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        value = self.constant(data, STRING)
        return value if kind == "String" else self.converted(value, Type(kind), node)

    def _number(self, node: Any, sign: str = "") -> Expression:
        try:
            value, kind = literals.read_number(sign + node.this)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        return self.constant(value, Type(kind))

    def _numbers(self, node: Any, scope: Scope) -> Expression:
        try:
            values, kind = literals.read_list(node.this)
        except ValueError as error:
            raise self.error(node, str(error)) from None
        return self.constant(values, list_of(Type(kind)))

    def _list(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "expressions")
        return self.listed([self.expression(one, scope) for one in node.expressions], node)

    def listed(self, values: list[Expression], node: Any) -> Expression:
        """A list of several values."""
        if not values:
            return self.constant([], list_of(NULL))
        kind = self.common(values, node)
        values = [self.converted(one, kind, node) for one in values]
        if kind.numeric and all(one.known and one.value is not None for one in values):
            return self.constant(np.array([one.value for one in values], literals.NUMPY[kind.name]), list_of(kind))
        return self.made(f"[{', '.join(map(self.sql, values))}]", list_of(kind), values)

    def _named(self, node: Any, scope: Scope) -> Expression:
        name = node.this.this
        found = self.lookup(name, node)
        if isinstance(found, Function):
            raise self.error(node, f"${name} is a lambda: call it, or pass it to ListMap")
        if isinstance(found, Select):
            if len(found.columns) != 1:
                raise self.error(node, f"${name} has {len(found.columns)} columns; as a value it must have one")
            return Expression(f"({found.text})", found.columns[0][2], free=True)
        return found

    def lookup(self, name: str, node: Any) -> Any:
        """What `$name` stands for."""
        if name not in self.names:
            near = difflib.get_close_matches(name, self.names, n=1)
            hint = f"; did you mean ${near[0]}?" if near else "; set it before, or give it as a parameter"
            raise self.error(node, f"unknown name ${name}{hint}")
        found = self.names[name]
        if not isinstance(found, Deferred):
            return found
        if id(found) not in self._lowered:
            self._lowered[id(found)] = self._deferred(found)
        return self._lowered[id(found)]

    def _deferred(self, found: Deferred) -> Any:
        if isinstance(found.node, exp.Lambda):
            return Function(found.node, found.names)
        outer, self.names = self.names, found.names
        try:
            node = found.node
            if isinstance(node, exp.Query):
                return self.select(node)
            return self.expression(node, Scope())
        finally:
            self.names = outer

    def _column(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "table")
        if isinstance(node.this, exp.Star):
            raise self._outside(node, "* within an expression")
        name, table = node.name, node.args.get("table")
        if "::" in name:
            raise self._outside(node, f"{name} without ()")
        if table is None and name in scope.outputs:
            return scope.outputs[name]
        sources = [one for one in scope.sources if table is None or one.alias == table.name]
        if table is not None and not sources:
            raise self.error(node, self._no_such("table or alias", table.name, [one.alias for one in scope.sources]))
        found = [(text, kind) for one in sources for known, text, kind in one.columns if known == name]
        if not found:
            have = [known for one in sources for known, _, _ in one.columns]
            raise self.error(node, self._no_such("column", name, have))
        if len(found) > 1:
            raise self.error(node, f"column {name} is in several tables; write alias.{name}")
        return Expression(*found[0])

    def _no_such(self, what: str, name: str, have: list[str]) -> str:
        folded = [one for one in have if one.lower() == name.lower()]
        near = folded or difflib.get_close_matches(name, have, n=1)
        case = " (names are case-sensitive)" if folded else ""
        return f"unknown {what} {name}" + (f"; did you mean {near[0]}{case}?" if near else "")

    def _call(self, node: Any, scope: Scope) -> Expression:
        name = node.this if isinstance(node.this, str) else node.this.name
        function = find(name)
        if function is None:
            raise self.error(node, f"function {name} is outside the subset")
        arguments = node.expressions
        if len(arguments) == 1 and isinstance(arguments[0], exp.Star) and function.name == "Count":
            arguments = []
        if len(arguments) == 1 and isinstance(arguments[0], exp.Distinct):
            if not function.aggregate:
                raise self.error(arguments[0], "DISTINCT belongs in an aggregate function")
            arguments = arguments[0].expressions
        if function.counts and len(arguments) not in function.counts:
            expected = " or ".join(map(str, function.counts))
            raise self.error(node, f"{function.name} takes {expected} arguments, found {len(arguments)}")
        if scope.clause and (function.aggregate or function.window):
            raise self.error(node, f"{function.name} in {scope.clause} is outside the subset")
        values = [self._argument(one, scope) for one in arguments]
        made = function.make(self, node, values)
        return replace(made, free=False) if function.aggregate or function.window else made

    def _argument(self, node: Any, scope: Scope) -> Any:
        if isinstance(node, exp.Lambda):
            return Function(node, dict(self.names))
        if isinstance(node, exp.Parameter):
            found = self.lookup(node.this.this, node)
            if isinstance(found, Function):
                return found
        return self.expression(node, scope)

    def distinct(self, node: Any) -> str:
        """`DISTINCT `, where the call has it."""
        return "DISTINCT " if node.expressions and isinstance(node.expressions[0], exp.Distinct) else ""

    def applied(self, function: Any, item: Type, node: Any) -> tuple[Expression, str]:
        """A lambda's body over a variable of a type, and the variable's name."""
        if not isinstance(function, Function):
            raise self.error(node, "expected a lambda, ($x) -> (...)")
        self._variables += 1
        variable = f"x{self._variables}"
        return self._body(function, [Expression(variable, item)], node), variable

    def _invoke(self, node: Any, scope: Scope) -> Expression:
        name = node.this.this.this
        function = self.lookup(name, node)
        if not isinstance(function, Function):
            raise self.error(node, f"${name} is no lambda")
        return self._body(function, [self._argument(one, scope) for one in node.expressions], node)

    def _body(self, function: Function, arguments: list[Any], node: Any) -> Expression:
        names = [one.this for one in function.node.expressions]
        if len(names) != len(arguments):
            raise self.error(node, f"this lambda takes {len(names)} arguments, found {len(arguments)}")
        outer, self.names = self.names, {**function.names, **dict(zip(names, arguments, strict=True))}
        try:
            body = function.node.this
            if isinstance(body, LambdaBlock):
                for name, value in zip(body.args["names"], body.expressions, strict=True):
                    self.names = {**self.names, name.this: self._argument(value, Scope())}
                body = body.this
            return self.expression(body, Scope())
        finally:
            self.names = outer

    def _paren(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        return value if value.known else replace(value, text=f"({value.text})")

    def _neg(self, node: Any, scope: Scope) -> Expression:
        if isinstance(node.this, exp.Literal) and not node.this.args["is_string"]:
            return self._number(node.this, "-")
        value = self.expression(node.this, scope)
        if value.kind == NULL:
            return value
        if not value.kind.numeric:
            raise self.error(node, f"- takes a number, found {value.kind}")
        if value.known and value.value is not None:
            kind = value.kind
            if kind.whole and not BITS[kind.name][0] <= -value.value:
                raise self.error(node, f"-{value.value} does not fit {kind}")
            return self.constant(-value.value, kind)
        return self.made(f"(-{self.sql(value)})", value.kind, [value])

    def _arithmetic(self, node: Any, scope: Scope) -> Expression:
        sign = _ARITHMETIC[type(node)]
        a, b = self.expression(node.this, scope), self.expression(node.expression, scope)
        for one in (a, b):
            if one.kind != NULL and not one.kind.numeric:
                raise self.error(node, f"{sign} takes numbers, found {one.kind}")
        if NULL in (a.kind, b.kind):
            return self.constant(None, a.kind if b.kind == NULL else b.kind)
        kind = self.common([a, b], node)
        if sign == "/" and kind.whole:
            sign = "//"
        text = f"({self.sql(a)} {sign} {self.sql(b)})"
        if a.kind != b.kind:
            text = f"CAST({text} AS {kind.duck})"
        return self.made(text, kind, [a, b])

    def _compare(self, node: Any, scope: Scope) -> Expression:
        sign = _COMPARISONS[type(node)]
        a, b = self.expression(node.this, scope), self.expression(node.expression, scope)
        return self._compared(a, sign, b, node)

    def _compared(self, a: Expression, sign: str, b: Expression, node: Any) -> Expression:
        if (a.kind.item is not None or b.kind.item is not None) and sign not in ("=", "<>"):
            raise self.error(node, f"{sign} of lists is outside the subset")
        if a.kind.numeric and b.kind.numeric:  # exact as they are: DuckDB widens both
            x, y = self.sql(a), self.sql(b)
            # NaN is unequal to everything here, and DuckDB's greatest value.
            nan = [f"isnan({text})" for one, text in ((a, x), (b, y)) if one.kind.real and not one.known]
            if nan and sign == "<>":
                return self.made(f"({x} <> {y} OR {' OR '.join(nan)})", BOOL, [a, b])
            if nan:
                return self.made(f"({x} {sign} {y} AND NOT ({' OR '.join(nan)}))", BOOL, [a, b])
            return self.made(f"({x} {sign} {y})", BOOL, [a, b])
        kind = self.common([a, b], node)
        if kind.name == "Json":
            raise self.error(node, f"{sign} of Json is outside the subset")
        x, y = (self.sql(self.converted(one, kind, node)) for one in (a, b))
        return self.made(f"({x} {sign} {y})", BOOL, [a, b])

    def _logic(self, node: Any, scope: Scope) -> Expression:
        word = "AND" if isinstance(node, exp.And) else "OR"
        values = [self.expression(one, scope) for one in (node.this, node.expression)]
        return self.made(f"({f' {word} '.join(self.condition(one, node) for one in values)})", BOOL, values)

    def _not(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        return self.made(f"(NOT {self.condition(value, node)})", BOOL, [value])

    def _is(self, node: Any, scope: Scope) -> Expression:
        if not isinstance(node.expression, exp.Null):
            raise self._outside(node, "IS other than IS NULL")
        value = self.expression(node.this, scope)
        return self.made(f"({self.sql(value)} IS NULL)", BOOL, [value])

    def _between(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "low", "high")
        value, low, high = (self.expression(node.args[key], scope) for key in ("this", "low", "high"))
        both = [self._compared(value, ">=", low, node), self._compared(value, "<=", high, node)]
        return self.made(f"({both[0].text} AND {both[1].text})", BOOL, both)

    def _like(self, node: Any, scope: Scope) -> Expression:
        word = "LIKE" if isinstance(node, exp.Like) else "ILIKE"
        value, pattern = self.expression(node.this, scope), self.expression(node.expression, scope)
        if value.kind != UTF8 or pattern.kind not in (UTF8, STRING) or not pattern.known:
            raise self.error(node, f"{word} takes a Utf8 and a literal, found {value.kind} and {pattern.kind}")
        text = self.sql(self.converted(pattern, UTF8, node))
        return self.made(f"({self.sql(value)} {word} {text})", BOOL, [value])

    def _concat(self, node: Any, scope: Scope) -> Expression:
        values = [self.expression(one, scope) for one in (node.this, node.expression)]
        kind = self.common(values, node).untagged
        if kind not in (STRING, UTF8):
            raise self.error(node, f"|| takes strings, found {kind}")
        return self.made(f"({' || '.join(self.sql(self.converted(one, kind, node)) for one in values)})", kind, values)

    def _in(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "expressions", "query", "field")
        value = self.expression(node.this, scope)
        query = node.args.get("query")
        within = node.args.get("field")
        if query is not None:
            return self._in_select(value, self.select(query.this), node)
        if within is None:
            values = [self.expression(one, scope) for one in node.expressions]
            kind = self.common([value, *values], node)
            texts = [self.sql(self.converted(one, kind, node)) for one in values]
            left = self.sql(self.converted(value, kind, node))
            return self.made(f"({left} IN ({', '.join(texts)}))", BOOL, [value, *values])
        if isinstance(within, exp.Parameter) and isinstance(self.lookup(within.this.this, within), Select):
            return self._in_select(value, self.lookup(within.this.this, within), node)
        values_list = self.expression(within, scope)
        if values_list.kind.item is None:
            raise self.error(node, f"IN takes a list or a SELECT, found {values_list.kind}")
        kind = self.common([value, Expression("", values_list.kind.item)], node)
        lists = self.sql(self.converted(values_list, list_of(kind), node))
        return self.made(f"list_contains({lists}, {self.sql(self.converted(value, kind, node))})", BOOL, [value])

    def _in_select(self, value: Expression, query: Select, node: Any) -> Expression:
        if len(query.columns) != 1:
            raise self.error(node, f"IN takes a SELECT of one column, found {len(query.columns)}")
        _, physical, kind = query.columns[0]
        shared = self.common([value, Expression("", kind)], node)
        inner = self.sql(self.converted(Expression(f"q.{quoted(physical)}", kind), shared, node))
        left = self.sql(self.converted(value, shared, node))
        return self.made(f"({left} IN (SELECT {inner} FROM ({query.text}) AS q))", BOOL, [value])

    def _case(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "ifs", "default")
        subject = self.expression(node.this, scope) if node.this is not None else None
        conditions, values = [], []
        for branch in node.args["ifs"]:
            when = self.expression(branch.this, scope)
            if subject is not None:
                when = self._compared(subject, "=", when, branch)
            conditions.append(self.condition(when, branch))
            values.append(self.expression(branch.args["true"], scope))
        default = node.args.get("default")
        values.append(self.constant(None, NULL) if default is None else self.expression(default, scope))
        kind = self.common(values, node)
        texts = [self.sql(self.converted(one, kind, node)) for one in values]
        branches = " ".join(f"WHEN {when} THEN {text}" for when, text in zip(conditions, texts, strict=False))
        return self.made(f"(CASE {branches} ELSE {texts[-1]} END)", kind, values)

    def _coalesce(self, node: Any, scope: Scope) -> Expression:
        values = [self.expression(one, scope) for one in (node.this, *node.expressions)]
        kind = self.common(values, node)
        texts = [self.sql(self.converted(one, kind, node)) for one in values]
        return self.made(f"coalesce({', '.join(texts)})", kind, values)

    def _cast(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        try:
            to = named(node.meta["kind"])
        except ValueError as error:
            raise self.error(node.meta["kind"].start, str(error)) from None
        return self.cast(value, to, node)

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

    def _bool(self, node: Any, scope: Scope) -> Expression:
        return self.constant(bool(node.this), BOOL)

    def _null(self, node: Any, scope: Scope) -> Expression:
        return self.constant(None, NULL)

    def _subscript(self, node: Any, scope: Scope) -> Expression:
        value = self.expression(node.this, scope)
        if value.kind.item is None or len(node.expressions) != 1:
            raise self._outside(node, "[] of other than a list")
        index = self.expression(node.expressions[0], scope)
        if not index.kind.whole:
            raise self.error(node, f"expected a whole number, found {index.kind}")
        at = self.sql(index)
        text = f"(CASE WHEN {at} >= 0 THEN ({self.sql(value)})[CAST({at} AS BIGINT) + 1] END)"
        return self.made(text, value.kind.item, [value, index])

    def _subquery(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this")
        query = self.select(node.this)
        if len(query.columns) != 1:
            raise self.error(node, f"a SELECT as a value has one column, found {len(query.columns)}")
        return Expression(f"({query.text})", query.columns[0][2], free=True)

    def _exists(self, node: Any, scope: Scope) -> Expression:
        return Expression(f"EXISTS ({self.select(node.this).text})", BOOL)

    def _window(self, node: Any, scope: Scope) -> Expression:
        self._allow(node, "this", "partition_by", "order", "alias", "over")
        alias = node.args.get("alias")
        about = node
        if alias is not None:
            if alias.name not in scope.windows:
                raise self.error(node, f"unknown window {alias.name}")
            about = scope.windows[alias.name]
            self._allow(about, "this", "partition_by", "order")
        value = self.expression(node.this, scope)
        if not isinstance(node.this, exp.Anonymous):
            raise self._outside(node, "this window function")
        parts = []
        partition = about.args.get("partition_by") or []
        if partition:
            parts.append("PARTITION BY " + ", ".join(self.sql(self.expression(one, scope)) for one in partition))
        order = about.args.get("order")
        if order is not None:
            parts.append(self._order(order, scope))
        text = value.text
        cast = text.startswith("CAST(") and text.endswith(")")
        if cast:  # the window belongs to the function within
            head, _, kind = text[5:-1].rpartition(" AS ")
            return Expression(f"CAST({head} OVER ({' '.join(parts)}) AS {kind})", value.kind)
        return Expression(f"{text} OVER ({' '.join(parts)})", value.kind)

    # SELECT.

    def select(self, node: Any) -> Select:
        """A SELECT, lowered; it sees no names of a query around it."""
        while isinstance(node, exp.Subquery) and not node.args.get("alias"):
            self._allow(node, "this", "order", "limit", "offset")
            if any(node.args.get(key) for key in ("order", "limit", "offset")):
                raise self._outside(node, "ORDER BY or LIMIT after a SELECT in parentheses")
            node = node.this
        if isinstance(node, exp.Union):
            return self._union(node)
        if not isinstance(node, exp.Select):
            raise self._outside(node)
        return self._select(node)

    def _union(self, node: Any) -> Select:
        self._allow(node, "this", "expression", "distinct", "order", "limit", "offset")
        a, b = self.select(node.this), self.select(node.expression)
        names = [[name for name, _, _ in one.columns] for one in (a, b)]
        if names[0] != names[1]:
            raise self.error(node, f"UNION takes the same columns in the same order, found {names[0]} and {names[1]}")
        kinds = [
            self.common([Expression("", one[2]), Expression("", other[2])], node)
            for one, other in zip(a.columns, b.columns, strict=True)
        ]
        texts = []
        for one in (a, b):
            parts = [
                f"{self.sql(self.converted(Expression('q.' + quoted(physical), kind), to, node))} AS {quoted(physical)}"
                for (_, physical, kind), to in zip(one.columns, kinds, strict=True)
            ]
            texts.append(f"SELECT {', '.join(parts)} FROM ({one.text}) AS q")
        word = " UNION " if node.args.get("distinct") else " UNION ALL "
        columns = [(name, physical, kind) for (name, physical, _), kind in zip(a.columns, kinds, strict=True)]
        text = word.join(texts)
        scope = Scope([Source("", [(name, quoted(at), kind) for name, at, kind in columns])])
        tail, most = self._tail(node, scope)
        return Select(f"SELECT * FROM ({text}) AS q{tail}" if tail else text, columns, most)

    def _select(self, node: Any) -> Select:
        self._allow(
            node,
            *("expressions", "from_", "joins", "where", "group", "having"),
            *("order", "limit", "offset", "distinct", "windows"),
        )
        if not node.expressions:
            raise self.error(node, "SELECT names no columns")
        scope, source = Scope(), ""
        if node.args.get("from_") is not None:
            source = self._from(node, scope)
        for window in node.args.get("windows") or []:
            scope.windows[window.name] = window
        where = ""
        before = len(self.targets)
        if node.args.get("where") is not None:
            where = self.condition(self._plain(node.args["where"].this, scope, "WHERE"), node.args["where"].this)
        filtered, before = where and len(self.targets) == before, len(self.targets)
        outputs = self._outputs(node, scope)
        group = self._group(node, scope)
        taken: set[str] = set()
        columns, texts = [], []
        for name, value in outputs:
            physical, number = name, 1
            while physical.lower() in taken:
                number += 1
                physical = f"{name}~{number}"
            taken.add(physical.lower())
            columns.append((name, physical, value.kind))
            texts.append(f"{self.sql(value)} AS {quoted(physical)}")
        for item, (name, value) in zip(_projections(node, outputs), outputs, strict=True):
            if isinstance(item, exp.Alias):
                scope.outputs[name] = value
        tail, most = self._tail(node, scope)
        probe = self._view(node, scope)
        if probe:
            where = f"({where}) AND {probe}" if where else probe
        if filtered and len(self.targets) > before:
            # Rows that pass a filter come a few at a time. A condition that DuckDB cannot push into the scan makes it
            # collect them, so that a distance is called for thousands of rows at once.
            where = f"({where}) AND random() >= 0"
        distinct = node.args.get("distinct")
        if distinct is not None:
            self._allow(distinct)
        text = f"SELECT {'DISTINCT ' if distinct is not None else ''}{', '.join(texts)}"
        if self.pairs and self.pairs[0] == id(node):
            at = {side: f"t{number}" for number, side in enumerate(one.alias for one in scope.sources)}
            on = [f"p.{column} = {at[alias]}.rowid" for alias, column in self.pairs[1].items()]
            source += f' JOIN "~pairs" AS p ON {" AND ".join(on)}'
        text += f" FROM {source}" if source else ""
        text += f" WHERE {where}" if where else ""
        return Select(text + group + tail, columns, most, _unique(scope, outputs))

    def _plain(self, node: Any, scope: Scope, clause: str) -> Expression:
        scope.clause = clause
        value = self.expression(node, scope)
        scope.clause = ""
        return value

    def _outputs(self, node: Any, scope: Scope) -> list[tuple[str, Expression]]:
        outputs: list[tuple[str, Expression]] = []
        for number, item in enumerate(node.expressions):
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                outputs += self._star(item, scope)
            elif isinstance(item, exp.Alias):
                outputs.append((item.alias, self.expression(item.this, scope)))
            else:
                name = item.name if isinstance(item, exp.Column) else f"column{number}"
                outputs.append((name, self.expression(item, scope)))
        return outputs

    def _star(self, item: Any, scope: Scope) -> list[tuple[str, Expression]]:
        if isinstance(item, exp.Star):
            self._allow(item)
        sources = scope.sources
        if isinstance(item, exp.Column):
            sources = [one for one in sources if one.alias == item.table]
            if not sources:
                have = [one.alias for one in scope.sources]
                raise self.error(item, self._no_such("table or alias", item.table, have))
        if not sources:
            raise self.error(item, "* needs a FROM")
        found = [(name, Expression(text, kind)) for one in sources for name, text, kind in one.columns]
        names = [name for name, _ in found]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise self.error(item, f"* has column {twice[0]} of several tables; name the columns")
        return found

    def _group(self, node: Any, scope: Scope) -> str:
        text = ""
        group = node.args.get("group")
        if group is not None:
            self._allow(group, "expressions")
            values = [self._plain(one, scope, "GROUP BY") for one in group.expressions]
            for one, value in zip(group.expressions, values, strict=True):
                if value.known:
                    raise self.error(one, "GROUP BY of a literal is outside the subset")
            text = " GROUP BY " + ", ".join(map(self.sql, values))
        having = node.args.get("having")
        if having is not None:
            text += f" HAVING {self.condition(self.expression(having.this, scope), having.this)}"
        return text

    def _tail(self, node: Any, scope: Scope) -> tuple[str, float]:
        """ORDER BY, LIMIT and OFFSET, and how many rows there are at most."""
        text, most = "", float("inf")
        if node.args.get("order") is not None:
            text += " " + self._order(node.args["order"], scope)
        for key in ("limit", "offset"):
            part = node.args.get(key)
            if part is not None:
                self._allow(part, "expression")
                value = self.expression(part.expression, Scope())
                if not value.kind.whole:
                    raise self.error(part.expression, f"{key.upper()} takes a whole number, found {value.kind}")
                # A number, and no expression: DuckDB keeps the first few of a sort only where it knows how many.
                number = value.value
                if not value.known:
                    number = self._evaluate(self, Select(f"SELECT {value.text}", []), self._at(part.expression))
                if number is None or number < 0:
                    raise self.error(part.expression, f"{key.upper()} takes a whole number, found {number}")
                text += f" {key.upper()} {int(number)}"
                most = int(number) if key == "limit" else most
        return text, most

    def _order(self, node: Any, scope: Scope) -> str:
        self._allow(node, "expressions")
        keys = []
        for one in node.expressions:
            self._allow(one, "this", "desc", "nulls_first")
            value = self.expression(one.this, scope)
            if value.kind.item is not None or value.kind.name == "Json":
                raise self.error(one, f"ORDER BY of {value.kind} is outside the subset")
            if value.known:  # the same for all rows; as a number it would name a column
                continue
            keys.append(f"{value.text} DESC NULLS LAST" if one.args.get("desc") else f"{value.text} ASC NULLS FIRST")
        return "ORDER BY " + ", ".join(keys) if keys else ""

    # FROM.

    def _from(self, node: Any, scope: Scope) -> str:
        text = self._table(node.args["from_"].this, scope)
        joins = list(node.args["from_"].this.args.get("joins") or []) + list(node.args.get("joins") or [])
        for join in joins:
            text += self._join(join, scope)
        return text

    def _join(self, join: Any, scope: Scope) -> str:
        self._allow(join, "this", "on", "using", "side", "kind")
        side, kind = (str(join.args.get(key) or "").upper() for key in ("side", "kind"))
        on, using = join.args.get("on"), join.args.get("using")
        words = " ".join(word for word in (side, kind) if word) or ("CROSS" if join.meta.get("comma") else "INNER")
        words = words.replace(" OUTER", "")
        if words not in ("INNER", "LEFT", "RIGHT", "FULL", "CROSS", "LEFT SEMI"):
            raise self._outside(join, f"{words} JOIN")
        left = Scope(list(scope.sources))
        text = self._table(join.this, scope)
        right = scope.sources[-1]
        if words == "CROSS":
            if on is not None or using:
                raise self.error(join, "CROSS JOIN takes no ON")
            return f" CROSS JOIN {text}"
        if on is not None:
            condition = self.condition(self._plain(on, scope, "ON"), on)
        elif using:
            each = []
            for name in using:
                column = exp.Column(this=name)
                column.meta.update(start=start_of(join.this))
                a, b = (self._column(column, one) for one in (left, Scope([right])))
                each.append(self._compared(a, "=", b, join).text)
            condition = " AND ".join(each)
        else:
            raise self.error(join, f"{words} JOIN needs ON or USING")
        if words == "LEFT SEMI":
            scope.sources.pop()
            words = "SEMI"
        return f" {words} JOIN {text} ON {condition}"

    def _table(self, node: Any, scope: Scope) -> str:
        alias = node.args.get("alias")
        given = alias.name if alias is not None else ""
        if alias is not None:
            self._allow(alias, "this")
        if isinstance(node, exp.Subquery):
            self._allow(node, "this", "alias", "joins")
            query = self.select(node.this)
            return self._as_source(query, given, scope)
        if not isinstance(node, exp.Table):
            raise self._outside(node)
        self._allow(node, "this", "alias", "joins")
        if not isinstance(node.this, exp.Identifier):
            called = node.this.this if isinstance(node.this, exp.Anonymous) else ""
            raise self._outside(
                node, f"{called} as a table" if called else _CONSTRUCTS.get(type(node.this).__name__, "")
            )
        name = node.name
        if name.startswith("$"):
            query = self.lookup(name[1:], node)
            if not isinstance(query, Select):
                raise self.error(node, f"{name} is no SELECT")
            return self._as_source(query, given or name, scope)
        table = self.table(Name(name, start_of(node.this)))
        at = self._alias(given or name, scope, node)
        columns = [(one.name, f"{at}.{quoted(one.physical)}", one.kind) for one in table.columns.values()]
        scope.sources.append(Source(given or name, columns, table))
        return f"{quoted(table.physical)} AS {at}"

    def _as_source(self, query: Select, alias: str, scope: Scope) -> str:
        at = self._alias(alias, scope, 0)
        columns = [(name, f"{at}.{quoted(physical)}", kind) for name, physical, kind in query.columns]
        scope.sources.append(Source(alias, columns))
        return f"({query.text}) AS {at}"

    def _alias(self, name: str, scope: Scope, node: Any) -> str:
        if name and any(one.alias == name for one in scope.sources):
            raise self.error(node, f"{name} stands twice in FROM; give each an alias")
        return f"t{len(scope.sources)}"

    def table(self, name: Name) -> Table:
        """A table of the catalog."""
        if name.text not in self._tables:
            raise self.error(name, self._no_such("table", name.text, list(self._tables)))
        return self._tables[name.text]

    # VIEW index.

    def _view(self, node: Any, scope: Scope) -> str:
        if node.args.get("from_") is None:
            return ""
        tables = [node.args["from_"].this, *(join.this for join in node.args.get("joins") or [])]
        views = [(one, one.meta["view"]) for one in tables if "view" in one.meta]
        texts = [self._visited(one, view, node, scope) for one, view in views if view != "PRIMARY KEY"]
        return " AND ".join(texts)

    def _visited(self, table: Any, view: Name, node: Any, scope: Scope) -> str:
        source = scope.sources[0]
        known = source.table
        if known is None or len(scope.sources) != 1:
            raise self.error(view, "VIEW of an index takes one table, without joins")
        if view.text not in known.indexes:
            raise self.error(view, self._no_such("index", view.text, list(known.indexes)))
        index = known.indexes[view.text]
        order = node.args.get("order")
        first = order.expressions[0] if order is not None else None
        names = functions_of(index.settings)
        expected = (
            f"VIEW {index.name} takes ORDER BY Knn::{names[0]}({index.columns[-1]}, target)"
            f"{' DESC' if names[0].endswith('Similarity') else ''} and LIMIT"
        )
        if first is None or node.args.get("limit") is None:
            raise self.error(view, expected)
        call = first.this
        if isinstance(call, exp.Column) and not call.table:
            aliased = [one.this for one in node.expressions if isinstance(one, exp.Alias) and one.alias == call.name]
            call = aliased[0] if aliased else call
        name = call.this.removeprefix("Knn::") if isinstance(call, exp.Anonymous) and isinstance(call.this, str) else ""
        if name not in names or bool(first.args.get("desc")) != name.endswith("Similarity"):
            raise self.error(first, expected)
        arguments = [self.expression(one, scope) for one in call.expressions]
        column = next(text for known_name, text, _ in source.columns if known_name == index.columns[-1])
        targets = [self.bytes(one, call) for one in arguments if one.text != column]
        if len(targets) != 1 or not targets[0].known:
            raise self.error(first, f"{expected}, the target being the same for all rows")
        visited = self._probe(Probe(known, index.name, targets[0].value))
        at = column.partition(".")[0]
        clusters = ", ".join(map(str, visited)) or "NULL"
        # A row without a cluster is always read.
        return f"({at}.{quoted(index.physical)} IN ({clusters}) OR {at}.{quoted(index.physical)} IS NULL)"


def functions_of(settings: dict[str, Any]) -> tuple[str, ...]:
    """The functions that an index with these settings serves, the first as it was named."""
    if "similarity" in settings:
        if settings["similarity"] == "inner_product":
            return ("InnerProductSimilarity",)
        return "CosineSimilarity", "CosineDistance"
    if settings.get("distance") == "cosine":
        return "CosineDistance", "CosineSimilarity"
    return ({"manhattan": "ManhattanDistance"}.get(settings.get("distance", ""), "EuclideanDistance"),)


def _unique(scope: Scope, outputs: list[tuple[str, Expression]]) -> frozenset[str]:
    """The outputs that are the primary key of the one table that is read."""
    table = scope.sources[0].table if len(scope.sources) == 1 else None
    if table is None:
        return frozenset()
    texts = {name: text for name, text, _ in scope.sources[0].columns}
    names = {value.text: name for name, value in outputs if not value.known}
    found = [names.get(texts[key]) for key in table.key]
    return frozenset() if None in found else frozenset(name for name in found if name)


_count = [0]


def next_target() -> int:
    """A number that no other target has."""
    _count[0] = _count[0] % (1 << 30) + 1
    return _count[0]


def _refuse() -> Any:
    raise ValueError


def _projections(node: Any, outputs: list[Any]) -> list[Any]:
    """The written items beside the outputs; a star stands for as many as it made."""
    stars = sum(
        isinstance(one, exp.Star) or isinstance(getattr(one, "this", None), exp.Star) for one in node.expressions
    )
    if not stars:
        return list(node.expressions)
    named_items = {one.alias: one for one in node.expressions if isinstance(one, exp.Alias)}
    return [named_items.get(name) for name, _ in outputs]


_ARITHMETIC = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}
_COMPARISONS = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_RULES: dict[type, Any] = {
    exp.Literal: Lowering._string,
    NumberList: Lowering._numbers,
    exp.Array: Lowering._list,
    exp.Parameter: Lowering._named,
    exp.Column: Lowering._column,
    exp.Anonymous: Lowering._call,
    Invoke: Lowering._invoke,
    exp.Paren: Lowering._paren,
    exp.Neg: Lowering._neg,
    **dict.fromkeys(_ARITHMETIC, Lowering._arithmetic),
    **dict.fromkeys(_COMPARISONS, Lowering._compare),
    exp.And: Lowering._logic,
    exp.Or: Lowering._logic,
    exp.Not: Lowering._not,
    exp.Is: Lowering._is,
    exp.Between: Lowering._between,
    exp.Like: Lowering._like,
    exp.ILike: Lowering._like,
    exp.DPipe: Lowering._concat,
    exp.In: Lowering._in,
    exp.Case: Lowering._case,
    exp.Coalesce: Lowering._coalesce,
    CastTo: Lowering._cast,
    exp.Boolean: Lowering._bool,
    exp.Null: Lowering._null,
    exp.Bracket: Lowering._subscript,
    exp.Subquery: Lowering._subquery,
    exp.Exists: Lowering._exists,
    exp.Window: Lowering._window,
}
# What sqlglot calls a construct, and what a user does.
_CONSTRUCTS = {
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

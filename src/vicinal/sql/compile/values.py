"""Compiled expressions and SELECTs, and what a name may stand for.

A value that is known while compiling is converted and checked here; it stands in the statement as a literal or is
bound, never pasted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vicinal.sql.catalog import Table
from vicinal.sql.compile.nodes import NOTHING, Cast, Column, Derived, Node, Parameter, Select, Word, depends_on_rows
from vicinal.sql.types import BOOL, DOUBLE, NULL, Type

_UNKNOWN: Any = object()


@dataclass(slots=True, eq=False)
class Expression:
    """A compiled expression.

    compiled : its node; of a known value any
    kind     : its type
    value    : its value, where that is known while compiling
    """

    compiled: Node
    kind: Type
    value: Any = _UNKNOWN

    @property
    def known(self) -> bool:
        """Whether the value is known while compiling."""
        return self.value is not _UNKNOWN

    @property
    def node(self) -> Node:
        """DuckDB's node of it."""
        return literal(self.value, self.kind) if self.known else self.compiled

    @property
    def free(self) -> bool:
        """Whether it is the same for all rows."""
        return self.known or not depends_on_rows(self.compiled)

    def retyped(self, kind: Type) -> "Expression":
        """The same value under another type that DuckDB keeps in the same way."""
        return replace(self, kind=kind)


def constant(value: Any, kind: Type) -> Expression:
    """An expression whose value is known."""
    return Expression(NOTHING, kind, value)


def of_type(kind: Type) -> Expression:
    """Some expression of a type, where only the type matters."""
    return Expression(NOTHING, kind)


def literal(value: Any, kind: Type) -> Node:
    """A known value as a node: numbers and truth values are written, all else is bound."""
    if value is None:
        return NOTHING if kind == NULL else Cast(NOTHING, kind.duck)
    if kind.item is not None:
        if kind.item == NULL:
            return Word("[]")
        return Parameter(value.tolist() if isinstance(value, np.ndarray) else list(value), kind.duck)
    if kind == BOOL:
        return Word("true" if value else "false")
    if kind.whole:
        return Word(f"({value})") if kind.name == "Int32" else Cast(Word(str(value)), kind.duck)
    if kind.real:
        text = repr(float(value))
        if text in ("nan", "inf", "-inf"):
            return Cast(Word(f"'{text}'"), kind.duck)
        text = text if "e" in text else f"{text}e0"
        return Word(f"({text})") if kind == DOUBLE else Cast(Word(text), kind.duck)
    return Parameter(value, kind.duck)


@dataclass(slots=True)
class Output:
    """A column of a SELECT: its name in YQL, its name in DuckDB, which no other column has, and its type."""

    name: str
    physical: str
    kind: Type


@dataclass(slots=True, eq=False)
class Relation:
    """A compiled SELECT.

    node    : DuckDB's node of it
    columns : what it gives
    most    : how many rows it has at most
    unique  : the columns that make up a primary key, so that no two rows agree in all; empty where that is not known
    """

    node: Node
    columns: list[Output]
    most: float = float("inf")
    unique: frozenset[str] = frozenset()

    def derived(self, columns: Iterable[Node], alias: str = "q") -> Select:
        """A SELECT of some nodes from this one under an alias."""
        return Select(list(columns), Derived(self.node, alias))


@dataclass(slots=True, eq=False)
class Lambda:
    """A lambda: the names of its arguments, its body, and the names that the body sees."""

    arguments: list[str]
    body: Any
    names: dict[str, Any]


@dataclass(slots=True, eq=False)
class Deferred:
    """What `$name = ...;` wrote, with the names that it sees; compiled where it is used."""

    node: Any
    names: dict[str, Any]


@dataclass(slots=True, eq=False)
class Source:
    """What a FROM offers: an alias, and its columns with their names in YQL.

    key  : nodes that no two rows have in common, by which rows are ordered that ORDER BY leaves equal
    view : the index that VIEW names
    """

    alias: str
    columns: list[tuple[str, Expression]]
    table: Table | None = None
    key: list[Node] = field(default_factory=list)
    view: Any = None


@dataclass
class Scope:
    """The sources in sight, and the output names for ORDER BY.

    clause   : the clause that is being compiled, where it takes no aggregate and no window
    distance : the call of BY in JOIN NEAREST, and its value
    """

    sources: list[Source] = field(default_factory=list)
    outputs: dict[str, Expression] = field(default_factory=dict)
    windows: dict[str, Any] = field(default_factory=dict)
    clause: str = ""
    distance: tuple[Any, Expression] | None = None

    @property
    def keys(self) -> list[Node]:
        """The keys of all sources, by which rows are ordered that ORDER BY leaves equal."""
        return [key for one in self.sources for key in one.key]


def of_table(name: str, table: Table, alias: str) -> Source:
    """A table as a source, `alias` being its name in DuckDB's statement."""
    columns = [(one.name, Expression(Column(alias, one.physical), one.kind)) for one in table.columns.values()]
    keys = [table.columns[key].physical for key in table.key] or ["rowid"]  # a registered table has no key
    return Source(name, columns, table, [Column(alias, key) for key in keys])


# Gives the value of an expression that is the same for all rows; the number is where it stands in the text.
Evaluate = Callable[[Node, int], Any]

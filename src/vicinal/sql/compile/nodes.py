"""DuckDB's SQL as nodes.

A compiled statement is a tree of nodes. `written` turns it into text once, at the end, and collects what the text
refers to: the values that it binds, and the objects that numbers stand for (`Reference`). The text is never edited.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vicinal.sql.catalog import quoted


class Node:
    """A part of a statement; no abc.ABC, with which isinstance would take a third of the time of compiling."""

    __slots__ = ()

    def _pieces(self) -> Iterable["str | Node"]:
        """The text and the nodes that it consists of, in order."""
        raise NotImplementedError

    def walk(self) -> Iterator["Node"]:
        """This node and all below it."""
        yield self
        for piece in self._pieces():
            if not isinstance(piece, str):
                yield from piece.walk()


@dataclass(slots=True, eq=False)
class Word(Node):
    """A literal or keyword, as it is written."""

    text: str

    def _pieces(self) -> Iterable["str | Node"]:
        return (self.text,)


@dataclass(slots=True, eq=False)
class Parameter(Node):
    """A value that is bound, never pasted, and DuckDB's type of it."""

    value: Any
    duck: str

    def _pieces(self) -> Iterable["str | Node"]:
        return ()


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """A number that stands for an object which a function of ours reads; no row carries a copy of the object."""

    value: Any

    def _pieces(self) -> Iterable["str | Node"]:
        return ()


@dataclass(slots=True, eq=False)
class Given(Node):
    """An Arrow table, which is registered while the statement runs."""

    table: Any

    def _pieces(self) -> Iterable["str | Node"]:
        return ()


@dataclass(slots=True, eq=False)
class Name(Node):
    """A table's or column's name, quoted."""

    name: str

    def _pieces(self) -> Iterable["str | Node"]:
        return (quoted(self.name),)


@dataclass(frozen=True, slots=True)
class Column(Node):
    """A column of a source; the source's alias is one of ours."""

    source: str
    name: str

    def _pieces(self) -> Iterable["str | Node"]:
        return (f"{self.source}.{quoted(self.name)}",)


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """The argument of a lambda."""

    name: str

    def _pieces(self) -> Iterable["str | Node"]:
        return (self.name,)


@dataclass(slots=True, eq=False)
class Closure(Node):
    """A lambda of one argument."""

    argument: Variable
    body: Node

    def _pieces(self) -> Iterable["str | Node"]:
        return ("lambda ", self.argument, ": ", self.body)


@dataclass(slots=True, eq=False)
class Join(Node):
    """Nodes with a separator between them."""

    parts: Sequence[Node]
    between: str = ", "

    def _pieces(self) -> Iterable["str | Node"]:
        for number, part in enumerate(self.parts):
            if number:
                yield self.between
            yield part


@dataclass(slots=True, eq=False)
class Phrase(Node):
    """Text and nodes one after another."""

    parts: Sequence["str | Node"]

    def _pieces(self) -> Iterable["str | Node"]:
        return self.parts


@dataclass(slots=True, eq=False)
class Window(Node):
    """What stands in OVER (...)."""

    partition: Sequence[Node] = ()
    order: Sequence[Node] = ()

    def _pieces(self) -> Iterable["str | Node"]:
        if self.partition:
            yield from ("PARTITION BY ", Join(self.partition))
        if self.order:
            yield from (" ORDER BY " if self.partition else "ORDER BY ", Join(self.order))


@dataclass(slots=True, eq=False)
class Call(Node):
    """A function's call, with its window where it has one; `rows` says that it is about several rows."""

    name: str
    arguments: Sequence[Node] = ()
    distinct: bool = False
    window: Window | None = None
    rows: bool = False

    def _pieces(self) -> Iterable["str | Node"]:
        yield f"{self.name}(DISTINCT " if self.distinct else f"{self.name}("
        yield Join(self.arguments)
        yield ")"
        if self.window is not None:
            yield from (" OVER (", self.window, ")")


@dataclass(slots=True, eq=False)
class Cast(Node):
    """CAST, or TRY_CAST, which gives NULL where the value does not fit."""

    value: Node
    duck: str
    attempt: bool = False

    def _pieces(self) -> Iterable["str | Node"]:
        return ("TRY_CAST(" if self.attempt else "CAST(", self.value, f" AS {self.duck})")


@dataclass(slots=True, eq=False)
class Operation(Node):
    """Operands with a sign or word between them, in parentheses."""

    sign: str
    operands: Sequence[Node]

    def _pieces(self) -> Iterable["str | Node"]:
        between = f" {self.sign} "
        yield "("
        for number, operand in enumerate(self.operands):
            if number:
                yield between
            yield operand
        yield ")"


@dataclass(slots=True, eq=False)
class As(Node):
    """A value and the name of its column."""

    value: Node
    name: str

    def _pieces(self) -> Iterable["str | Node"]:
        return (self.value, f" AS {quoted(self.name)}")


@dataclass(slots=True, eq=False)
class Select(Node):
    """A SELECT."""

    columns: Sequence[Node]
    source: Node | None = None
    where: Node | None = None
    group: Sequence[Node] = ()
    having: Node | None = None
    qualify: Node | None = None
    order: Sequence[Node] = ()
    limit: int | None = None
    offset: int | None = None
    distinct: bool = False

    def _pieces(self) -> Iterable["str | Node"]:
        yield "SELECT DISTINCT " if self.distinct else "SELECT "
        yield Join(self.columns)
        for word, part in (("FROM", self.source), ("WHERE", self.where)):
            if part is not None:
                yield from (f" {word} ", part)
        if self.group:
            yield from (" GROUP BY ", Join(self.group))
        for word, part in (("HAVING", self.having), ("QUALIFY", self.qualify)):
            if part is not None:
                yield from (f" {word} ", part)
        if self.order:
            yield from (" ORDER BY ", Join(self.order))
        for word, number in (("LIMIT", self.limit), ("OFFSET", self.offset)):
            if number is not None:
                yield f" {word} {number}"


@dataclass(slots=True, eq=False)
class Derived(Node):
    """A SELECT in FROM under an alias of ours."""

    query: Node
    alias: str

    def _pieces(self) -> Iterable["str | Node"]:
        return ("(", self.query, f") AS {self.alias}")


STAR = Word("*")
NOTHING = Word("NULL")


def enclosed(node: Node) -> Node:
    """A node in parentheses."""
    return Phrase(("(", node, ")"))


def both(*conditions: Node | None) -> Node | None:
    """The conditions that there are, joined by AND; None where there is none."""
    present = [one for one in conditions if one is not None]
    return Operation("AND", present) if len(present) > 1 else present[0] if present else None


def depends_on_rows(node: Node, bound: frozenset[Variable] = frozenset()) -> bool:
    """Whether a value may differ from row to row; a SELECT within sees no row of the one around it.

    bound : the arguments of the lambdas around the node
    """
    if isinstance(node, Select):
        return False
    if isinstance(node, Column) or (isinstance(node, Call) and node.rows):
        return True
    if isinstance(node, Variable):
        return node not in bound
    if isinstance(node, Closure):
        return depends_on_rows(node.body, bound | {node.argument})
    return any(depends_on_rows(piece, bound) for piece in node._pieces() if not isinstance(piece, str))


def over(node: Node, window: Window) -> Node | None:
    """A call with its window; a cast around the call stays around it. None where there is no call."""
    if isinstance(node, Cast):
        inner = over(node.value, window)
        return None if inner is None else replace(node, value=inner)
    return replace(node, window=window) if isinstance(node, Call) else None


@dataclass(slots=True, eq=False)
class Text:
    """A statement as DuckDB takes it.

    sql        : the text
    values     : the bound values, the first of them $1
    references : the objects of its `Reference`s, by the numbers that stand for them
    tables     : the tables of its `Given`s, by the names that stand for them
    """

    sql: str
    values: list[Any]
    references: dict[int, Any]
    tables: dict[str, Any] = field(default_factory=dict)


def written(node: Node) -> Text:
    """A tree as text.

    >>> written(Operation("=", [Column("t0", "id"), Parameter(5, "INTEGER")]))
    Text(sql='(t0."id" = CAST($1 AS INTEGER))', values=[5], references={}, tables={})
    """
    parts: list[str] = []
    values: list[Any] = []
    references: dict[int, Any] = {}
    tables: dict[str, Any] = {}
    places: dict[Any, int] = {}

    def write(node: Node) -> None:
        if isinstance(node, Parameter):
            # Equal values share a parameter, so that DuckDB sees equal expressions, as in SELECT and GROUP BY.
            key = (node.duck, id(node.value) if isinstance(node.value, list | dict) else node.value)
            if key not in places:
                values.append(node.value)
                places[key] = len(values)
            parts.append(f"CAST(${places[key]} AS {node.duck})")
        elif isinstance(node, Reference):
            if node not in places:
                places[node] = 1 + len(references)
                references[places[node]] = node.value
            parts.append(str(places[node]))
        elif isinstance(node, Given):
            name = f"~given{len(tables)}"
            tables[name] = node.table
            parts.append(quoted(name))
        else:
            for piece in node._pieces():
                if isinstance(piece, str):
                    parts.append(piece)
                else:
                    write(piece)

    write(node)
    return Text("".join(parts), values, references, tables)

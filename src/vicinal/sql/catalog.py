"""The tables of a database as YQL sees them.

YQL's names are case-sensitive and DuckDB's are not. A name that differs from an earlier one in case alone is kept in
DuckDB as `name~2`. A name in YQL therefore never has a `~` in it, and `~index` names the column in which an index keeps
each row's cluster.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from vicinal.sql.faults import fault
from vicinal.sql.parse.statements import FULLTEXT, VECTOR, Name
from vicinal.sql.types import Type, from_duck

INDEXES = "~indexes"
NOT_NULL = "NOT NULL"
__all__ = ["FULLTEXT", "INDEXES", "VECTOR", "Column", "Index", "Table", "check_name", "quoted", "read"]


@dataclass
class Column:
    """A column: its name in YQL and in DuckDB."""

    name: str
    physical: str
    kind: Type
    required: bool
    declared: bool = False  # whether it is of the key and was made with NOT NULL; DuckDB requires all of the key

    def refuses_null(self, key: tuple[str, ...]) -> bool:
        """Whether it was made with NOT NULL."""
        return self.declared or (self.required and self.name not in key)


@dataclass
class Index:
    """An index: its columns, its settings, and its kind.

    kind : vector_kmeans_tree, whose last column holds the vectors; fulltext_plain, fulltext_relevance; secondary,
           which is DuckDB's
    """

    name: str
    columns: tuple[str, ...]
    cover: tuple[str, ...]
    settings: dict[str, Any]
    kind: str = VECTOR

    @property
    def physical(self) -> str:
        """The hidden column with each row's cluster, or with its words; of an index of DuckDB's its name."""
        return f"~{self.name}"

    @property
    def plain(self) -> bool:
        """Whether it is an index of DuckDB's, without a hidden column."""
        return self.kind == "secondary"

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions of Knn that it supports, first the one that the statement named."""
        if "similarity" in self.settings:
            if self.settings["similarity"] == "inner_product":
                return ("InnerProductSimilarity",)
            return "CosineSimilarity", "CosineDistance"
        if self.settings.get("distance") == "cosine":
            return "CosineDistance", "CosineSimilarity"
        return ({"manhattan": "ManhattanDistance"}.get(self.settings.get("distance", ""), "EuclideanDistance"),)


@dataclass
class Table:
    """A table: its columns in order, the primary key, its indexes."""

    name: str
    physical: str
    columns: dict[str, Column]
    key: tuple[str, ...]
    indexes: dict[str, Index] = field(default_factory=dict)
    registered: bool = False  # a copy of a table of the caller's, which no statement changes


def quoted(name: str) -> str:
    """A name as DuckDB reads it."""
    return '"' + name.replace('"', '""') + '"'


def check_name(name: Name, text: str) -> None:
    """Raises SqlError where a table, column or index cannot have the name."""
    if not name.text or "~" in name.text or "\0" in name.text:
        raise fault(text, name.start, f"expected a name without ~ and zero bytes, found {name.text!r}; name another")


def logical(physical: str) -> str:
    """The name in YQL of a table or column of DuckDB's.

    >>> logical("Facts"), logical("facts~2")
    ('Facts', 'facts')
    """
    return physical.partition("~")[0]


def physical_name(name: str, taken: set[str]) -> str:
    """The name in DuckDB of a table or column of YQL's, other than those in `taken`, which are in lower case.

    >>> physical_name("ID", {"id"})
    'ID~2'
    """
    found, number = name, 1
    while found.lower() in taken:
        number += 1
        found = f"{name}~{number}"
    return found


_COLUMNS = """
SELECT t.table_name, c.column_name, c.data_type, NOT c.is_nullable, c.comment
FROM duckdb_tables() t JOIN duckdb_columns() c USING (database_name, schema_name, table_name)
WHERE t.schema_name = 'main' AND NOT t.temporary AND NOT t.internal ORDER BY t.table_oid, c.column_index
"""
_KEYS = """
SELECT table_name, constraint_column_names FROM duckdb_constraints()
WHERE constraint_type = 'PRIMARY KEY' AND schema_name = 'main'
"""


def comment_of(kind: Type, declared: bool) -> str:
    """What a column's comment keeps about it where its type in DuckDB does not; empty where that says all."""
    name = kind.name if kind.plain != kind else ""
    return f"{name} {NOT_NULL}".strip() if declared else name


def _commented(kind: Type | None, comment: str | None) -> Type | None:
    """A column's type with what its comment says."""
    name = (comment or "").removesuffix(NOT_NULL).strip()
    known = Type(name)
    return known if name and kind is not None and known.plain == kind and known != kind else kind


def read(connection: Any) -> dict[str, Table]:
    """Every table of a database; a table with a column of a type that YQL has none for is left out."""
    tables: dict[str, Table] = {}
    unknown, held = set(), set()
    for table, column, kind, required, comment in connection.execute(_COLUMNS).fetchall():
        held.add(table)
        known = _commented(from_duck(kind), comment)
        if table.startswith("~") or column.startswith("~"):
            continue
        if known is None:
            unknown.add(logical(table))
            continue
        entry = tables.setdefault(logical(table), Table(logical(table), table, {}, ()))
        declared = (comment or "").endswith(NOT_NULL)
        entry.columns[logical(column)] = Column(logical(column), column, known, required, declared)
    for table, names in connection.execute(_KEYS).fetchall():
        if logical(table) in tables:
            tables[logical(table)].key = tuple(logical(name) for name in names)
    if INDEXES in held:
        rows = connection.execute(
            f"SELECT table_name, name, definition FROM {quoted(INDEXES)} ORDER BY name"
        ).fetchall()
        for table, name, definition in rows:
            if table in tables:
                about = json.loads(definition)
                tables[table].indexes[name] = Index(
                    name, tuple(about["columns"]), tuple(about["cover"]), about["settings"], about.get("kind", VECTOR)
                )
    return {name: table for name, table in tables.items() if name not in unknown}

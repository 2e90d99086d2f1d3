"""The statements of YQL, as `grammar` reads them."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

# The types of index that USING names.
VECTOR = "vector_kmeans_tree"
FULLTEXT = ("fulltext_plain", "fulltext_relevance")


class Name(NamedTuple):
    """A name of a table, column, index or setting, and where it stands."""

    text: str
    start: int


@dataclass
class TypeName:
    """A type as the text has it: `List<Float>`, `String?`, `Struct<id: Utf8>`."""

    name: str
    items: list["TypeName"]
    start: int
    members: list[str] = field(default_factory=list)


@dataclass
class Statement:
    """What every statement has: where it begins and ends in the text, without its semicolon."""

    start: int = field(default=0, kw_only=True)
    end: int = field(default=0, kw_only=True)


@dataclass
class Named(Statement):
    """`$name = expression;`, or a SELECT, or a lambda."""

    name: str
    value: Any


@dataclass
class Declare(Statement):
    """`DECLARE $name AS Type;`."""

    name: str
    kind: TypeName


@dataclass
class Pragma(Statement):
    """`PRAGMA name = value;`."""

    name: str
    value: str | None


@dataclass
class ColumnDefinition:
    """A column of CREATE TABLE."""

    name: Name
    kind: TypeName
    required: bool


@dataclass
class CreateTable(Statement):
    """`CREATE TABLE`, with the indexes in it."""

    table: Name
    columns: list[ColumnDefinition]
    key: list[Name]
    if_not_exists: bool
    indexes: list["AddIndex"]


@dataclass
class DropTable(Statement):
    """`DROP TABLE`."""

    table: Name
    if_exists: bool


@dataclass
class AddIndex(Statement):
    """`ALTER TABLE t ADD INDEX`; `kind` as `catalog.Index` has it."""

    table: Name
    index: Name
    columns: list[Name]
    cover: list[Name]
    settings: dict[str, tuple[str, int]]
    kind: str = "vector_kmeans_tree"


@dataclass
class AddColumn(Statement):
    """`ALTER TABLE t ADD COLUMN`."""

    table: Name
    column: ColumnDefinition


@dataclass
class DropColumn(Statement):
    """`ALTER TABLE t DROP COLUMN`."""

    table: Name
    column: Name


@dataclass
class RenameIndex(Statement):
    """`ALTER TABLE t RENAME INDEX i TO j`."""

    table: Name
    index: Name
    to: Name


@dataclass
class ShowCreate(Statement):
    """`SHOW CREATE TABLE t`."""

    table: Name


@dataclass
class DropIndex(Statement):
    """`ALTER TABLE t DROP INDEX`."""

    table: Name
    index: Name


@dataclass
class Write(Statement):
    """`INSERT`, `UPSERT` or `REPLACE`: rows of expressions, or a SELECT."""

    verb: str
    table: Name
    columns: list[Name]
    rows: list[list[Any]]
    query: Any


@dataclass
class Update(Statement):
    """`UPDATE t SET ... WHERE`."""

    table: Name
    changes: list[tuple[Name, Any]]
    where: Any


@dataclass
class Delete(Statement):
    """`DELETE FROM t WHERE`."""

    table: Name
    where: Any


@dataclass
class Transaction(Statement):
    """`BEGIN`, `COMMIT` or `ROLLBACK`."""

    verb: str


@dataclass
class Query(Statement):
    """A SELECT."""

    select: Any

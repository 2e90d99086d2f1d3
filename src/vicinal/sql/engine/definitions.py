"""Changes of the schema: tables and their indexes.

DuckDB alters no table that has an index of its own; these are dropped before a hidden column comes or goes, and made
again afterwards, within the same transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vicinal.errors import unknown
from vicinal.sql.catalog import FULLTEXT, VECTOR, Index, Table, check_name, quoted
from vicinal.sql.engine import schema
from vicinal.sql.engine.connection import Connection
from vicinal.sql.engine.fulltext import FullText
from vicinal.sql.engine.index_catalog import IndexCatalog
from vicinal.sql.engine.vector_index import VectorIndexes
from vicinal.sql.faults import TableExists, fault, place
from vicinal.sql.parse import statements
from vicinal.sql.vectors import trees

Tables = Callable[[], dict[str, Table]]


class Definitions:
    """The tables and indexes of a database.

    connection : the database's
    tables     : gives the tables by name
    forget     : makes `tables` read the catalog anew
    forests    : the trees of vector indexes that were read
    """

    def __init__(
        self,
        connection: Connection,
        tables: Tables,
        forget: Callable[[], None],
        forests: dict[tuple[str, str], trees.Forest],
    ) -> None:
        self._connection, self._tables, self._forget = connection, tables, forget
        self._catalog = IndexCatalog(connection)
        self.vectors = VectorIndexes(connection, self._catalog, forests)
        self.texts = FullText(connection, self._catalog)

    def assign(self, table: Table, index: Index) -> None:
        """Brings an index up to date with rows that came or changed."""
        if index.kind == VECTOR:
            self.vectors.assign(table, index)
        elif index.kind in FULLTEXT:
            self.texts.assign(table, index)

    def run(self, statement: Any, text: str) -> None:
        """Runs CREATE TABLE, DROP TABLE or ALTER TABLE."""
        with self._connection.errors(text, statement.start):
            if isinstance(statement, statements.CreateTable):
                self._create(statement, text)
                return
            if isinstance(statement, statements.DropTable):
                self._drop(statement, text)
                return
            self._connection.require()
            table = schema.find_table(statement.table, self._tables(), text)
            schema.refuse_registered(table, statement.table, text)
            with self._connection.whole():
                if isinstance(statement, statements.AddIndex):
                    self._add(table, statement, text)
                elif isinstance(statement, statements.AddColumn):
                    self._add_column(table, statement, text)
                elif isinstance(statement, statements.DropColumn):
                    self._drop_column(table, statement, text)
                elif isinstance(statement, statements.RenameIndex):
                    self._rename(table, statement, text)
                else:
                    self._drop_index(table, statement, text)

    def _create(self, statement: statements.CreateTable, text: str) -> None:
        name = statement.table
        if name.text in self._tables():
            if statement.if_not_exists:
                return
            remedy = "name another, or write CREATE TABLE IF NOT EXISTS"
            raise TableExists(f"table {name.text} exists already; {remedy}", *place(text, name.start))
        nodes = schema.create_table(statement, self._tables(), text)
        with self._connection.creating(), self._connection.whole():
            for node in nodes:
                self._connection.rows(node, text, statement.start)
            for index in statement.indexes:
                self._forget()
                self._add(self._tables()[name.text], index, text)

    def _drop(self, statement: statements.DropTable, text: str) -> None:
        if statement.if_exists and statement.table.text not in self._tables():
            return
        self._connection.require()
        table = schema.find_table(statement.table, self._tables(), text)
        schema.refuse_registered(table, statement.table, text)
        with self._connection.whole():
            self._connection.duck.execute(f"DROP TABLE {quoted(table.physical)}")
            if table.indexes:
                self._catalog.remove(table)

    def _add_column(self, table: Table, statement: statements.AddColumn, text: str) -> None:
        with self._altering(table):
            for node in schema.add_column(statement.column, table, text):
                self._connection.rows(node, text, statement.start)

    def _drop_column(self, table: Table, statement: statements.DropColumn, text: str) -> None:
        name = statement.column
        if name.text not in table.columns:
            raise fault(text, name.start, unknown("column", name.text, table.columns))
        users = [one.name for one in table.indexes.values() if name.text in (*one.columns, *one.cover)]
        if name.text in table.key or users:
            user = f"index {users[0]}; drop the index first" if users else "the primary key; make another table"
            raise fault(text, name.start, f"column {name.text} is part of {user}")
        with self._altering(table):
            self._connection.rows(schema.drop_column(table, name.text), text, statement.start)

    # Indexes.

    def _add(self, table: Table, statement: statements.AddIndex, text: str) -> None:
        name = statement.index
        check_name(name, text)
        if name.text.lower() in {one.lower() for one in table.indexes}:
            raise fault(text, name.start, f"index {name.text} exists already, in this or another case; name another")
        for column in (*statement.columns, *statement.cover):
            if column.text not in table.columns:
                raise fault(text, column.start, unknown("column", column.text, table.columns))
        if statement.kind == "secondary":
            names = tuple(one.text for one in statement.columns), tuple(one.text for one in statement.cover)
            index = Index(name.text, *names, {}, statement.kind)
            self._catalog.keep(table, index)
            self._make_plain(table, index)
            return
        with self._altering(table):
            (self.texts if statement.kind in FULLTEXT else self.vectors).add(table, statement, text)

    def _rename(self, table: Table, statement: statements.RenameIndex, text: str) -> None:
        index = self._index(table, statement.index, text)
        check_name(statement.to, text)
        if statement.to.text.lower() in {one.lower() for one in table.indexes if one != index.name}:
            raise fault(text, statement.to.start, f"index {statement.to.text} exists already; drop it first")
        to = Index(statement.to.text, index.columns, index.cover, index.settings, index.kind)
        if index.plain:
            self._connection.duck.execute(f"DROP INDEX {_plain_name(table, index)}")
            self._make_plain(table, to)
        else:
            with self._altering(table):
                self._connection.duck.execute(
                    f"ALTER TABLE {quoted(table.physical)} RENAME COLUMN {quoted(index.physical)} "
                    f"TO {quoted(to.physical)}"
                )
        self._catalog.rename(table, index.name, to.name)

    def _drop_index(self, table: Table, statement: statements.DropIndex, text: str) -> None:
        index = self._index(table, statement.index, text)
        self._catalog.remove(table, index.name)
        if index.plain:
            self._connection.duck.execute(f"DROP INDEX {_plain_name(table, index)}")
            return
        with self._altering(table):
            self._connection.duck.execute(f"ALTER TABLE {quoted(table.physical)} DROP COLUMN {quoted(index.physical)}")

    def _index(self, table: Table, name: statements.Name, text: str) -> Index:
        if name.text not in table.indexes:
            raise fault(text, name.start, unknown("index", name.text, table.indexes))
        return table.indexes[name.text]

    @contextmanager
    def _altering(self, table: Table) -> Iterator[None]:
        """Runs a block without DuckDB's own indexes of a table."""
        plain = [one for one in table.indexes.values() if one.plain]
        for index in plain:
            self._connection.duck.execute(f"DROP INDEX {_plain_name(table, index)}")
        yield
        for index in plain:
            self._make_plain(table, index)

    def _make_plain(self, table: Table, index: Index) -> None:
        columns = ", ".join(quoted(table.columns[one].physical) for one in index.columns)
        self._connection.duck.execute(
            f"CREATE INDEX {_plain_name(table, index)} ON {quoted(table.physical)} ({columns})"
        )


def _plain_name(table: Table, index: Index) -> str:
    return quoted(f"~{table.physical}{index.physical}")

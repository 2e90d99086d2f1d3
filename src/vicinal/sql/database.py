"""A database that runs YQL.

One connection, one file. Each statement is a transaction of its own unless BEGIN opened one. Everything that a
statement needs belongs to its database; two databases share nothing.
"""

import functools
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from vicinal.errors import need
from vicinal.sql import catalog
from vicinal.sql.catalog import Table
from vicinal.sql.compile.changes import change
from vicinal.sql.compile.nodes import Node, Select
from vicinal.sql.compile.parameters import declared, parameter
from vicinal.sql.compile.select import PAIRS, Compiler
from vicinal.sql.compile.values import Deferred, Relation
from vicinal.sql.engine import ranking, registered, schema
from vicinal.sql.engine.connection import Connection
from vicinal.sql.engine.definitions import Definitions
from vicinal.sql.engine.pragmas import top_size
from vicinal.sql.engine.sharing import Shared
from vicinal.sql.faults import ReadOnly, SchemaInTransaction, fault, outside, place
from vicinal.sql.loading import BulkRows
from vicinal.sql.parse import statements
from vicinal.sql.parse.grammar import parse
from vicinal.sql.rows import Rows, last
from vicinal.sql.types import UTF8

FEW = 1000  # up to so many rows come as tuples
MOST_REMEMBERED = 4096  # characters of a text whose statements are kept for the next time


class Database(BulkRows):
    """A database in one file, or in memory, that runs YQL; use it as a context manager, or `close` it.

    Parameters
    ----------
    path : str or Path
        The file, or ":memory:". A file that does not exist is made by the first CREATE TABLE (or import); no other
        statement makes one.
    read_only : bool
        Refuse every change; the file must exist.
    threads : int, optional
        How many threads; all cores where it is left out.

    Raises
    ------
    UsageError
        The file cannot be opened.

    Examples
    --------
    >>> with Database(":memory:") as db:
    ...     db.execute("SELECT Knn::EuclideanDistance($a, $b) AS d", {"$a": [0.0, 3.0], "$b": [4.0, 0.0]})[0]
    (5.0,)
    """

    def __init__(self, path: str | Path = ":memory:", read_only: bool = False, threads: int | None = None) -> None:
        need("sqlglot", extra="sql")
        self._begin(Connection(path, read_only, threads), Shared())
        self._owner = threading.current_thread()  # of the open transaction

    def _begin(self, connection: Connection, shared: Shared) -> None:
        self._connection, self._shared = connection, shared
        self._definitions = Definitions(connection, self.tables, self._forget, shared.forests)
        self._top_size = 10

    @property
    def path(self) -> str:
        """The file, or ":memory:"."""
        return self._connection.path

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._connection.read_only

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; an open transaction is rolled back, and no statement runs any more."""
        self._connection.close()

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Make the file where it does not exist; where the block fails, such a file is removed."""
        with self._turn(), self._connection.creating():
            yield

    def tables(self) -> dict[str, Table]:
        """Return the tables by name; none where the file does not exist."""
        with self._turn():
            if not self._connection.exists:
                return {}
            if self._shared.tables is None:
                self._shared.tables = catalog.read(self._connection.duck) | self._shared.registered
            return self._shared.tables

    def register(self, name: str, table: Any) -> None:
        """Add a DataFrame or an Arrow table as a table for reading only, until the database is closed.

        Parameters
        ----------
        name : str
            The table's name; one of that name in the file is hidden.
        table : DataFrame or pyarrow.Table
            The rows, which are copied. A column of lists of numbers becomes one of vectors' byte strings.

        Raises
        ------
        UsageError
            It is no table, or the name is none that a table has.
        DataError
            A column is of a type that YQL has none for.
        """
        with self._turn():
            self._connection.require()
            self._shared.registered[name] = registered.register(self._connection, name, table)
            self._shared.tables = None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Runs a block alone: other threads wait, and they wait for the end of a transaction that a thread has begun.

        A transaction whose thread has ended is rolled back.
        """
        with self._shared.free:
            while self._connection.in_transaction and self._owner is not threading.current_thread():
                if not self._owner.is_alive():
                    self._connection.end(False)
                else:
                    self._shared.free.wait(0.1)  # to see that the owner has ended
            try:
                yield
            finally:
                self._owner = threading.current_thread()
                if not self._connection.in_transaction:
                    self._shared.free.notify_all()

    def execute(self, yql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Run statements and return the rows of the last SELECT.

        Parameters
        ----------
        yql : str
            The statements, with semicolons between them.
        parameters : mapping, optional
            `$name` to a value: bytes, str, int, float, bool, None, or numbers as an array or list, which is a vector's
            byte string unless it is declared as a List.

        Returns
        -------
        Rows
            No rows where there is no SELECT.

        Raises
        ------
        SqlError
            With line and column: a statement is wrong.
        UsageError
            There is no such database, or a parameter has no type.
        DataError
            The data refuse the statement.
        """
        return last(self.run(yql, parameters))

    def run(
        self, yql: str, parameters: Mapping[str, Any] | None = None, names: dict[str, Any] | None = None
    ) -> Iterator[Rows]:
        """Run statements one after another and yield the rows of each SELECT.

        Parameters
        ----------
        yql, parameters
            As `execute` takes them.
        names : dict, optional
            What each `$name` stands for; statements add to it. A prompt passes the same dict each time.
        """
        parsed = self._shared.parse(yql) if len(yql) <= MOST_REMEMBERED else parse(yql)
        names = {} if names is None else names
        given = {name.removeprefix("$"): value for name, value in (parameters or {}).items()}
        declares = {one.name for one in parsed if isinstance(one, statements.Declare)}
        for name in given.keys() - declares:
            names[name] = parameter(name, given[name])
        assigned = {one.name for one in parsed if isinstance(one, statements.Named)}
        for statement in parsed:
            with self._turn():
                self._connection.notices.clear()
                try:
                    found = self._statement(statement, yql, names, given, assigned)
                except RecursionError:
                    raise fault(
                        yql, statement.start, "this statement is nested too deeply; split it with $name = ...;"
                    ) from None
                notices = self._connection.notices[:1]
            for notice in notices:
                self._say("{}:{}: {}".format(*place(yql, statement.start), notice))
            if found is not None:
                yield found

    def _say(self, notice: str) -> None:
        """Tells the user something about a statement that ran."""
        warnings.warn(notice, stacklevel=3)

    # Statements.

    def _statement(
        self, statement: Any, text: str, names: dict[str, Any], given: dict[str, Any], assigned: set[str]
    ) -> Rows | None:
        if isinstance(statement, statements.Named):
            names[statement.name] = Deferred(statement.value, dict(names))
        elif isinstance(statement, statements.Declare):
            names.pop(statement.name, None)
            if statement.name in given or statement.name not in assigned:
                names[statement.name] = declared(statement, text, given)
        elif isinstance(statement, statements.Pragma):
            self._top_size = top_size(statement, text)
        elif isinstance(statement, statements.Transaction):
            self._connection.transact(statement, text)
        elif isinstance(statement, statements.Query):
            return self._query(statement, text, names)
        elif isinstance(statement, statements.ShowCreate):
            return self._show(statement, text)
        else:
            if self.read_only:
                message = "the database is open for reading only; open it without --read-only"
                raise ReadOnly(message, *place(text, statement.start))
            if isinstance(statement, statements.Write | statements.Update | statements.Delete):
                self._change(statement, text, names)
            elif self._connection.in_transaction:
                message = outside("a change of the schema within a transaction", "COMMIT or ROLLBACK first")
                raise SchemaInTransaction(message, *place(text, statement.start))
            else:
                self._schema(statement, text)
        return None

    def _compiler(self, text: str, names: dict[str, Any], start: int) -> Compiler:
        self._connection.require()
        made = Compiler(text, self.tables(), names, functools.partial(self._evaluate, text), self._probe, start)
        made.notices = self._connection.notices
        made.fetch = lambda node: self._connection.arrow(node, text, start)
        made.located = self._located
        return made

    def _named(self, name: statements.Name) -> statements.Name:
        return statements.Name(self._located(name.text), name.start)

    def _located(self, name: str) -> str:
        """The table that a name in a statement stands for."""
        return name

    def _touched(self, read: set[str], changed: set[str]) -> None:
        """Takes note of the tables that a statement read and changed."""

    def _evaluate(self, text: str, node: Node, start: int) -> Any:
        """The value of an expression that is the same for all rows."""
        rows = self._connection.rows(Select([node]), text, start)
        return rows[0][0] if rows else None

    def _probe(self, table: Table, index: str, target: bytes | None) -> list[int]:
        """The clusters that a search of an index visits."""
        self._connection.notices += self._definitions.vectors.unlike(table, index, target)
        return self._definitions.vectors.visit(table, index, target, self._top_size)

    def _query(self, statement: statements.Query, text: str, names: dict[str, Any]) -> Rows:
        compiler = self._compiler(text, names, statement.start)
        ranked = ranking.plan(compiler, statement.select)
        pairs = ranked and ranked.pairs(compiler, self._connection)
        if ranked is None or pairs is None:
            found = compiler.select(statement.select)
            self._touched(compiler.read, set())
            return self._rows(found, compiler)
        with self._connection.registered(PAIRS, pairs):
            compiler.keep_pairs(ranked.inner, ranked.columns)
            found = compiler.select(statement.select)
            self._touched(compiler.read, set())
            return self._rows(found, compiler)

    def _rows(self, query: Relation, compiler: Compiler) -> Rows:
        names = [one.name for one in query.columns]
        kinds = [one.kind.untagged for one in query.columns]
        if query.most <= FEW:
            return Rows(self._connection.rows(query.node, compiler.source, compiler.start), names, kinds)
        return Rows(
            self._connection.arrow(query.node, compiler.source, compiler.start).rename_columns(names), names, kinds
        )

    # Changes.

    def _change(
        self, statement: statements.Write | statements.Update | statements.Delete, text: str, names: dict[str, Any]
    ) -> None:
        compiler = self._compiler(text, names, statement.start)
        table = compiler.table(statement.table)
        schema.refuse_registered(table, statement.table, text)
        if isinstance(statement, statements.Write):
            compiler.read.clear()  # what a write does to a row does not depend on the others
        node, touched = change(compiler, statement, table)
        self._touched(compiler.read, {table.name})
        indexes = [one for one in table.indexes.values() if touched & set(one.columns)]
        if not indexes:
            self._connection.rows(node, text, statement.start)
            return
        with self._connection.whole():
            self._connection.rows(node, text, statement.start)
            for index in indexes:
                self._definitions.assign(table, index)

    def _schema(self, statement: Any, text: str) -> None:
        statement = replace(statement, table=self._named(statement.table))
        self._touched(set(), {statement.table.text})
        try:
            self._definitions.run(statement, text)
        finally:
            self._forget()

    def _forget(self) -> None:
        """Reads the catalog and the indexes anew when they are needed next."""
        self._shared.tables = None
        self._definitions.vectors.forget()

    def _show(self, statement: statements.ShowCreate, text: str) -> Rows:
        self._connection.require()
        table = schema.find_table(self._named(statement.table), self.tables(), text)
        row = (table.name, "Table", schema.shown(table))
        return Rows([row], ["Path", "PathType", "CreateQuery"], [UTF8] * 3)

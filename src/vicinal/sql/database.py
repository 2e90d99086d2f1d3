"""A database that runs YQL.

One connection, one file. Each statement is a transaction of its own unless BEGIN opened one. Everything that a
statement needs belongs to its database; two databases share nothing.
"""

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vicinal.errors import UsageError, need, unknown
from vicinal.sql import catalog
from vicinal.sql.catalog import INDEXES, Table, quoted
from vicinal.sql.compile.changes import change
from vicinal.sql.compile.nodes import STAR, Call, Name, Node, Select, written
from vicinal.sql.compile.parameters import declared, parameter
from vicinal.sql.compile.select import PAIRS, Compiler
from vicinal.sql.compile.values import Deferred, Relation
from vicinal.sql.engine import bulk, ranking, schema
from vicinal.sql.engine.connection import Connection
from vicinal.sql.engine.vector_index import VectorIndexes
from vicinal.sql.faults import SqlError, fault, outside
from vicinal.sql.parse import statements
from vicinal.sql.parse.grammar import parse
from vicinal.sql.rows import Rows, last
from vicinal.sql.types import Type

TOP_SIZE = "ydb.KMeansTreeSearchTopSize"
FEW = 1000  # up to so many rows come as tuples
MOST_REMEMBERED = 4096  # characters of a text whose statements are kept for the next time


class Database:
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
        self._connection = Connection(path, read_only, threads)
        self._lock = threading.RLock()
        self._parse = functools.lru_cache(maxsize=256)(parse)
        self._tables: dict[str, Table] | None = None
        self._indexes = VectorIndexes(self._connection)
        self._pragmas: dict[str, str] = {}

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

    def tables(self) -> dict[str, Table]:
        """Return the tables by name; none where the file does not exist."""
        if not self._connection.exists:
            return {}
        if self._tables is None:
            self._tables = catalog.read(self._connection.duck)
        return self._tables

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
        parsed = self._parse(yql) if len(yql) <= MOST_REMEMBERED else parse(yql)
        names = {} if names is None else names
        given = {name.removeprefix("$"): value for name, value in (parameters or {}).items()}
        for name, value in given.items():
            names[name] = parameter(name, value)
        for statement in parsed:
            with self._lock:
                try:
                    found = self._statement(statement, yql, names, given)
                except RecursionError:
                    raise fault(
                        yql, statement.start, "this statement is nested too deeply; split it with $name = ...;"
                    ) from None
            if found is not None:
                yield found

    # Statements.

    def _statement(self, statement: Any, text: str, names: dict[str, Any], given: dict[str, Any]) -> Rows | None:
        if isinstance(statement, statements.Named):
            names[statement.name] = Deferred(statement.value, dict(names))
        elif isinstance(statement, statements.Declare):
            names[statement.name] = declared(statement, text, given)
        elif isinstance(statement, statements.Pragma):
            self._pragma(statement, text)
        elif isinstance(statement, statements.Transaction):
            self._transaction(statement, text)
        elif isinstance(statement, statements.Query):
            return self._query(statement, text, names)
        else:
            if self.read_only:
                raise fault(text, statement.start, "the database is open for reading only; open it without --read-only")
            if isinstance(statement, statements.Write | statements.Update | statements.Delete):
                self._change(statement, text, names)
            elif self._connection.in_transaction:
                remedy = "COMMIT or ROLLBACK first"
                raise fault(text, statement.start, outside("a change of the schema within a transaction", remedy))
            else:
                self._schema(statement, text)
        return None

    def _pragma(self, statement: statements.Pragma, text: str) -> None:
        if statement.name != TOP_SIZE:
            raise fault(text, statement.start, outside(f"PRAGMA {statement.name}", f"there is {TOP_SIZE}"))
        value = statement.value or ""
        if not value.isdigit() or int(value) < 1:
            raise fault(text, statement.start, f"PRAGMA {TOP_SIZE}: expected a whole number above 0, found {value!r}")
        self._pragmas[TOP_SIZE] = value

    def _transaction(self, statement: statements.Transaction, text: str) -> None:
        if statement.verb == "BEGIN":
            if self._connection.in_transaction:
                raise fault(text, statement.start, "a transaction is open already; COMMIT or ROLLBACK it first")
            self._connection.begin()
        elif not self._connection.in_transaction:
            raise fault(text, statement.start, f"{statement.verb}: no transaction is open; BEGIN opens one")
        elif not self._connection.end(statement.verb == "COMMIT"):
            raise fault(
                text,
                statement.start,
                "a statement of this transaction failed, so it was rolled back; run its statements again from BEGIN",
            )

    def _compiler(self, text: str, names: dict[str, Any], start: int) -> Compiler:
        self._connection.require()
        return Compiler(text, self.tables(), names, functools.partial(self._evaluate, text), self._probe, start)

    def _evaluate(self, text: str, node: Node, start: int) -> Any:
        """The value of an expression that is the same for all rows."""
        rows = self._connection.rows(Select([node]), text, start)
        return rows[0][0] if rows else None

    def _probe(self, table: Table, index: str, target: bytes | None) -> list[int]:
        """The clusters that a search of an index visits."""
        return self._indexes.visit(table, index, target, int(self._pragmas.get(TOP_SIZE, "10")))

    def _query(self, statement: statements.Query, text: str, names: dict[str, Any]) -> Rows:
        compiler = self._compiler(text, names, statement.start)
        ranked = ranking.plan(compiler, statement.select)
        pairs = ranked and ranked.pairs(compiler, self._connection)
        if ranked is None or pairs is None:
            return self._rows(compiler.select(statement.select), compiler)
        with self._connection.registered(PAIRS, pairs):
            compiler.keep_pairs(ranked.inner, ranked.columns)
            return self._rows(compiler.select(statement.select), compiler)

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
        node, touched = change(compiler, statement, table)
        indexes = [one for one in table.indexes.values() if touched & set(one.columns)]
        if not indexes:
            self._connection.rows(node, text, statement.start)
            return
        with self._connection.whole():
            self._connection.rows(node, text, statement.start)
            for index in indexes:
                self._indexes.assign(table, index)

    def _schema(self, statement: Any, text: str) -> None:
        try:
            with self._connection.errors(text, statement.start):
                if isinstance(statement, statements.CreateTable):
                    self._create(statement, text)
                    return
                dropped = isinstance(statement, statements.DropTable) and statement.if_exists
                if dropped and statement.table.text not in self.tables():
                    return
                table = self._compiler(text, {}, statement.start).table(statement.table)
                with self._connection.whole():
                    if isinstance(statement, statements.DropTable):
                        self._drop(table)
                    elif isinstance(statement, statements.AddIndex):
                        self._indexes.add(table, statement, text)
                    else:
                        self._drop_index(table, statement, text)
        finally:
            self._forget()

    def _forget(self) -> None:
        """Reads the catalog and the indexes anew when they are needed next."""
        self._tables = None
        self._indexes.forget()

    def _create(self, statement: statements.CreateTable, text: str) -> None:
        name = statement.table
        if name.text in self.tables():
            if statement.if_not_exists:
                return
            remedy = "name another, or write CREATE TABLE IF NOT EXISTS"
            raise fault(text, name.start, f"table {name.text} exists already; {remedy}")
        node = schema.create_table(statement, self.tables(), text)
        with self._connection.creating(), self._connection.whole():
            self._connection.rows(node, text, statement.start)
            for index in statement.indexes:
                self._tables = None
                self._indexes.add(self.tables()[name.text], index, text)

    def _drop(self, table: Table) -> None:
        self._connection.duck.execute(f"DROP TABLE {quoted(table.physical)}")
        if table.indexes:
            self._connection.duck.execute(f"DELETE FROM {quoted(INDEXES)} WHERE table_name = $1", [table.name])

    def _drop_index(self, table: Table, statement: statements.DropIndex, text: str) -> None:
        if statement.index.text not in table.indexes:
            raise fault(text, statement.index.start, unknown("index", statement.index.text, table.indexes))
        self._indexes.drop(table, statement.index.text)

    # Rows in bulk.

    def load(
        self,
        name: str,
        kinds: dict[str, Type],
        key: str,
        batches: Iterator[Any],
        total: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> int:
        """Insert Arrow tables into a table as one transaction.

        Parameters
        ----------
        name : str
            The table; it is made where it does not exist, and so is the file.
        kinds : dict
            Each column's type, in the order in which the Arrow tables have them.
        key : str
            The primary key of a new table.
        batches : iterator of pyarrow.Table
        total : int
            How many rows there are.
        progress : callable, optional
            Called with the rows done and `total`.

        Returns
        -------
        int
            The number of rows.

        Raises
        ------
        DataError
            A row does not fit; nothing is inserted then.
        """
        if self._connection.in_transaction:
            raise UsageError("an import within a transaction is not possible; COMMIT or ROLLBACK first")
        try:
            with (
                self._lock,
                self._connection.creating(),
                self._connection.load_errors(name),
                self._connection.whole(),
            ):
                if name not in self.tables():
                    self._connection.rows(schema.create_table(bulk.definition(name, kinds, key), self.tables(), ""))
                    self._tables = None
                table = self.tables()[name]
                done = self._insert(table, kinds, batches, total, progress)
                for index in table.indexes.values():
                    self._indexes.assign(table, index)
        except SqlError as error:  # a name or type that no table takes; there is no text to point at
            raise UsageError(f"table {name}: {error.message}") from None
        finally:
            self._forget()
        return done

    def _insert(
        self,
        table: Table,
        kinds: dict[str, Type],
        batches: Iterator[Any],
        total: int,
        progress: Callable[[int, int], None] | None,
    ) -> int:
        """Inserts Arrow tables; gives the number of their rows."""
        duck, insert, done = self._connection.duck, written(bulk.insertion(table, kinds)).sql, 0
        for batch in batches:
            with self._connection.registered(bulk.BATCH, batch.rename_columns([f"c{i}" for i in range(len(kinds))])):
                duck.execute(insert).fetchall()
            done += batch.num_rows
            if progress:
                progress(done, total)
        return done

    def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        return int(self._connection.rows(Select([Call("count", [STAR])], Name(table.physical)))[0][0])

    def stream(self, table: Table, columns: list[str], size: int) -> Any:
        """Return a reader of a table's rows in the order of its primary key, as Arrow batches of `size` rows."""
        return self._connection.duck.sql(written(bulk.ordered(table, columns)).sql).to_arrow_reader(size)

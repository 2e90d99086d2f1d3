"""Statements of YQL on an embedded database.

One connection, one file. Each statement is a transaction of its own unless BEGIN opened one. The database reaches no
other file and no network, and loads no extension.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from vicinal.errors import DataError, UsageError, need, unknown
from vicinal.sql import catalog
from vicinal.sql.catalog import INDEXES, Table, quoted
from vicinal.sql.compile.functions import DISTANCES
from vicinal.sql.compile.parameters import declared, parameter
from vicinal.sql.engine.vector_index import VectorIndexes
from vicinal.sql.faults import fault, place
from vicinal.sql.parse import statements
from vicinal.sql.parse.statements import Name
from vicinal.sql.rows import Rows, last
from vicinal.sql.types import STRING, Type, named
from vicinal.sql.vectors import binary

SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "error_on_division_by_zero": "false",
    # It reads the rows of ORDER BY ... LIMIT a second time, and so measures them twice.
    "disabled_optimizers": "late_materialization",
}
TOP_SIZE = "ydb.KMeansTreeSearchTopSize"
FEW = 1000
_PARAMETER = re.compile(r'"(?:[^"]|"")*"|\$(\d+)')  # a quoted name is no place for a value

# The vectors that running statements compare with, by the numbers that stand for them.
_targets: dict[int, Any] = {}


class Database:
    """An embedded database that speaks YQL; use it as a context manager, or `close` it.

    path      : a file, made where it does not exist, or ":memory:"
    read_only : refuse every change; the file must exist
    threads   : DuckDB's threads, None for all cores
    Raises    UsageError where the file cannot be opened
    >>> with Database(":memory:") as db:
    ...     db.execute("SELECT Knn::EuclideanDistance($a, $b) AS d", {"$a": [0.0, 3.0], "$b": [4.0, 0.0]})[0]
    (5.0,)
    """

    def __init__(self, path: str | Path = ":memory:", read_only: bool = False, threads: int | None = None) -> None:
        duckdb = need("duckdb", extra="sql")
        need("sqlglot", extra="sql")
        self._duckdb, self.path, self.read_only = duckdb, str(path), read_only
        if read_only and not Path(path).is_file():
            raise UsageError(f"{path}: no such database; a read-only one must exist")
        if self.path != ":memory:" and not Path(path).absolute().parent.is_dir():
            raise UsageError(f"{path}: the folder {Path(path).absolute().parent} does not exist; make it first")
        _refuse_other_file(Path(path))
        settings = SETTINGS | ({"threads": str(threads)} if threads else {})
        try:
            self._connection = duckdb.connect(self.path, read_only=read_only, config=settings)
        except duckdb.Error as error:
            raise UsageError(f"{path}: cannot be opened: {_first_line(error)}") from None
        self._install()
        self._connection.execute("SET lock_configuration = true")
        self._lock = threading.RLock()
        self._tables: dict[str, Table] | None = None
        self._indexes = VectorIndexes(self._connection)
        self._open = self._failed = False
        self.pragmas: dict[str, str] = {}

    def _install(self) -> None:
        def add(name: str, function: Any, takes: list[str], gives: str) -> None:
            self._connection.create_function(
                name, function, takes, gives, type="arrow", null_handling="special", side_effects=False
            )

        for name in DISTANCES:
            add(f"knn_{name}", _between(name), ["BLOB", "BLOB"], "FLOAT")
            add(f"knn_{name}_to", _to_target(name), ["BLOB", "INTEGER"], "FLOAT")
        for one in binary.FORMATS:
            item = "DOUBLE" if one.name == "Bit" else Type(one.element).duck
            add(f"knn_encode_{one.name.lower()}", _encoder(one.name), [f"{item}[]"], "BLOB")
        from vicinal.sql.engine import ranking

        add("knn_measure", ranking.measure, ["BIGINT", "BLOB", "INTEGER"], "INTEGER")
        add("knn_decode", lambda strings: binary.decode_column(strings), ["BLOB"], "FLOAT[]")

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; an open transaction is rolled back."""
        self._connection.close()

    def tables(self) -> dict[str, Table]:
        """The tables by name."""
        if self._tables is None:
            self._tables = catalog.read(self._connection)
        return self._tables

    def execute(self, yql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Runs statements; the rows of the last SELECT, no rows where there is none.

        parameters : `$name` to a value: bytes, str, int, float, bool, None, or numbers as an array or list, which is a
                     vector's byte string unless it is declared as a List
        Raises     SqlError with line and column; DataError where the data refuse the statement
        """
        return last(self.run(yql, parameters))

    def run(
        self, yql: str, parameters: Mapping[str, Any] | None = None, names: dict[str, Any] | None = None
    ) -> Iterator[Rows]:
        """Runs statements one after another; the rows of each SELECT.

        names : what `$name`s stand for; a prompt hands in the same dict each time
        """
        from vicinal.sql.parse.grammar import parse

        parsed = parse(yql)
        names = {} if names is None else names
        given = {name.removeprefix("$"): value for name, value in (parameters or {}).items()}
        for name, value in given.items():
            names[name] = parameter(name, value)
        for statement in parsed:
            with self._lock:
                try:
                    found = self._statement(statement, yql, names, given)
                except RecursionError:
                    raise fault(yql, statement.start, "this statement is nested too deeply") from None
            if found is not None:
                yield found

    # Statements.

    def _statement(self, statement: Any, text: str, names: dict[str, Any], given: dict[str, Any]) -> Rows | None:
        from vicinal.sql.compile.expressions import Deferred

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
                raise fault(text, statement.start, "the database is open for reading only")
            if isinstance(statement, statements.Write | statements.Update | statements.Delete):
                self._change(statement, text, names)
            elif self._open:
                raise fault(text, statement.start, "a change of the schema within a transaction is outside the subset")
            else:
                self._schema(statement, text)
        return None

    def _pragma(self, statement: Any, text: str) -> None:
        if statement.name != TOP_SIZE:
            raise fault(text, statement.start, f"PRAGMA {statement.name} is outside the subset; there is {TOP_SIZE}")
        if not (statement.value or "").isdigit() or int(statement.value) < 1:
            raise fault(text, statement.start, f"PRAGMA {TOP_SIZE}: expected a whole number above 0")
        self.pragmas[TOP_SIZE] = statement.value

    def _transaction(self, statement: Any, text: str) -> None:
        if statement.verb == "BEGIN":
            if self._open:
                raise fault(text, statement.start, "a transaction is open already")
            self._connection.execute("BEGIN TRANSACTION")
            self._open, self._failed = True, False
            return
        if not self._open:
            raise fault(text, statement.start, f"{statement.verb}: no transaction is open")
        failed, self._open, self._failed = self._failed, False, False
        self._connection.execute("ROLLBACK" if failed else statement.verb)
        if failed and statement.verb == "COMMIT":
            raise fault(text, statement.start, "a statement of this transaction failed, so it was rolled back")

    def _lowering(self, text: str, names: dict[str, Any], start: int = 0) -> Any:
        from vicinal.sql.compile.lowering import Lowering

        return Lowering(text, self.tables(), names, self._evaluate, self._probe, start)

    def _probe(self, table: Table, index: str, target: bytes | None) -> list[int]:
        """The clusters that a search of an index visits."""
        return self._indexes.visit(table, index, target, int(self.pragmas.get(TOP_SIZE, "10")))

    def _query(self, statement: Any, text: str, names: dict[str, Any]) -> Rows:
        from vicinal.sql.engine import ranking

        low = self._lowering(text, names, statement.start)
        ranked = ranking.plan(low, statement.select)
        if ranked is not None:
            return ranked.run(self, low)
        return self.rows(low.select(statement.select), low)

    def rows(self, query: Any, low: Any) -> Rows:
        """Runs a lowered SELECT."""
        names = [name for name, _, _ in query.columns]
        kinds = [kind.untagged for _, _, kind in query.columns]
        if query.most <= FEW:
            return Rows(self._run(query.text, low, low.start), names, kinds)
        return Rows(self.arrow(query.text, low).rename_columns(names), names, kinds)

    def arrow(self, sql: str, low: Any) -> Any:
        """DuckDB's answer to a lowered text as an Arrow table."""
        return self._run(sql, low, low.start, arrow=True)

    @contextmanager
    def registered(self, name: str, table: Any) -> Iterator[None]:
        """An Arrow table under a name within a block."""
        self._connection.register(name, table)
        try:
            yield
        finally:
            self._connection.unregister(name)

    def _evaluate(self, low: Any, query: Any, start: int) -> Any:
        """The one value of an expression that needs no row."""
        rows = self._run(query.text, low, start)
        return rows[0][0] if rows else None

    def _run(self, sql: str, low: Any, start: int, arrow: bool = False) -> Any:
        """DuckDB's answer as an Arrow table, or as tuples, which is quicker for a few; an error is said of `start`."""
        pyarrow = need("pyarrow", extra="sql")
        sql, bound = _used(sql, low.bound)
        for number, string in low.targets.items():
            _targets[number] = binary.Strings(pyarrow.array([string], pyarrow.binary()))
        try:
            if arrow:
                return self._connection.sql(sql, params=bound).to_arrow_table()
            return self._connection.execute(sql, bound).fetchall()
        except self._duckdb.Error as error:
            self._failed = self._open
            raise self._refused(error, low.source, start) from None
        finally:
            for number in low.targets:
                _targets.pop(number, None)

    def _refused(self, error: Exception, text: str, start: int) -> Exception:
        """DuckDB's error as ours, at a place of the text."""
        said = _first_line(error)
        where = "{}:{}: ".format(*place(text, start))
        if isinstance(error, self._duckdb.ConstraintException):
            if "uplicate key" in said:
                return DataError(f"{where}a row with this key exists already ({said}); UPSERT changes it")
            if "NOT NULL" in said:
                return DataError(f"{where}NULL in a column of the primary key or NOT NULL ({said})")
            return DataError(where + said)
        if isinstance(error, self._duckdb.OutOfRangeException | self._duckdb.ConversionException):
            return DataError(where + said)
        return fault(text, start, f"this statement cannot be run: {said}")

    # Changes.

    def _change(self, statement: Any, text: str, names: dict[str, Any]) -> None:
        from vicinal.sql.compile.changes import change

        low = self._lowering(text, names, statement.start)
        table = low.table(statement.table)
        sql, touched = change(low, statement, table)
        indexes = [one for one in table.indexes.values() if touched & set(one.columns)]
        if not indexes:
            self._run(sql, low, low.start)
            return
        with _Whole(self):
            self._run(sql, low, low.start)
            for index in indexes:
                self._indexes.assign(table, index)

    def _schema(self, statement: Any, text: str) -> None:
        try:
            with _Whole(self):
                if isinstance(statement, statements.CreateTable):
                    self._create(statement, text)
                elif isinstance(statement, statements.DropTable):
                    self._drop(statement, text)
                elif isinstance(statement, statements.AddIndex):
                    self._add_index(statement, text)
                else:
                    self._drop_index(statement, text)
        except self._duckdb.Error as error:
            raise self._refused(error, text, statement.start) from None
        finally:
            self._tables = None
            self._indexes.forget()

    def _create(self, statement: Any, text: str) -> None:
        name = statement.table
        if name.text in self.tables():
            if statement.if_not_exists:
                return
            raise fault(text, name.start, f"table {name.text} exists already")
        catalog.check_name(name, text)
        if not statement.key:
            raise fault(text, statement.start, f"table {name.text} needs a PRIMARY KEY")
        parts: list[str] = []
        taken: set[str] = set()
        columns: dict[str, str] = {}
        for column in statement.columns:
            catalog.check_name(column.name, text)
            if column.name.text in columns:
                raise fault(text, column.name.start, f"column {column.name.text} stands twice")
            try:
                kind = named(column.kind)
            except ValueError as error:
                raise fault(text, column.kind.start, str(error)) from None
            if kind.item is not None:
                raise fault(text, column.kind.start, f"a column of type {kind} is outside the subset")
            columns[column.name.text] = physical = catalog.physical_name(column.name.text, taken)
            taken.add(physical.lower())
            # Vectors do not compress, and a scan that reads few of them is several times faster without.
            storage = " USING COMPRESSION uncompressed" if kind == STRING else ""
            required = " NOT NULL" if column.required else ""
            parts.append(f"{quoted(physical)} {kind.duck}{storage}{required}")
        for key in statement.key:
            if key.text not in columns:
                raise fault(text, key.start, f"PRIMARY KEY names column {key.text}, which the table does not have")
        if len({key.text for key in statement.key}) < len(statement.key):
            raise fault(text, statement.key[0].start, "PRIMARY KEY names a column twice")
        keys = ", ".join(quoted(columns[key.text]) for key in statement.key)
        held = {one.physical.lower() for one in self.tables().values()}
        physical = catalog.physical_name(name.text, held)
        self._connection.execute(f"CREATE TABLE {quoted(physical)} ({', '.join(parts)}, PRIMARY KEY ({keys}))")
        for index in statement.indexes:
            self._tables = None
            self._add_index(index, text)

    def _drop(self, statement: Any, text: str) -> None:
        if statement.table.text not in self.tables() and statement.if_exists:
            return
        table = self._lowering(text, {}).table(statement.table)
        self._connection.execute(f"DROP TABLE {quoted(table.physical)}")
        if table.indexes:
            self._connection.execute(f"DELETE FROM {quoted(INDEXES)} WHERE table_name = $1", [table.name])

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
        """Inserts Arrow tables into a table, which is made where it does not exist, as one transaction."""
        if self._open:
            raise UsageError("an import within a transaction is not possible; COMMIT or ROLLBACK first")
        done = 0
        try:
            with self._lock, _Whole(self):
                if name not in self.tables():
                    columns = ", ".join(f"{_backticked(one)} {kind}" for one, kind in kinds.items())
                    made = f"CREATE TABLE {_backticked(name)} ({columns}, PRIMARY KEY ({_backticked(key)}))"
                    self._create(_parsed(made), made)
                    self._tables = None
                table = self._lowering("", {}).table(Name(name, 0))
                insert = self._insert(table, kinds)
                for batch in batches:
                    self._connection.register("~import", batch.rename_columns([f"c{i}" for i in range(len(kinds))]))
                    self._connection.execute(insert).fetchall()
                    self._connection.unregister("~import")
                    done += batch.num_rows
                    if progress:
                        progress(done, total)
                for index in table.indexes.values():
                    self._indexes.assign(table, index)
        except self._duckdb.ConstraintException as error:
            said = _first_line(error)
            remedy = "; each row needs a key of its own: --key names the column" if "uplicate key" in said else ""
            raise DataError(f"table {name}: {said}{remedy}") from None
        except self._duckdb.Error as error:
            raise DataError(f"table {name}: {_first_line(error)}") from None
        finally:
            self._tables = None
        return done

    def _insert(self, table: Table, kinds: dict[str, Type]) -> str:
        into, values = [], []
        for number, (name, kind) in enumerate(kinds.items()):
            if name not in table.columns:
                raise UsageError(f"table {table.name}: {unknown('column', name, table.columns)}")
            to = table.columns[name].kind
            value = f"c{number}"
            if to != kind:
                text = {kind.name, to.name} <= {"Utf8", "Json", "String"} and kind.name != "String"
                if not (kind.numeric and to.numeric) and not text:
                    raise DataError(f"table {table.name}: column {name} is {to}, but the data are {kind}")
                value = f"encode({value})" if to == STRING else f"CAST({value} AS {to.duck})"
            into.append(quoted(table.columns[name].physical))
            values.append(value)
        return f'INSERT INTO {quoted(table.physical)} ({", ".join(into)}) SELECT {", ".join(values)} FROM "~import"'

    def count(self, table: Table) -> int:
        """How many rows a table has."""
        return int(self._connection.execute(f"SELECT count(*) FROM {quoted(table.physical)}").fetchall()[0][0])

    def stream(self, table: Table, columns: list[str], order: str, size: int) -> Any:
        """A table's rows as a reader of Arrow batches."""
        wanted = dict.fromkeys(columns)
        names = ", ".join(f"{quoted(table.columns[one].physical)} AS {quoted(one)}" for one in wanted)
        query = f"SELECT {names} FROM {quoted(table.physical)} ORDER BY {order}"
        return self._connection.sql(query).to_arrow_reader(size)

    def _add_index(self, statement: Any, text: str) -> None:
        self._indexes.add(self._lowering(text, {}).table(statement.table), statement, text)

    def _drop_index(self, statement: Any, text: str) -> None:
        table = self._lowering(text, {}).table(statement.table)
        if statement.index.text not in table.indexes:
            raise fault(text, statement.index.start, unknown("index", statement.index.text, table.indexes))
        self._indexes.drop(table, statement.index.text)


class _Whole:
    """All of a block or nothing: a transaction, where none is open."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._own = not database._open

    def __enter__(self) -> None:
        if self._own:
            self._database._connection.execute("BEGIN TRANSACTION")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._own:
            self._database._connection.execute("COMMIT" if error is None else "ROLLBACK")
        elif error is not None:
            self._database._failed = True


def _used(sql: str, bound: list[Any]) -> tuple[str, list[Any]]:
    """A statement and the values that are left in it: what was computed while compiling needs its own no more."""
    used: dict[str, int] = {}
    sql = _PARAMETER.sub(
        lambda found: f"${used.setdefault(found[1], len(used) + 1)}" if found[1] else found[0],
        sql,
    )
    return sql, [bound[int(number) - 1] for number in used]


def _backticked(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _parsed(text: str) -> Any:
    from vicinal.sql.parse.grammar import parse

    return parse(text)[0]


def _refuse_other_file(path: Path) -> None:
    """Raises UsageError where a file is there that is no database of DuckDB's, which DuckDB might write over."""
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if file.read(12)[8:] != b"DUCK":
                raise UsageError(f"{path}: cannot be opened: it is no database of DuckDB's")


def _between(name: str) -> Any:
    return lambda a, b: binary.distance_column(name, a, b)


def _to_target(name: str) -> Any:
    return lambda strings, targets: binary.distance_column(name, strings, _targets[targets[0].as_py()])


def _encoder(name: str) -> Any:
    return lambda lists: binary.encode_column(lists, name)


def _first_line(error: Exception) -> str:
    said = str(error).partition("\n")[0]
    said = re.sub(r"^[\w ]*(Error|Exception): ", "", said)
    return re.sub(r"^Python exception occurred while executing the UDF: \w+: ", "", said)

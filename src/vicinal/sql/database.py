"""Statements of YQL on an embedded database.

One connection, one file. Each statement is a transaction of its own unless BEGIN opened one. The database reaches no
other file and no network, and loads no extension.
"""

import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, need, unknown
from vicinal.sql import binary, catalog, trees
from vicinal.sql.catalog import INDEXES, Table, quoted
from vicinal.sql.faults import SqlError, fault, place
from vicinal.sql.functions import DISTANCES
from vicinal.sql.types import FLOAT, STRING, TIMES, UTF8, Type, list_of, named

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


class Rows:
    """The answer of a SELECT: iterates over tuples.

    columns : names in order
    kinds   : their types in YQL
    """

    def __init__(self, found: Any, columns: list[str], kinds: list[Type]) -> None:
        self._found, self.columns, self.kinds = found, columns, kinds  # an Arrow table, or a few tuples

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        if isinstance(self._found, list):
            yield from self._found
            return
        for batch in self._found.to_batches():
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def __getitem__(self, row: int) -> tuple[Any, ...]:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        row = row % len(self)
        if isinstance(self._found, list):
            return self._found[row]
        return next(iter(Rows(self._found.slice(row, 1), self.columns, self.kinds)))

    def __repr__(self) -> str:
        return f"Rows({', '.join(self.columns)}; {len(self)})"

    def arrow(self) -> Any:
        """The rows as a pyarrow Table."""
        if not isinstance(self._found, list):
            return self._found
        pyarrow = need("pyarrow", extra="sql")
        columns = zip(*self._found, strict=True) if self._found else ([] for _ in self.columns)
        arrays = [pyarrow.array(list(one), _arrow_type(kind)) for one, kind in zip(columns, self.kinds, strict=True)]
        return pyarrow.Table.from_arrays(arrays, names=self.columns)

    def df(self) -> Any:
        """The rows as a pandas DataFrame."""
        need("pandas", extra="sql")
        return self.arrow().to_pandas()


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
        self._forests: dict[tuple[str, str], trees.Forest] = {}
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
        from vicinal.sql import ranking

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
        rows = Rows([], [], [])
        for rows in self.run(yql, parameters):  # noqa: B007
            pass
        return rows

    def run(
        self, yql: str, parameters: Mapping[str, Any] | None = None, names: dict[str, Any] | None = None
    ) -> Iterator[Rows]:
        """Runs statements one after another; the rows of each SELECT.

        names : what `$name`s stand for; a prompt hands in the same dict each time
        """
        from vicinal.sql.grammar import parse

        statements = parse(yql)
        names = {} if names is None else names
        given = {name.removeprefix("$"): value for name, value in (parameters or {}).items()}
        for name, value in given.items():
            names[name] = parameter(name, value)
        for statement in statements:
            with self._lock:
                try:
                    found = self._statement(statement, yql, names, given)
                except RecursionError:
                    raise fault(yql, statement.start, "this statement is nested too deeply") from None
            if found is not None:
                yield found

    # Statements.

    def _statement(self, statement: Any, text: str, names: dict[str, Any], given: dict[str, Any]) -> Rows | None:
        from vicinal.sql import grammar
        from vicinal.sql.lowering import Deferred

        if isinstance(statement, grammar.Named):
            names[statement.name] = Deferred(statement.value, dict(names))
        elif isinstance(statement, grammar.Declare):
            names[statement.name] = declared(statement, text, given)
        elif isinstance(statement, grammar.Pragma):
            self._pragma(statement, text)
        elif isinstance(statement, grammar.Transaction):
            self._transaction(statement, text)
        elif isinstance(statement, grammar.Query):
            return self._query(statement, text, names)
        else:
            if self.read_only:
                raise fault(text, statement.start, "the database is open for reading only")
            if isinstance(statement, grammar.Write | grammar.Update | grammar.Delete):
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
        from vicinal.sql.lowering import Lowering

        return Lowering(text, self.tables(), names, self._evaluate, self._probe, start)

    def _query(self, statement: Any, text: str, names: dict[str, Any]) -> Rows:
        from vicinal.sql import ranking

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
        from vicinal.sql import grammar

        low = self._lowering(text, names, statement.start)
        table = low.table(statement.table)
        if isinstance(statement, grammar.Write):
            sql, touched = _write(low, statement, table)
        elif isinstance(statement, grammar.Update):
            sql, touched = _update(low, statement, table)
        else:
            source = _source(low, statement.where, table)
            sql, touched = f"DELETE FROM {quoted(table.physical)} AS t0{source}", set()
        indexes = [one for one in table.indexes.values() if touched & set(one.columns)]
        if not indexes:
            self._run(sql, low, low.start)
            return
        with _Whole(self):
            self._run(sql, low, low.start)
            for index in indexes:
                self._assign(table, index)

    def _schema(self, statement: Any, text: str) -> None:
        from vicinal.sql import grammar

        try:
            with _Whole(self):
                if isinstance(statement, grammar.CreateTable):
                    self._create(statement, text)
                elif isinstance(statement, grammar.DropTable):
                    self._drop(statement, text)
                elif isinstance(statement, grammar.AddIndex):
                    self._add_index(statement, text)
                else:
                    self._drop_index(statement, text)
        except self._duckdb.Error as error:
            raise self._refused(error, text, statement.start) from None
        finally:
            self._tables = None
            self._forests.clear()

    def _create(self, statement: Any, text: str) -> None:
        name = statement.table
        if name.text in self.tables():
            if statement.if_not_exists:
                return
            raise fault(text, name.start, f"table {name.text} exists already")
        _check_name(name, text)
        if not statement.key:
            raise fault(text, statement.start, f"table {name.text} needs a PRIMARY KEY")
        parts: list[str] = []
        taken: set[str] = set()
        columns: dict[str, str] = {}
        for column in statement.columns:
            _check_name(column.name, text)
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
        from vicinal.sql.grammar import Name

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
                    self._assign(table, index)
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

    # Indexes.

    def _add_index(self, statement: Any, text: str) -> None:
        low = self._lowering(text, {})
        table = low.table(statement.table)
        name = statement.index
        _check_name(name, text)
        if name.text.lower() in {one.lower() for one in table.indexes}:
            raise fault(text, name.start, f"index {name.text} exists already, in this or another case")
        for column in (*statement.columns, *statement.cover):
            if column.text not in table.columns:
                raise fault(text, column.start, unknown("column", column.text, table.columns))
        embedding = statement.columns[-1]
        if table.columns[embedding.text].kind != STRING:
            raise fault(
                text, embedding.start, f"the last column of a vector index is a String, {embedding.text} is not"
            )
        settings = _settings(statement, text)
        index = catalog.Index(
            name.text,
            tuple(one.text for one in statement.columns),
            tuple(one.text for one in statement.cover),
            settings,
        )
        forest = self._grow(table, index)
        if not forest.trees and self._holds(table, embedding.text):
            form, dim = settings["vector_type"], settings["vector_dimension"]
            wanted = f"no {form} vector of {dim} elements in {embedding.text}"
            raise fault(text, statement.start, f"table {table.name} has {wanted}; see vector_type and vector_dimension")
        definition = json.dumps({"columns": index.columns, "cover": index.cover, "settings": settings})
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted(INDEXES)} "
            "(table_name VARCHAR, name VARCHAR, definition VARCHAR, forest BLOB, PRIMARY KEY (table_name, name))"
        )
        self._connection.execute(
            f"INSERT INTO {quoted(INDEXES)} VALUES ($1, $2, $3, $4)",
            [table.name, index.name, definition, forest.save()],
        )
        self._connection.execute(f"ALTER TABLE {quoted(table.physical)} ADD COLUMN {quoted(index.physical)} INTEGER")
        self._forests[table.name, index.name] = forest
        self._assign(table, index)

    def _holds(self, table: Table, column: str) -> bool:
        """Whether a column has a value that is not NULL."""
        name = quoted(table.columns[column].physical)
        query = f"SELECT 1 FROM {quoted(table.physical)} WHERE {name} IS NOT NULL LIMIT 1"
        return bool(self._connection.execute(query).fetchall())

    def _grow(self, table: Table, index: catalog.Index) -> trees.Forest:
        """A tree for each prefix; none in an empty table, all of whose later rows are always read."""
        from vicinal.sql.lowering import functions_of

        function = functions_of(index.settings)[0]
        levels, clusters = index.settings["levels"], index.settings.get("clusters")
        forest, first = trees.Forest({}), 0
        for prefix, (_, vectors) in self._vectors(table, index, "").items():
            fitting = clusters or min(max(2, round(len(vectors) ** (1 / (levels + 1)))), _most_clusters(index.settings))
            tree = trees.grow(vectors, fitting, levels, function, first)
            forest.trees[prefix] = tree
            first += tree.leaves
        return forest

    def _vectors(self, table: Table, index: catalog.Index, where: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Row ids and vectors of each prefix, of the rows whose vectors the index takes."""
        columns = [quoted(table.columns[one].physical) for one in index.columns]
        prefix = f"CAST(to_json([{', '.join(f'CAST({one} AS VARCHAR)' for one in columns[:-1])}]) AS VARCHAR)"
        prefix = prefix if columns[:-1] else "'[]'"
        form = binary.find_format(_FORMATS[index.settings["vector_type"]])
        size = _vector_size(form, index.settings["vector_dimension"])
        arrow = self._connection.sql(
            f"SELECT rowid, {prefix}, {columns[-1]} FROM {quoted(table.physical)} "
            f"WHERE octet_length({columns[-1]}) = {size} {where}"
        ).to_arrow_table()
        if arrow.num_rows == 0:
            return {}
        strings = np.concatenate(
            [
                np.frombuffer(b"".join(batch.column(2).to_pylist()), np.uint8).reshape(-1, size)
                for batch in arrow.to_batches()
            ]
        )
        good = strings[:, -1] == form.byte
        rowids = arrow.column(0).to_numpy()[good]
        prefixes = np.array(arrow.column(1).to_pylist(), object)[good]
        vectors = np.ascontiguousarray(strings[good][:, :-1]).view(form.dtype).astype(np.float32)
        finite = np.isfinite(vectors).all(axis=1)
        found = {}
        for one in dict.fromkeys(prefixes[finite].tolist()):
            rows = finite & (prefixes == one)
            found[one] = rowids[rows], vectors[rows]
        return found

    def _assign(self, table: Table, index: catalog.Index) -> None:
        """Gives the rows that have none their cluster.

        A row whose vector the index does not take gets -1 and is never read; one of a new prefix stays without a
        cluster and is always read.
        """
        from vicinal.sql.lowering import functions_of

        pyarrow = need("pyarrow", extra="sql")
        function = functions_of(index.settings)[0]
        forest = self._forest(table, index.name)
        column, vector = quoted(index.physical), quoted(table.columns[index.columns[-1]].physical)
        form = binary.find_format(_FORMATS[index.settings["vector_type"]])
        size = _vector_size(form, index.settings["vector_dimension"])
        self._connection.execute(
            f"UPDATE {quoted(table.physical)} SET {column} = -1 WHERE {column} IS NULL AND ({vector} IS NULL "
            f"OR octet_length({vector}) <> {size} OR {vector}[-1:] <> '\\x{form.byte:02X}'::BLOB)"
        ).fetchall()
        rowids, clusters = [], []
        for prefix, (rows, vectors) in self._vectors(table, index, f"AND {quoted(index.physical)} IS NULL").items():
            tree = forest.trees.get(prefix)
            if tree is not None:
                rowids.append(rows)
                clusters.append(tree.assign(vectors, function))
        if not rowids:
            return
        changed = pyarrow.table({"row": np.concatenate(rowids), "cluster": np.concatenate(clusters).astype(np.int32)})
        self._connection.register("~clusters", changed)
        try:
            self._connection.execute(
                f"UPDATE {quoted(table.physical)} AS t SET {quoted(index.physical)} = c.cluster "
                f'FROM "~clusters" AS c WHERE t.rowid = c.row'
            )
        finally:
            self._connection.unregister("~clusters")

    def _forest(self, table: Table, index: str) -> trees.Forest:
        key = table.name, index
        if key not in self._forests:
            ((data,),) = self._connection.execute(
                f"SELECT forest FROM {quoted(INDEXES)} WHERE table_name = $1 AND name = $2", list(key)
            ).fetchall()
            self._forests[key] = trees.Forest.load(data)
        return self._forests[key]

    def _probe(self, probe: Any) -> list[int]:
        from vicinal.sql.lowering import functions_of

        function = functions_of(probe.table.indexes[probe.index].settings)[0]
        top = int(self.pragmas.get(TOP_SIZE, "10"))
        return self._forest(probe.table, probe.index).visit(binary.from_binary(probe.target), function, top)

    def _drop_index(self, statement: Any, text: str) -> None:
        table = self._lowering(text, {}).table(statement.table)
        if statement.index.text not in table.indexes:
            raise fault(text, statement.index.start, unknown("index", statement.index.text, table.indexes))
        index = table.indexes[statement.index.text]
        self._connection.execute(
            f"DELETE FROM {quoted(INDEXES)} WHERE table_name = $1 AND name = $2", [table.name, index.name]
        )
        self._connection.execute(f"ALTER TABLE {quoted(table.physical)} DROP COLUMN {quoted(index.physical)}")


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
    from vicinal.sql.grammar import parse

    return parse(text)[0]


def _refuse_other_file(path: Path) -> None:
    """Raises UsageError where a file is there that is no database of DuckDB's, which DuckDB might write over."""
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if file.read(12)[8:] != b"DUCK":
                raise UsageError(f"{path}: cannot be opened: it is no database of DuckDB's")


def _arrow_type(kind: Type) -> Any:
    pyarrow = need("pyarrow", extra="sql")
    if kind.item is not None:
        return pyarrow.list_(_arrow_type(kind.item))
    named_types = {
        "Bool": pyarrow.bool_(),
        "Float": pyarrow.float32(),
        "Double": pyarrow.float64(),
        "String": pyarrow.binary(),
        "Date": pyarrow.date32(),
        "Datetime": pyarrow.timestamp("s"),
        "Timestamp": pyarrow.timestamp("us"),
        "Null": pyarrow.int32(),
    }
    if kind.whole:
        return getattr(pyarrow, kind.name.lower())()
    return named_types.get(kind.name, pyarrow.string())


def _between(name: str) -> Any:
    return lambda a, b: binary.distance_column(name, a, b)


def _to_target(name: str) -> Any:
    return lambda strings, targets: binary.distance_column(name, strings, _targets[targets[0].as_py()])


def _encoder(name: str) -> Any:
    return lambda lists: binary.encode_column(lists, name)


def _nothing(*_: Any) -> Any:
    raise AssertionError("a parameter needs nothing")


def _first_line(error: Exception) -> str:
    said = str(error).partition("\n")[0]
    said = re.sub(r"^[\w ]*(Error|Exception): ", "", said)
    return re.sub(r"^Python exception occurred while executing the UDF: \w+: ", "", said)


def _check_name(name: Any, text: str) -> None:
    if not name.text or "~" in name.text or "\0" in name.text:
        raise fault(text, name.start, f"the name {name.text!r} cannot be used: empty, or with ~ or a zero byte")


def declared(statement: Any, text: str, given: Mapping[str, Any]) -> Any:
    """The value given for a DECLARE, as a known expression of its type."""
    from vicinal.sql.lowering import Lowering

    try:
        kind = named(statement.kind)
    except ValueError as error:
        raise fault(text, statement.kind.start, str(error)) from None
    if statement.name not in given:
        raise fault(text, statement.start, f"${statement.name} is declared, but no value is given for it")
    value = parameter(statement.name, given[statement.name], kind)
    try:
        return Lowering(text, {}, {}, _nothing, _nothing).converted(value, kind, statement.start)
    except SqlError as error:
        raise fault(text, statement.start, f"${statement.name}: {error.message}") from None


def parameter(name: str, value: Any, kind: Type | None = None) -> Any:
    """A value from outside as a known expression."""
    from vicinal.sql.lowering import Expression

    def known(found: Any, of: Type) -> Any:
        return Expression("", of, found, True)

    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return known(None, kind or Type("Null"))
    if isinstance(value, np.ndarray | list | tuple):
        return _array_parameter(name, value, kind, known)
    if isinstance(value, bytes | bytearray | memoryview):
        return known(bytes(value), STRING)
    if isinstance(value, str):
        if kind is not None and kind.name in ("String", "Json", *TIMES):
            return known(value.encode("utf-8"), STRING)
        return known(value, UTF8)
    if isinstance(value, bool):
        return known(value, Type("Bool"))
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise UsageError(f"${name}: {value} is beyond 64 bits")
        return known(value, Type("Int64" if value < 1 << 63 else "Uint64"))
    if isinstance(value, float):
        return known(value, kind if kind == FLOAT else Type("Double"))
    if isinstance(value, datetime):
        return known(value, Type("Timestamp"))
    if isinstance(value, date):
        return known(value, Type("Date"))
    raise UsageError(f"${name}: a value of type {type(value).__name__} cannot be passed")


def _array_parameter(name: str, value: Any, kind: Type | None, known: Any) -> Any:
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise UsageError(f"${name}: expected numbers of one dimension, found shape {array.shape} of {array.dtype}")
    if kind is not None and kind.item is not None:
        item = "Double" if array.dtype.kind == "f" else "Uint64" if array.dtype == np.uint64 else "Int64"
        if kind.item == FLOAT and array.dtype.kind == "f":
            return known(array.astype(np.float32), kind)
        return known(array, list_of(Type(item)))
    form = {"uint8": "Uint8", "int8": "Int8"}.get(str(array.dtype), "Float")
    return known(binary.to_binary(array, form), STRING)


def _source(low: Any, where: Any, table: Table) -> str:
    """` WHERE ...` over one table named t0."""
    from vicinal.sql.lowering import Scope, Source

    if where is None:
        return ""
    columns = [(one.name, f"t0.{quoted(one.physical)}", one.kind) for one in table.columns.values()]
    scope = Scope([Source(table.name, columns, table)])
    return f" WHERE {low.condition(low.expression(where, scope), where)}"


def _update(low: Any, statement: Any, table: Table) -> tuple[str, set[str]]:
    from vicinal.sql.lowering import Scope, Source

    columns = [(one.name, f"t0.{quoted(one.physical)}", one.kind) for one in table.columns.values()]
    scope = Scope([Source(table.name, columns, table)])
    parts, touched = [], set()
    for name, value in statement.changes:
        column = _column(low, name, table)
        if name.text in table.key:
            raise low.error(
                name, f"UPDATE of {name.text}, a column of the primary key; insert a row and delete the old one"
            )
        if name.text in touched:
            raise low.error(name, f"column {name.text} is set twice")
        touched.add(name.text)
        new = low.converted(low.expression(value, scope), column.kind, value)
        parts.append(f"{quoted(column.physical)} = {low.sql(new)}")
    parts += [f"{quoted(one.physical)} = NULL" for one in table.indexes.values() if touched & set(one.columns)]
    where = _source(low, statement.where, table)
    return f"UPDATE {quoted(table.physical)} AS t0 SET {', '.join(parts)}{where}", touched


def _column(low: Any, name: Any, table: Table) -> catalog.Column:
    if name.text not in table.columns:
        raise low.error(name, f"table {table.name} has no such column: {unknown('column', name.text, table.columns)}")
    return table.columns[name.text]


def _write(low: Any, statement: Any, table: Table) -> tuple[str, set[str]]:
    """INSERT, UPSERT or REPLACE as one INSERT, and the columns that it may change."""
    query = low.select(statement.query) if statement.query is not None else None
    if statement.columns:
        columns = [_column(low, name, table) for name in statement.columns]
    elif query is not None:
        missing = [name for name, _, _ in query.columns if name not in table.columns]
        if missing:
            raise low.error(statement.start, f"table {table.name} has no column {missing[0]}")
        columns = [table.columns[name] for name, _, _ in query.columns]
    else:
        raise low.error(statement.table, f"{statement.verb} ... VALUES needs the columns' names")
    names = [one.name for one in columns]
    if len(set(names)) < len(names):
        raise low.error(statement.table, "a column is named twice")
    left_out = [key for key in table.key if key not in names]
    if left_out:
        raise low.error(
            statement.table, f"{statement.verb} needs every column of the primary key; {left_out[0]} is missing"
        )
    into = ", ".join(quoted(one.physical) for one in columns)
    source = (
        _values(low, statement, columns, table) if query is None else _rows_of(low, statement, query, columns, table)
    )
    keys = ", ".join(quoted(table.columns[key].physical) for key in table.key)
    changed = [one for one in columns if one.name not in table.key]
    parts = [f"{quoted(one.physical)} = excluded.{quoted(one.physical)}" for one in changed]
    touched = set(names)
    if statement.verb == "REPLACE":
        others = [one for one in table.columns.values() if one.name not in names]
        parts += [f"{quoted(one.physical)} = NULL" for one in others]
        touched |= {one.name for one in others}
    parts += [f"{quoted(one.physical)} = NULL" for one in table.indexes.values() if touched & set(one.columns)]
    end = ""
    if statement.verb != "INSERT":
        end = (
            f" ON CONFLICT ({keys}) DO UPDATE SET {', '.join(parts)}" if parts else f" ON CONFLICT ({keys}) DO NOTHING"
        )
    return f"INSERT INTO {quoted(table.physical)} ({into}) {source}{end}", touched


def _values(low: Any, statement: Any, columns: list[catalog.Column], table: Table) -> str:
    from vicinal.sql.lowering import Scope

    rows = []
    for row in statement.rows:
        if len(row) != len(columns):
            raise low.error(row[0], f"expected {len(columns)} values as there are columns, found {len(row)}")
        values = [
            low.sql(low.converted(low.expression(value, Scope()), column.kind, value))
            for value, column in zip(row, columns, strict=True)
        ]
        rows.append(", ".join(values))
    if statement.verb == "INSERT" or len(rows) == 1:
        return "VALUES " + ", ".join(f"({row})" for row in rows)
    numbered = ", ".join(f"({row}, {number})" for number, row in enumerate(rows))
    names = ", ".join(quoted(one.physical) for one in columns)
    return _last(f'(VALUES {numbered}) AS v({names}, "~row")', columns, table)


def _last(numbered: str, columns: list[catalog.Column], table: Table) -> str:
    """Of rows with one key the last, by the column ~row."""
    names = ", ".join(quoted(one.physical) for one in columns)
    keys = ", ".join(quoted(table.columns[key].physical) for key in table.key)
    return (
        f"SELECT {names} FROM {numbered} "
        f'QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY "~row" DESC) = 1 ORDER BY "~row"'
    )


def _rows_of(low: Any, statement: Any, query: Any, columns: list[catalog.Column], table: Table) -> str:
    from vicinal.sql.lowering import Expression

    if len(query.columns) != len(columns):
        raise low.error(statement.start, f"expected {len(columns)} columns from SELECT, found {len(query.columns)}")
    parts = [
        f"{low.sql(low.converted(Expression(f'q.{quoted(at)}', kind), column.kind, statement.start))} "
        f"AS {quoted(column.physical)}"
        for (_, at, kind), column in zip(query.columns, columns, strict=True)
    ]
    source = f"SELECT {', '.join(parts)} FROM ({query.text}) AS q"
    keyed = {column.name for (name, _, _), column in zip(query.columns, columns, strict=True) if name in query.unique}
    if statement.verb == "INSERT" or (keyed and keyed <= set(table.key)):
        return source
    return _last(f'(SELECT *, row_number() OVER () AS "~row" FROM ({source}))', columns, table)


_FORMATS = {"float": "Float", "uint8": "Uint8", "int8": "Int8"}


def _vector_size(form: binary.Format, dim: int) -> int:
    return dim * np.dtype(form.dtype).itemsize + 1


def _settings(statement: Any, text: str) -> dict[str, Any]:
    """An index's settings, checked.

    Raises    SqlError, naming what is wrong and what is expected.
    """
    given = statement.settings
    limits = {"vector_dimension": (1, 16384), "levels": (1, 16), "clusters": (2, 2048)}
    choices = {
        "distance": ("cosine", "manhattan", "euclidean"),
        "similarity": ("inner_product", "cosine"),
        "vector_type": tuple(_FORMATS),
    }
    found: dict[str, Any] = {}
    for name, (value, start) in given.items():
        if name in limits:
            low, high = limits[name]
            if not value.isdigit() or not low <= int(value) <= high:
                raise fault(text, start, f"{name}: expected a whole number from {low} to {high}, found {value}")
            found[name] = int(value)
        elif name in choices:
            if value not in choices[name]:
                raise fault(text, start, f"{name}: {unknown('value', value, choices[name])}")
            found[name] = value
        else:
            raise fault(text, start, f"setting {name} is outside the subset: {', '.join([*limits, *choices])}")
    if ("distance" in found) == ("similarity" in found):
        raise fault(text, statement.start, "an index needs distance=... or similarity=..., and not both")
    for name in ("vector_type", "vector_dimension"):
        if name not in found:
            raise fault(text, statement.start, f"an index needs {name}=...")
    found.setdefault("levels", 1)
    clusters = found.get("clusters", 2)
    if found["vector_dimension"] * clusters > 4_194_304:
        raise fault(text, statement.start, "vector_dimension * clusters is beyond 4194304")
    if math.log2(clusters) * found["levels"] > 30:
        raise fault(text, statement.start, "clusters to the power of levels is beyond 1073741824")
    return found


def _most_clusters(settings: dict[str, Any]) -> int:
    return min(2048, 4_194_304 // settings["vector_dimension"], int(2 ** (30 / settings["levels"])))

"""The connection to DuckDB: its settings, our functions in it, transactions, errors, and the file's creation.

A database reaches no other file and no network, and loads no extension. Nothing is shared with another connection: the
objects that a statement's numbers stand for (`nodes.Reference`) are kept here while the statement runs.
"""

import copy
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from vicinal.errors import DataError, UsageError, need
from vicinal.knn import memory
from vicinal.sql.compile.nodes import Node, Text, written
from vicinal.sql.engine.interrupting import Watch
from vicinal.sql.faults import Conflict, DuplicateKey, NullRefused, fault, place
from vicinal.sql.parse.statements import Transaction
from vicinal.sql.types import Type
from vicinal.sql.vectors import binary

MEMORY = ":memory:"
SETTINGS = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
    "error_on_division_by_zero": "false",
    # A commit that passes it writes the file as well as the log, and imports come in batches of this order.
    "checkpoint_threshold": "128MB",
    # It reads the rows of ORDER BY ... LIMIT a second time, and so measures them twice.
    "disabled_optimizers": "late_materialization",
}
_MORE = "select fewer rows or columns, or allow more: vicinal --memory 4G (VICINAL_MEMORY in Python)"
_CREATES = "CREATE TABLE creates one, and so does vicinal sql import FILE --table NAME --db FILE"


class Connection:
    """DuckDB's connection to one database; a file that does not exist is made by `creating` alone.

    path      : the file, or ":memory:"
    read_only : whether the file must exist and never changes
    threads   : DuckDB's threads, None for all cores
    Raises    UsageError where the file cannot be opened
    """

    def __init__(self, path: str | Path, read_only: bool = False, threads: int | None = None) -> None:
        self._duckdb = need("duckdb", extra="sql")
        self.path, self.read_only, self._threads = str(path), read_only, threads
        if not self.path.strip():
            raise UsageError("expected the name of a file, or :memory:, found an empty text; write facts.db")
        self._references: dict[int, Any] = {}
        self._watch = Watch()
        self.notices: list[str] = []  # what a statement's user should hear, in the order in which it was found
        self.in_transaction = self.failed = self._closed = False
        if self.path != MEMORY and not Path(path).absolute().parent.is_dir():
            raise UsageError(f"{path}: the folder {Path(path).absolute().parent} does not exist; make it first")
        if read_only and not self._there():
            raise UsageError(f"{path}: no such database, and it is to be read only; {_CREATES}")
        self._connected = self._connect() if self._there() else None

    def _there(self) -> bool:
        return self.path == MEMORY or Path(self.path).exists()

    def _connect(self) -> Any:
        _refuse_other_file(Path(self.path))
        settings = SETTINGS | ({"threads": str(self._threads)} if self._threads else {})
        if self.path == MEMORY:  # DuckDB's own choice is the folder .tmp in the present one
            settings["temp_directory"] = str(Path(tempfile.gettempdir(), f"vicinal-{os.getpid()}-{id(self)}"))
        if memory.is_limited():  # DuckDB keeps to it: what does not fit goes to its temporary file, or is refused
            settings["memory_limit"] = f"{memory.available()}B"
        try:
            connected = self._duckdb.connect(self.path, read_only=self.read_only, config=settings)
        except self._duckdb.Error as error:
            raise UsageError(f"{self.path}: cannot be opened: {first_line(error)}{_held(error)}") from None
        try:
            self._install(connected)
            connected.execute("SET lock_configuration = true")
        except self._duckdb.CatalogException:  # DuckDB gives a process one database for each file
            connected.close()
            raise UsageError(f"{self.path}: is open in this process already; use that Database, or close it") from None
        return connected

    @property
    def exists(self) -> bool:
        """Whether there is a database: one that was opened, or a file that another process made since."""
        if self._connected is None and self._there() and not self._closed:
            self._connected = self._connect()
        return self._connected is not None

    @property
    def duck(self) -> Any:
        """DuckDB's own connection.

        Raises    UsageError where there is no database.
        """
        self.require()
        return self._connected

    def require(self) -> None:
        """Raises UsageError where there is no database, or it was closed."""
        if self._closed:
            raise UsageError(f"{self.path}: this database was closed; open it again")
        if not self.exists:
            raise UsageError(f"{self.path}: no such database; {_CREATES}")

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Makes the file where there is none; where the block fails, a file that was made for it is removed."""
        if self._closed or self.exists:
            self.require()
            yield
            return
        self._connected = made = self._connect()
        try:
            yield
        except BaseException:
            self._connected = None
            self._discard(made)
            raise

    def _discard(self, connected: Any) -> None:
        """Closes a database and removes its file, unless another process has put a table into it."""
        (tables,) = connected.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
        connected.close()
        if tables == 0:
            for path in (self.path, f"{self.path}.wal"):
                Path(path).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file; an open transaction is rolled back. A closed database does not open again."""
        self._closed = True
        if self._connected is not None:
            self._connected.close()

    def cursor(self) -> "Connection":
        """Another connection to the same database, with transactions of its own; only one may run at a time."""
        made = copy.copy(self)
        made._connected, made._watch, made._closed = self.duck.cursor(), Watch(), False
        made.in_transaction = made.failed = False
        return made

    def _install(self, connected: Any) -> None:
        """Registers our functions in DuckDB; they hold the references alone, as with `self` nothing would be freed."""
        references, notices = self._references, self.notices

        def add(name: str, function: Any, takes: list[str], gives: str) -> None:
            connected.create_function(
                name, function, takes, gives, type="arrow", null_handling="special", side_effects=False
            )

        for name in binary.DISTANCES:
            add(f"knn_{name}", _between(name, notices), ["BLOB", "BLOB"], "FLOAT")
            add(f"knn_{name}_to", _to_target(name, references, notices), ["BLOB", "INTEGER"], "FLOAT")
        for one in binary.FORMATS:
            item = "DOUBLE" if one.name == "Bit" else Type(one.element).duck
            add(f"knn_encode_{one.name.lower()}", _encoder(one.name), [f"{item}[]"], "BLOB")
        add("knn_measure", _measure(references), ["BIGINT", "BLOB", "INTEGER"], "INTEGER")
        add("knn_json", _json(references), ["VARCHAR", "INTEGER"], "VARCHAR")
        add("knn_decode", lambda strings: binary.decode_column(strings), ["BLOB"], "FLOAT[]")

    # Statements.

    def rows(self, node: Node, text: str = "", start: int = 0) -> list[tuple[Any, ...]]:
        """The rows of a statement as tuples, which is quicker than Arrow for a few.

        text, start : where the statement stands, for errors
        """
        found: list[tuple[Any, ...]] = self._run(
            node, text, start, lambda made: self.duck.execute(made.sql, made.values).fetchall()
        )
        return found

    def arrow(self, node: Node, text: str = "", start: int = 0) -> Any:
        """The rows of a statement as an Arrow table."""
        return self._run(node, text, start, lambda made: self.duck.sql(made.sql, params=made.values).to_arrow_table())

    def _run(self, node: Node, text: str, start: int, run: Callable[[Text], Any]) -> Any:
        made = written(node)
        self._references.update({number: _ready(value) for number, value in made.references.items()})
        try:
            with ExitStack() as stack:
                for name, table in made.tables.items():
                    stack.enter_context(self.registered(name, table))
                stack.enter_context(self._watch.interruptible(self.duck))
                return run(made)
        except self._duckdb.Error as error:
            self.failed = self.in_transaction
            raise self.refused(error, text, start) from None
        finally:
            self._references.clear()

    @contextmanager
    def registered(self, name: str, table: Any) -> Iterator[None]:
        """An Arrow table under a name within a block."""
        self.duck.register(name, table)
        try:
            yield
        finally:
            # After an error in a transaction DuckDB takes no statement before ROLLBACK; the next table replaces this.
            with suppress(self._duckdb.Error):
                self.duck.unregister(name)

    # Transactions.

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Runs a block as one transaction, as part of the open one where there is one."""
        if self.in_transaction:
            try:
                yield
            except BaseException:
                self.failed = True
                raise
            return
        self.duck.execute("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self.duck.execute("ROLLBACK")
            raise
        self.duck.execute("COMMIT")

    def begin(self) -> None:
        """Opens a transaction."""
        self.duck.execute("BEGIN TRANSACTION")
        self.in_transaction, self.failed = True, False

    def end(self, commit: bool) -> bool:
        """Ends the open transaction; False where it was to be committed, but a statement in it failed."""
        failed, self.in_transaction, self.failed = self.failed, False, False
        self.duck.execute("COMMIT" if commit and not failed else "ROLLBACK")
        return not (failed and commit)

    def transact(self, statement: Transaction, text: str) -> None:
        """Runs BEGIN, COMMIT or ROLLBACK."""
        if statement.verb == "BEGIN":
            if self.in_transaction:
                raise fault(text, statement.start, "a transaction is open already; COMMIT or ROLLBACK it first")
            self.begin()
        elif not self.in_transaction:
            raise fault(text, statement.start, f"{statement.verb}: no transaction is open; BEGIN opens one")
        elif not self.end(statement.verb == "COMMIT"):
            raise fault(
                text,
                statement.start,
                "a statement of this transaction failed, so it was rolled back; run its statements again from BEGIN",
            )

    # Errors.

    @contextmanager
    def errors(self, text: str, start: int) -> Iterator[None]:
        """Raises DuckDB's errors in a block as ours, at a place of the text."""
        try:
            yield
        except self._duckdb.Error as error:
            raise self.refused(error, text, start) from None

    @contextmanager
    def load_errors(self, table: str, held: int) -> Iterator[None]:
        """Raises DuckDB's errors in a block that inserts rows into a table as ours.

        held : how many rows the table had
        """
        try:
            yield
        except self._duckdb.Error as error:
            message = first_line(error)
            if isinstance(error, self._duckdb.ConstraintException) and "uplicate key" in message:
                message = message.rstrip(".; ") + "; each row needs a key of its own: --key names the column"
                if held:
                    message += (
                        f". The table has {held:,} rows already: --if-exists replace deletes them first, upsert "
                        "changes those of equal key, append numbers the new rows after them"
                    )
            if isinstance(error, self._duckdb.OutOfMemoryException):
                raise UsageError(f"table {table}: not enough memory: {message.rstrip('.')}; {_MORE}") from None
            raise DataError(f"table {table}: {message}") from None

    def refused(self, error: Exception, text: str, start: int) -> Exception:
        """DuckDB's error as ours, at a place of the text."""
        message = first_line(error)
        where = "{}:{}: ".format(*place(text, start))
        if isinstance(error, self._duckdb.ConstraintException):
            if "uplicate key" in message:
                return DuplicateKey(f"{where}a row with this key exists already ({message}); UPSERT changes it")
            if "NOT NULL" in message:
                return NullRefused(
                    f"{where}NULL in a column of the primary key or NOT NULL ({message}); give it a value"
                )
            return DataError(where + message)
        if isinstance(error, self._duckdb.TransactionException):
            return Conflict(f"{where}another transaction changed these rows ({message}); run this one again")
        if isinstance(error, self._duckdb.OutOfMemoryException):
            return UsageError(f"{where}not enough memory: {message.rstrip('.')}; {_MORE}")
        if isinstance(error, self._duckdb.OutOfRangeException | self._duckdb.ConversionException):
            return DataError(where + message)
        return fault(text, start, f"this statement cannot be run: {message}")


def first_line(error: Exception) -> str:
    """The first line of DuckDB's message, without the names of its own errors."""
    message = str(error).partition("\n")[0]
    message = re.sub(r"^[\w ]*(Error|Exception): ", "", message)
    return re.sub(r"^Python exception occurred while executing the UDF: \w+: ", "", message)


def _held(error: Exception) -> str:
    """What to do where another process holds the file."""
    if "lock" not in str(error):
        return ""
    return "; another process has the database open: wait until it has ended, or open it there with read_only only"


def _refuse_other_file(path: Path) -> None:
    """Raises UsageError where a file is there that is no database of DuckDB's, which DuckDB might write over."""
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as file:
            if file.read(12)[8:] != b"DUCK":
                raise UsageError(f"{path}: cannot be opened: it is no database of DuckDB's; name another file")


def _ready(value: Any) -> Any:
    """The object of a `Reference` as our functions take it: a vector becomes a column of one row."""
    if value is None or isinstance(value, bytes):
        return binary.Strings(pyarrow.array([value], pyarrow.binary()))
    return value


def _between(name: str, notices: list[str]) -> Any:
    return lambda a, b: binary.distance_column(name, a, b, notices)


def _to_target(name: str, references: dict[int, Any], notices: list[str]) -> Any:
    return lambda strings, numbers: binary.distance_column(name, strings, references[numbers[0].as_py()], notices)


def _measure(references: dict[int, Any]) -> Any:
    """Adds a batch to the `Best` that a number stands for."""

    def measure(rows: Any, strings: Any, numbers: Any) -> Any:
        references[numbers[0].as_py()].add(rows.to_numpy(), binary.Strings(strings))
        return pyarrow.array(np.zeros(len(rows), np.int32))

    return measure


def _json(references: dict[int, Any]) -> Any:
    """Reads each JSON text by the function that a number stands for."""

    def read(texts: Any, numbers: Any) -> Any:
        one = references[numbers[0].as_py()]
        found = [one(text) for text in texts.to_pylist()]
        return pyarrow.array(
            [str(each).lower() if isinstance(each, bool) else each for each in found], pyarrow.string()
        )

    return read


def _encoder(name: str) -> Any:
    return lambda lists: binary.encode_column(lists, name)

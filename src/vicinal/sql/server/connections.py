"""Connections to one open database, each with a transaction of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from vicinal.sql.compile.nodes import Phrase, written
from vicinal.sql.compile.parameters import Typed
from vicinal.sql.compile.select import Compiler
from vicinal.sql.compile.values import Relation
from vicinal.sql.database import Database
from vicinal.sql.engine.sharing import Footprint
from vicinal.sql.faults import Conflict, ReadOnly, fault, outside
from vicinal.sql.parse import statements
from vicinal.sql.parse.grammar import parse
from vicinal.sql.rows import Rows
from vicinal.sql.types import NULL

_NO_ROWS = (statements.Named, statements.Declare, statements.Pragma)
_ABOUT_ROWS = (statements.Query, statements.Write, statements.Update, statements.Delete)
_EXPLAINED = (statements.Query, statements.Named, statements.Declare, statements.Pragma)


class Connected(Database):
    """A connection to a database that is open; statements of all connections run one at a time.

    database : the open one
    root     : the path of the database in the server, which may stand before a table's name
    """

    def __init__(self, database: Database, root: str) -> None:
        self._begin(database._connection.cursor(), database._shared)
        self._root = root
        self._prefix = ""
        self._only_reads = False
        self._footprint: Footprint | None = None
        self.interrupted = ""  # why the running statement was interrupted
        self.warnings: list[str] = []  # of the statements of one text
        self._plans: list[tuple[str, str]] | None = None  # where statements are explained and do not run

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._shared.free:
            yield

    @property
    def read_only(self) -> bool:
        """Whether every change is refused."""
        return self._only_reads or super().read_only

    # Names of tables.

    def _located(self, name: str) -> str:
        if name.startswith("/"):
            return name.removeprefix(f"{self._root}/")
        return f"{self._prefix}{name}"

    # Transactions.

    def begin(self, only_reads: bool = False) -> None:
        """Opens a transaction."""
        with self._turn():
            self._connection.require()
            self._footprint = self._shared.began()
            self._connection.begin()
            self._only_reads = only_reads

    def end(self, commit: bool) -> None:
        """Ends the transaction.

        Raises    Conflict where it is to be committed, but another one changed what it read or changed.
        """
        with self._turn():
            footprint, self._footprint, self._only_reads = self._footprint, None, False
            assert footprint is not None
            changed = self._shared.changed_meanwhile(footprint) if commit else []
            if changed:
                self._connection.end(False)
                raise Conflict(f"another transaction changed {', '.join(changed)} meanwhile; run this one again")
            try:
                ended = self._connection.end(commit)
            except duckdb.Error as error:  # a key that another transaction has inserted meanwhile
                raise Conflict(f"another transaction changed the same rows ({error}); run this one again") from None
            if commit and ended:
                self._shared.committed(footprint.changed)

    def _touched(self, read: set[str], changed: set[str]) -> None:
        if self._footprint is not None:
            self._footprint.read |= read
            self._footprint.changed |= changed
        elif changed:
            self._shared.committed(changed)

    # Statements.

    def alone(self, yql: str) -> bool:
        """Whether a text has one SELECT or change of rows alone, which needs no transaction around it."""
        found = [one for one in self._shared.parse(yql) if not isinstance(one, _NO_ROWS)]
        return len(found) == 1 and isinstance(found[0], _ABOUT_ROWS)

    @contextmanager
    def reading(self, only: bool) -> Iterator[None]:
        """Runs a block whose statements may change nothing where `only`."""
        self._only_reads = only
        try:
            yield
        finally:
            self._only_reads = False

    def run_all(self, yql: str, parameters: dict[str, Any]) -> list[Rows]:
        """The rows of each SELECT of a text, whose pragmas end with it."""
        self._prefix, self._top_size = "", 10
        self.warnings.clear()
        return list(self.run(yql, parameters))

    def _statement(
        self, statement: Any, text: str, names: dict[str, Any], given: dict[str, Any], assigned: set[str]
    ) -> Rows | None:
        if isinstance(statement, statements.Transaction):
            remedy = "the client's own transactions take its place"
            raise fault(text, statement.start, outside(f"{statement.verb} over the network", remedy))
        if isinstance(statement, statements.Pragma) and statement.name.lower() == "tablepathprefix":
            prefix = (statement.value or "").rstrip("/")
            inside = prefix.removeprefix(self._root).strip("/")
            self._prefix = f"{inside}/" if inside else ""
            return None
        if self._plans is not None and not isinstance(statement, _EXPLAINED):
            return None
        if self._only_reads and not isinstance(statement, statements.Query | statements.Named | statements.Declare):
            self._refuse_change(statement)
        return super()._statement(statement, text, names, given, assigned)

    def _refuse_change(self, statement: Any) -> None:
        if not isinstance(statement, statements.Pragma | statements.ShowCreate):
            raise ReadOnly("the transaction is for reading only; begin one with SerializableReadWrite")

    def explain(self, yql: str, parameters: dict[str, Any]) -> list[tuple[str, str]]:
        """DuckDB's plan as JSON and its text of each SELECT; a declared value that is not given is NULL."""
        missing = {one.name: Typed(None, NULL) for one in parse(yql) if isinstance(one, statements.Declare)}
        plans: list[tuple[str, str]] = []
        self._plans = plans
        try:
            self.run_all(yql, {**missing, **{name.removeprefix("$"): one for name, one in parameters.items()}})
        finally:
            self._plans = None
        return plans

    def _rows(self, query: Relation, compiler: Compiler) -> Rows:
        if self._plans is None:
            return super()._rows(query, compiler)
        ((_, plan), *_) = self._connection.rows(Phrase(("EXPLAIN (FORMAT JSON) ", query.node)), compiler.source)
        self._plans.append((plan, written(query.node).sql))
        return Rows([], [], [])

    def _say(self, notice: str) -> None:
        self.warnings.append(notice)

    def interrupt(self, reason: str) -> None:
        """Ends the running statement with an error."""
        self.interrupted = reason
        self._connection.duck.interrupt()

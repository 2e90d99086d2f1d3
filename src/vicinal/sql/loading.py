"""Rows in bulk: Arrow tables into a table, and a table's rows in order."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from vicinal.errors import UsageError
from vicinal.sql.catalog import Table
from vicinal.sql.compile.nodes import STAR, Call, Name, Select, written
from vicinal.sql.engine import bulk, schema
from vicinal.sql.engine.connection import Connection
from vicinal.sql.engine.definitions import Definitions
from vicinal.sql.engine.sharing import Shared
from vicinal.sql.faults import SqlError
from vicinal.sql.types import Type


class BulkRows(ABC):
    """The part of a database that moves rows without statements."""

    _connection: Connection
    _shared: Shared
    _definitions: Definitions

    @abstractmethod
    def tables(self) -> dict[str, Table]:
        """Return the tables by name."""

    @abstractmethod
    def _turn(self) -> AbstractContextManager[None]:
        """Runs a block alone."""

    @abstractmethod
    def _forget(self) -> None:
        """Reads the catalog and the indexes anew when they are needed next."""

    @abstractmethod
    def _touched(self, read: set[str], changed: set[str]) -> None:
        """Takes note of the tables that a statement read and changed."""

    def load(
        self,
        name: str,
        kinds: dict[str, Type],
        key: str,
        batches: Iterator[Any],
        total: int,
        progress: Callable[[int, int], None] | None = None,
        if_exists: str = "",
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
        if_exists : str
            What happens where the table has rows: "replace" deletes them first, "upsert" changes those of equal key;
            else a key that is there already is an error.

        Returns
        -------
        int
            The number of rows.

        Raises
        ------
        DataError
            A row does not fit; nothing is inserted then.
        """
        try:
            with self._turn():
                if self._connection.in_transaction:
                    raise UsageError("an import within a transaction is not possible; COMMIT or ROLLBACK first")
                return self._load(bulk.Load(name, kinds, key, batches, total, progress, if_exists))
        except SqlError as error:  # a name or type that no table takes; there is no text to point at
            raise UsageError(f"table {name}: {error.message}") from None

    def _load(self, load: bulk.Load) -> int:
        connection, name = self._connection, load.table
        there = name in self.tables()
        held = self.count(self.tables()[name]) if there else 0
        try:
            with connection.creating(), connection.load_errors(name, held), connection.whole():
                if not there:
                    for made in schema.create_table(bulk.definition(name, load.kinds, load.key), self.tables(), ""):
                        connection.rows(made)
                    self._shared.tables = None
                table = self.tables()[name]
                self._touched(set(), {name})
                done = bulk.insert(connection, table, load)
                for index in table.indexes.values():
                    self._definitions.assign(table, index)
        finally:
            if not there:
                self._forget()
        return done

    def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        with self._turn():
            return int(self._connection.rows(Select([Call("count", [STAR])], Name(table.physical)))[0][0])

    def next_number(self, table: str, key: str) -> int:
        """Return the number after the greatest of a column of whole numbers; 0 where there is no table or row."""
        entry = self.tables().get(table)
        if entry is None or key not in entry.columns or not entry.columns[key].kind.whole:
            return 0
        with self._turn():
            found = Select([Call("max", [Name(entry.columns[key].physical)])], Name(entry.physical))
            return int(self._connection.rows(found)[0][0] or -1) + 1

    def stream(self, table: Table, columns: list[str], size: int) -> Any:
        """Return a reader of a table's rows in the order of its primary key, as Arrow batches of `size` rows.

        The rows are those of this moment, whatever another thread changes while they are read; within a transaction
        they are those that it sees.
        """
        with self._turn():
            query = written(bulk.ordered(table, columns)).sql
            if self._connection.in_transaction:
                return self._connection.duck.sql(query).to_arrow_table().to_reader(size)
            return self._connection.duck.cursor().sql(query).to_arrow_reader(size)

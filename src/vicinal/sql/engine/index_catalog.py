"""The table in which a database keeps the definitions of its indexes."""

import json

from vicinal.sql.catalog import INDEXES, Index, Table, quoted
from vicinal.sql.engine.connection import Connection


class IndexCatalog:
    """The definitions of indexes, and for each what its kind keeps beside them (the trees of a vector index).

    connection : the database's
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def keep(self, table: Table, index: Index, data: bytes | None = None) -> None:
        """Adds an index."""
        about = {"columns": index.columns, "cover": index.cover, "settings": index.settings, "kind": index.kind}
        self._connection.duck.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted(INDEXES)} "
            "(table_name VARCHAR, name VARCHAR, definition VARCHAR, forest BLOB, PRIMARY KEY (table_name, name))"
        )
        self._connection.duck.execute(
            f"INSERT INTO {quoted(INDEXES)} VALUES ($1, $2, $3, $4)", [table.name, index.name, json.dumps(about), data]
        )

    def data(self, table: Table, index: str) -> bytes:
        """What the index keeps."""
        query = f"SELECT forest FROM {quoted(INDEXES)} WHERE table_name = $1 AND name = $2"
        ((found,),) = self._connection.duck.execute(query, [table.name, index]).fetchall()
        return bytes(found)

    def rename(self, table: Table, index: str, to: str) -> None:
        """Gives an index another name."""
        query = f"UPDATE {quoted(INDEXES)} SET name = $3 WHERE table_name = $1 AND name = $2"
        self._connection.duck.execute(query, [table.name, index, to])

    def remove(self, table: Table, index: str | None = None) -> None:
        """Removes an index, or all of a table."""
        query, values = f"DELETE FROM {quoted(INDEXES)} WHERE table_name = $1", [table.name]
        if index is not None:
            query, values = f"{query} AND name = $2", [table.name, index]
        self._connection.duck.execute(query, values)

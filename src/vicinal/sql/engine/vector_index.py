"""Vector indexes: trees over a table's vectors, and each row's cluster in a hidden column of the table.

A search visits the clusters nearest to its target. A row without a cluster is always read, so that no search misses a
row that the index does not hold yet.
"""

from typing import Any

import numpy as np

from vicinal.errors import need
from vicinal.sql.catalog import Index, Table, quoted
from vicinal.sql.engine import index_settings
from vicinal.sql.engine.connection import Connection
from vicinal.sql.engine.index_catalog import IndexCatalog
from vicinal.sql.faults import fault
from vicinal.sql.parse.statements import AddIndex
from vicinal.sql.types import STRING
from vicinal.sql.vectors import binary, trees


class VectorIndexes:
    """The vector indexes of a database; their trees are read when they are first used.

    connection : the database's
    kept       : where the definitions are
    forests    : the trees that were read, which several connections share
    """

    def __init__(
        self, connection: Connection, kept: IndexCatalog, forests: dict[tuple[str, str], trees.Forest]
    ) -> None:
        self._connection, self._catalog, self._forests = connection, kept, forests

    def forget(self) -> None:
        """Drops the trees in memory, after a change of the schema."""
        self._forests.clear()

    def add(self, table: Table, statement: AddIndex, text: str) -> None:
        """Makes an index and gives every row its cluster.

        Raises    SqlError where a name is unknown, or the table has no vectors of that type and dimension.
        """
        name = statement.index
        embedding = statement.columns[-1]
        if table.columns[embedding.text].kind != STRING:
            kind = table.columns[embedding.text].kind
            message = f"the last column of a vector index is a String, {embedding.text} is not: it is {kind}"
            raise fault(text, embedding.start, f"{message}; name the vectors' column last")
        settings = index_settings.settings(statement, text)
        self._complete(table, embedding.text, settings)
        index_settings.check_size(settings, statement, text)
        index = Index(
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
        self._catalog.keep(table, index, forest.save())
        hidden = "INTEGER[]" if _overlap(index) > 1 else "INTEGER"
        self._connection.duck.execute(
            f"ALTER TABLE {quoted(table.physical)} ADD COLUMN {quoted(index.physical)} {hidden}"
        )
        self._forests[table.name, index.name] = forest
        self.assign(table, index)

    def _complete(self, table: Table, column: str, settings: dict[str, Any]) -> None:
        """Sets the type and dimension that were left out to those of the first vector by the primary key."""
        if "vector_type" in settings and "vector_dimension" in settings:
            return
        name, keys = (quoted(table.columns[one].physical) for one in (column, table.key[0]))
        query = f"SELECT {name} FROM {quoted(table.physical)} WHERE {name} IS NOT NULL ORDER BY {keys} LIMIT 1"
        for (string,) in self._connection.duck.execute(query).fetchall():
            vector = binary.from_binary(string)
            if vector is not None:
                settings.setdefault("vector_type", binary.BY_BYTE[string[-1]].name.lower())
                settings.setdefault("vector_dimension", len(vector))

    def _holds(self, table: Table, column: str) -> bool:
        """Whether a column has a value that is not NULL."""
        name = quoted(table.columns[column].physical)
        query = f"SELECT 1 FROM {quoted(table.physical)} WHERE {name} IS NOT NULL LIMIT 1"
        return bool(self._connection.duck.execute(query).fetchall())

    def _grow(self, table: Table, index: Index) -> trees.Forest:
        """A tree for each prefix; none in an empty table, all of whose later rows are always read."""
        function = index.functions[0]
        levels = index.settings["levels"]
        forest, first = trees.Forest({}), 0
        for prefix, (_, vectors) in self._vectors(table, index, "").items():
            tree = trees.grow(
                vectors, index_settings.clusters_of(index.settings, len(vectors)), levels, function, first
            )
            forest.trees[prefix] = tree
            first += tree.leaves
        return forest

    def _vectors(self, table: Table, index: Index, where: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Row ids and vectors of each prefix, of the rows whose vectors the index takes."""
        if not _typed(index):
            return {}
        columns = [quoted(table.columns[one].physical) for one in index.columns]
        prefix = f"CAST(to_json([{', '.join(f'CAST({one} AS VARCHAR)' for one in columns[:-1])}]) AS VARCHAR)"
        prefix = prefix if columns[:-1] else "'[]'"
        form = _form(index)
        size = _size(form, index.settings["vector_dimension"])
        arrow = self._connection.duck.sql(
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
        if form.name == "Bit":  # the number of unused bits says the length to the bit
            good &= strings[:, -2] == -index.settings["vector_dimension"] % 8
        rowids = arrow.column(0).to_numpy()[good]
        prefixes = np.array(arrow.column(1).to_pylist(), object)[good]
        vectors = binary.elements(np.ascontiguousarray(strings[good][:, :-1]), form)
        finite = np.isfinite(vectors).all(axis=1)
        found = {}
        for one in dict.fromkeys(prefixes[finite].tolist()):
            rows = finite & (prefixes == one)
            found[one] = rowids[rows], vectors[rows]
        return found

    def assign(self, table: Table, index: Index) -> None:
        """Gives the rows that have none their cluster.

        A row whose vector is of another type or dimension gets -1 and is never read; one of a new prefix stays without
        a cluster and is always read.
        """
        pyarrow = need("pyarrow", extra="sql")
        if not _typed(index):
            return
        forest = self._forest(table, index.name)
        column, vector = quoted(index.physical), quoted(table.columns[index.columns[-1]].physical)
        form = _form(index)
        size = _size(form, index.settings["vector_dimension"])
        overlap = _overlap(index)
        none = "[-1]" if overlap > 1 else "-1"
        self._connection.duck.execute(
            f"UPDATE {quoted(table.physical)} SET {column} = {none} WHERE {column} IS NULL AND ({vector} IS NULL "
            f"OR octet_length({vector}) <> {size} OR {vector}[-1:] <> '\\x{form.byte:02X}'::BLOB)"
        ).fetchall()
        rowids, clusters = [], []
        for prefix, (rows, vectors) in self._vectors(table, index, f"AND {quoted(index.physical)} IS NULL").items():
            tree = forest.trees.get(prefix)
            if tree is not None:
                rowids.append(rows)
                clusters.append(tree.nearest(vectors, index.functions[0], overlap))
        if not rowids:
            return
        leaves = (
            [one.astype(np.int32) for found in clusters for one in found]
            if overlap > 1
            else np.concatenate([found[:, 0] for found in clusters]).astype(np.int32)
        )
        kept = [one[one >= 0].tolist() for one in leaves] if overlap > 1 else leaves
        kind = pyarrow.list_(pyarrow.int32()) if overlap > 1 else pyarrow.int32()
        changed = pyarrow.table({"row": np.concatenate(rowids), "cluster": pyarrow.array(kept, kind)})
        self._connection.duck.register("~clusters", changed)
        try:
            self._connection.duck.execute(
                f"UPDATE {quoted(table.physical)} AS t SET {quoted(index.physical)} = c.cluster "
                f'FROM "~clusters" AS c WHERE t.rowid = c.row'
            )
        finally:
            self._connection.duck.unregister("~clusters")

    def _forest(self, table: Table, index: str) -> trees.Forest:
        key = table.name, index
        if key not in self._forests:
            self._forests[key] = trees.Forest.load(self._catalog.data(table, index))
        return self._forests[key]

    def visit(self, table: Table, index: str, target: bytes | None, top: int) -> list[int]:
        """The clusters that a search visits: on each level, the `top` nearest to the target."""
        function = table.indexes[index].functions[0]
        return self._forest(table, index).visit(binary.from_binary(target), function, top)

    def unlike(self, table: Table, index: str, target: bytes | None) -> list[str]:
        """A line about a target that has another length or format than the vectors of the index; else none."""
        if target is None or not _typed(table.indexes[index]):
            return []
        settings, form = table.indexes[index].settings, _form(table.indexes[index])
        vector = binary.from_binary(target)
        if vector is not None and (target[-1], len(vector)) == (form.byte, settings["vector_dimension"]):
            return []
        held = f"index {index} holds {form.name} vectors of {settings['vector_dimension']} elements"
        return [f"{held}, and the target is {binary.described(target)}; pass one of that length and format"]

    def drop(self, table: Table, index: Index) -> None:
        """Removes an index's column."""
        self._connection.duck.execute(f"ALTER TABLE {quoted(table.physical)} DROP COLUMN {quoted(index.physical)}")


def _overlap(index: Index) -> int:
    return int(index.settings.get("overlap_clusters", 1))


def _typed(index: Index) -> bool:
    """Whether the type and the dimension of the vectors are known; of an index on an empty table they may not be."""
    return "vector_type" in index.settings and "vector_dimension" in index.settings


def _form(index: Index) -> binary.Format:
    return binary.find_format(index_settings.FORMATS[index.settings["vector_type"]])


def _size(form: binary.Format, dim: int) -> int:
    """The number of bytes of a vector's string."""
    return int(binary.to_binaries(np.zeros((1, dim), np.float32), form.name).shape[1])

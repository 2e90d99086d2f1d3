"""Vector indexes: trees over a table's vectors, and each row's cluster in a hidden column of the table.

A search visits the clusters nearest to its target. A row without a cluster is always read, so that no search misses a
row that the index does not hold yet.
"""

import json
import math
from typing import Any

import numpy as np

from vicinal.errors import need, unknown
from vicinal.sql.catalog import INDEXES, Index, Table, check_name, quoted
from vicinal.sql.engine.connection import Connection
from vicinal.sql.faults import fault, outside
from vicinal.sql.parse.statements import AddIndex
from vicinal.sql.types import STRING
from vicinal.sql.vectors import binary, trees

_FORMATS = {"float": "Float", "uint8": "Uint8", "int8": "Int8"}


class VectorIndexes:
    """The vector indexes of a database; their trees are read when they are first used.

    connection : the database's
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._forests: dict[tuple[str, str], trees.Forest] = {}

    def forget(self) -> None:
        """Drops the trees in memory, after a change of the schema."""
        self._forests.clear()

    def add(self, table: Table, statement: AddIndex, text: str) -> None:
        """Makes an index and gives every row its cluster.

        Raises    SqlError where a name is unknown, or the table has no vectors of that type and dimension.
        """
        name = statement.index
        check_name(name, text)
        if name.text.lower() in {one.lower() for one in table.indexes}:
            raise fault(text, name.start, f"index {name.text} exists already, in this or another case; name another")
        for column in (*statement.columns, *statement.cover):
            if column.text not in table.columns:
                raise fault(text, column.start, unknown("column", column.text, table.columns))
        embedding = statement.columns[-1]
        if table.columns[embedding.text].kind != STRING:
            kind = table.columns[embedding.text].kind
            message = f"the last column of a vector index is a String, {embedding.text} is not: it is {kind}"
            raise fault(text, embedding.start, f"{message}; name the vectors' column last")
        settings = _settings(statement, text)
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
        definition = json.dumps({"columns": index.columns, "cover": index.cover, "settings": settings})
        self._connection.duck.execute(
            f"CREATE TABLE IF NOT EXISTS {quoted(INDEXES)} "
            "(table_name VARCHAR, name VARCHAR, definition VARCHAR, forest BLOB, PRIMARY KEY (table_name, name))"
        )
        self._connection.duck.execute(
            f"INSERT INTO {quoted(INDEXES)} VALUES ($1, $2, $3, $4)",
            [table.name, index.name, definition, forest.save()],
        )
        self._connection.duck.execute(
            f"ALTER TABLE {quoted(table.physical)} ADD COLUMN {quoted(index.physical)} INTEGER"
        )
        self._forests[table.name, index.name] = forest
        self.assign(table, index)

    def _holds(self, table: Table, column: str) -> bool:
        """Whether a column has a value that is not NULL."""
        name = quoted(table.columns[column].physical)
        query = f"SELECT 1 FROM {quoted(table.physical)} WHERE {name} IS NOT NULL LIMIT 1"
        return bool(self._connection.duck.execute(query).fetchall())

    def _grow(self, table: Table, index: Index) -> trees.Forest:
        """A tree for each prefix; none in an empty table, all of whose later rows are always read."""
        function = index.functions[0]
        levels, clusters = index.settings["levels"], index.settings.get("clusters")
        forest, first = trees.Forest({}), 0
        for prefix, (_, vectors) in self._vectors(table, index, "").items():
            fitting = clusters or min(max(2, round(len(vectors) ** (1 / (levels + 1)))), _most_clusters(index.settings))
            tree = trees.grow(vectors, fitting, levels, function, first)
            forest.trees[prefix] = tree
            first += tree.leaves
        return forest

    def _vectors(self, table: Table, index: Index, where: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Row ids and vectors of each prefix, of the rows whose vectors the index takes."""
        columns = [quoted(table.columns[one].physical) for one in index.columns]
        prefix = f"CAST(to_json([{', '.join(f'CAST({one} AS VARCHAR)' for one in columns[:-1])}]) AS VARCHAR)"
        prefix = prefix if columns[:-1] else "'[]'"
        form = binary.find_format(_FORMATS[index.settings["vector_type"]])
        size = _vector_size(form, index.settings["vector_dimension"])
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
        rowids = arrow.column(0).to_numpy()[good]
        prefixes = np.array(arrow.column(1).to_pylist(), object)[good]
        vectors = np.ascontiguousarray(strings[good][:, :-1]).view(form.dtype).astype(np.float32)
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
        function = index.functions[0]
        forest = self._forest(table, index.name)
        column, vector = quoted(index.physical), quoted(table.columns[index.columns[-1]].physical)
        form = binary.find_format(_FORMATS[index.settings["vector_type"]])
        size = _vector_size(form, index.settings["vector_dimension"])
        self._connection.duck.execute(
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
            ((data,),) = self._connection.duck.execute(
                f"SELECT forest FROM {quoted(INDEXES)} WHERE table_name = $1 AND name = $2", list(key)
            ).fetchall()
            self._forests[key] = trees.Forest.load(data)
        return self._forests[key]

    def visit(self, table: Table, index: str, target: bytes | None, top: int) -> list[int]:
        """The clusters that a search visits: on each level, the `top` nearest to the target."""
        function = table.indexes[index].functions[0]
        return self._forest(table, index).visit(binary.from_binary(target), function, top)

    def drop(self, table: Table, name: str) -> None:
        """Removes an index and its column."""
        index = table.indexes[name]
        self._connection.duck.execute(
            f"DELETE FROM {quoted(INDEXES)} WHERE table_name = $1 AND name = $2", [table.name, index.name]
        )
        self._connection.duck.execute(f"ALTER TABLE {quoted(table.physical)} DROP COLUMN {quoted(index.physical)}")


def _vector_size(form: binary.Format, dim: int) -> int:
    return dim * int(np.dtype(form.dtype).itemsize) + 1


def _settings(statement: AddIndex, text: str) -> dict[str, Any]:
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
            raise fault(text, start, outside(f"setting {name}", f"there is {', '.join([*limits, *choices])}"))
    if ("distance" in found) == ("similarity" in found):
        raise fault(text, statement.start, "an index needs distance=... or similarity=..., and not both; write one")
    for name in ("vector_type", "vector_dimension"):
        if name not in found:
            raise fault(text, statement.start, f"an index needs {name}=...; add it to WITH (...)")
    found.setdefault("levels", 1)
    clusters = found.get("clusters", 2)
    if found["vector_dimension"] * clusters > 4_194_304:
        raise fault(text, statement.start, "vector_dimension * clusters is beyond 4194304; write fewer clusters")
    if math.log2(clusters) * found["levels"] > 30:
        raise fault(text, statement.start, "clusters to the power of levels is beyond 1073741824; write fewer")
    return found


def _most_clusters(settings: dict[str, Any]) -> int:
    return min(2048, 4_194_304 // int(settings["vector_dimension"]), int(2 ** (30 / settings["levels"])))

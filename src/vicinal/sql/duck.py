"""Our functions in a DuckDB connection of the user's own."""

from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from vicinal.errors import DataError, UsageError, need, unknown
from vicinal.knn.exact import ExactSearch
from vicinal.sql.vectors import binary
from vicinal.typing import MetricLike

METRICS: dict[str, MetricLike] = {
    "cosine": "cosine",
    "euclidean": "euclidean",
    "manhattan": "manhattan",
    "inner_product": "inner_product",
}
FUNCTIONS = {
    "knn_cosine_distance": "CosineDistance",
    "knn_cosine_similarity": "CosineSimilarity",
    "knn_euclidean_distance": "EuclideanDistance",
    "knn_manhattan_distance": "ManhattanDistance",
    "knn_inner_product": "InnerProductSimilarity",
}
_PAIR = "STRUCT(l BIGINT, r BIGINT, d FLOAT)[]"
_JOIN = """
CREATE OR REPLACE TEMP MACRO knn_join(left_query, right_query, k, metric := 'cosine') AS TABLE
WITH a AS MATERIALIZED (SELECT list(i) AS ids, list(CAST(v AS FLOAT[])) AS vs FROM query(left_query) AS t(i, v)),
b AS MATERIALIZED (SELECT list(i) AS ids, list(CAST(v AS FLOAT[])) AS vs FROM query(right_query) AS t(i, v)),
p AS (SELECT unnest(knn_pairs(a.vs, b.vs, k, metric)) AS p, a.ids AS ai, b.ids AS bi FROM a, b)
SELECT ai[p.l + 1] AS left_id, bi[p.r + 1] AS right_id, p.d AS distance FROM p
"""


def install(connection: Any) -> None:
    """Register the functions `knn_...` and the table function `knn_join` in a connection of DuckDB's.

    `knn_cosine_distance(a, b)`, `knn_cosine_similarity`, `knn_euclidean_distance`, `knn_manhattan_distance` and
    `knn_inner_product` take two lists or arrays of numbers. `knn_join(left_query, right_query, k, metric := 'cosine')`
    takes two SELECTs as text, each of a key and a vector, and gives left_id, right_id and distance: for each left row
    the k nearest right rows, exact, by one call of the kernel. An inner product is given as its negative, so that small
    is near in each metric.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection

    Raises
    ------
    UsageError
        It is no connection of DuckDB's, or the functions are there already.

    Examples
    --------
    >>> import duckdb
    >>> con = duckdb.connect()
    >>> install(con)
    >>> _ = con.execute("CREATE TABLE t AS SELECT i AS id, [i, 1.0] AS e FROM range(4) AS r(i)")
    >>> con.sql("SELECT * FROM knn_join('FROM t', 'FROM t', 2, metric := 'euclidean') ORDER BY ALL LIMIT 2").fetchall()
    [(0, 0, 0.0), (0, 1, 1.0)]
    """
    duckdb = need("duckdb", extra="sql")
    if not isinstance(connection, duckdb.DuckDBPyConnection):
        raise UsageError(f"expected a connection of DuckDB's, duckdb.connect(), found {type(connection).__name__}")
    try:
        for name, function in FUNCTIONS.items():
            connection.create_function(
                name, _between(function), ["FLOAT[]", "FLOAT[]"], "FLOAT", type="arrow", null_handling="special"
            )
        takes = ["FLOAT[][]", "FLOAT[][]", "BIGINT", "VARCHAR"]
        connection.create_function("knn_pairs", _pairs, takes, _PAIR, type="arrow", null_handling="special")
    except (duckdb.CatalogException, duckdb.NotImplementedException):
        raise UsageError("the functions knn_... are in this connection already; install them once") from None
    connection.execute(_JOIN)


def _between(function: str) -> Any:
    def distances(a: Any, b: Any) -> Any:
        strings = [binary.encode_column(_lists(one), "Float") for one in (a, b)]
        return binary.distance_column(function, *strings)

    return distances


def _lists(column: Any) -> Any:
    """A column of Arrow in one piece."""
    return column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column


def _pairs(left: Any, right: Any, count: Any, metric: Any) -> Any:
    """For each row of left the k nearest of right, as structs of row numbers and the distance; one row of lists."""
    a, b = _vectors(left, "left"), _vectors(right, "right")
    name, k = metric[0].as_py(), count[0].as_py()
    if name not in METRICS:
        raise UsageError(unknown("metric", str(name), METRICS))
    if k is None or k < 1:
        raise UsageError(f"k: expected a number above 0, found {k}")
    if not len(a) or not len(b):
        return pyarrow.array([[]], pyarrow.list_(_STRUCT))
    if a.shape[1] != b.shape[1]:
        raise DataError(
            f"expected vectors of one length, found {a.shape[1]} in left_query and {b.shape[1]} in right_query"
        )
    found = ExactSearch.of(b, METRICS[name]).search(a, min(int(k), len(b)))
    kept = found.indices.ravel() >= 0
    rows = np.repeat(np.arange(len(a)), found.indices.shape[1])[kept]
    columns = [rows, found.indices.ravel()[kept], found.distances.ravel()[kept].astype(np.float32)]
    pairs = pyarrow.StructArray.from_arrays([pyarrow.array(one) for one in columns], names=["l", "r", "d"])
    return pyarrow.ListArray.from_arrays(pyarrow.array([0, len(pairs)], pyarrow.int32()), pairs)


_STRUCT = pyarrow.struct([("l", pyarrow.int64()), ("r", pyarrow.int64()), ("d", pyarrow.float32())])


def _vectors(column: Any, side: str) -> np.ndarray:
    """The one list of lists of a column as an array (n, dim)."""
    lists = _lists(column)
    inner = lists.flatten() if len(lists) and lists.is_valid()[0].as_py() else pyarrow.array([], lists.type.value_type)
    lengths = pyarrow.compute.list_value_length(inner).to_numpy(zero_copy_only=False)
    values = inner.flatten()
    if inner.null_count or values.null_count or (len(lengths) and (lengths != lengths[0]).any()):
        raise DataError(f"{side}_query: expected vectors of one length without NULL; filter them with WHERE")
    return np.asarray(values.to_numpy(zero_copy_only=False).reshape(len(inner), int(lengths[0]) if len(lengths) else 0))

"""The one way in for embeddings, and data sets in memory: every kind of source gives the same vectors and ids."""

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

from vicinal.data import dataset, frames
from vicinal.data.embeddings import Embeddings, load
from vicinal.data.results import Columns
from vicinal.errors import DataError, UsageError

VECTORS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.5]], dtype=np.float32)
IDS = ["a", "b", "c"]
KINDS = ["x", "y", "x"]


def arrow_table(vector_type: Any = None) -> pyarrow.Table:
    vectors = pyarrow.array(VECTORS.tolist(), vector_type or pyarrow.list_(pyarrow.float32()))
    return pyarrow.table({"id": IDS, "embedding": vectors, "kind": KINDS})


TABLES = {
    "pyarrow": arrow_table,
    "pyarrow fixed size": lambda: arrow_table(pyarrow.list_(pyarrow.float32(), 2)),
    "pyarrow large": lambda: arrow_table(pyarrow.large_list(pyarrow.float32())),
    "pyarrow chunked": lambda: pyarrow.concat_tables([arrow_table().slice(0, 1), arrow_table().slice(1)]),
    "pandas": lambda: pandas.DataFrame({"id": IDS, "embedding": list(VECTORS), "kind": KINDS}, index=[7, 3, 9]),
    "polars": lambda: polars.DataFrame(
        {"id": IDS, "embedding": VECTORS, "kind": KINDS},
        schema_overrides={"embedding": polars.Array(polars.Float32, 2)},
    ),
    "pandas categories": lambda: pandas.DataFrame({"id": IDS, "embedding": list(VECTORS), "kind": KINDS}).astype(
        {"kind": "category"}
    ),
    "polars lists": lambda: polars.from_arrow(arrow_table()),
    "datasets": lambda: datasets.Dataset(arrow_table()),
    "datasets selected": lambda: datasets.Dataset(pyarrow.concat_tables([arrow_table(), arrow_table()])).select(
        [3, 1, 5]
    ),
    "mapping": lambda: {"id": IDS, "embedding": VECTORS.tolist(), "kind": KINDS},
    "mapping of arrays": lambda: {"id": np.array(IDS), "embedding": VECTORS, "kind": np.array(KINDS)},
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_gives_its_vectors_ids_and_columns(kind: str) -> None:
    rows = dataset.read(TABLES[kind](), fields={"labels": ("kind", "label")})
    assert (rows.ids, rows.values) == (IDS, {"labels": KINDS})
    assert np.array_equal(load(rows.embeddings, rows=rows).vectors, VECTORS)


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_given_back_with_new_columns_as_the_kind_that_it_was(kind: str) -> None:
    table = TABLES[kind]()
    scores = Columns(IDS, {"score": np.array([0.5, np.nan, 2.0], dtype=np.float32)})
    longer = scores.add_to(table)
    assert type(longer) is type(table)
    added = dataset.read(longer, fields={"s": ("score", "any"), "labels": ("kind", "label")}).values
    assert added["s"][0::2] == [0.5, 2.0] and (added["s"][1] is None or np.isnan(added["s"][1]))
    assert added["labels"] == KINDS
    with pytest.raises(UsageError, match="columns score already"):
        scores.add_to(longer)
    assert "second score" in frames.column_names(scores.add_to(longer, prefix="second "))


@pytest.mark.parametrize("kind", TABLES)
def test_rows_of_a_table_are_taken_in_the_order_asked_for(kind: str) -> None:
    table = TABLES[kind]()
    part = frames.take(table, np.array([2, 0]), n=3)
    assert type(part) is type(table)
    rows = dataset.read(part, fields={"labels": ("kind", "label")})
    assert (rows.ids, rows.values["labels"]) == (["c", "a"], ["x", "x"])
    assert np.array_equal(load(rows.embeddings).vectors, VECTORS[[2, 0]])
    assert len(dataset.read(frames.take(table, np.array([], dtype=np.int64), n=3)).ids) == 0
    with pytest.raises(UsageError, match="the table has 3 rows, but the result has 4"):
        frames.take(table, np.array([0]), n=4)


def test_rows_of_an_array_are_taken_as_an_array() -> None:
    assert np.array_equal(frames.take(VECTORS, np.array([2, 0]), n=3), VECTORS[[2, 0]])
    assert np.array_equal(frames.take(VECTORS.tolist(), np.array([1]), n=3), VECTORS[[1]])
    with pytest.raises(UsageError, match=r"expected the table that the result .*, got int"):
        frames.take(5, np.array([0]), n=3)


def test_missing_embeddings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"id": 1}\n')
    rows = dataset.read(path)
    with pytest.raises(UsageError, match=r"embeddings: missing; name a \.npy file or a column of vectors, or give an"):
        load(rows.embeddings, rows=rows)


def test_pandas_keeps_its_index() -> None:
    table = TABLES["pandas"]()
    assert Columns(IDS, {"score": np.arange(3.0)}).add_to(table).index.tolist() == [7, 3, 9]


def test_a_result_of_other_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="the table has 3 rows, but the result has 2"):
        Columns(["a", "b"], {"score": np.arange(2.0)}).add_to(TABLES["polars"]())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64"])
@pytest.mark.parametrize("kind", ["list", "fixed"])
def test_an_arrow_column_keeps_its_number_type(dtype: str, kind: str) -> None:
    inner = pyarrow.from_numpy_dtype(np.dtype(dtype))
    whole = VECTORS.astype(dtype)
    lists = pyarrow.list_(inner) if kind == "list" else pyarrow.list_(inner, 2)
    flat = pyarrow.array(whole.ravel())
    column = (
        pyarrow.ListArray.from_arrays(pyarrow.array([0, 2, 4, 6], pyarrow.int32()), flat)
        if kind == "list"
        else pyarrow.FixedSizeListArray.from_arrays(flat, 2)
    )
    assert column.type == lists
    vectors = load(column).vectors
    assert vectors.dtype == np.dtype(dtype) and np.array_equal(vectors, whole)
    part = load(column.slice(1)).vectors  # a slice begins inside the values
    assert np.array_equal(part, whole[1:])


def test_a_null_row_is_named_and_a_ragged_one_too() -> None:
    column = pyarrow.array([[1.0, 2.0], None, [3.0, 4.0]])
    with pytest.raises(DataError, match=r"1 with no embedding \(null\): 1"):
        load(column, on_invalid="error")
    found = load(column, on_invalid="null")
    assert found.invalid == {1: "no embedding (null)"}
    assert found.vectors[found.valid].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    with pytest.raises(DataError, match=r"different lengths: row 0 has 2 numbers, 1 rows have another number \(2\)"):
        load(pyarrow.array([[1.0, 2.0], None, [3.0]]), on_invalid="null")


def test_several_columns_of_vectors_must_be_chosen_from() -> None:
    table = {"one": [[1.0], [2.0]], "two": [[3.0], [4.0]]}
    with pytest.raises(UsageError, match="several columns of vectors"):
        dataset.read(table)
    assert load(dataset.read(table, "two").embeddings).vectors.ravel().tolist() == [3.0, 4.0]
    with pytest.raises(UsageError, match="unknown column 'tow': did you mean 'two'"):
        dataset.read(table, "tow")


def test_a_file_gives_what_a_table_does(tmp_path: Path) -> None:
    path, array = tmp_path / "data.parquet", tmp_path / "emb.npy"
    pyarrow.parquet.write_table(arrow_table().drop_columns("embedding"), path)
    np.save(array, VECTORS)
    rows = dataset.read(path, array, fields={"labels": ("kind", "label"), "weight": ([1, 2, 3], "number")})
    assert (rows.ids, rows.values) == (IDS, {"labels": KINDS, "weight": [1.0, 2.0, 3.0]})
    assert isinstance(load(rows.embeddings, rows=rows).vectors, np.memmap)


def test_an_array_takes_ids_and_labels_from_a_file_or_from_memory(tmp_path: Path) -> None:
    path, array = tmp_path / "data.jsonl", tmp_path / "emb.npy"
    path.write_text("".join(f'{{"id": "{one}", "kind": "{kind}"}}\n' for one, kind in zip(IDS, KINDS, strict=True)))
    np.save(array, VECTORS)
    for data in (array, VECTORS, VECTORS.tolist()):
        rows = dataset.read(data, ids=str(path), fields={"labels": (f"{path}:kind", "label")})
        assert (rows.ids, rows.values["labels"]) == (IDS, KINDS)
        assert dataset.read(data, ids=IDS, fields={"labels": (KINDS, "label")}).values["labels"] == KINDS
    with pytest.raises(DataError, match="found 2, expected 3 values"):
        dataset.read(array, fields={"labels": (["x", "y"], "label")})


def test_rows_metric_and_model_must_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected 4"):
        load(VECTORS, rows=4)
    with pytest.raises(DataError, match="packed bits"):
        load(VECTORS, metric="hamming")
    with pytest.raises(DataError, match="found dim 2, embeddings has dim 3; embed both with the same model"):
        load(VECTORS, name="queries", like=load(np.ones((1, 3))))
    with pytest.raises(DataError, match="zero vector"):
        load(np.zeros((2, 2)), metric="cosine")
    assert isinstance(load(np.zeros((2, 2))), Embeddings)
    with pytest.raises(UsageError, match="embeddings: expected a file"):
        load(tmp_path / "none.npy")
    with pytest.raises(UsageError, match="name the column of embeddings"):
        load(TABLES["polars"]())


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_a_result_is_written_and_read_back(ending: str, tmp_path: Path) -> None:
    result = Columns(
        IDS, {"score": np.array([0.1, np.nan, 2.0], dtype=np.float32), "kept": np.array([True, False, True])}
    )
    result.write(tmp_path / f"out{ending}")
    rows = dataset.read(tmp_path / f"out{ending}", fields={"s": ("score", "any"), "k": ("kept", "any")})
    assert rows.ids == IDS
    if ending == ".csv":
        assert (rows.values["s"], rows.values["k"]) == (["0.1", "", "2.0"], ["True", "False", "True"])
    else:
        assert rows.values["s"][1] is None and np.float32(rows.values["s"][0]) == np.float32(0.1)
        assert rows.values["k"] == [True, False, True]
    with pytest.raises(UsageError, match="exists already"):
        result.write(tmp_path / f"out{ending}")

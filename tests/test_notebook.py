"""Functions as a notebook calls them: arguments of the wrong kind are named, with a remedy that works."""

from collections.abc import Callable
from typing import Any

import datasets
import duckdb
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse

import vicinal
from vicinal.data.results import Columns

ROWS = {"id": ["a", "b", "c"], "embedding": [[0.0], [1.0], [3.0]], "kind": ["x", "y", "y"]}
FRAME = pandas.DataFrame(ROWS)
HF = datasets.Dataset.from_dict(ROWS)
INDEX = vicinal.index("exact", data=ROWS)
RESULT = Columns(["a", "b", "c"], {"score": np.zeros(3)})


def drop(table: object) -> object:
    return vicinal.duplicates(ROWS, radius=0.5).drop_from(table)


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: vicinal.search(INDEX), "queries: no query was given; give --queries, --query-row"),
    (lambda: vicinal.search(INDEX, query_rows=3), "query_rows: expected a list, got 3; write [3]"),  # type: ignore[arg-type]
    (lambda: vicinal.search(INDEX, query_ids="b"), "query_ids: expected a list, got \"b\"; write ['b']"),
    (lambda: vicinal.search(INDEX, query_ids=["z"]), "query_ids: not in the index: 'z'"),
    (lambda: vicinal.search(INDEX, query_rows=[3]), "query_rows: expected a row from 0 to 2 that is there, got 3"),
    (lambda: vicinal.search(INDEX, [[1.0]], fields="kind"), "fields: expected a list, got \"kind\"; write ['kind']"),
    (lambda: vicinal.search(INDEX, [[1.0]], query_rows=[0]), "give one kind of them"),
    (
        lambda: vicinal.search(INDEX, positive_ids=["a"]),
        "positive_ids: examples are ranked by --by svm (in Python: by=",
    ),
    (lambda: vicinal.remove_from_index(INDEX, "a"), "ids: expected a list, got \"a\"; write ['a']"),
    (lambda: vicinal.index(np.zeros((3, 2))), "type: expected the name of an index, got ndarray; give rows as data="),  # type: ignore[arg-type]
    (lambda: vicinal.index("hnsw", settings={"M": 4}, M=8), "M: given as an argument and in settings; give it once"),
    (lambda: vicinal.evaluate([]), "indexes: expected at least one index"),
    (lambda: vicinal.evaluate(INDEX, n_queries=0), "n_queries: expected a whole number above 0, got 0"),
    (lambda: vicinal.classify(ROWS, None, ROWS), "labels: expected a column, FILE:FIELD, or one value a row, got None"),
    (lambda: vicinal.regress(ROWS, None, ROWS), "targets: expected a column, FILE:FIELD, or one value a row, got None"),
    (lambda: vicinal.kappa(FRAME, FRAME), "one: found a table with the columns id, embedding, kind, expected one of"),
    (lambda: vicinal.score(ROWS, embeddings="kind"), "embeddings: expected a list of numbers in each row, found a col"),
    (lambda: vicinal.embed(FRAME, "model", fields="kin"), "fields: unknown column 'kin': did you mean 'kind'"),
    (lambda: RESULT.add_to(FRAME["kind"]), "mapping of columns), got Series"),
    (lambda: RESULT.add_to(np.zeros((3, 1))), "mapping of columns), got ndarray"),
    (lambda: RESULT.add_to(polars.DataFrame(ROWS).lazy()), "got LazyFrame, which is not computed yet; give .collect()"),
    (lambda: drop("rows.csv"), "mapping of columns), got str"),
    (lambda: vicinal.score(datasets.DatasetDict(train=HF)), "DatasetDict, which holds several data sets (train); give"),
    (
        lambda: vicinal.score(HF.to_iterable_dataset()),
        "IterableDataset, which is read one row at a time; give a Dataset",
    ),
    (lambda: vicinal.score(scipy.sparse.eye_array(3)), "which is sparse; give .toarray() of it"),
    (lambda: vicinal.report(np.zeros(3), "page.html"), "scores: expected the result of vicinal.score"),  # type: ignore[arg-type]
    (lambda: vicinal.report(vicinal.score(ROWS, k=1), "page.html", fields="kind"), "fields: expected a list, got"),
    (lambda: vicinal.learn.train(ROWS, "kind", margin="wide"), "margin: expected a number above 0, got 'wide'"),  # type: ignore[arg-type]
    (lambda: vicinal.learn.train(ROWS, "kind", learning_rate="x"), "learning_rate: expected a number above 0 and at m"),  # type: ignore[arg-type]
    (lambda: vicinal.learn.train(ROWS, "kind", weight_decay=-1), "weight_decay: expected a number of at least 0 and"),
    (lambda: vicinal.score(polars.DataFrame(ROWS).lazy()), "LazyFrame, which is not computed yet; give .collect()"),
    (lambda: vicinal.score(pyarrow.table(ROWS).to_reader()), "which can be read once; give .read_all()"),
    (lambda: vicinal.search(INDEX, pyarrow.table(ROWS).to_reader()), "queries: expected an array (rows, dim), a path"),
]


@pytest.mark.parametrize(("call", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_argument_is_named(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(vicinal.VicinalError) as caught:
        call()
    assert said in str(caught.value)


def test_a_figure_that_is_not_there_is_named_with_the_nearest() -> None:
    found = vicinal.diagnose(np.arange(12.0)[:, None] ** 2, k=2)
    with pytest.raises(KeyError, match="did you mean 'two_nn_dimension'"):
        found["two_nn_dimensions"]


@pytest.mark.parametrize("make", [pandas.DataFrame, polars.DataFrame, pyarrow.table, datasets.Dataset.from_dict])
def test_the_columns_of_an_index_come_from_any_table(make: Callable[[Any], Any]) -> None:
    payload = make({"kind": ["x", "y", "y"]})
    built = vicinal.index("exact", data=[[0.0], [1.0], [3.0]], payload=payload)
    assert built.search([[0.0]], 1, where="kind = 'y'").indices.tolist() == [[1]]


SOURCES: list[tuple[str, Callable[[], Any]]] = [
    ("a column of datasets", lambda: HF["embedding"]),
    ("a query of DuckDB", lambda: duckdb.sql("SELECT * FROM FRAME ORDER BY id")),
    ("pandas with numbers as names", lambda: FRAME.rename(columns={"embedding": 0, "kind": 1})),
    ("a mapping with numbers as names", lambda: {0: ROWS["embedding"], 1: ROWS["kind"]}),
    ("pandas with a name twice", lambda: FRAME.assign(other=1).rename(columns={"other": "kind"})),
]


@pytest.mark.parametrize(("kind", "make"), SOURCES, ids=[kind for kind, _ in SOURCES])
def test_every_kind_of_table_and_column_is_read(kind: str, make: Callable[[], Any]) -> None:
    assert vicinal.score(make(), k=1)["mean"].tolist() == [1.0, 1.0, 2.0], kind


@pytest.mark.filterwarnings("ignore::UserWarning")  # of rows that hold no classes to learn
def test_a_trained_head_is_shown_in_a_line() -> None:
    vectors = np.random.default_rng(0).normal(size=(64, 4))
    trained = vicinal.learn.train(vectors, np.arange(64) % 16, epochs=1, device="cpu")
    assert len(repr(trained)) < 200

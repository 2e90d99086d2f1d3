"""`add_to`: the data set with the result as new columns; what was there stays as it is."""

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest

import vicinal
from vicinal.errors import UsageError
from workplace import Workplace

N = 30


@pytest.fixture
def table(work: Workplace) -> pyarrow.Table:
    """A Parquet file of another library's making: several row groups, types, metadata, a codec of its own."""
    random = np.random.default_rng(0)
    table = pyarrow.table(
        {
            "id": work.ids,
            "text": [f"täxt {row}" for row in range(N)],
            "day": pyarrow.array(range(N), pyarrow.int32()).cast(pyarrow.date32()),
            "kind": pyarrow.array([f"k{row % 3}" for row in range(N)]).dictionary_encode(),
            "raw": pyarrow.array([b"\x00\xff"] * N),
            "v": pyarrow.FixedSizeListArray.from_arrays(random.normal(size=N * 4).astype(np.float32), 4),
        }
    ).replace_schema_metadata({"owner": "me"})
    pyarrow.parquet.write_table(table, "d.parquet", row_group_size=7, compression="zstd")
    return table


def test_a_parquet_file_keeps_its_schema_row_groups_and_bytes_and_gets_lists(work: Workplace, table: Any) -> None:
    ask = ("score", "d.parquet", "--embeddings", "emb.npy", "-k", "3", "--evidence")
    assert work(*ask, "--add-to", "o.parquet").out == ""
    assert work(*ask, "-o", "plain.jsonl").code == 0
    before, after = (pyarrow.parquet.ParquetFile(name) for name in ("d.parquet", "o.parquet"))
    names = [
        "mean",
        "mean_neighbors",
        "mean_distances",
        "mean_duplicate_group",
        "mean_duplicate_size",
        "mean_duplicate_match",
    ]
    assert after.schema_arrow.names == [*table.column_names, *names]
    whole = after.read()
    assert whole.select(table.column_names).equals(table) and whole.schema.metadata[b"owner"] == b"me"
    groups = [[file.metadata.row_group(i).num_rows for i in range(5)] for file in (before, after)]
    assert groups[0] == groups[1] == [7, 7, 7, 7, 2]
    assert after.metadata.row_group(0).column(0).compression == "ZSTD"
    assert str(whole.schema.field("mean_neighbors").type) == "list<element: int64>"
    records = [json.loads(line) for line in Path("plain.jsonl").read_text().splitlines()]
    for record, row in zip(records, whole.to_pylist(), strict=True):
        assert row["mean"] == pytest.approx(record["score"], rel=1e-7)
        assert row["mean_neighbors"] == record["neighbors"] and row["mean_distances"] == record["distances"]
    assert datasets.Dataset.from_parquet("o.parquet", cache_dir="cache")["mean_neighbors"][0] == records[0]["neighbors"]


def test_evidence_in_a_parquet_file_of_scores_is_lists_too(work: Workplace) -> None:
    assert work("score", "data.jsonl", "--embeddings", "emb.npy", "-k", "2", "--evidence", "-o", "s.parquet").code == 0
    found = pyarrow.parquet.read_table("s.parquet")
    assert found["neighbors"].to_pylist() == [
        [work.ids[row] for row in rows] for rows in vicinal.neighbors(work.vectors, 2).indices
    ]


def test_lines_and_records_keep_their_bytes(work: Workplace) -> None:
    lines = [f'{{"id": {row}, "x": 1.50, "s": "\\u00fc, {{}}" }}' for row in range(N)]
    work.write("d.jsonl", "\n".join(lines))
    work.write("d.jsonl.gz", gzip.compress(b"\xef\xbb\xbf" + "\r\n".join(lines).encode()))
    work.write("d.csv", "id,s\r\n" + "".join(f'{row},"a ""b""\r\nc"\r\n' for row in range(N)))
    for name in ("d.jsonl", "d.jsonl.gz", "d.csv"):
        ask = ("outliers", name, "--embeddings", "emb.npy", "-k", "5", "--add-to", f"o{Path(name).suffixes[0]}")
        assert work(*ask, *(["--overwrite"] if name == "d.jsonl.gz" else [])).code == 0
        found = vicinal.outliers("emb.npy", k=5)
        if name == "d.csv":
            raw = Path("o.csv").read_bytes()
            assert raw.startswith(b'id,s,score,outlier\r\n0,"a ""b""\r\nc",')
            told = pandas.read_csv("o.csv")["score"].tolist()
        else:
            out = Path("o.jsonl").read_text(encoding="utf-8-sig").splitlines()
            assert all(one.startswith(line[:-2] + ", ") for one, line in zip(out, lines, strict=True))
            told = [json.loads(line)["score"] for line in out]
        np.testing.assert_allclose(told, found.score, rtol=1e-12)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_a_file_of_another_kind_holds_the_same(work: Workplace, table: Any, ending: str) -> None:
    pyarrow.parquet.write_table(table.drop_columns(["raw", "v"]), "plain.parquet")
    found = vicinal.duplicates("plain.parquet", 0.5, "emb.npy", add_to=f"o{ending}")
    assert found.n_groups > 0
    read = {
        ".jsonl": lambda p: pandas.read_json(p, lines=True),
        ".csv": pandas.read_csv,
        ".parquet": pandas.read_parquet,
    }
    frame = read[ending](f"o{ending}")
    assert frame["duplicate"].tolist() == found["duplicate"].tolist() and frame["text"][1] == "täxt 1"
    assert [str(day)[:10] for day in frame["day"][:2]] == ["1970-01-01", "1970-01-02"]
    work.write("d.csv", "id,s\n" + "".join(f"{row},t\n" for row in range(N)))
    vicinal.duplicates("d.csv", 0.5, "emb.npy", add_to=f"c{ending}")
    assert read[ending](f"c{ending}")["duplicate"].tolist() == found["duplicate"].tolist()


def test_a_table_in_memory_is_written_with_its_columns(work: Workplace) -> None:
    frame = pandas.DataFrame({"name": [f"n{row}" for row in range(N)], "v": list(work.vectors)})
    scores = vicinal.score(frame, by=["mean", "distinct"], k=2, evidence=True, add_to="o.parquet")
    found = pandas.read_parquet("o.parquet")
    assert list(found)[:4] == ["name", "v", "mean", "distinct"] and not [name for name in found if " " in name]
    np.testing.assert_array_equal(found["mean"], scores["mean"])
    assert list(scores.add_to(frame))[4:6] == ["distinct_multiplicity", "mean_neighbors"]


def test_what_is_taken_or_no_data_set_is_refused_and_nothing_is_left(work: Workplace, table: Any) -> None:
    work.lines("d.jsonl", [{"id": row, "score": 1} for row in range(N)])
    for ask in (("outliers", "d.jsonl"), ("outliers", "d.jsonl", "-k", "3")):
        said = work.refuses(2, *ask, "--embeddings", "emb.npy", "--add-to", "o.jsonl")
        assert "d.jsonl, row 0 has columns score already; rename them there, or write the result to a file of" in said
    assert not [one for one in work.folder.iterdir() if "o.jsonl" in one.name]
    with pytest.raises(UsageError, match="adds columns to a data set, but embeddings holds embeddings only"):
        vicinal.score(work.vectors, add_to="o.parquet")
    assert "is one of the inputs" in work.refuses(
        2, "score", "d.parquet", "--embeddings", "emb.npy", "--add-to", "d.parquet", "--overwrite"
    )
    said = work.refuses(3, "outliers", "d.parquet", "--embeddings", "emb.npy", "--add-to", "o.jsonl")
    assert "column 'raw' holds bytes" in said


DATA = {"data": "d.jsonl", "embeddings": "emb.npy"}
VOTED = {"data": "d.jsonl", "queries": "q.npy", "embeddings": "emb.npy", "k": 2}
TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "score": ("output", DATA | {"k": 2}),
    "outliers": ("output", DATA | {"k": 2}),
    "classify": ("output", VOTED | {"labels": "l"}),
    "regress": ("output", VOTED | {"targets": "n"}),
    "duplicates": ("output", DATA | {"radius": 0.1}),
    "dedup": ("removed", DATA | {"radius": 0.1}),
    "neighbors": ("output", DATA | {"k": 2}),
}


@pytest.mark.parametrize("task", TASKS)
def test_two_outputs_of_one_name_and_inputs_are_refused_before_the_work(work: Workplace, task: str) -> None:
    work.write("d.jsonl", "".join(f'{{"id": {row}, "l": "{"ab"[row % 2]}", "n": {row}}}\n' for row in range(N)))
    np.save("q.npy", np.load("emb.npy")[:3])
    output, arguments = TASKS[task]
    there = sorted(Path().iterdir())
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=f"add_to: found the file .*one.jsonl, which {output} writes too"):
            ask = {output: "one.jsonl", "add_to": f"{Path.cwd()}/one.jsonl", "overwrite": overwrite}
            getattr(vicinal, task)(**arguments, **ask)
    with pytest.raises(UsageError, match=r"d\.jsonl: is one of the inputs"):
        getattr(vicinal, task)(**arguments, add_to="d.jsonl", overwrite=True)
    assert sorted(Path().iterdir()) == there


def test_embeddings_and_the_rows_that_are_searched_are_never_overwritten(work: Workplace, table: Any) -> None:
    before = Path("d.parquet").read_bytes()
    work.write("c.jsonl", '{"id": "a", "v": [1.0, 0.0]}\n{"id": "b", "v": [0.0, 1.0]}\n')
    with pytest.raises(UsageError, match=r"d\.parquet: is one of the inputs"):
        vicinal.score("data.jsonl", "d.parquet:v", output="d.parquet", overwrite=True)
    with pytest.raises(UsageError, match=r"c\.jsonl: is one of the inputs"):
        vicinal.search("c.jsonl", [[1.0, 0.0]], output="c.jsonl", overwrite=True)
    assert Path("d.parquet").read_bytes() == before and len(Path("c.jsonl").read_text().splitlines()) == 2


def test_predictions_are_added_to_the_queries(work: Workplace) -> None:
    work.lines("q.jsonl", [{"id": f"q{row}", "label": "old", "v": row} for row in range(N)])
    labels = [f"c{row % 2}" for row in range(N)]
    table = {"v": work.vectors.tolist(), "label": ["old"] * N}
    found = vicinal.classify(work.vectors, labels, table, k=3, add_to="o.jsonl")
    rows = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert [row["predicted_label"] for row in rows] == found.label and rows[0]["label"] == "old"


def test_the_neighbours_of_rows_are_a_column_of_structs(work: Workplace) -> None:
    ask = ("neighbors", "data.jsonl", "--embeddings", "emb.npy", "-k", "4", "--add-to")
    assert work(*ask, "o.parquet").code == work(*ask, "o.jsonl").code == 0
    nearest = vicinal.neighbors(work.vectors, 4)
    column = pyarrow.parquet.read_table("o.parquet")["neighbors"]
    assert str(column.type) == "struct<ids: list<element: int64>, distances: list<element: float>>"
    rows = column.to_pylist()
    told = [json.loads(line)["neighbors"]["ids"] for line in Path("o.jsonl").read_text().splitlines()]
    assert told == nearest.indices.tolist()
    assert [row["ids"] for row in rows] == nearest.indices.tolist()
    np.testing.assert_array_equal([row["distances"] for row in rows], nearest.distances)

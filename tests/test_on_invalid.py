"""Rows without a usable value under error, null and skip, in every command: what is left, and what is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from vicinal import cli, learn
from vicinal.errors import DataError
from workplace import Workplace

N, BAD, UNLABELLED, BLANK = 30, 4, 7, 9
GOOD = [row for row in range(N) if row not in (BAD, UNLABELLED, BLANK)]


@pytest.fixture
def holes(work: Workplace) -> Workplace:
    """Row 4 has no embedding, row 7 no label and no value, row 9 a blank label and NaN for a value."""
    vectors = work.vectors.copy()
    vectors[BAD] = np.nan
    work.save("bad.npy", vectors)
    work.save("good.npy", vectors[GOOD])
    rows: list[dict[str, Any]] = [{"id": f"r{row}", "label": f"c{row % 2}", "price": row % 7} for row in range(N)]
    rows[UNLABELLED] |= {"label": None, "price": None}
    rows[BLANK]["label"] = " "
    del rows[BLANK]["price"]
    work.lines("d.jsonl", rows)
    work.lines("good.jsonl", [rows[row] for row in GOOD])
    return work


TO_EMBEDDINGS = [
    ("score", "d.jsonl", "--embeddings", "bad.npy", "-k", "3"),
    ("outliers", "d.jsonl", "--embeddings", "bad.npy", "-k", "3"),
]


@pytest.mark.parametrize("ask", TO_EMBEDDINGS, ids=lambda ask: ask[0])
def test_rows_without_an_embedding_have_null_or_are_left_out(holes: Workplace, ask: tuple[str, ...]) -> None:
    assert "bad.npy: 1 row cannot be used" in holes.refuses(3, *ask)
    null, skip = (holes(*ask, "--on-invalid", one).records for one in ("null", "skip"))
    for way in ("null", "skip"):  # told where the rows go to standard output, too
        assert "1 row without a usable value" in holes(*ask, "--on-invalid", way).err.replace("1 rows", "1 row")
    assert len(null) == N and null[BAD]["score"] is None and [one for one in null if one["id"] != "r4"] == skip
    answer = holes(*ask, "--on-invalid", "null", "-o", "o.jsonl")
    assert "; 1 row without a usable value has no result (NaN or infinite value: 1)" in answer.err
    assert "1 row" in holes(*ask, "--on-invalid", "skip", "-o", "s.jsonl").err.replace("1 rows", "1 row")
    # What is left is what the data give without these rows.
    rows = [row for row in range(N) if row != BAD]
    holes.save("left.npy", np.load("bad.npy")[rows])
    alone = holes(ask[0], "left.npy", "-k", "3").records
    assert [one["score"] for one in skip] == [one["score"] for one in alone]
    data = json.loads((holes.folder / "d.jsonl").read_text().splitlines()[0])
    for way, count in (("null", N), ("skip", N - 1)):
        assert holes(*ask, "--on-invalid", way, "--add-to", "a.jsonl", "--overwrite").code == 0
        lines = Path("a.jsonl").read_text().splitlines()
        assert len(lines) == count and json.loads(lines[0]).items() >= data.items()


def test_neighbours_skip_rows(holes: Workplace) -> None:
    found = vicinal.neighbors("d.jsonl", 3, embeddings="bad.npy", on_invalid="skip")
    rows = [row for row in range(N) if row != BAD]
    expected = vicinal.neighbors(holes.vectors[rows], 3)
    assert found.ids == [f"r{row}" for row in rows] and list(found.unusable) == [BAD]
    np.testing.assert_array_equal(found.indices, expected.indices)
    null = vicinal.neighbors("d.jsonl", 3, embeddings="bad.npy", groups="label", on_invalid="null")
    assert list(null.unusable) == [BAD, UNLABELLED, BLANK] and (null.indices[UNLABELLED] == -1).all()
    assert not np.isin(null.indices, [BAD, UNLABELLED, BLANK]).any()
    answer = holes("neighbors", "bad.npy", "-k", "3", "-o", "graph", "--on-invalid", "null")
    assert "; 1 row without a usable value has no result" in answer.err


def test_scores_by_group_have_no_value_where_there_is_no_group(holes: Workplace) -> None:
    ask = ("score", "d.jsonl", "--embeddings", "bad.npy", "-k", "3", "--group", "label")
    assert "d.jsonl:8: label: expected a label in every row, found null" in holes.refuses(3, *ask)
    null = holes(*ask, "--on-invalid", "null").records
    assert [row for row in range(N) if null[row]["score"] is None] == [BAD, UNLABELLED, BLANK]
    expected = holes("score", "good.jsonl", "--embeddings", "good.npy", "-k", "3", "--group", "label").records
    assert [null[row] for row in GOOD] == expected == holes(*ask, "--on-invalid", "skip").records
    assert "a kept run holds all rows" in holes.refuses(2, *ask, "--on-invalid", "skip", "--run", "kept")


@pytest.mark.parametrize(("command", "known"), [("classify", "label"), ("regress", "price")])
def test_known_rows_do_not_vote_and_queries_have_no_result(holes: Workplace, command: str, known: str) -> None:
    argument = "--labels" if command == "classify" else "--targets"
    name, value = ("label", "probability") if command == "classify" else ("value", "spread")
    ask = (command, "bad.npy", argument, f"d.jsonl:{known}", "--queries", "bad.npy", "-k", "3", "--with-neighbors")
    assert f"d.jsonl:8: {known}: expected a" in holes.refuses(3, *ask)
    answer = holes(*ask, "--on-invalid", "null")
    assert [row for row in range(N) if answer.records[row][name] is None] == [BAD]
    assert answer.records[BAD][value] is None and answer.records[BAD]["neighbors"] == []
    assert "; 3 rows of the data without a usable value were left out" in answer.err
    assert "; 1 row of the queries without a usable value has no result" in answer.err
    expected = holes(command, "good.npy", argument, f"good.jsonl:{known}", "--queries", "emb.npy", "-k", "3").records
    skip = holes(*ask, "--on-invalid", "skip").records
    assert [one["id"] for one in skip] == [row for row in range(N) if row != BAD]
    assert [one[name] for one in skip] == [one[name] for one in expected if one["id"] != BAD]


def test_what_sums_up_leaves_such_rows_out_and_counts_them(holes: Workplace) -> None:
    for command, option in (("choose-k", ("--max-k", "5")), ("diagnose", ("-k", "5"))):
        ask = (command, "bad.npy", "--labels", "d.jsonl:label", *option)
        assert "expected a label in every row" in holes.refuses(3, *ask)
        for way in ("null", "skip"):
            assert "; 3 rows without a usable value were left out" in holes(*ask, "--on-invalid", way).err
    curve = vicinal.choose_k("bad.npy", labels="d.jsonl:label", max_k=5, on_invalid="skip")
    expected = vicinal.choose_k("good.npy", labels="good.jsonl", max_k=5)
    np.testing.assert_array_equal(curve.scores["uniform"], expected.scores["uniform"])
    found = vicinal.diagnose("bad.npy", "d.jsonl:label", k=5, on_invalid="skip")
    assert found["one_nn_error"].value == vicinal.diagnose("good.npy", "good.jsonl", k=5)["one_nn_error"].value


def test_kappa_leaves_rows_without_a_label_out(holes: Workplace) -> None:
    assert "expected a label in every row" in holes.refuses(3, "kappa", "d.jsonl", "good.jsonl")
    answer = holes("kappa", "d.jsonl", "good.jsonl", "--on-invalid", "skip", "--json")
    assert json.loads(answer.out)["n"] == N - 2 - 1 and "2 rows without a label were left out" in answer.err
    pair = vicinal.kappa(["a", None, "b", "a"], ["a", "b", "b", float("nan")], on_invalid="null")
    assert (pair.n, pair.unusable, pair.value, pair.low) == (2, 2, 1.0, 1.0)


@pytest.mark.parametrize("n", range(2, 60))
def test_kappa_of_equal_labels_is_1(n: int) -> None:
    labels = [f"l{row % 3 % n}" for row in range(n)]
    assert vicinal.kappa(labels, labels).value == 1.0


def test_curation_never_asks_such_rows(holes: Workplace) -> None:
    ask = ("curate", "d.jsonl", "--embeddings", "bad.npy", "--labels", "label", "--clusters", "2", "-k", "9")
    assert "d.jsonl:8: label: expected a label" in holes.refuses(3, *ask, "--state", "s")
    assert not Path("s").exists()
    answer = holes(*ask, "--state", "s", "-o", "o.jsonl", "--on-invalid", "skip")
    assert "3 rows without a usable value were left out (no label: 2, NaN or infinite value: 1)" in answer.err
    good = ("curate", "good.jsonl", "--embeddings", "good.npy", "--labels", "label", "--clusters", "2", "-k", "9")
    assert holes(*good, "--state", "g", "-o", "g.jsonl").code == 0
    assert Path("o.jsonl").read_text() == Path("g.jsonl").read_text() != ""
    # An expert's row without a label is one that waits.
    asked = [json.loads(line)["id"] for line in Path("o.jsonl").read_text().splitlines()]
    holes.lines("e.jsonl", [{"id": one, "label": "c0"} for one in asked])
    holes.lines("f.jsonl", [{"id": one, "label": None if row == 0 else "c0"} for row, one in enumerate(asked)])
    later = ("--state", "s", "--experts", "e.jsonl:label", "f.jsonl:label")
    assert "f.jsonl:1: label: expected a label" in holes.refuses(3, *good, "--state", "g", *later[2:])
    assert "waiting for the experts' labels of 1 rows" in holes(*ask, *later, "--on-invalid", "null").out
    holes.lines("f.jsonl", [{"id": one, "label": "c0"} for one in asked])
    assert f"after {len(asked)} rows" in holes(*ask, *later, "--on-invalid", "null").out


def test_selection_names_rows_without_a_quality_as_unusable(holes: Workplace) -> None:
    ask = (
        "select",
        "d.jsonl",
        "--keep",
        "5",
        "--strategy",
        "k-center",
        "--embeddings",
        "bad.npy",
        "--quality",
        "price",
    )
    answer = holes(*ask, "-o", "c.jsonl")
    assert "; 3 rows without a usable value have no result (no quality: 2, NaN or infinite value: 1)" in answer.err
    told = [json.loads(line) for line in Path("c.jsonl.decisions.jsonl").read_text().splitlines()]
    assert [one["row"] for one in told if one["rule"] == "unusable"] == [BAD, UNLABELLED, BLANK]
    assert holes(*ask, "-o", "c.jsonl", "--overwrite", "--on-invalid", "skip").code == 0
    assert len(Path("c.jsonl.decisions.jsonl").read_text().splitlines()) == N - 3
    assert "d.jsonl:8: price: expected a number" in holes.refuses(3, *ask, "-o", "e.jsonl", "--on-invalid", "error")


def test_searches_have_no_hits_for_such_queries(holes: Workplace) -> None:
    ask = ("search", "emb.npy", "--queries", "bad.npy", "-k", "2")
    assert "bad.npy: 1 row cannot be used" in holes.refuses(3, *ask)
    assert "1 query has none, without a usable vector" in holes(*ask, "--on-invalid", "skip").err
    hits = vicinal.search("emb.npy", np.load("bad.npy"), k=2, on_invalid="null")
    assert sorted(set(hits["query"])) == [row for row in range(N) if row != BAD] and list(hits.unusable) == [BAD]
    answer = holes("index", "build", "bad.npy", "-o", "i", "--on-invalid", "skip")
    assert "; 1 rows without a usable vector were left out" in answer.err


def test_applying_a_head_gives_nan_or_leaves_out(holes: Workplace) -> None:
    head = learn.Head({"A": np.eye(4, dtype=np.float32), "b": np.zeros(4, np.float32)}, normalize=False)
    vectors = np.load("bad.npy")
    with pytest.raises(DataError, match="1 row cannot be used"):
        learn.apply(head, vectors)
    with pytest.warns(UserWarning, match=r"1 rows are NaN in the result \(NaN or infinite value: 1\)"):
        np.testing.assert_array_equal(learn.apply(head, vectors, "o.npy", on_invalid="null"), vectors)
    with pytest.warns(UserWarning, match="1 rows are left out"):
        np.testing.assert_array_equal(learn.apply(head, vectors, on_invalid="skip"), np.delete(vectors, BAD, axis=0))


def test_learning_leaves_such_rows_out(holes: Workplace) -> None:
    from vicinal.learn.inputs import pairs_of, read_rows

    rows = read_rows("bad.npy", (None, None), "d.jsonl:label", None, "skip")
    assert len(rows.vectors) == len(rows.data.values["labels"]) == N - 3
    assert list(rows.unusable) == [BAD, UNLABELLED, BLANK]
    rows = read_rows(np.load("bad.npy"), (None, None), None, None, "skip")
    pairs, same = pairs_of((np.array([[3, 5], [0, 29]]), np.array([True, False])), rows, None)
    assert pairs.tolist() == [[3, 4], [0, 28]] and same.tolist() == [True, False]
    with pytest.raises(DataError, match="1 pairs name rows without a usable embedding"):
        pairs_of((np.array([[3, BAD], [0, 29]]), np.array([True, False])), rows, None)


def test_every_command_that_reads_rows_has_the_option() -> None:
    """`report` and `explore` read a kept run, `embed` texts, `lm` its own datastores, `sql` tables."""
    import argparse
    from importlib import import_module

    other = {"report", "explore", "embed", "lm", "sql", "info", "index", "init", "completion"}
    for name in sorted(set(cli.COMMANDS) - other):
        parser = argparse.ArgumentParser()
        import_module(f"vicinal.cli.{name.replace('-', '_')}").add_arguments(parser)
        (action,) = [one for one in parser._actions if one.dest == "on_invalid"]
        assert action.choices is not None and set(action.choices) == {"error", "null", "skip"}, name


def test_a_field_that_no_row_has_is_named(holes: Workplace) -> None:
    ask = ("classify", "emb.npy", "--labels", "d.jsonl:kind", "--queries", "emb.npy", "--on-invalid", "null")
    assert "d.jsonl: kind: expected a label, found no such field in any row" in holes.refuses(3, *ask)
    with pytest.raises(DataError, match="0 of 30 rows can be used"):
        vicinal.choose_k(holes.vectors, labels=[None] * N, on_invalid="skip")


def test_measures_of_the_whole_set_skip_alike(holes: Workplace) -> None:
    rows = [{"id": f"r{row}", "cluster_id": None if row == UNLABELLED else row % 3} for row in range(N)]
    holes.lines("c.jsonl", rows)
    scorers = [
        {"name": "RadiusScorer", "embedding_path": "bad.npy"},
        {"name": "PartitionEntropyScorer", "num_clusters": 3},
    ]
    knn = {"name": "KNNScorer", "k": 3, "embedding_path": "bad.npy"}
    for number, listed in enumerate((scorers, [*scorers, knn])):
        whole = {"input_path": "c.jsonl", "output_path": f"o{number}", "num_gpu": 0, "scorers": listed}
        Path("c.yaml").write_text(json.dumps(whole), encoding="utf-8")
        found = vicinal.score(config="c.yaml", on_invalid="skip")
        left = np.delete(np.arange(N), [BAD, UNLABELLED])
        assert found.skipped == 2 and found.ids == [f"r{row}" for row in left]
        expected = np.exp(np.log(np.load("bad.npy")[left].astype(np.float64).std(axis=0)).mean())
        assert found.setwise["RadiusScorer"]["radius"] == pytest.approx(expected, rel=1e-5)
        counts = np.bincount(left % 3)
        assert found.setwise["PartitionEntropyScorer"]["cluster_counts"] == {str(c): counts[c] for c in range(3)}


def test_the_closing_line_of_diversity_counts_the_rows_left_out(
    holes: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diversity", "bad.npy", "--by", "radius", "--on-invalid", "skip"]) == 0
    closing = capsys.readouterr().err.splitlines()[-1]
    assert f"{N - 1} rows measured" in closing and closing.endswith(
        "; 1 row without a usable value was left out (NaN or infinite value: 1)"
    )

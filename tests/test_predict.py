"""classify, regress, outliers and choose-k: results by the definition, Python beside the command, wrong input."""

import csv
import json
import math
import re
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor

import vicinal
from vicinal.data import frames
from vicinal.data.provenance import FORMAT, hash_of
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import mahalanobis
from vicinal.storage.manifests import sha256
from vicinal.tasks.predict.choose_k import choose_k
from vicinal.tasks.predict.classify import classify
from vicinal.tasks.predict.outliers import outliers
from vicinal.tasks.predict.regress import regress
from workplace import Answer, Workplace, distances, read_table

RANDOM = np.random.default_rng(3)
KINDS = [["cat", "dog", "owl"][int(code)] for code in RANDOM.integers(0, 3, 30)]
PRICES = RANDOM.normal(size=30)
ASKED = RANDOM.normal(size=(7, 4)).astype(np.float32)
CLASSIFY = ("classify", "emb.npy", "--labels", "train.jsonl:kind", "--queries", "asked.npy")
MAHALANOBIS = (*CLASSIFY, "--metric", "mahalanobis")
REGRESS = ("regress", "emb.npy", "--targets", "train.jsonl:price", "--queries", "asked.npy")


@pytest.fixture
def known(work: Workplace) -> Workplace:
    rows = [{"id": f"r{row}", "kind": KINDS[row], "price": PRICES[row]} for row in range(30)]
    work.lines("train.jsonl", rows)
    work.lines("asked.jsonl", [{"id": f"q{row}"} for row in range(7)])
    work.save("asked.npy", ASKED)
    return work


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_classes_and_probabilities_are_scikit_learns(known: Workplace, weights: str) -> None:
    truth = KNeighborsClassifier(3, weights=weights).fit(known.vectors, KINDS)
    records = known(*CLASSIFY, "-k", 3, "--weights", weights).records
    assert [record["label"] for record in records] == truth.predict(ASKED).tolist()
    for record, shares in zip(records, truth.predict_proba(ASKED), strict=True):
        found = [record["probabilities"][name] for name in ("cat", "dog", "owl")]
        np.testing.assert_allclose(found, shares, atol=1e-5)
        assert record["probability"] == max(found)
    assert [record["id"] for record in records] == list(range(7))


def test_the_neighbours_are_named_on_request(known: Workplace) -> None:
    far = np.sqrt(((ASKED[:, None].astype(float) - known.vectors[None]) ** 2).sum(axis=2))
    nearest = far.argsort(axis=1)[:, :3]
    for command, name, known_by in ((CLASSIFY, "label", KINDS), (REGRESS, "value", PRICES)):
        for row, record in enumerate(known(*command, "-k", 3, "--with-neighbors").records):
            assert [one[name] for one in record["neighbors"]] == [known_by[at] for at in nearest[row]]
            np.testing.assert_allclose([one["distance"] for one in record["neighbors"]], far[row, nearest[row]], 1e-6)
    for command in (CLASSIFY, REGRESS):
        first = known(*command, "-k", 1, "--with-neighbors").records[0]["neighbors"][0]
        assert first["id"] == f"r{nearest[0, 0]}"


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.csv", "p.parquet"])
def test_every_form_of_output(known: Workplace, name: str) -> None:
    assert known(*CLASSIFY, "-k", 3, "-o", name, "--ids", "asked.jsonl", "--with-neighbors").code == 0
    rows = read_table(known.folder / name)
    truth = KNeighborsClassifier(3).fit(known.vectors, KINDS)
    assert [row["label"] for row in rows] == truth.predict(ASKED).tolist()
    assert [row["id"] for row in rows] == [f"q{row}" for row in range(7)]
    whole = rows[0]["neighbors"]
    assert len(json.loads(whole) if isinstance(whole, str) else whole) == 3
    assert "exists already" in known.refuses(2, *CLASSIFY, "-k", 3, "-o", name)


def test_numbers_as_labels_stay_numbers(known: Workplace) -> None:
    known.lines("codes.jsonl", [{"label": row % 3} for row in range(30)])
    asked = ("classify", "emb.npy", "--labels", "codes.jsonl", "--queries", "asked.npy", "-k", 3)
    assert {type(record["label"]) for record in known(*asked).records} == {int}
    assert known(*asked, "-o", "p.parquet").code == 0
    assert [row["label"] for row in read_table(known.folder / "p.parquet")] == [
        r["label"] for r in known(*asked).records
    ]


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_values_are_scikit_learns(known: Workplace, weights: str) -> None:
    truth = KNeighborsRegressor(4, weights=weights).fit(known.vectors, PRICES).predict(ASKED)
    records = known(*REGRESS, "-k", 4, "--weights", weights).records
    np.testing.assert_allclose([record["value"] for record in records], truth, rtol=1e-5)
    spread = [PRICES[np.argsort(np.linalg.norm(known.vectors - one, axis=1))[:4]].std() for one in ASKED]
    np.testing.assert_allclose([record["spread"] for record in records], spread, rtol=1e-5)


def summary_of(answer: Answer) -> dict[str, Any]:
    """The summary among the lines on standard error."""
    return next(json.loads(line) for line in answer.err.splitlines() if line.startswith("{"))


def curve(vectors: np.ndarray, k: int) -> float:
    """Leave-one-out accuracy by the definition."""
    far = distances(vectors, "euclidean")
    np.fill_diagonal(far, np.inf)
    votes = [[KINDS[at] for at in row] for row in far.argsort(axis=1)[:, :k]]
    chosen = [max(sorted(set(one)), key=one.count) for one in votes]
    return float(np.mean([one == other for one, other in zip(chosen, KINDS, strict=True)]))


def test_choose_k_is_leave_one_out_and_auto_takes_its_best(known: Workplace) -> None:
    summary = json.loads(known("choose-k", "emb.npy", "--labels", "train.jsonl:kind", "--max-k", 12, "--json").out)
    truth = [curve(known.vectors, k) for k in range(1, 13)]
    np.testing.assert_allclose(summary["scores"]["uniform"], truth, atol=1e-6)
    told = known("choose-k", "emb.npy", "--labels", "train.jsonl:kind", "--max-k", 12, "--weights", "uniform").out
    lines = told.splitlines()
    assert len(lines) == 13 and lines[0].split()[:3] == ["k", "n/k", "uniform"]
    assert [float(line.split()[2]) for line in lines[1:]] == [round(one, 4) for one in truth]
    best = int(np.argmax(truth)) + 1
    assert lines[best].endswith("best: uniform")
    chosen = summary_of(known(*CLASSIFY, "-k", "auto", "--max-k", 12, "--json"))
    assert (chosen["k"], chosen["leave_one_out_accuracy"]) == (best, round(truth[best - 1], 6))
    both = json.loads(known(*CLASSIFY, "-k", 4, "--weights", "auto", "--json").err.splitlines()[0])
    assert both["weights"] == (
        "uniform" if summary["scores"]["uniform"][3] >= summary["scores"]["distance"][3] else "distance"
    )


def test_choose_k_of_values(known: Workplace) -> None:
    summary = json.loads(known("choose-k", "emb.npy", "--targets", "train.jsonl:price", "--max-k", 5, "--json").out)
    model = KNeighborsRegressor(3).fit(known.vectors, PRICES)
    missed = ((model.predict(None) - PRICES) ** 2).sum() / ((PRICES - PRICES.mean()) ** 2).sum()
    assert summary["score"] == "R2" and summary["scores"]["uniform"][2] == pytest.approx(1 - missed, abs=1e-6)
    found = json.loads(known(*REGRESS, "-k", "auto", "--max-k", 5, "--json").err.splitlines()[0])
    assert found["k"] == int(np.argmax(summary["scores"]["uniform"])) + 1


@pytest.mark.parametrize("name", ["curve.svg", "curve.png", "curve.pdf"])
def test_the_curve_is_drawn(known: Workplace, name: str) -> None:
    ask = ("choose-k", "emb.npy", "--labels", "train.jsonl:kind", "--max-k", 9, "--picture", name)
    assert known(*ask).code == 0
    drawn = (known.folder / name).read_bytes()
    assert drawn.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[name[-3:]]) and len(drawn) > 5000
    assert "exists already" in known.refuses(2, *ask)
    assert "expected a picture's name that ends in .svg, .png, .pdf" in known.refuses(2, *ask[:-1], "curve.gif")


def test_outlier_factors_and_distances_by_definition(known: Workplace) -> None:
    vectors = np.vstack([known.vectors, [[9.0] * 4]]).astype(np.float32)
    known.save("far.npy", vectors)
    truth = LocalOutlierFactor(6).fit(vectors.astype(float))
    answer = known("outliers", "far.npy", "-k", 6, "--json")
    np.testing.assert_allclose(np.array(answer.scores, float), -truth.negative_outlier_factor_, rtol=1e-5)
    flags = [record["outlier"] for record in answer.records]
    assert flags == (truth.negative_outlier_factor_ < -1.5).astype(int).tolist() and flags[-1] == 1
    assert json.loads(answer.err.splitlines()[0])["limit"] == 1.5
    few = known("outliers", "far.npy", "-k", 6, "--contamination", 0.1).records
    expected = LocalOutlierFactor(6, contamination=0.1).fit_predict(vectors.astype(float)) < 0
    assert [record["outlier"] == 1 for record in few] == expected.tolist()
    far = known("outliers", "far.npy", "-k", 6, "--by", "distance")
    kth = np.sort(distances(vectors, "euclidean"), axis=1)[:, 6]
    np.testing.assert_allclose(np.array(far.scores, float), kth, rtol=1e-6)
    low, high = np.percentile(kth, [25, 75])
    assert [record["outlier"] == 1 for record in far.records] == (kth > high + 1.5 * (high - low)).tolist()


def test_labels_that_do_not_fit_are_named(known: Workplace) -> None:
    def said(rows: list[Any], code: int = 3) -> str:
        known.lines("bad.jsonl", rows)
        return known.refuses(code, "classify", "emb.npy", "--labels", "bad.jsonl", "--queries", "asked.npy")

    rows: list[Any] = [{"label": kind} for kind in KINDS]
    assert said(rows[:29]) == "bad.jsonl: found 29 labels, but emb.npy has 30 rows; one a row, in the same order"
    assert said([*rows[:4], {"x": 1}, *rows[5:]]).startswith(
        "bad.jsonl:5: label: expected a label in every row, found no"
    )
    assert "bad.jsonl:5: label: expected a label in every row, found null" in said(
        [*rows[:4], {"label": None}, *rows[5:]]
    )
    assert "bad.jsonl:5: label: expected a label, found [1]" in said([*rows[:4], {"label": [1]}, *rows[5:]])
    assert "row 4: expected a label, found nan" in said(
        [*({"label": n} for n in (1, 2, 1, 2)), {"label": math.nan}] * 6
    )
    assert "1 of 30 labels are numbers and the others are not (rows 4)" in said([*rows[:4], {"label": 7}, *rows[5:]])
    assert "row 4: expected a label, found blank text" in said([*rows[:4], {"label": " "}, *rows[5:]])
    assert "all 30 rows have the label 'cat'; expected at least two classes" in said([{"label": "cat"}] * 30)
    assert "expected FILE or FILE:FIELD" in known.refuses(2, *CLASSIFY[:3], "none.jsonl:kind", *CLASSIFY[4:])
    assert "no such field" in known.refuses(3, *CLASSIFY[:3], "train.jsonl:knid", *CLASSIFY[4:])


def test_targets_and_ids_that_do_not_fit_are_named(known: Workplace) -> None:
    known.lines("bad.jsonl", [{"target": 1.0}] * 7 + [{"target": math.nan}] + [{"target": 2.0}] * 22)
    said = known.refuses(3, "regress", "emb.npy", "--targets", "bad.jsonl", "--queries", "asked.npy")
    assert said == "bad.jsonl:8: target: expected a number, found NaN"
    short = known.refuses(3, *REGRESS, "--ids", "train.jsonl")
    assert short == "train.jsonl: found 30 ids, but asked.npy has 7 rows; one a row, in the same order"
    with open(known.folder / "t.csv", "w", newline="") as file:
        csv.writer(file).writerows([["target"], *([one] for one in PRICES[:29]), [""]])
    said = known.refuses(3, "regress", "emb.npy", "--targets", "t.csv", "--queries", "asked.npy")
    assert "t.csv:31: target: expected a number in every row, found an empty cell" in said or "found 29 values" in said


def test_a_k_larger_than_a_class_is_warned_of_unless_allowed(known: Workplace) -> None:
    least = min(KINDS.count(kind) for kind in set(KINDS))
    answer = known(*CLASSIFY, "-k", least + 1)
    assert f"warning: k = {least + 1} is larger than a class of train.jsonl:kind: " in answer.err
    assert f"give -k {least} or less, -k auto or --weights distance" in answer.err and answer.code == 0
    for way in (("-k", least + 1, "--allow-small-classes"), ("-k", least + 1, "--weights", "distance"), ("-k", least)):
        quiet = known(*CLASSIFY, *way)
        assert quiet.code == 0 and "larger than" not in quiet.err
    assert known(*CLASSIFY, "-k", "auto").code == 0
    assert "k = 40, but only 30 rows are known; using k = 30" in known(*REGRESS, "-k", 40).err


def test_a_chosen_k_larger_than_a_class_is_warned_of(known: Workplace) -> None:
    known.lines("lone.jsonl", [{"label": "lone" if row == 3 else "most"} for row in range(30)])
    for command in (("choose-k", "emb.npy"), ("classify", "emb.npy", "--queries", "asked.npy", "-k", "auto")):
        ask = (*command, "--labels", "lone.jsonl", "--weights", "uniform", "--max-k")
        assert re.search(
            r"the chosen k = [2-9] is larger than a class of lone.jsonl:label: 'lone' \(1\)", known(*ask, 9).err
        )
        assert "larger than" not in known(*ask, 1).err
    known.lines("ids.jsonl", [{"label": f"row {row}"} for row in range(30)])
    for command in (("choose-k", "emb.npy"), ("diagnose", "emb.npy")):
        assert "all 30 labels are different" in known.refuses(3, *command, "--labels", "ids.jsonl")


def test_labels_of_other_rows_than_the_note_beside_the_embeddings_says_are_refused(known: Workplace) -> None:
    data, rows = known.folder / "train.jsonl", read_table(known.folder / "train.jsonl")
    note = {"format": FORMAT, "data": "train.jsonl", "rows": 30, "data_sha256": sha256(data), "model": "m"}
    known.write(
        "emb.npy.json", json.dumps({**note, "normalized": True, "ids_sha256": hash_of([row["id"] for row in rows])})
    )
    known.lines("later.jsonl", [{**row, "kind": "cat" if row["kind"] == "owl" else row["kind"]} for row in rows])
    known.lines("bare.jsonl", [{"kind": row["kind"], "price": row["price"]} for row in rows])
    known.lines("mixed.jsonl", [rows[1], rows[0], *rows[2:]])
    for name in ("train", "later", "bare"):
        ask = ("classify", "emb.npy", "--labels", f"{name}.jsonl:kind", "--queries", "asked.npy", "-k", 1)
        assert known(*ask).code == 0
    for asked in (
        ("classify", "emb.npy", "--labels", "mixed.jsonl:kind", "--queries", "asked.npy"),
        ("regress", "emb.npy", "--targets", "mixed.jsonl:price", "--queries", "asked.npy"),
        ("choose-k", "emb.npy", "--labels", "mixed.jsonl:kind"),
        ("diagnose", "emb.npy", "--labels", "mixed.jsonl:kind"),
        ("outliers", "emb.npy", "--ids", "mixed.jsonl"),
    ):
        assert "whose ids are others than mixed.jsonl's or in another order" in known.refuses(3, *asked)


def test_mahalanobis_of_the_rows_own_covariance_and_of_a_matrix(known: Workplace) -> None:
    learned = np.diag([4.0, 1.0, 0.25, 0.0])
    known.save("learned.npy", learned)
    own = np.linalg.inv(np.cov(known.vectors, rowvar=False, dtype=np.float64))
    for matrix, option in ((own, ()), (learned, ("--matrix", "learned.npy"))):
        difference = ASKED[:, None].astype(float) - known.vectors[None]
        far = np.sqrt(np.einsum("qri,ij,qrj->qr", difference, matrix, difference))
        nearest = far.argsort(axis=1)[:, :3]
        records = known(*REGRESS, "-k", 3, "--metric", "mahalanobis", *option, "--with-neighbors").records
        assert [[one["id"] for one in record["neighbors"]] for record in records] == [
            [f"r{row}" for row in rows] for rows in nearest
        ]
        first = [record["neighbors"][0]["distance"] for record in records]
        np.testing.assert_allclose(first, far.min(axis=1), rtol=1e-6)
    for command in (("outliers", "emb.npy", "-k", 5), ("diagnose", "emb.npy")):
        assert known(*command, "--metric", "mahalanobis").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            (*CLASSIFY, "--matrix", "wide.npy"),
            2,
            "--matrix: it belongs to metric mahalanobis, got metric euclidean; give",
        ),
        ((*MAHALANOBIS, "--matrix", "wide.npy"), 3, "shape (3, 5), expected (4, 4) finite numbers for emb.npy"),
        ((*MAHALANOBIS, "--matrix", "negative.npy"), 3, "negative.npy: matrix: expected no negative eigenvalue"),
        (("outliers", "flat.npy", *MAHALANOBIS[-2:]), 3, "the covariance of 30 rows has rank 3 of 4, so it has no inv"),
        ((*CLASSIFY, "--metric", "cosin"), 2, "unknown metric 'cosin': did you mean 'cosine'?"),
        ((*CLASSIFY, "-k", "many"), 2, '-k: expected a whole number above 0 or auto, got "many"'),
        ((*CLASSIFY, "-k", "auto", "--max-k", "0"), 2, "--max-k: expected a whole number above 0, got 0"),
        ((*CLASSIFY[:-1], "wide.npy"), 3, "wide.npy: found dim 5, emb.npy has dim 4"),
        ((*CLASSIFY[:-1], "nan.npy"), 3, "nan.npy: 1 row cannot be used (1 with NaN or infinite value: 2); correct"),
        ((*CLASSIFY, "-o", "p.txt"), 2, "expected a name that ends in .jsonl"),
        (("outliers", "emb.npy", "--contamination", "0.7"), 2, "expected auto, or a share above 0 and at most 0.5"),
        (
            ("outliers", "emb.npy", "--contamination", "few"),
            2,
            '--contamination: expected auto, or a share above 0 and at most 0.5, got "few"',
        ),
        (
            ("outliers", "emb.npy", "--metric", "inner_product"),
            2,
            "--metric: expected a distance, got inner_product, which",
        ),
    ],
)
def test_wrong_options_are_named(known: Workplace, arguments: tuple, code: int, said: str) -> None:
    known.save("wide.npy", np.ones((3, 5), np.float32))
    known.save("negative.npy", -np.eye(4))
    known.save("flat.npy", np.c_[known.vectors[:, :3], known.vectors[:, 0]])
    known.save("nan.npy", np.where(np.arange(3)[:, None] == 2, np.nan, ASKED[:3]))
    assert said in known.refuses(code, *arguments)


IDS, QUERY_IDS = [f"r{row}" for row in range(30)], [f"q{row}" for row in range(7)]


def tables_of(known: Workplace, make: Any) -> tuple[Any, Any]:
    """The known rows and the queries as tables in memory."""
    train = {"id": IDS, "kind": KINDS, "price": PRICES.tolist(), "embedding": known.vectors.tolist()}
    return make(train), make({"id": QUERY_IDS, "embedding": ASKED.tolist()})


def float32(columns: dict[str, Any]) -> pyarrow.Table:
    vectors = pyarrow.array(columns["embedding"], pyarrow.list_(pyarrow.float32()))
    return pyarrow.table({**columns, "embedding": vectors})


TABLES = {
    "pandas": lambda columns: pandas.DataFrame(
        columns | {"embedding": list(np.array(columns["embedding"], np.float32))}
    ),
    "polars": lambda columns: polars.from_arrow(float32(columns)),
    "pyarrow": float32,
    "datasets": lambda columns: datasets.Dataset(float32(columns)),
    "mapping": lambda columns: columns,
}
SOURCES = ["files", "arrays", "data set", *TABLES]


def inputs(known: Workplace, source: str, field: str) -> tuple[Any, Any, Any, dict[str, Any]]:
    """One question in the ways in which it can be put: data, labels or targets, queries, and further arguments."""
    values = {"kind": KINDS, "price": PRICES}[field]
    if source == "files":
        return "emb.npy", f"train.jsonl:{field}", "asked.npy", {"query_ids": "asked.jsonl"}
    if source == "arrays":
        return known.vectors, values, ASKED.tolist(), {"ids": IDS, "query_ids": QUERY_IDS}
    if source == "data set":
        return "train.jsonl", field, ASKED, {"embeddings": "emb.npy", "query_ids": QUERY_IDS}
    data, queries = tables_of(known, TABLES[source])
    return data, field, queries, {}


@pytest.mark.parametrize("source", SOURCES)
def test_classify_gives_what_the_command_gives(known: Workplace, source: str) -> None:
    data, labels, queries, others = inputs(known, source, "kind")
    records = known(*CLASSIFY, "-k", 3, "--ids", "asked.jsonl", "--weights", "distance", "--with-neighbors").records
    found = classify(data, labels, queries, k=3, weights="distance", with_neighbors=True, **others)
    assert list(found.records()) == records
    assert found.label == [record["label"] for record in records] and found.classes == ["cat", "dog", "owl"]
    np.testing.assert_allclose(found.probabilities.max(axis=1), found.probability)
    assert found.to_pandas()["id"].tolist() == QUERY_IDS and found.neighbors.indices.shape == (7, 3)
    chosen = classify(data, labels, queries, k="auto", max_k=9, **others)
    command = known(*CLASSIFY, "-k", "auto", "--max-k", 9, "--json", "-o", f"{source}.csv")
    assert chosen.summary() == json.loads(command.out)


@pytest.mark.parametrize("source", SOURCES)
def test_regress_gives_what_the_command_gives(known: Workplace, source: str) -> None:
    data, targets, queries, others = inputs(known, source, "price")
    records = known(*REGRESS, "-k", 4, "--ids", "asked.jsonl", "--with-neighbors").records
    found = regress(data, targets, queries, k=4, with_neighbors=True, **others)
    assert list(found.records()) == records
    assert found.value.tolist() == [record["value"] for record in records] == found.to_pandas()["value"].tolist()
    command = known(*REGRESS, "--weights", "auto", "-k", 4, "--json", "-o", f"{source}.csv")
    assert regress(data, targets, queries, k=4, weights="auto", **others).summary() == json.loads(command.out)


@pytest.mark.parametrize("source", SOURCES)
def test_outliers_and_choose_k_give_what_the_commands_give(known: Workplace, source: str) -> None:
    data, labels, _, others = inputs(known, source, "kind")
    others.pop("query_ids", None)
    ids = {"ids": "train.jsonl"} if source == "files" else {}
    found = outliers(data, k=5, by="distance", contamination=0.2, **others | ids)
    ask = ("outliers", "emb.npy", "--ids", "train.jsonl", "-k", 5, "--by", "distance", "--contamination", 0.2)
    answer = known(*ask, "--json")
    assert list(found.records()) == answer.records and found.summary() == summary_of(answer)
    assert found.score[found.outlier].min() > found.limit >= found.score[~found.outlier].max()
    if source not in ("files", "arrays", "data set"):
        assert frames.column_names(found.add_to(data))[-2:] == ["score", "outlier"]
    others.pop("ids", None)
    curve = choose_k(data, labels, max_k=6, **others)
    command = known("choose-k", "emb.npy", "--labels", "train.jsonl:kind", "--max-k", 6, "--json")
    assert curve.summary() == json.loads(command.out)
    table = curve.to_pandas()
    assert table["k"].tolist() == curve.ks and table["n_per_k"][1] == 15
    assert table[curve.best[1]].max() == curve.best_score == curve.score_of(*curve.best)
    assert curve.table() == known("choose-k", "emb.npy", "--labels", "train.jsonl:kind", "--max-k", 6).out.rstrip("\n")


@pytest.mark.parametrize("form", ["array", "file", "metric"])
def test_a_matrix_is_an_array_a_file_or_a_metric(known: Workplace, form: str) -> None:
    matrix = np.diag([4.0, 1.0, 0.25, 0.0])
    known.save("matrix.npy", matrix)
    given: dict[str, Any] = {"metric": "mahalanobis", "matrix": matrix if form == "array" else "matrix.npy"}
    given = {"metric": mahalanobis(matrix)} if form == "metric" else given
    found = regress(known.vectors, PRICES, ASKED, k=2, **given)
    difference = ASKED[:, None].astype(float) - known.vectors[None]
    far = np.sqrt(np.einsum("qri,ij,qrj->qr", difference, matrix, difference))
    assert found.neighbors.indices.tolist() == far.argsort(axis=1)[:, :2].tolist() and found.metric == "mahalanobis"


def test_outputs_are_written_only_where_they_are_named(known: Workplace) -> None:
    before = known.files()
    found = classify("emb.npy", "train.jsonl:kind", "asked.npy", k=3)
    assert known.files() == before
    assert list(classify("emb.npy", "train.jsonl:kind", "asked.npy", k=3, output="p.jsonl").records()) == read_table(
        known.folder / "p.jsonl"
    )
    found.write("q.csv")
    assert [row["label"] for row in read_table(known.folder / "q.csv")] == found.label
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"train.jsonl: is one of the inputs"):
            classify("emb.npy", "train.jsonl:kind", "asked.npy", k=3, output="train.jsonl", overwrite=overwrite)
        with pytest.raises(UsageError, match=r"emb.npy: (is one of the inputs|expected a)"):
            outliers("emb.npy", output="emb.npy", overwrite=overwrite)


tasks: Any = SimpleNamespace(classify=classify, regress=regress, choose_k=choose_k, outliers=outliers)
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lambda x: tasks.classify(x, KINDS[:-1], ASKED), DataError, "labels: found 29, expected 30 values, one a row"),
    (lambda x: tasks.classify(x, "kind", ASKED), UsageError, r"labels: expected FILE or FILE:FIELD, got \"kind\""),
    (lambda x: tasks.classify(x, KINDS, ASKED[:, :3]), DataError, "queries: found dim 3, embeddings has dim 4"),
    (
        lambda x: tasks.classify(x, KINDS, "train.jsonl"),
        UsageError,
        r"queries: missing; name a \.npy file",
    ),
    (
        lambda x: tasks.classify("train.jsonl", "kind", ASKED),
        UsageError,
        r"embeddings: missing; name a \.npy file",
    ),
    (lambda x: tasks.classify(x, KINDS, ASKED, query_ids=["a"]), DataError, "query_ids: found 1 ids, expected 7"),
    (
        lambda x: tasks.classify(x, KINDS, ASKED, k="all"),
        UsageError,
        'k: expected a whole number above 0 or auto, got "all"',
    ),
    (
        lambda x: tasks.classify(x, KINDS, ASKED, k=2.5),
        UsageError,
        "k: expected a whole number above 0 or auto, got 2.5",
    ),
    (
        lambda x: tasks.classify(x, KINDS, ASKED, k=True),
        UsageError,
        "k: expected a whole number above 0 or auto, got True",
    ),
    (lambda x: tasks.classify(x, KINDS, ASKED, weights="both"), UsageError, "weights: unknown weights 'both'"),
    (
        lambda x: tasks.classify(x, KINDS, ASKED, matrix=np.eye(4)),
        UsageError,
        "matrix: it belongs to metric mahalanobis",
    ),
    (lambda x: tasks.regress(x, KINDS, ASKED), DataError, r"targets: row 0: expected a number, found"),
    (lambda x: tasks.regress(x, [math.nan] * 30, ASKED), DataError, "targets: row 0: expected a number, found NaN"),
    (
        lambda x: tasks.regress(x, 5, ASKED),
        UsageError,
        "targets: expected one value a row or the name of a column, got 5",
    ),
    (lambda x: tasks.choose_k(x), UsageError, "labels: expected labels or targets, got neither; give one of them"),
    (lambda x: tasks.choose_k(x, KINDS, PRICES), UsageError, "labels: expected labels or targets, got both; give one"),
    (
        lambda x: tasks.choose_k(x, IDS),
        DataError,
        "all 30 labels are different, so no row has a neighbour with its own",
    ),
    (lambda x: tasks.outliers(x[:2]), DataError, "expected at least 3 rows"),
    (lambda x: tasks.outliers(x, by="lov"), UsageError, "by: unknown by 'lov': did you mean 'lof'"),
    (lambda x: tasks.outliers(x, contamination=0), UsageError, "contamination: expected auto, or a share above 0"),
    (lambda x: tasks.outliers(x, metric="inner_product"), UsageError, "metric: expected a distance, got inner_product"),
    (lambda x: tasks.outliers(x, threads=0), UsageError, "threads: expected a whole number above 0, got 0"),
]


@pytest.mark.parametrize(("call", "error", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_wrong_arguments_are_named(known: Workplace, call: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        call(known.vectors)


def test_queries_of_another_model_are_refused(known: Workplace) -> None:
    for name, data, model in (("emb.npy", "train.jsonl", "one"), ("asked.npy", "asked.jsonl", "other")):
        rows = read_table(known.folder / data)
        note = {"format": FORMAT, "data": data, "rows": len(rows), "data_sha256": sha256(known.folder / data)}
        ids = hash_of([row["id"] for row in rows])
        known.write(f"{name}.json", json.dumps({**note, "model": model, "normalized": True, "ids_sha256": ids}))
    said = known.refuses(3, *CLASSIFY, "-k", 3)
    assert "asked.npy was made by other, normalized, but emb.npy by one, normalized" in said
    known.write("asked.npy.json", (known.folder / "asked.npy.json").read_text().replace('"other"', '"one"'))
    assert known(*CLASSIFY, "-k", 3).code == 0


def test_copies_do_not_make_their_neighbours_outliers() -> None:
    """7 copies of one value among 18: their factor is infinite in all but name, and hides the real outliers."""
    values = [0.0] * 7 + [0.2, 1.0, 1.3, 2.1, 2.9, 3.2, 4.0, 4.4, 5.1, 50.0, 60.0]
    vectors = np.array(values)[:, None]
    found = outliers(vectors, k=5)
    distinct = np.array(sorted(set(values)))[:, None]
    expected = dict(zip(distinct[:, 0], -LocalOutlierFactor(5).fit(distinct).negative_outlier_factor_, strict=True))
    np.testing.assert_allclose(found.score, [expected[value] for value in values], rtol=1e-6)
    assert [values[row] for row in np.flatnonzero(found.outlier)] == [50.0, 60.0] and found.score[7] < 1.5
    with pytest.warns(UserWarning, match=r"3 rows have a factor above 1e\+07, because rows with at least 5 copies"):
        plain = vicinal.score(vectors, by="lof", k=5)
    assert plain["lof"].max() > 1e7
    assert (found.neighbors.indices[1:7] == found.neighbors.indices[0]).all() and found.neighbors.indices[0, 0] == 7

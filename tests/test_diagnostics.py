"""Diagnostics: published figures, data whose truth is known, Python beside the command, and the pages."""

import json
import re
from html.parser import HTMLParser
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas
import polars
import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import cohen_kappa_score

from vicinal import Neighbors, neighbors
from vicinal.analysis.agreement import cohen_kappa
from vicinal.analysis.diagnostics import (
    bayes_interval,
    confusion,
    disagreement,
    error_by_share,
    hubness_skew,
    mle_dimension,
    relative_contrast,
    two_nn_dimension,
)
from vicinal.analysis.label_review import boundary_pairs, label_errors
from vicinal.errors import DataError, UsageError
from vicinal.tasks.diagnose.diagnose import diagnose
from vicinal.tasks.diagnose.kappa import kappa
from workplace import Workplace, read_table

DIGITS, DIGIT = load_digits(return_X_y=True)
UNKNOWN: Any = "test"


def named(codes: np.ndarray) -> list[str]:
    return [f"class {code}" for code in codes]


def test_the_dimensions_of_digits_are_the_published_ones() -> None:
    found = neighbors(DIGITS, 20)
    assert two_nn_dimension(found) == pytest.approx(9.05, rel=0.03)
    assert mle_dimension(found, 20) == pytest.approx(6.8, rel=0.03)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_dimension_of_a_flat_sheet_in_a_wide_space_is_its_own(dim: int) -> None:
    random = np.random.default_rng(0)
    sheet = random.random((4000, dim)) @ np.linalg.qr(random.normal(size=(30, 30)))[0][:dim]
    found = neighbors(sheet, 20)
    assert two_nn_dimension(found) == pytest.approx(dim, rel=0.1)
    assert mle_dimension(found, 20) == pytest.approx(dim, rel=0.1)


@pytest.mark.parametrize(("dim", "expected"), [(3, 11.7), (1536, 1.06)])
def test_the_contrast_of_gaussians_falls_with_the_dimension(dim: int, expected: float) -> None:
    vectors = np.random.default_rng(0).normal(size=(2000, dim))
    found = diagnose(vectors, k=20)
    assert found["relative_contrast"].value == pytest.approx(expected, rel=0.04)
    assert any("distances concentrate" in text for text in found.warnings) == (dim == 1536)
    far = np.sqrt(np.maximum(0, ((vectors[:, None, :3] - vectors[None, :, :3]) ** 2).sum(axis=2)))
    np.fill_diagonal(far, np.nan)
    by_hand = np.nanmean(far, axis=1).mean() / np.nanmin(far, axis=1).mean()
    first = neighbors(vectors[:, :3], 1)
    assert relative_contrast(first, np.arange(2000), np.nanmean(far, axis=1)) == pytest.approx(by_hand, rel=1e-6)


def test_hubs_appear_where_dimensions_are_many() -> None:
    random = np.random.default_rng(0)
    few, many = (hubness_skew(neighbors(random.normal(size=(2000, dim)), 10), 10) for dim in (3, 200))
    assert abs(few[0]) < 1 < 2 < many[0] and few[1] < 0.01 < 0.1 < many[1]


def test_disagreement_counts_neighbours_that_only_one_list_has() -> None:
    one = Neighbors(np.array([[1, 2], [0, -1]]), np.array([[1.0, 2], [1, np.inf]]))
    other = Neighbors(np.array([[2, 3], [0, 2]]), np.array([[1.0, 2], [1, 2]]))
    assert disagreement(one, other) == pytest.approx(1 / 3)


def test_the_cover_hart_interval_by_hand() -> None:
    assert bayes_interval(0.0, 3) == (0.0, 0.0)
    low, high = bayes_interval(0.3, 2)
    assert 2 * low * (1 - low) == pytest.approx(0.3) and high == 0.3  # for two classes e = 2 E (1 - E)
    assert bayes_interval(0.9, 10)[0] == bayes_interval(0.95, 10)[0] == pytest.approx(0.9)


def test_a_cover_hart_lower_end_above_the_best_error_is_warned_of() -> None:
    """Two Gaussians in 50 dimensions, their means 2 apart: the Bayes error is .1587; 20,000 rows are far too few."""
    random = np.random.default_rng(0)
    codes = np.repeat([0, 1], 10_000)
    vectors = random.normal(size=(20_000, 50)).astype(np.float32)
    vectors[:, 0] += 2 * codes
    found = diagnose(vectors, named(codes), k=50)
    figures = {name: one.value for name, one in found.figures.items()}
    bayes = NormalDist().cdf(-1)
    assert bayes == pytest.approx(0.1587, abs=1e-4)
    assert figures["cover_hart_lower"] == pytest.approx(0.2024, abs=0.01)
    assert (
        figures["cover_hart_lower"] is not None
        and figures["best_knn_error"] is not None
        and bayes < figures["best_knn_error"] < 0.2
    )
    assert any("lies above the best k-NN error" in text and "not read it as a bound" in text for text in found.warnings)
    assert any("has not settled" in text for text in found.warnings)


def test_the_error_of_subsamples_is_that_of_drawn_ones() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2000, 4)), None
    y = (x[:, 0] + random.normal(size=2000) * 0.5 > 0).astype(int)
    shares, errors = error_by_share(neighbors(x, 50), y)
    assert shares[0] < 0.1 and shares[-1] == 1 and np.all(np.diff(shares) > 0)
    for share, error in zip(shares[[0, 5, 9]], errors[[0, 5, 9]], strict=True):
        drawn = []
        for _ in range(1 if share == 1 else 25):
            kept = np.flatnonzero(random.random(2000) < share) if share < 1 else np.arange(2000)
            nearest = neighbors(x[kept], 1).indices[:, 0]
            drawn.append((y[kept][nearest] != y[kept]).mean())
        assert error == pytest.approx(np.mean(drawn), abs=0.012)


def test_confusion_counts_votes() -> None:
    found = neighbors(DIGITS, 5)
    table = confusion(found, DIGIT, 10, 1)
    voted = DIGIT[found.indices[:, 0]]
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (DIGIT, voted), 1)
    np.testing.assert_array_equal(table, expected)


def test_planted_label_errors_come_back_first() -> None:
    random = np.random.default_rng(1)
    planted = np.zeros(len(DIGIT), dtype=bool)
    planted[random.choice(len(DIGIT), len(DIGIT) // 20, replace=False)] = True
    noisy = np.where(planted, (DIGIT + random.integers(1, 10, len(DIGIT))) % 10, DIGIT)
    errors = label_errors(neighbors(DIGITS, 30), noisy, 10, 30)
    assert planted[errors.rows].mean() > 0.95 and planted[errors.rows].sum() / planted.sum() > 0.85
    assert planted[errors.rows[:50]].mean() > 0.95
    found = planted[errors.rows]
    assert (errors.suggested[found] == DIGIT[errors.rows][found]).mean() > 0.95  # and the true label is suggested
    assert len(label_errors(neighbors(DIGITS, 30), DIGIT, 10, 30)) < 10


def test_boundary_pairs_by_hand() -> None:
    # Two boundaries on a line: the nearest pair is (1, 2); the next comes from the other one, although (0, 3) is near.
    line = np.array([[0.0], [1.0], [1.1], [2.0], [50.0], [51.0], [51.3], [52.0]])
    codes = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    pairs = boundary_pairs(neighbors(line, 7), codes, 2)
    assert [(pairs.first[at], pairs.second[at]) for at in range(2)] == [(1, 2), (5, 6)]
    np.testing.assert_allclose(pairs.distances, [0.1, 0.3], rtol=1e-5)
    assert pairs.evaluation.tolist() == [False, True]


def test_boundary_pairs_spread_over_the_space() -> None:
    random = np.random.default_rng(0)
    centres = np.repeat(np.arange(20), 100)
    x = random.normal(size=(2000, 2)) * np.where(centres[:, None] == 0, 0.1, 1) + 40 * np.c_[centres, centres % 5]
    y = random.integers(0, 2, 2000)
    found = neighbors(x, 10)
    pairs = boundary_pairs(found, y, 40)
    assert (y[pairs.first] != y[pairs.second]).all()
    rows = np.concatenate([pairs.first, pairs.second])
    assert len(np.unique(rows)) == 80
    assert np.bincount(centres[pairs.first], minlength=20).min() >= 1  # though the nearest pairs are all of one cluster
    assert pairs.evaluation.sum() == 20 and set(centres[pairs.first[pairs.evaluation]]) > set(range(5))
    far = np.linalg.norm(x[pairs.first] - x[pairs.second], axis=1)
    np.testing.assert_allclose(pairs.distances, far, rtol=1e-5)
    assert len(boundary_pairs(found, np.zeros(2000, int), 40)) == 0
    assert boundary_pairs(found, y, 40, evaluation=0.25).evaluation.sum() == 10


def test_kappa_is_scikit_learns_and_its_interval_holds() -> None:
    random = np.random.default_rng(0)
    share, truth = 0.3, None
    held = 0
    for draw in range(300):
        one = random.integers(0, 3, 200)
        other = np.where(random.random(200) < share, random.integers(0, 3, 200), one)
        found = cohen_kappa(one, other)
        truth = 1 - share  # labels are even, and a drawn one agrees by chance alone
        held += found.low <= truth <= found.high
        if draw < 5:
            assert found.value == pytest.approx(cohen_kappa_score(one, other))
    assert 0.91 <= held / 300 <= 0.98
    assert cohen_kappa(np.array([0, 1]), np.array([0, 1])).value == 1
    by_hand = cohen_kappa(np.repeat([0, 0, 1, 1], [20, 5, 10, 15]), np.repeat([0, 1, 0, 1], [20, 5, 10, 15]))
    margin = (by_hand.high - by_hand.low) / 2 / NormalDist().inv_cdf(0.975)
    assert by_hand.value == pytest.approx(0.4) and margin == pytest.approx(sqrt(0.0161280), rel=1e-3)
    with pytest.raises(DataError, match="both columns hold the one label 0"):
        cohen_kappa(np.zeros(3, int), np.zeros(3, int))
    with pytest.raises(DataError, match="two columns of labels for the same rows"):
        cohen_kappa(np.zeros(3, int), np.zeros(4, int))


def test_warnings_of_wine_are_about_its_columns() -> None:
    wine = load_wine(return_X_y=True)[0]
    said = diagnose(wine, k=20).warnings
    assert any("column 12 has 100 % of all variance" in text for text in said)
    assert any(text.startswith("not normalised: rows are ") for text in said)
    assert any(re.match(r"cosine and euclidean disagree on \d+ %", text) for text in said)
    copies = diagnose(np.vstack([DIGITS[:300], DIGITS[:7]]), metric="cosine", k=10)
    assert any(text.startswith("rows with the vector of an earlier row: 7,") for text in copies.warnings)
    assert not any("normalised" in text for text in copies.warnings)
    zero = diagnose(np.vstack([DIGITS[:300], np.zeros((1, 64))]), k=10)
    assert any(text.startswith("rows that are all zero: 1") for text in zero.warnings)


def test_equal_rows_are_diagnosed_without_an_error() -> None:
    found = diagnose(np.ones((40, 3)), named(np.arange(40) % 2), k=5)
    assert found["duplicates"].value == 39 and found["relative_contrast"].value == np.inf
    assert np.isnan(float(found["two_nn_dimension"]))


@pytest.fixture
def digits(work: Workplace) -> Workplace:
    random = np.random.default_rng(1)
    work.save("digits.npy", DIGITS[:600])
    noisy = np.where(random.random(600) < 0.05, (DIGIT[:600] + 1) % 10, DIGIT[:600])
    work.lines("a.jsonl", [{"id": f"d{row}", "label": f"<{noisy[row]}>"} for row in range(600)])
    order = random.permutation(600)
    work.lines("b.jsonl", [{"id": f"d{row}", "label": f"<{DIGIT[row]}>"} for row in order])
    return work


class Reader(HTMLParser):
    """Counts the tags of a page and keeps its words and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.loads: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.loads += [
            str(value) for name, value in attrs if name in ("src", "href") and not str(value).startswith("#")
        ]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_command_with_labels(digits: Workplace) -> None:
    outputs = ("--html", "page.html", "--write-errors", "errors.csv", "--write-pairs", "pairs.jsonl")
    ask = ("diagnose", "digits.npy", "--labels", "a.jsonl", "--second-labels", "b.jsonl", "--pairs", 20, *outputs)
    answer = digits(*ask)
    assert answer.code == 0
    told = json.loads(
        digits("diagnose", "digits.npy", "--labels", "a.jsonl", "--second-labels", "b.jsonl", "--json").out
    )
    figures = {one["name"]: one for one in told["figures"]}
    one, other = ([row["label"] for row in read_lines(digits, name)] for name in ("a.jsonl", "b.jsonl"))
    assert figures["cohen_kappa"]["value"] == pytest.approx(cohen_kappa_score(one, other))
    assert figures["one_nn_error"]["value"] == pytest.approx(1 - told["leave_one_out"]["uniform"][0], abs=1e-6)
    assert told["convergence"]["rows"][-1] == 600 and len(told["confusion"]["counts"]) == 10
    for figure in told["figures"]:
        assert all(figure[key] for key in ("title", "unit", "formula", "source", "meaning"))
        assert all(figure[key] in answer.out for key in ("title", "unit", "formula", "source", "meaning"))
    assert re.search(r"^  rows +\d+ .* 600$", answer.out, re.MULTILINE)
    assert re.search(rf"^  one nn error .* {figures['one_nn_error']['value']:.4f}$", answer.out, re.MULTILINE)
    assert re.search(r"^  k +1 +2 +3 +5 +10 +20 +30 +50$", answer.out, re.MULTILINE)
    assert re.search(rf"^  uniform +{told['leave_one_out']['uniform'][0]:.4f} ", answer.out, re.MULTILINE)
    row = told["confusion"]["counts"][3]
    worst = re.search(r"^  <3> +(\d+) rows +([\d.]+) % right", answer.out, re.MULTILINE)
    assert worst is not None and float(worst[2]) == pytest.approx(100 * row[3] / sum(row), abs=0.06)
    errors = read_table(digits.folder / "errors.csv")
    assert [row["id"] for row in errors] == [row["id"] for row in told["label_errors"]]
    pairs = read_table(digits.folder / "pairs.jsonl")
    assert len(pairs) == 20 and [row["split"] for row in pairs].count("evaluation") == 10
    read = Reader()
    read.feed((digits.folder / "page.html").read_text(encoding="utf-8"))
    assert not read.loads
    page = found_in(read.words)
    for figure, shown in zip(told["figures"], page["figures"]["table"], strict=True):
        assert all(figure[key] == shown[key] for key in ("title", "unit", "formula", "source", "meaning"))
    assert [one["row"] for one in page["errors"]] == [one["row"] for one in told["label_errors"]]
    assert [(one["row"], one["other"]) for one in page["pairs"]] == [(row["row"], row["other_row"]) for row in pairs]
    assert "<3>" in page["figures"]["confusion"]["names"] and len(page["figures"]["curves"]) == 2
    assert "exists already" in digits.refuses(2, *ask)


def found_in(words: str) -> dict[str, Any]:
    """What the head of a page says that was found."""
    found = json.JSONDecoder().raw_decode(words, words.index('{"n":'))[0]["found"]
    assert isinstance(found, dict)
    return found


def read_lines(work: Workplace, name: str) -> list[dict[str, Any]]:
    """The rows of a file by the number in their id."""
    return sorted(read_table(work.folder / name), key=lambda row: int(row["id"][1:]))


def test_kappa_of_two_files_and_of_one_part_of_the_pairs(digits: Workplace) -> None:
    assert digits("diagnose", "digits.npy", "--labels", "a.jsonl", "--pairs", 20, "--write-pairs", "p.csv").code == 0
    pairs = read_table(digits.folder / "p.csv")
    assert all(row["id"] == f"d{row['row']}" and row["other_id"] == f"d{row['other_row']}" for row in pairs)
    one, other = ({row["id"]: row["label"] for row in read_lines(digits, name)} for name in ("a.jsonl", "b.jsonl"))
    for split in ("train", "evaluation", None):
        rows = [row[key] for row in pairs if split in (None, row["split"]) for key in ("id", "other_id")]
        part = ("--pairs", "p.csv", *(("--split", split) if split else ()))
        told = json.loads(digits("kappa", "a.jsonl", "b.jsonl", *part, "--json").out)
        expected = cohen_kappa_score([one[row] for row in rows], [other[row] for row in rows])
        assert told["n"] == len(rows) and told["value"] == pytest.approx(expected)
    expert = [{"id": row, "label": other[row]} for row in rows]  # who labels the pairs alone
    digits.lines("expert.jsonl", expert)
    assert json.loads(digits("kappa", "a.jsonl", "expert.jsonl", "--json").out) == {
        **told,
        "only_one": 600 - len(rows),
        "only_other": 0,
    }
    said = digits("kappa", "a.jsonl", "expert.jsonl").out
    assert f"Cohen's kappa {told['value']:.4f}, 95 % interval {told['low']:.4f} to {told['high']:.4f}" in said
    assert f"Only in a.jsonl:label: {600 - len(rows)} rows; only in expert.jsonl:label: 0" in said
    digits.lines("bare.jsonl", [{"label": row["label"]} for row in expert])
    digits.lines("strange.jsonl", [{**row, "id": f"x{row['id']}"} for row in expert])
    for code, arguments, complaint in (
        (3, ("a.jsonl", "bare.jsonl"), "one of them names its rows by their numbers, as a file without ids does"),
        (3, ("a.jsonl", "strange.jsonl"), "none of its ids (xd"),
        (3, ("a.jsonl", "b.jsonl", "--pairs", "a.jsonl"), "a.jsonl:1: other_id: expected a label in every row"),
        (
            2,
            ("a.jsonl", "b.jsonl", "--split", "train"),
            "--split: needs the boundary pairs, which say which rows are in which part; give --pairs FILE",
        ),
        (2, ("a.jsonl", "b.jsonl", "--confidence", "95"), "expected a share between 0 and 1, got 95"),
    ):
        assert complaint in digits.refuses(code, "kappa", *arguments)


def test_the_command_without_labels(digits: Workplace) -> None:
    told = json.loads(digits("diagnose", "digits.npy", "--json", "--metric", "cosine", "--html", "page.html").out)
    assert (told["n"], told["dim"], told["metric"], told["k"]) == (600, 64, "cosine", 50)
    assert "label_errors" not in told and "cover_hart_lower" not in {one["name"] for one in told["figures"]}
    read = Reader()
    read.feed((digits.folder / "page.html").read_text(encoding="utf-8"))
    page = found_in(read.words)
    assert page["figures"]["curves"] == [] and "errors" not in page and len(page["outliers"]) == 200


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ("--metric", "hamming"),
            2,
            "--metric: expected a distance between numbers, got hamming; diagnose takes euclidean",
        ),
        (("--metric", "inner_product"), 2, "--metric: expected a distance between numbers, got inner_product"),
        (("--metric", "cosin"), 2, "did you mean 'cosine'"),
        (("--second-labels", "b.jsonl"), 2, "--second-labels: needs labels too; give --labels FILE:FIELD"),
        (("--write-errors", "e.csv"), 2, "--write-errors: needs labels too; give --labels FILE:FIELD"),
        (("--labels", "a.jsonl", "--evaluation", "2"), 2, "--evaluation: expected a share from 0 to 1, got 2"),
        (("--labels", "a.jsonl", "--second-labels", "twice.jsonl"), 3, "ids occur more than once"),
        (("--labels", "a.jsonl", "--second-labels", "others.jsonl"), 3, "1 ids of a.jsonl:label are missing: d0"),
        (
            ("--labels", "a.jsonl", "--second-labels", "codes.jsonl"),
            3,
            "none of its labels (0, 1) is one of a.jsonl:label",
        ),
        (("--labels", "a.jsonl", "--write-pairs", "p.txt"), 2, "expected a name that ends in .jsonl"),
        (("--labels", "a.jsonl:kind"), 3, "a.jsonl:1: kind: expected a label in every row, found no such field"),
    ],
)
def test_wrong_options_are_named(digits: Workplace, arguments: tuple, code: int, said: str) -> None:
    rows = read_lines(digits, "b.jsonl")
    digits.lines("twice.jsonl", [rows[1], *rows[1:]])
    digits.lines("others.jsonl", [{**rows[0], "id": "new"}, *rows[1:]])
    digits.lines("codes.jsonl", [{**row, "label": at % 2} for at, row in enumerate(rows)])
    assert said in digits.refuses(code, "diagnose", "digits.npy", *arguments)


def columns_of(digits: Workplace, one: str, other: str) -> dict[str, Any]:
    first, second = read_lines(digits, one), read_lines(digits, other)
    return {
        "id": [row["id"] for row in first],
        "embedding": DIGITS[:600].tolist(),
        "one": [row["label"] for row in first],
        "other": [row["label"] for row in second],
    }


@pytest.mark.parametrize("source", ["files", "arrays", "mapping", "pandas", "polars"])
def test_diagnose_gives_what_the_command_gives(digits: Workplace, source: str) -> None:
    ask = ("diagnose", "digits.npy", "--labels", "a.jsonl", "--second-labels", "b.jsonl", "--pairs", 20, "-k", 20)
    expected = json.loads(digits(*ask, "--json").out)
    columns = columns_of(digits, "a.jsonl", "b.jsonl")
    if source == "files":
        found = diagnose("digits.npy", "a.jsonl", "b.jsonl", k=20, pairs=20)
        assert found.text() == digits(*ask).out.rstrip("\n") == str(found)
    elif source == "arrays":
        found = diagnose(DIGITS[:600], columns["one"], columns["other"], ids=columns["id"], k=20, pairs=20)
    else:
        make: Any = {"mapping": dict, "pandas": pandas.DataFrame, "polars": polars.DataFrame}[source]
        found = diagnose(make(columns), "one", "other", k=20, pairs=20)
    assert {**found.summary(), "source": "digits.npy"} == expected
    assert found.label_errors is not None and found.boundary_pairs is not None
    errors = found.label_errors.to_pandas()
    assert errors["id"].tolist() == [row["id"] for row in expected["label_errors"]]
    assert errors.columns.tolist() == ["id", "row", "label", "suggested", "agreement", "own"]
    pairs = found.boundary_pairs.to_pandas()
    assert pairs["other_id"].tolist() == [row["other_id"] for row in expected["pairs"]]
    assert set(pairs["split"]) == {"train", "evaluation"}


def test_a_notebook_shows_tables_without_pictures(digits: Workplace) -> None:
    found = diagnose(DIGITS[:600], [f"<{label}>" for label in DIGIT[:600]], k=10)
    read = Reader()
    read.feed(found._repr_html_())
    assert "svg" not in read.tags and "style" not in read.tags and read.tags["table"] == 4
    assert all(figure.meaning in read.words for figure in found.figures.values()) and "<3>" in read.words
    page = Reader()
    page.feed(found.html())
    assert found_in(page.words)["figures"]["table"][0]["title"] == next(iter(found.figures.values())).title


def test_a_table_without_rows_is_written_with_its_columns(digits: Workplace) -> None:
    """Four rows of each of two far classes: no label is likely wrong."""
    vectors, labels = np.repeat([[0.0], [9.0]], 4, axis=0) + np.arange(8)[:, None] / 100, list("aaaabbbb")
    for ending in (".csv", ".parquet", ".jsonl"):
        found = diagnose(vectors, labels, k=3, write_errors=f"none{ending}")
        assert found.label_errors is not None and len(found.label_errors) == 0
        assert read_table(digits.folder / f"none{ending}") == []
    assert (digits.folder / "none.csv").read_text() == "id,row,label,suggested,agreement,own\n"


def test_kappa_of_files_and_of_sequences(digits: Workplace) -> None:
    columns = columns_of(digits, "a.jsonl", "b.jsonl")
    of_files = kappa("a.jsonl", "b.jsonl:label", confidence=0.9)
    printed = digits("kappa", "a.jsonl", "b.jsonl", "--confidence", 0.9)
    assert str(of_files) == printed.out.rstrip("\n")
    for make in (list, np.array, pandas.Series, polars.Series):
        found = kappa(make(columns["one"]), make(columns["other"]), confidence=0.9)
        assert found.summary() == of_files.summary()
        assert found.value == pytest.approx(cohen_kappa_score(columns["one"], columns["other"]))
    pairs = diagnose("digits.npy", "a.jsonl", pairs=20, write_pairs="p.jsonl").boundary_pairs
    assert kappa("a.jsonl", "b.jsonl", pairs=pairs, split="train") == kappa(
        "a.jsonl", "b.jsonl", pairs="p.jsonl", split="train"
    )


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: kappa(["a"], "b.jsonl"), UsageError, "expected two files or two sequences of labels, got one of each"),
        (lambda: kappa(list("ab"), list("aba")), DataError, "other: found 3 labels, expected 2, as many as one has"),
        (lambda: kappa(list("ab"), [1, 2]), DataError, r"none of its labels \(1, 2\) is one of one \(a, b\)"),
        (lambda: kappa(["a", None], list("ab")), DataError, "one: row 1: expected a label in every row, found null"),
        (lambda: kappa(["a", ""], list("ab")), DataError, "one: row 1: expected a label, found blank text"),
        (lambda: kappa([], []), DataError, "one: found no labels"),
        (lambda: kappa(5, 5), UsageError, "one: expected one value a row or the name of a column, got 5"),
        (lambda: kappa(list("ab"), list("ab"), pairs="a.jsonl"), UsageError, "pairs: needs labels in files"),
        (
            lambda: kappa("a.jsonl", "b.jsonl", split=UNKNOWN, pairs="a.jsonl"),
            UsageError,
            "split: unknown split 'test'",
        ),
        (lambda: kappa("a.jsonl", "b.jsonl", confidence=1), UsageError, "confidence: expected a share between 0 and 1"),
        (lambda: diagnose(DIGITS[:9], k=0), UsageError, "k: expected a whole number above 0, got 0"),
        (lambda: diagnose(DIGITS[:9], second_labels=[1] * 9), UsageError, "second_labels: needs labels too"),
        (lambda: diagnose(DIGITS[:2]), DataError, "expected at least 3 rows"),
        (lambda: diagnose(DIGITS[:9], range(9)), DataError, "all 9 labels are different"),
        (lambda: diagnose(DIGITS[:9], DIGIT[:8]), DataError, "labels: found 8, expected 9 values, one a row"),
        (
            lambda: diagnose("digits.npy", "a.jsonl", write_errors="e.csv", write_pairs="e.csv"),
            UsageError,
            "write_pairs: found the file e.csv, which write_errors writes too; name another one",
        ),
        (
            lambda: diagnose("digits.npy", "a.jsonl", write_errors="a.jsonl", overwrite=True),
            UsageError,
            "a.jsonl: is one of the inputs, and an input is never overwritten",
        ),
    ],
)
def test_wrong_arguments_are_named(digits: Workplace, call: Any, error: type[Exception], said: str) -> None:
    before = digits.files()
    with pytest.raises(error, match=said):
        call()
    assert digits.files() == before


def test_one_row_does_not_decide_a_diagnosis() -> None:
    vectors = np.random.default_rng(0).normal(size=(1000, 50))
    plain = diagnose(vectors, k=20)
    near = diagnose(np.vstack([vectors, vectors[:1] + 1e-9]), k=20)  # a near-copy
    for name in ("relative_contrast", "two_nn_dimension", "mle_dimension", "hubness_skew"):
        assert near[name].value == pytest.approx(plain[name].value, rel=0.07), name
    assert near["relative_contrast"].value == pytest.approx(1.32, abs=0.1)
    far = diagnose(np.vstack([vectors, np.full((1, 50), 1e4)]), k=20)  # a row far away
    assert "for the median row" in far["relative_contrast"].unit
    assert "go by the median row" in far["relative_contrast"].meaning
    assert not [text for text in far.warnings if text.startswith(("distances concentrate", "one dimension dominates"))]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    odd = diagnose(np.vstack([unit, 3 * unit[:1]]), k=20)
    assert odd["mean_norm"].meaning == "All rows but 1 have about one length."
    assert [
        text for text in odd.warnings if text.startswith("1 rows have another length than the rest (1 to 3, median 1)")
    ]
    spike = vectors.copy()
    spike[7, 3] = 1e4
    said = diagnose(spike, k=20).warnings
    assert [text for text in said if text.startswith("row 7 lies so far out in column 3 that the column has 100 %")]
    zero = diagnose(np.vstack([vectors, np.zeros((1, 50))]), k=20)
    assert zero["cosine_euclidean_disagreement"].value == pytest.approx(
        plain["cosine_euclidean_disagreement"].value, abs=0.05
    )

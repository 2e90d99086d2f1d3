"""Near-duplicates: the groups against a slow search, the function from every kind of input, the command's records."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest

import vicinal
from oracle import fit_for, hard_data
from vicinal.analysis.duplicates import duplicate_groups, representatives
from vicinal.data import frames
from vicinal.data.provenance import FORMAT, hash_of
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import METRICS, find
from vicinal.storage.manifests import sha256
from vicinal.tasks.duplicates import Duplicates, RadiusCurve, duplicates
from vicinal.tasks.duplicates.dedup import dedup
from vicinal.typing import MetricName
from workplace import Workplace

METRIC_NAMES = [metric.name for metric in METRICS]


def slow_groups(vectors: np.ndarray, radius: float, metric: str) -> list[int]:
    near = find(metric).pairwise(vectors, vectors) <= radius
    group = list(range(len(vectors)))
    changed = True
    while changed:
        changed = False
        for row in range(len(vectors)):
            for other in np.flatnonzero(near[row]):
                low = min(group[row], group[other])
                changed = changed or group[row] != low or group[other] != low
                group[row] = group[other] = low
    return group


@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties"])
def test_groups_are_the_components_of_the_pairs_within_the_radius(metric: str, kind: str) -> None:
    vectors = fit_for(metric, hard_data(kind, 60, 9))
    far = find(metric).pairwise(vectors, vectors)
    for radius in (float(np.quantile(far, 0.02)), float(np.quantile(far, 0.1)), 0.0):
        if metric == "inner_product" or radius >= 0:
            assert duplicate_groups(vectors, radius, metric).tolist() == slow_groups(vectors, radius, metric)


def test_groups_of_more_pairs_than_fit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = hard_data("plain", 300, 3)
    expected = [duplicate_groups(vectors, radius).tolist() for radius in (0.3, 0.6, 9.0)]
    monkeypatch.setattr("vicinal.analysis.near_pairs.MOST_PAIRS", 100)
    assert [duplicate_groups(vectors, radius).tolist() for radius in (0.3, 0.6, 9.0)] == expected


def test_a_hundred_thousand_copies_are_one_group() -> None:
    vectors = np.ones((100_000, 2), dtype=np.float32)
    vectors[7] = 5
    groups = duplicate_groups(vectors, 0.5)
    assert groups[7] == 7 and not np.delete(groups, 7).any()


def test_representatives_are_the_best_and_first() -> None:
    groups, quality = np.array([0, 1, 0, 1, 4]), np.array([1.0, 5, 3, 5, 0])
    assert representatives(groups).tolist() == [0, 1, 0, 1, 4]
    assert representatives(groups, quality).tolist() == [2, 1, 2, 1, 4]


def planted(seed: int) -> tuple[np.ndarray, list[list[int]]]:
    """Points far apart, and groups of points within 0.01 of one of them."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0)), axis=-1).reshape(-1, 2)
    groups = [[int(row)] for row in range(len(grid))]
    vectors = list(grid)
    for row in random.choice(len(grid), 20, replace=False):
        for _ in range(random.integers(1, 6)):
            groups[row].append(len(vectors))
            vectors.append(grid[row] + random.uniform(-0.005, 0.005, 2))
    order = random.permutation(len(vectors))
    place = np.argsort(order)
    return np.array(vectors)[order], sorted(sorted(place[group].tolist()) for group in groups if len(group) > 1)


@pytest.mark.parametrize("seed", range(5))
def test_planted_duplicates_are_found_all_and_only(work: Workplace, seed: int) -> None:
    vectors, groups = planted(seed)
    work.save("v.npy", vectors)
    work.lines("d.jsonl", [{"id": f"r{i}", "stars": (i * 7) % 5} for i in range(len(vectors))])
    ask = ("duplicates", "d.jsonl", "--embeddings", "v.npy", "--radius", "0.02")
    answer = work(*ask)
    assert answer.code == 0 and [record["rows"] for record in answer.records] == groups
    for record in answer.records:
        assert record["representative"] == f"r{record['rows'][0]}" and record["size"] == len(record["rows"])
        assert record["ids"] == [f"r{row}" for row in record["rows"]]
        expected = np.linalg.norm(vectors[record["rows"]] - vectors[record["rows"][0]], axis=1)
        np.testing.assert_allclose(record["distances"], expected, rtol=1e-6)
    for record in work(*ask, "--quality", "stars").records:
        stars = [(row * 7) % 5 for row in record["rows"]]
        assert record["representative"] == f"r{record['rows'][stars.index(max(stars))]}"
    assert work(*ask, "-o", "g.jsonl.gz").code == 0
    text = gzip.decompress((work.folder / "g.jsonl.gz").read_bytes()).decode()
    assert [json.loads(line) for line in text.splitlines()] == answer.records
    assert work(*ask[:-1], "0").records == []


def test_invalid_rows_are_in_no_group(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[[2, 9]] = vectors[5]
    vectors[[0, 7]] = np.nan
    work.save("bad.npy", vectors)
    ask = ("duplicates", "data.jsonl", "--embeddings", "bad.npy", "--radius", "0")
    assert "bad.npy: 2 rows cannot be used" in work.refuses(3, *ask)
    answer = work(*ask, "--on-invalid", "null")
    assert answer.records == [] and "2 stay, whose vector is there with another text" in answer.err
    by_vectors = work(*ask, "--on-invalid", "null", "--no-text").records
    assert [(record["rows"], record["matches"]) for record in by_vectors] == [([2, 5, 9], [None, *["same vector"] * 2])]


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (2, ["--radius", "-0.1"], "--radius: expected a number >= 0, got -0.1"),
        (2, ["--radius", "near"], '--radius: expected a number in the unit of euclidean (input units), got "near"'),
        (2, ["--radius", "nan"], "--radius: expected a number in the unit of euclidean"),
        (2, ["--radius", "1", "--metric", "cosin"], "unknown metric 'cosin': did you mean 'cosine'"),
        (2, ["--radius", "1", "-o", "g.csv"], "g.csv: a group is a list of rows; expected a name that ends in .jsonl"),
        (2, ["--radius", "1", "-o", "data.jsonl", "--overwrite"], "data.jsonl: is one of the inputs"),
        (3, ["--radius", "1", "--quality", "stars"], "data.jsonl:1: stars: expected a number in every row, found no"),
        (3, ["--radius", "1", "--quality", "text"], 'data.jsonl:1: text: expected a number, found "text 0"'),
    ],
)
def test_duplicates_name_what_is_wrong(work: Workplace, code: int, arguments: list[str], said: str) -> None:
    assert said in work.refuses(code, "duplicates", "data.jsonl", "--embeddings", "emb.npy", *arguments)


def test_a_negative_radius_means_something_for_inner_products(work: Workplace) -> None:
    ask = (
        "duplicates",
        "data.jsonl",
        "--embeddings",
        "emb.npy",
        "--metric",
        "inner_product",
        "--radius=-3",
        "--link",
        "single",
    )
    expected = slow_groups(work.vectors, -3, "inner_product")
    groups = sorted([row for row in range(30) if expected[row] == head] for head in set(expected))
    assert [record["rows"] for record in work(*ask).records] == [group for group in groups if len(group) > 1]


# The function.

ROWS = np.array([[0.0, 0], [5, 0], [0.1, 0], [0.2, 0], [5, 0], [9, 9]], dtype=np.float32)
IDS = ["a", "b", "c", "d", "e", "f"]
STARS = [1, 2, 3, 3, 1, 0]
ARROW = pyarrow.table({"id": IDS, "v": ROWS.tolist(), "stars": STARS})
TABLES: dict[str, Callable[[], Any]] = {
    "pyarrow": lambda: ARROW,
    "pandas": lambda: pandas.DataFrame({"id": IDS, "v": list(ROWS), "stars": STARS}, index=[9, 8, 7, 6, 5, 4]),
    "polars": lambda: polars.DataFrame({"id": IDS, "v": ROWS, "stars": STARS}),
    "datasets": lambda: datasets.Dataset(ARROW),
    "mapping": lambda: {"id": IDS, "v": ROWS.tolist(), "stars": STARS},
}


def columns_of(found: Duplicates) -> dict[str, list]:
    return {name: list(found[name]) for name in found.names}


def test_every_row_is_told_its_group_and_whether_it_goes() -> None:
    found = duplicates(ROWS, 0.15, link="single")
    assert [found[name].dtype.name for name in [*found][:-1]] == ["int64", "int64", "int64", "float32", "bool"]
    assert columns_of(found) == {
        "group": [0, 1, 0, 0, 1, 5],
        "representative": [0, 1, 0, 0, 1, 5],
        "size": [3, 2, 3, 3, 2, 1],
        "distance": [0, 0, np.float32(0.1), np.float32(0.2), 0, 0],
        "duplicate": [False, False, True, True, True, False],
        "match": [None, None, "near", "near", "same vector", None],
    }
    assert found.kept.tolist() == [0, 1, 5] and found.removed.tolist() == [2, 3, 4]
    assert (found.metric, found.radius, found.n_groups) == ("euclidean", 0.15, 2)
    assert repr(found) == "Duplicates(n=6, groups=2, removed=3, metric='euclidean', radius=0.15)"
    counts = {"groups": 2, "rows": 5, "removable": 3, "copies": 0, "same_vector": 1, "near": 2, "other_text": 0}
    assert {**found.summary(), "seconds": 0} == counts | {"beyond_radius": 1, "unusable": 0, "seconds": 0}
    better = duplicates(ROWS, 0.15, quality=STARS, link="single")
    assert (
        better["representative"].tolist() == [2, 1, 2, 2, 1, 5]
        and better["group"].tolist() == columns_of(found)["group"]
    )
    np.testing.assert_array_equal(better["distance"], np.array([0.1, 0, 0, 0.2 - np.float32(0.1), 0, 0], np.float32))


@pytest.mark.parametrize("metric", METRIC_NAMES)
def test_distances_are_those_to_the_representative(metric: MetricName) -> None:
    vectors = fit_for(metric, hard_data("few integers, many ties", 60, 9))
    far = find(metric).pairwise(vectors, vectors)
    found = duplicates(vectors, float(np.quantile(far, 0.05)), metric=metric, quality=np.arange(60) % 7)
    expected = far[np.arange(60), found["representative"]].astype(np.float32)
    np.testing.assert_array_equal(found["distance"], expected)


def cells(table: Any, name: str) -> list:
    return frames.column(table, name).to_pylist()


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_gives_what_the_command_gives_and_loses_its_duplicates(work: Workplace, kind: str) -> None:
    work.save("v.npy", ROWS)
    work.lines("d.jsonl", [{"id": one, "stars": star} for one, star in zip(IDS, STARS, strict=True)])
    ask = ("duplicates", "d.jsonl", "--embeddings", "v.npy", "--radius", "0.15", "--quality", "stars")
    table = TABLES[kind]()
    bounded = duplicates(table, 0.15, "v", keep="best:stars")
    assert bounded.ids == IDS and bounded.groups == work(*ask).records
    assert cells(bounded.drop_from(table), "id") == ["b", "c", "f"]  # c is the best of a, c and d
    found = duplicates(table, 0.15, "v", quality="stars", link="single")
    assert found.groups == work(*ask, "--link", "single").records
    left = found.drop_from(table)
    assert type(left) is type(table) and cells(left, "id") == ["b", "c", "f"]
    assert duplicates(left, 0.15).groups == []
    assert cells(found.add_to(table), "duplicate") == [True, False, False, True, True, False]
    assert np.array_equal(found.drop_from(ROWS), ROWS[[1, 2, 5]])
    with pytest.raises(UsageError, match="the table has 3 rows, but the result has 6"):
        found.drop_from(left)


def test_paths_and_values_give_what_a_table_gives(work: Workplace) -> None:
    work.save("v.npy", ROWS)
    work.lines("d.jsonl", [{"id": one, "stars": star} for one, star in zip(IDS, STARS, strict=True)])
    expected = duplicates(ARROW, 0.15, quality="stars")
    for found in (
        duplicates("v.npy", 0.15, quality="d.jsonl:stars", ids="d.jsonl"),
        duplicates(work.folder / "v.npy", 0.15, quality=np.array(STARS), ids=np.array(IDS)),
        duplicates(work.folder / "d.jsonl", 0.15, "v.npy", quality="stars", output="g.jsonl"),
        duplicates("d.jsonl", 0.15, ROWS, quality=STARS),
    ):
        assert columns_of(found) == columns_of(expected) and (found.ids, found.groups) == (
            expected.ids,
            expected.groups,
        )
    assert [json.loads(line) for line in Path("g.jsonl").read_text().splitlines()] == expected.groups
    by_command = work("duplicates", "v.npy", "--radius", "0.15", "--ids", "d.jsonl", "--quality", "d.jsonl:stars")
    assert by_command.records == expected.groups


def test_an_invalid_row_is_kept_and_is_in_no_group() -> None:
    vectors = ROWS.copy()
    vectors[1] = np.nan
    with pytest.raises(DataError, match="1 row cannot be used"):
        duplicates(vectors, 0.15)
    found = duplicates(vectors, 0.15, on_invalid="null")
    assert [found[name][1] for name in ("group", "representative", "size", "duplicate")] == [-1, -1, 0, False]
    assert np.isnan(found["distance"][1]) and found.kept.tolist() == [0, 1, 3, 4, 5]
    assert [group["rows"] for group in found.groups] == [[0, 2]]
    skipped = duplicates(vectors, 0.15, on_invalid="skip", ids=IDS)
    assert skipped.ids == ["a", "c", "d", "e", "f"] and skipped["duplicate"].tolist() == [False, True, *[False] * 3]
    assert skipped.drop_from({"id": IDS}) == {"id": ["a", "d", "e", "f"]}
    assert list(skipped.unusable.values()) == ["NaN or infinite value"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"radius": None}, "radius: expected a number in the unit of euclidean (input units), got None"),
        ({"radius": True}, "radius: expected a number in the unit of euclidean (input units), got True"),
        ({"radius": -1}, "radius: expected a number >= 0, got -1"),
        ({"radius": 1, "metric": "cosin"}, "metric: unknown metric 'cosin': did you mean 'cosine'"),
        ({"radius": 1, "threads": 0}, "threads: expected a whole number above 0, got 0"),
        ({"radius": 1, "on_invalid": "drop"}, "on_invalid: unknown choice 'drop'"),
        ({"radius": "0.1"}, 'radius: expected a number in the unit of euclidean (input units), got "0.1"'),
        ({"radius": 1, "link": "complete"}, "link: unknown link 'complete'"),
        ({"radius": 1, "keep": "last"}, 'keep: expected one of first, best:FIELD, most-central, got "last"'),
        ({"radius": 1, "keep": "best"}, "keep: best needs a field of numbers; write best:FIELD"),
        ({"radius": 1, "keep": "best:stars", "quality": "stars"}, "quality: keep 'best:stars' names the field already"),
        ({"radius": 1, "keep": "most-central", "quality": "stars"}, "quality: keeps the best row of a group, but keep"),
        ({"radius": 1, "picture": "p.svg"}, "picture: shows what radii would remove, with radius 'auto'"),
        ({"radius": "auto", "output": "g.jsonl"}, "output: needs a radius, not 'auto'"),
        ({"radius": "auto", "metric": "inner_product"}, "radius: auto needs a metric with distances from 0, got inner"),
        ({"radius": 1, "quality": "star"}, "quality: unknown column 'star': did you mean 'stars'"),
        ({"radius": 1, "embeddings": "w"}, "embeddings: unknown column 'w'"),
        ({"radius": 1, "output": "g.csv"}, "g.csv: a group is a list of rows; expected a name that ends in .jsonl"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        duplicates(ARROW, **arguments)
    assert str(caught.value).startswith(said)


def test_an_input_is_never_the_output(work: Workplace) -> None:
    cases: tuple[dict[str, Any], ...] = ({"quality": "data.jsonl:stars"}, {"ids": "data.jsonl"})
    for arguments in cases:
        with pytest.raises(UsageError, match=r"data\.jsonl: is one of the inputs"):
            duplicates(ROWS, 0.1, output="data.jsonl", overwrite=True, **arguments)


# Greedy groups: a row stays unless one that stays lies within the radius.


def slow_greedy(vectors: np.ndarray, radius: float, metric: str, priority: np.ndarray, labels: np.ndarray) -> list[int]:
    far = find(metric).pairwise(vectors, vectors)
    near = (far <= radius) & (labels[:, None] == labels[None, :])
    stays: list[int] = []
    standing = np.arange(len(vectors))
    for row in np.lexsort((np.arange(len(vectors)), -priority)).tolist():
        before = [other for other in stays if near[row, other]]
        if before:  # the nearest; of equally near ones, the one that came first
            standing[row] = min(before, key=lambda other: (np.float32(far[row, other]), stays.index(other)))
        else:
            stays.append(row)
    return standing.tolist()


@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties"])
def test_greedy_groups_are_those_of_a_slow_search(
    metric: MetricName, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = fit_for(metric, hard_data(kind, 60, 9))
    far = find(metric).pairwise(vectors, vectors)
    labels, worth = np.arange(60) % 3 // 2, np.arange(60) % 7 / 2
    for radius in (float(np.quantile(far, 0.05)), float(np.quantile(far, 0.2)), 0.0):
        if radius < 0 and metric != "inner_product":
            continue
        near = far <= radius
        crowd = (near & ~np.eye(60, dtype=bool)).sum(axis=1)
        cases: tuple[tuple[dict[str, Any], np.ndarray, np.ndarray], ...] = (
            ({}, np.zeros(60), np.zeros(60)),
            ({"keep": "most-central"}, crowd, np.zeros(60)),
            ({"quality": worth, "within": labels}, worth, labels),
        )
        for options, priority, label in cases:
            found = duplicates(vectors, radius, metric=metric, **options)
            expected = slow_greedy(vectors, radius, metric, priority, label)
            assert found["representative"].tolist() == expected
            rows = found.removed
            assert near[rows, found["representative"][rows]].all() and found.beyond == 0
            with monkeypatch.context() as small:  # more pairs than fit at once
                small.setattr("vicinal.analysis.near_pairs.MOST_PAIRS", 200)
                again = duplicates(vectors, radius, metric=metric, **options)
            assert again["representative"].tolist() == expected


def test_a_chain_is_cut_so_that_no_removed_row_is_beyond_the_radius() -> None:
    chain = np.arange(40, dtype=np.float64)[:, None]
    greedy, single = duplicates(chain, 1.0), duplicates(chain, 1.0, link="single")
    assert greedy.kept.tolist() == list(range(0, 40, 2)) and greedy.beyond == 0
    assert single.kept.tolist() == [0] and single.beyond == 38 and single["distance"].max() == 39


def test_the_command_prints_how_many_rows_a_chain_removes_beyond_the_radius(work: Workplace) -> None:
    work.save("v.npy", np.arange(5.0)[:, None])
    answer = work("duplicates", "v.npy", "--radius", "1", "--link", "single")
    assert "1 groups of 5 rows; 4 could go, 3 of them beyond the radius: 4 near (" in answer.err
    assert "beyond" not in work("duplicates", "v.npy", "--radius", "1").err


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "hamming", "jaccard"])
def test_radius_0_finds_rows_that_the_metric_calls_equal_without_a_search(
    metric: MetricName, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = fit_for(metric, hard_data("few integers, many ties", 80, 3))
    if metric == "cosine":
        vectors = np.concatenate([vectors, 4 * vectors[:9], vectors[:5]])
    expected = slow_groups(vectors, 0.0, metric)
    monkeypatch.setattr("vicinal.analysis.near_pairs.ExactSearch", None)
    assert duplicates(vectors, 0, metric=metric)["group"].tolist() == expected
    assert len(set(expected)) < len(vectors)


def test_values_whose_squares_vanish_are_searched_at_radius_0() -> None:
    tiny = np.array([[0.0], [1e-170], [1.0]])
    assert duplicates(tiny, 0)["group"].tolist() == slow_groups(tiny, 0, "euclidean") == [0, 0, 2]


def test_suggested_radii_tell_what_each_would_remove(work: Workplace) -> None:
    vectors, _ = planted(1)
    vectors = np.concatenate([vectors, vectors[:4]])
    texts = [f"text {row}" for row in range(len(vectors))]
    others = duplicates(vectors, "auto", text=texts, threads=1)  # the same vectors, and other texts
    texts[-4:] = texts[:4]
    curve = duplicates(vectors, "auto", text=texts, threads=1)
    assert isinstance(curve, RadiusCurve) and curve["radius"][0] == 0 and (np.diff(curve["radius"]) > 0).all()
    for row, radius in enumerate(curve["radius"].tolist()):
        found = duplicates(vectors, radius, text=texts)
        assert (others["removed"][row], others["groups"][row]) == (
            (0, 0) if row == 0 else (curve["removed"][row], curve["groups"][row])
        )
        assert (curve["groups"][row], curve["removed"][row]) == (found.n_groups, len(found.removed))
        assert curve["removed_single"][row] == len(duplicates(vectors, radius, link="single").removed)
        for pair in curve.pairs[row]:
            far = np.linalg.norm(vectors[pair["a"]] - vectors[pair["b"]])
            assert far == pytest.approx(pair["distance"], rel=1e-6) and far <= radius
            assert pair["text_a"] == f"text {pair['a']}" and (row == 0 or far > curve["radius"][row - 1])
    assert [(pair["a"], pair["b"]) for pair in curve.pairs[0]] == [(row, len(vectors) - 4 + row) for row in range(3)]
    assert all(len(pairs) <= 3 for pairs in curve.pairs) and any(pairs for pairs in curve.pairs[1:])
    work.save("v.npy", vectors)
    table = {"prompt": texts, "embedding": vectors.tolist()}  # whose texts are shown without being named
    assert [pair["text_a"] for pair in duplicates(table, "auto").pairs[0]] == ["text 0", "text 1", "text 2"]
    answer = work("duplicates", "v.npy", "--suggest", "--picture", "curve.svg")
    assert answer.code == 0 and answer.out.splitlines()[0].split()[:3] == ["radius", "groups", "removed"]
    assert Path("curve.svg").read_text().startswith("<?xml")
    said = json.loads(work("duplicates", "v.npy", "--radius", "auto", "--json").out)
    assert [step["removed"] for step in said["steps"]] == curve["removed"].tolist()
    assert [step["pairs"][0]["a"] for step in said["steps"] if step["pairs"]] == [p[0]["a"] for p in curve.pairs if p]


SAME = np.array([[0.0, 1], [0, 1], [0, 1], [3, 4], [3, 4], [3.1, 4]], np.float32)
TEXTS = ["a  b", "a b\n", "a c", "d", "d", "d"]


@pytest.mark.parametrize("form", ["table", "jsonl", "csv", "parquet"])
def test_rows_of_one_vector_are_copies_only_where_their_texts_are_equal(form: str, tmp_path: Path) -> None:
    columns = {"id": list(range(6)), "text": TEXTS, "n": [5, 5, 5, 5, 6, 5]}
    data: Any = columns
    if form == "jsonl":
        data = tmp_path / "d.jsonl"
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "csv":
        data = tmp_path / "d.csv"
        pandas.DataFrame(columns).to_csv(data, index=False)
    elif form == "parquet":
        data = tmp_path / "d.parquet"
        pandas.DataFrame(columns).to_parquet(data)
    found = duplicates(data, 0, SAME)
    assert found.removed.tolist() == [1, 4] and found["match"] == [None, "copy", None, None, "copy", None]
    assert found.other_text == 1 and found.summary()["copies"] == 2
    near = duplicates(data, 0.5, SAME)
    assert near["match"] == [None, "copy", "same vector", None, "copy", "near"]
    assert (near.summary()["copies"], near.summary()["same_vector"], near.summary()["near"]) == (2, 1, 1)
    assert duplicates(data, 0, SAME, text=False).removed.tolist() == [1, 2, 4]
    assert duplicates(data, 0, SAME, text=("id", "text")).removed.tolist() == [1, 4]  # numbers are no texts
    assert duplicates(data, 0, SAME, text="text", link="single").removed.tolist() == [1, 4]
    clean = dedup(data, 0, SAME)
    assert clean["kept"].tolist() == [True, False, True, True, False, True] and clean.other_text == 1
    assert [one["match"] for one in clean.removals()] == ["copy", "copy"]
    with pytest.warns(UserWarning, match="dedup 0 leaves 4 rows, 1 fewer than requested"):
        vicinal.select(data, keep=5, strategy="random", embeddings=SAME, dedup=0)
    with pytest.raises(UsageError, match=r"text: .*'txt'.* did you mean 'text'"):
        duplicates(data, 0, SAME, text=("txt", "n"))
    for task in (duplicates, dedup):
        with pytest.raises((DataError, UsageError), match=r"text: .*'txt'"):
            task(data, 0, SAME, text="txt")


def test_texts_may_be_given_and_those_that_a_model_cut_are_warned_of(work: Workplace) -> None:
    assert duplicates(SAME, 0, text=TEXTS).removed.tolist() == [1, 4]
    assert duplicates(SAME, 0).removed.tolist() == [1, 2, 4] and duplicates(SAME, 0)["match"][1] == "same vector"
    with pytest.raises(UsageError, match="text: embeddings holds embeddings alone"):
        duplicates(SAME, 0, text=("a", "b"))
    with pytest.raises(UsageError, match="text: the sample pairs are shown with one field"):
        duplicates({"a": TEXTS, "b": TEXTS, "e": SAME.tolist()}, "auto", text=("a", "b"))
    chat = [{"role": "user", "content": 7}]
    work.lines("d.jsonl", [{"id": row, "text": text, "chat": chat} for row, text in enumerate(TEXTS)])
    work.save("e.npy", SAME)
    note = {"format": FORMAT, "format_version": 1, "data": "d.jsonl", "rows": 6, "model": "m", "normalized": False}
    hashes = {"data_sha256": sha256("d.jsonl"), "ids_sha256": hash_of(list(range(6)))}
    Path("e.npy.json").write_text(json.dumps({**note, **hashes, "cut_rows": [0, 2], "longest": 128}))
    answer = work("duplicates", "d.jsonl", "--embeddings", "e.npy", "--radius", "0", "--text", "text")
    assert "the model saw only the first 128 tokens of 2 of 6 texts" in answer.err
    assert "2 could go: 2 the same vector and text; 1 stay, whose vector is there with another text" in answer.err
    work.lines("d.jsonl", [{"id": row, "text": f"t{row}"} for row in range(6)])
    Path("e.npy.json").unlink()
    answer = work("dedup", "d.jsonl", "--embeddings", "e.npy", "--radius", "0", "-o", "c.jsonl")
    assert "0 duplicates went (3 stay, whose vector is there with another text) in" in answer.err


def test_the_texts_of_a_suggested_pair_are_shown_where_they_differ() -> None:
    start = "word " * 40
    table = {"text": [f"{start}ends with tea", f"{start}ends with milk", "short one", "other one"]}
    shown = repr(duplicates(table, "auto", np.array([[0.0], [0.1], [9.0], [9.1]])))
    for text in ("tea", "milk"):
        assert f"{' ' * 14}...{'word ' * 6}ends with {text}\n" in f"{shown}\n"
    assert f"{' ' * 14}short one\n" in f"{shown}\n"

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

from oracle import fit_for, hard_data
from vicinal.analysis.duplicates import duplicate_groups, representatives
from vicinal.data import frames
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import METRICS, find
from vicinal.tasks.duplicates import Duplicates, duplicates
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
    monkeypatch.setattr("vicinal.analysis.duplicates.MOST_PAIRS", 100)
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
    assert [record["rows"] for record in work(*ask, "--on-invalid", "null").records] == [[2, 5, 9]]


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
    ask = ("duplicates", "data.jsonl", "--embeddings", "emb.npy", "--metric", "inner_product", "--radius=-3")
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
    return {name: found[name].tolist() for name in found.names}


def test_every_row_is_told_its_group_and_whether_it_goes() -> None:
    found = duplicates(ROWS, 0.15)
    assert [found[name].dtype.name for name in found] == ["int64", "int64", "int64", "float32", "bool"]
    assert columns_of(found) == {
        "group": [0, 1, 0, 0, 1, 5],
        "representative": [0, 1, 0, 0, 1, 5],
        "size": [3, 2, 3, 3, 2, 1],
        "distance": [0, 0, np.float32(0.1), np.float32(0.2), 0, 0],
        "duplicate": [False, False, True, True, True, False],
    }
    assert found.kept.tolist() == [0, 1, 5] and found.removed.tolist() == [2, 3, 4]
    assert (found.metric, found.radius, found.n_groups) == ("euclidean", 0.15, 2)
    assert repr(found) == "Duplicates(n=6, groups=2, removed=3, metric='euclidean', radius=0.15)"
    assert {**found.summary(), "seconds": 0} == {"groups": 2, "rows": 5, "removable": 3, "seconds": 0}
    better = duplicates(ROWS, 0.15, quality=STARS)
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
    found = duplicates(table, 0.15, "v", quality="stars")
    assert found.ids == IDS and found.groups == work(*ask).records
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
    assert np.isnan(found["distance"][1]) and found.kept.tolist() == [0, 1, 4, 5]
    assert [group["rows"] for group in found.groups] == [[0, 2, 3]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"radius": None}, "radius: expected a number in the unit of euclidean (input units), got None"),
        ({"radius": True}, "radius: expected a number in the unit of euclidean (input units), got True"),
        ({"radius": -1}, "radius: expected a number >= 0, got -1"),
        ({"radius": 1, "metric": "cosin"}, "unknown metric 'cosin': did you mean 'cosine'"),
        ({"radius": 1, "threads": 0}, "threads: expected a whole number above 0, got 0"),
        ({"radius": 1, "on_invalid": "skip"}, "on_invalid: unknown choice 'skip'"),
        ({"radius": 1, "quality": "star"}, "quality: unknown column 'star': did you mean 'stars'"),
        ({"radius": 1, "embeddings": "w"}, "embeddings: unknown column 'w'"),
        ({"radius": 1, "output": "g.csv"}, "g.csv: a group is a list of rows; expected a name that ends in .jsonl"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        duplicates(ARROW, **arguments)
    assert str(caught.value).startswith(said)


def test_an_input_is_never_the_output(work: Workplace) -> None:
    for arguments in ({"quality": "data.jsonl:stars"}, {"ids": "data.jsonl"}):
        with pytest.raises(UsageError, match=r"data\.jsonl: is one of the inputs"):
            duplicates(ROWS, 0.1, output="data.jsonl", overwrite=True, **arguments)  # type: ignore[arg-type]

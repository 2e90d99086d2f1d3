"""Selection and duplicates: the strategies against slow greedy ones, the commands to the byte, every wrong input."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vicinal
from oracle import fit_for, hard_data
from vicinal.analysis import selection
from vicinal.analysis.duplicates import duplicate_groups, representatives
from vicinal.errors import UsageError
from vicinal.knn.metrics import METRICS, find
from vicinal.tasks.select import STRATEGIES, count_of
from workplace import Workplace, distances

NAMES = [strategy.name for strategy in STRATEGIES]
METRIC_NAMES = [metric.name for metric in METRICS]


# Near-duplicates.


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
        (2, ["--radius", "-0.1"], "--radius: expected a number >= 0, got -0.1; euclidean distances are >= 0"),
        (2, ["--radius", "near"], '--radius: expected a number in the unit of euclidean (input units), got "near"'),
        (2, ["--radius", "nan"], "--radius: expected a number in the unit of euclidean"),
        (2, ["--radius", "1", "--metric", "cosin"], "unknown metric 'cosin': did you mean 'cosine'"),
        (2, ["--radius", "1", "-o", "g.csv"], "g.csv: a group is a list of rows; expected a name that ends in .jsonl"),
        (2, ["--radius", "1", "-o", "data.jsonl", "--overwrite"], "data.jsonl: this command reads it"),
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


# The strategies.


def slow_k_center(far: np.ndarray, keep: int, weight: np.ndarray, first: int) -> list[int]:
    order = [first]
    while len(order) < keep:
        nearest = far[:, order].min(axis=1) * weight
        nearest[order] = -1
        order.append(int(np.argmax(nearest)))
    return order


@pytest.mark.parametrize("metric", [name for name in METRIC_NAMES if name != "inner_product"])
@pytest.mark.parametrize(
    "kind",
    ["plain", "40 % copies of one row", "few integers, many ties", "offset by 1e8", "rows within 1e-4", "very small"],
)
@pytest.mark.parametrize("pool", [(1, 2, 1), (4, 10, 7), (512, 4096, 2048)])
def test_k_center_is_the_farthest_point_greedy(
    metric: str, kind: str, pool: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in zip(("POOL", "RENEWED", "PART"), pool, strict=True):
        monkeypatch.setattr(selection, name, size)
    vectors = fit_for(metric, hard_data(kind, 90, 9))
    n = len(vectors)
    far = find(metric).pairwise(vectors, vectors).astype(np.float32).astype(np.float64)
    for weight in (np.ones(n), np.random.default_rng(0).random(n)):
        for keep in (2, 20) if pool[0] == 1 else (1, 2, 30, n):  # the smallest parts ask a thousand times
            found = selection.k_center(vectors, keep, metric, weight, first=3)
            assert found.order.tolist() == slow_k_center(far, keep, weight, 3)
            for row in range(n):
                before = found.order.tolist()
                if row in before:
                    before = before[: before.index(row)]
                if before:
                    assert far[row, found.because[row]] == far[row, before].min() == found.distance[row]


def slow_facility(graph: vicinal.Neighbors, keep: int, weight: np.ndarray) -> list[int]:
    n = len(graph)
    value = np.zeros((n, n))
    largest = float(graph.distances.max())
    for row in range(n):
        value[row, row] = 2**32
        for other, far in zip(graph.indices[row], graph.distances[row], strict=True):
            value[row, other] = np.rint((1 - float(far) / largest) * 2**32)
    order: list[int] = []
    best = np.zeros(n)
    for _ in range(keep):
        gain = np.maximum(value - best[:, None], 0).sum(axis=0) * weight
        gain[order] = -1
        order.append(int(np.argmax(gain)))
        best = np.maximum(best, value[:, order[-1]])
    return order


@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_facility_location_is_the_plain_greedy(kind: str, metric: str) -> None:
    vectors = fit_for(metric, hard_data(kind, 80, 5))
    graph = vicinal.neighbors(vectors, 6, metric)
    for weight in (np.ones(80), np.random.default_rng(0).random(80)):
        for keep in (1, 10, 80):
            found = selection.facility_location(graph, keep, weight)
            assert found.order.tolist() == slow_facility(graph, keep, weight)
    assert (found.because[found.order] == found.order).all()


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.data())
def test_shares_are_within_one_of_their_part_and_exact_in_all(raw: list[int], data: st.DataObject) -> None:
    groups = np.unique(raw, return_inverse=True)[1]
    keep = data.draw(st.integers(1, len(groups)))
    seats = selection.shares(groups, keep)
    sizes = np.bincount(groups)
    assert seats.sum() == keep and (seats <= sizes).all()
    assert (np.abs(seats - keep * sizes / len(groups)) < 1).all()
    most = np.array([data.draw(st.integers(0, int(size))) for size in sizes])
    if most.sum() >= keep:
        capped = selection.shares(groups, keep, most)
        assert capped.sum() == keep and (capped <= most).all()
    else:
        with pytest.raises(UsageError, match="rows are there to be kept"):
            selection.shares(groups, keep, most)


def test_representatives_are_the_best_and_first() -> None:
    groups, quality = np.array([0, 1, 0, 1, 4]), np.array([1.0, 5, 3, 5, 0])
    assert representatives(groups).tolist() == [0, 1, 0, 1, 4]
    assert representatives(groups, quality).tolist() == [2, 1, 2, 1, 4]


@pytest.mark.parametrize(
    ("keep", "n", "count"), [("1", 9, 1), ("9", 9, 9), ("10%", 45, 5), ("0.1%", 5, 1), ("100%", 7, 7)]
)
def test_how_many_a_number_or_a_percentage_is(keep: str, n: int, count: int) -> None:
    assert count_of(keep, n) == count


# The command.


class Case:
    """60 rows with copies, scores, a quality and a source, and the options that every strategy needs."""

    def __init__(self, work: Workplace) -> None:
        self.work = work
        self.vectors = hard_data("plain", 60, 4).astype(np.float32)
        self.vectors[40:52] = self.vectors[3:15] + np.float32(1e-4)
        random = np.random.default_rng(1)
        self.quality = random.permutation(60).tolist()
        self.source = random.choice(["web", "book", "chat"], 60, p=[0.6, 0.3, 0.1]).tolist()
        work.save("v.npy", self.vectors)
        rows = zip(self.quality, self.source, strict=True)
        self.rows = [{"id": f"r{i}", "q": q, "src": s, "t": "ü" * i} for i, (q, s) in enumerate(rows)]
        self.lines = [json.dumps(row, ensure_ascii=i % 2 == 0).encode() for i, row in enumerate(self.rows)]
        work.write("d.jsonl", b"\n".join(self.lines))  # without a last line's end
        assert work("score", "d.jsonl", "--embeddings", "v.npy", "-o", "s.jsonl").code == 0
        self.scores = np.array([json.loads(line)["score"] for line in Path("s.jsonl").read_text().splitlines()])

    def select(self, *options: object, data: str = "d.jsonl", output: str = "c.jsonl") -> Any:
        ask = ("select", data, "s.jsonl", "--embeddings", "v.npy", "-o", output, "--overwrite", *options)
        return self.work(*ask)

    def decisions(self, output: str = "c.jsonl") -> list[dict]:
        return [json.loads(line) for line in Path(f"{output}.decisions.jsonl").read_text().splitlines()]


@pytest.fixture
def case(work: Workplace) -> Case:
    return Case(work)


OPTIONS = [[], ["--quality", "q"], ["--dedup", "0.01"], ["--quota", "src"],
           ["--quality", "q", "--dedup", "0.01", "--quota", "src"]]  # fmt: skip


@pytest.mark.parametrize("strategy", NAMES)
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_exactly_so_many_rows_are_kept_always_and_each_is_told_why(
    case: Case, strategy: str, options: list[str]
) -> None:
    for keep, count in (("1", 1), ("7", 7), ("25%", 15), ("48", 48), ("55", 55), ("60", 60)):
        answer = case.select("--strategy", strategy, "--keep", keep, *options)
        assert answer.code == 0, answer.err
        told = case.decisions()
        kept = [row for row, one in enumerate(told) if one["decision"] == "kept"]
        assert len(kept) == count and [one["id"] for one in told] == [row["id"] for row in case.rows]
        lines = [line + b"\n" for line in case.lines[:-1]] + case.lines[-1:]
        assert Path("c.jsonl").read_bytes() == b"".join(lines[row] for row in kept)
        assert sorted(one["rank"] for one in told if one["decision"] == "kept") == list(range(1, count + 1))
        assert all(one["rule"] and "rank" not in one for one in told if one["decision"] == "dropped")
        if "--dedup" in options:
            for a, b in zip(range(3, 15), range(40, 52), strict=True):
                if count <= 48:  # as many as there are groups
                    assert not (a in kept and b in kept)
                    gone = [told[row] for row in (a, b) if told[row]["rule"] == "dedup"]
                    better = a if "--quality" not in options or case.quality[a] > case.quality[b] else b
                    assert len(gone) == 1 and gone[0]["because"] == f"r{better}"
            assert ("make up the number" in answer.err) == (count > 48)
        if "--quota" in options and ("--dedup" not in options):
            for source in set(case.source):
                share = count * case.source.count(source) / 60
                assert abs(sum(case.source[row] == source for row in kept) - share) < 1
        first = Path("c.jsonl").read_bytes(), case.decisions()
        case.select("--strategy", strategy, "--keep", keep, "--threads", 1, *options)
        assert (Path("c.jsonl").read_bytes(), case.decisions()) == first


def test_the_strategies_of_scores_keep_what_they_say(case: Case) -> None:
    order = np.lexsort((np.arange(60), case.scores))
    expected = {"lowest": order[:10], "highest": np.lexsort((np.arange(60), -case.scores))[:10], "middle": order[25:35]}
    for strategy, rows in expected.items():
        assert case.select("--strategy", strategy, "--keep", 10).code == 0
        told = case.decisions()
        assert {row for row, one in enumerate(told) if one["decision"] == "kept"} == set(rows.tolist())
        worst = {one["id"] for one in told if one.get("rank") == 10}
        assert {one["because"] for one in told if one["decision"] == "dropped"} == worst
        assert {one["rule"] for one in told} == {strategy}


def test_quality_multiplies_what_is_maximised(case: Case) -> None:
    case.select("--keep", 10, "--quality", "q")
    percentile = np.array([(case.scores < s).sum() + (case.scores == s).sum() / 2 for s in case.scores]) / 60
    merit = percentile * (np.array(case.quality) + 0.5) / 60
    expected = set(np.lexsort((np.arange(60), -merit))[:10].tolist())
    assert {row for row, one in enumerate(case.decisions()) if one["decision"] == "kept"} == expected


def test_k_center_starts_at_the_highest_score_and_names_the_nearest_kept_row(case: Case) -> None:
    case.select("--keep", 8, "--strategy", "k-center")
    told = case.decisions()
    assert told[int(np.argmax(case.scores))]["rank"] == 1
    far = distances(case.vectors, "euclidean")
    kept = [row for row, one in enumerate(told) if one["decision"] == "kept"]
    for row, one in enumerate(told):
        if one["decision"] == "dropped":
            assert one["because"] == f"r{kept[int(np.argmin(far[row, kept]))]}"
            np.testing.assert_allclose(one["distance"], far[row, kept].min(), rtol=1e-6)


def test_facility_works_from_a_saved_graph_and_without_scores(case: Case) -> None:
    case.select("--keep", 9, "--strategy", "facility", "-k", 5)
    expected = case.decisions()
    assert case.work("neighbors", "v.npy", "-k", 5, "-o", "graph").code == 0
    ask = ("select", "d.jsonl", "--keep", 9, "--strategy", "facility", "--neighbors", "graph", "-o", "g.jsonl")
    assert case.work(*ask).code == 0 and case.decisions("g.jsonl") == expected


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.csv", "d.parquet"])
def test_rows_of_every_kind_are_copied_as_they_are(case: Case, name: str) -> None:
    output = f"chosen{name[1:]}"
    if name == "d.csv":
        head, records = '\ufeffid,q,src,"a t"', [f'r{i},{case.quality[i]},x,"two\nlines ""{i}"""' for i in range(60)]
        case.work.write(name, "\r\n".join([head, *records]) + "\r\n")
    elif name == "d.parquet":
        columns = {"id": [row["id"] for row in case.rows], "q": case.quality, "l": [[i] for i in range(60)]}
        pyarrow.parquet.write_table(pyarrow.table(columns), name)
    else:
        case.work.write(name, gzip.compress(b"\n".join(case.lines) + b"\n"))
    assert case.select("--keep", 10, "--quality", "q", data=name, output=output).code == 0
    kept = [one["row"] for one in case.decisions(output) if one["decision"] == "kept"]
    if name == "d.csv":
        assert Path(output).read_bytes() == ("\r\n".join([head, *(records[row] for row in kept)]) + "\r\n").encode()
        with open(output, newline="", encoding="utf-8-sig") as file:
            assert [row["id"] for row in csv.DictReader(file)] == [f"r{row}" for row in kept]
    elif name == "d.parquet":
        source = pyarrow.parquet.read_table(name)
        assert pyarrow.parquet.read_table(output).equals(source.take(kept))
    else:
        expected = b"".join(case.lines[row] + b"\n" for row in kept)
        assert gzip.decompress(Path(output).read_bytes()) == expected


def test_scores_are_read_in_every_form_that_they_are_written_in(case: Case) -> None:
    case.select("--keep", 10)
    expected = Path("c.jsonl").read_bytes()
    for name in ("m.jsonl", "m.csv", "m.parquet", "m.jsonl.gz"):
        case.work("score", "d.jsonl", "--embeddings", "v.npy", "--by", "lof,mean", "--evidence", "-o", name)
        ask = ("select", "d.jsonl", name, "--keep", 10, "-o", "k.jsonl", "--overwrite")
        assert case.work(*ask, "--by", "mean").code == 0 and Path("k.jsonl").read_bytes() == expected
        assert "several scores; choose one with --by: lof, mean" in case.work(*ask).err
        assert "has no score 'lid'; choose one with --by: lof, mean" in case.work(*ask, "--by", "lid").err


def test_rows_without_a_score_are_not_chosen(case: Case) -> None:
    case.vectors[[4, 30]] = np.nan
    case.work.save("v.npy", case.vectors)
    ask = ("score", "d.jsonl", "--embeddings", "v.npy", "--on-invalid", "null", "-o", "s.jsonl", "--overwrite")
    assert case.work(*ask).code == 0
    for strategy in NAMES:
        assert case.select("--keep", 58, "--strategy", strategy).code == 0
        told = case.decisions()
        assert [one["id"] for one in told if one["decision"] == "dropped"] == ["r4", "r30"]
        assert told[4]["rule"] == "unusable" and told[4]["reason"] == "no score"
    before = case.work.files()
    answer = case.select("--keep", 59, "-o", "new.jsonl")
    assert answer.code == 3 and "59 rows were asked for, but only 58 can be used (no score)" in answer.err
    assert case.work.files() == before


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (2, ["--keep", "61"], "--keep: 61 rows were asked for, but there are 60; ask for at most 60"),
        (2, ["--keep", "0"], '--keep: expected a whole number above 0, got "0"'),
        (2, ["--keep", "many"], '--keep: expected a whole number above 0, got "many"'),
        (2, ["--keep", "0%"], '--keep: expected a number of rows or a percentage such as 10%, got "0%"'),
        (2, ["--keep", "101%"], "--keep: expected a number of rows or a percentage"),
        (2, ["--keep", "5", "--strategy", "kcenter"], "--strategy: unknown strategy 'kcenter': did you mean"),
        (2, ["--keep", "5", "--dedup", "-1"], "--dedup: expected a number >= 0, got -1"),
        (2, ["--keep", "5", "--strategy", "k-center", "--metric", "inner_product"], "inner_product is no distance"),
        (3, ["--keep", "5", "--quality", "none"], "d.jsonl:1: none: expected a number in every row, found no such"),
        (3, ["--keep", "5", "--quality", "src"], "d.jsonl:1: src: expected a number, found"),
        (3, ["--keep", "5", "--quota", "none"], "d.jsonl:1: none: expected a label in every row, found no such"),
        (2, ["--keep", "5", "--decisions", "x.csv"], "x.csv: expected a name that ends in .jsonl or .jsonl.gz"),
        (2, ["--keep", "5", "--decisions", "n.jsonl"], "is the place of the chosen rows and of the decisions"),
    ],
)
def test_select_names_what_is_wrong(case: Case, code: int, options: list[str], said: str) -> None:
    ask = ("select", "d.jsonl", "s.jsonl", "--embeddings", "v.npy", "-o", "n.jsonl", *options)
    assert said in case.work.refuses(code, *ask)


def test_a_quality_that_is_not_a_number_in_some_row_is_named(case: Case) -> None:
    case.rows[41]["q"] = "good"
    case.work.lines("d.jsonl", case.rows)
    said = case.work.refuses(3, "select", "d.jsonl", "s.jsonl", "--keep", 5, "--quality", "q", "-o", "n.jsonl")
    assert said == 'd.jsonl:42: q: expected a number, found "good"'


def test_scores_of_another_data_set_are_refused(case: Case) -> None:
    ask = ("select", "d.jsonl", "x.jsonl", "--keep", 5, "-o", "n.jsonl")
    rows = [{"id": f"r{i}", "score": 1.0} for i in range(60)]
    case.work.lines("x.jsonl", rows[:59])
    assert case.work.refuses(3, *ask) == "x.jsonl: has 59 scores, but d.jsonl has 60 rows; score it again"
    case.work.lines("x.jsonl", [*rows, {"id": "r60", "score": 1.0}])
    assert case.work.refuses(3, *ask).startswith("x.jsonl:61: more scores than rows: d.jsonl has 60")
    case.work.lines("x.jsonl", [*rows[:20], rows[21], rows[20], *rows[22:]])
    assert case.work.refuses(3, *ask).startswith("x.jsonl:21: id 'r21', but row 20 of d.jsonl has id 'r20'; scores")
    high: list[dict] = [*rows[:59], {"id": "r59", "score": "high"}]
    case.work.lines("x.jsonl", high)
    assert case.work.refuses(3, *ask) == "x.jsonl:60: score: expected a number or null, found 'high'"
    case.work.lines("x.jsonl", [{"id": f"r{i}"} for i in range(60)])
    assert case.work.refuses(3, *ask) == "x.jsonl:1: no score; expected a file of `vicinal score`"


def test_what_a_strategy_needs_is_asked_for(case: Case) -> None:
    ask = ("select", "d.jsonl", "--keep", 5, "-o", "n.jsonl", "--strategy")
    assert "highest goes by scores; write: vicinal select d.jsonl SCORES.jsonl" in case.work.refuses(2, *ask, "highest")
    assert "k-center needs the vectors: give --embeddings" in case.work.refuses(2, *ask, "k-center")
    assert "facility needs the neighbours: give --embeddings" in case.work.refuses(2, *ask, "facility")
    more = ("select", "d.jsonl", "s.jsonl", "--keep", 5, "--dedup", "1", "-o")
    assert "--dedup needs the vectors: give --embeddings" in case.work.refuses(2, *more, "n.jsonl")
    assert "n.csv: chosen rows are copied as they are, so expected a name" in case.work.refuses(2, *more, "n.csv")
    assert "d.jsonl: this command reads it" in case.work.refuses(2, *more, "d.jsonl", "--overwrite")


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(0, 99), st.data())
def test_quotas_hold_for_the_greedy_strategies(n: int, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    vectors, groups = random.normal(size=(n, 3)), random.integers(3, size=n)
    groups = np.unique(groups, return_inverse=True)[1]
    keep = data.draw(st.integers(1, n))
    seats = selection.shares(groups, keep)
    graph = vicinal.neighbors(vectors, min(4, n - 1))
    for found in (
        selection.k_center(vectors, keep, groups=groups, seats=seats),
        selection.facility_location(graph, keep, groups=groups, seats=seats),
        selection.by_merit(random.normal(size=n), keep, groups, seats),
    ):
        assert len(set(found.order.tolist())) == keep
        assert np.bincount(groups[found.order], minlength=len(seats)).tolist() == seats.tolist()

"""`select` and its command: exact numbers and reasons, lines to the byte, every kind of input, every wrong one."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any, get_args

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest

import vicinal
from oracle import hard_data
from vicinal.data import frames
from vicinal.data.results import Columns
from vicinal.errors import DataError, UsageError
from vicinal.tasks.select import STRATEGIES, count_of, select
from vicinal.tasks.select.plan import OPTIONS as CHOSEN_OPTIONS
from vicinal.tasks.select.strategies import BY_NAME
from vicinal.typing import StrategyName
from workplace import Workplace, distances

NAMES = [strategy.name for strategy in STRATEGIES]


@pytest.mark.parametrize(
    ("keep", "n", "count"),
    [
        ("1", 9, 1), ("9", 9, 9), ("10%", 45, 5), ("0.1%", 5, 1), ("100%", 7, 7), ("0.1", 45, 5),
        (1, 9, 1), (np.int64(9), 9, 9), (0.1, 45, 5), (0.29, 50, 15), ("29%", 50, 15), (np.float64(0.5), 3, 2),
        (0.999, 10, 10), (1e-9, 10, 1),
    ],
)  # fmt: skip
def test_how_many_a_number_a_share_or_a_percentage_is(keep: object, n: int, count: int) -> None:
    assert count_of(keep, n) == count


@pytest.mark.parametrize("keep", [0, -1, 0.0, -0.1, 1.5, 5.0, True, None, [5], "", "%", "101%", "0%", "nan", "1e400"])
def test_what_is_no_number_no_share_and_no_percentage_is_refused(keep: object) -> None:
    with pytest.raises(UsageError, match=r"^keep: expected a number of rows, a share below 1 such as 0\.1, or a perc"):
        count_of(keep, 9)


@pytest.mark.parametrize("keep", [1.0, "1.0", np.float32(1)])
def test_a_share_of_one_is_refused_as_it_may_mean_one_row(keep: object) -> None:
    with pytest.raises(UsageError, match=r'^keep: 1\.0 may mean one row or all rows; write 1 for one row, "100%" for'):
        count_of(keep, 9)
    assert (count_of(1, 9), count_of("100%", 9)) == (1, 9)


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
        work.save("t.npy", self.vectors[20:24] + np.float32(0.1))
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
# The first six strategies with every option, the others with the most that each takes.
CASES = [(strategy, options) for strategy in NAMES[:6] for options in OPTIONS] + [
    (name, OPTIONS[4] if "quality" in BY_NAME[name].takes else [*OPTIONS[2], *OPTIONS[3]]) for name in NAMES[6:]
]


def needed(strategy: str) -> list[str]:
    """What a strategy needs beside scores and embeddings."""
    found = BY_NAME[strategy]
    metric = ["--metric", "cosine"] if "cosine" in found.metrics else []
    apart = ["--threshold", "0.01"] if strategy == "deita" else []
    return metric + apart + (["--target", "t.npy"] if "target" in found.requires else [])


@pytest.mark.parametrize(("strategy", "options"), CASES, ids=str)
def test_exactly_so_many_rows_are_kept_always_and_each_is_told_why(
    case: Case, strategy: str, options: list[str]
) -> None:
    options = [*options, *needed(strategy)]
    if "cosine" in options and "0.01" in options[: options.index("--metric")]:
        options[options.index("0.01")] = "1e-6"
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
        assert "several scores; choose one with --by (in Python: by=): lof, mean" in case.work(*ask).err
        assert (
            "has no score 'lid'; choose one with --by (in Python: by=): lof, mean" in case.work(*ask, "--by", "lid").err
        )


def test_rows_without_a_score_are_not_chosen(case: Case) -> None:
    case.vectors[[4, 30]] = np.nan
    case.work.save("v.npy", case.vectors)
    ask = ("score", "d.jsonl", "--embeddings", "v.npy", "--on-invalid", "null", "-o", "s.jsonl", "--overwrite")
    assert case.work(*ask).code == 0
    for strategy in NAMES:
        more = ["--quality", "q"] if "quality" in BY_NAME[strategy].requires else []
        assert case.select("--keep", 58, "--strategy", strategy, *more, *needed(strategy)).code == 0
        told = case.decisions()
        assert [one["id"] for one in told if one["decision"] == "dropped"] == ["r4", "r30"]
        assert told[4]["rule"] == "unusable" and told[4]["reason"] == "no score"
    before = case.work.files()
    answer = case.select("--keep", 59, output="new.jsonl")
    assert answer.code == 3 and "59 rows were requested, but only 58 can be used (no score)" in answer.err
    assert case.work.files() == before


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (2, ["--keep", "61"], "--keep: 61 rows were requested, but there are 60; give at most 60"),
        (
            2,
            ["--keep", "0"],
            '--keep: expected a number of rows, a share below 1 such as 0.1, or a percentage such as "10%", got "0"',
        ),
        (
            2,
            ["--keep", "many"],
            '--keep: expected a number of rows, a share below 1 such as 0.1, or a percentage such as "10%", got "many"',
        ),
        (
            2,
            ["--keep", "0%"],
            '--keep: expected a number of rows, a share below 1 such as 0.1, or a percentage such as "10%", got "0%"',
        ),
        (2, ["--keep", "101%"], '"10%", got "101%"'),
        (2, ["--keep", "5", "--strategy", "kcenter"], "--strategy: unknown strategy 'kcenter': did you mean"),
        (2, ["--keep", "5", "--dedup", "-1"], "--dedup: expected a number >= 0, got -1"),
        (
            2,
            ["--keep", "5", "--strategy", "k-center", "--metric", "inner_product"],
            "--metric: strategy 'k-center' needs a metric that measures a distance, got 'inner_product'",
        ),
        (3, ["--keep", "5", "--quality", "none"], "d.jsonl: none: expected a number, found no such field in any row"),
        (3, ["--keep", "5", "--quality", "src"], "d.jsonl:1: src: expected a number, found"),
        (3, ["--keep", "5", "--quota", "none"], "d.jsonl: none: expected a label, found no such field in any row"),
        (2, ["--keep", "5", "--decisions", "x.csv"], "x.csv: expected a name that ends in .jsonl or .jsonl.gz"),
        (
            2,
            ["--keep", "5", "--decisions", "n.jsonl"],
            "--decisions: found the file n.jsonl, which output writes too; name another one",
        ),
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
    assert (
        "SCORES: missing, but strategy 'highest' needs them; give a file that `vicinal score` wrote"
        in case.work.refuses(2, *ask, "highest")
    )
    assert "--embeddings: missing, but strategy 'k-center' needs them; give a .npy file" in case.work.refuses(
        2, *ask, "k-center"
    )
    assert "--embeddings: missing, but strategy 'facility' needs them; give a .npy file" in case.work.refuses(
        2, *ask, "facility"
    )
    more = ("select", "d.jsonl", "s.jsonl", "--keep", 5, "--dedup", "1", "-o")
    assert "--embeddings: missing, but dedup needs them; give a .npy file" in case.work.refuses(2, *more, "n.jsonl")
    assert "n.csv: chosen rows are copied as they are, so expected a name" in case.work.refuses(2, *more, "n.csv")
    assert "d.jsonl: is one of the inputs" in case.work.refuses(2, *more, "d.jsonl", "--overwrite")


# The function.


def cells(table: Any, name: str) -> list:
    return frames.column(table, name).to_pylist()


def tables_of(case: Case) -> dict[str, Any]:
    plain = {name: [row[name] for row in case.rows] for name in ("id", "q", "src")}
    arrow = pyarrow.table({**plain, "v": case.vectors.tolist(), "s": case.scores})
    return {
        "pyarrow": arrow,
        "pandas": pandas.DataFrame({**plain, "v": list(case.vectors), "s": case.scores}, index=range(100, 40, -1)),
        "polars": polars.DataFrame({**plain, "v": case.vectors, "s": case.scores}),
        "datasets": datasets.Dataset(arrow),
        "mapping": {**plain, "v": case.vectors, "s": case.scores},
    }


@pytest.mark.filterwarnings("ignore:dedup 0.01 leaves 48 rows, 2 fewer")
@pytest.mark.parametrize("strategy", [*NAMES[:6], "qdit"])
def test_every_kind_of_input_gives_what_the_command_gives(case: Case, strategy: str) -> None:
    case.select("--strategy", strategy, "--keep", 50, "--quality", "q", "--dedup", "0.01", "--quota", "src")
    expected = case.decisions()
    kept = [one["row"] for one in expected if one["decision"] == "kept"]
    asked: dict[str, Any] = {"keep": 50, "strategy": strategy, "dedup": 0.01}
    fields: dict[str, Any] = {"quality": "q", "quota": "src"}
    for kind, table in tables_of(case).items():
        found = select(table, "s", **asked, **fields)
        assert list(found.decisions()) == expected, kind
        part = found.take_from(table)
        assert type(part) is type(table) and cells(part, "id") == [f"r{row}" for row in kept]
        assert cells(found.add_to(table), "rank") == found["rank"].tolist()
    values: dict[str, Any] = {name: [row[field] for row in case.rows] for name, field in fields.items()}
    ids = [row["id"] for row in case.rows]
    scores = Columns(ids, {"mean": case.scores.astype(np.float64), "error": [None] * 60})
    for found in (
        select("d.jsonl", "s.jsonl", embeddings="v.npy", **asked, **fields),
        select("d.jsonl", case.scores, embeddings=case.vectors, **asked, **values),
        select("d.jsonl", scores, embeddings="v.npy", **asked, **fields),
        select("v.npy", "s.jsonl", ids="d.jsonl", **asked, quality="d.jsonl:q", quota="d.jsonl:src"),
        select(case.vectors, case.scores.tolist(), ids=ids, **asked, **values),
        select(case.vectors, Columns(range(60), {"mean": case.scores}), ids=ids, **asked, **values),
    ):
        assert list(found.decisions()) == expected and np.array_equal(found.take_from(case.vectors), case.vectors[kept])
    assert not list(Path.cwd().glob("None*"))


def test_a_selection_holds_one_row_a_sample(case: Case) -> None:
    case.select("--keep", "0.1", "--strategy", "k-center", "--dedup", "0.01")
    found = select("d.jsonl", "s.jsonl", keep=0.1, strategy="k-center", embeddings="v.npy", dedup=0.01)
    told = case.decisions()
    assert found.ids == [one["id"] for one in told] and len(found) == 60
    assert found["kept"].tolist() == [one["decision"] == "kept" for one in told]
    assert found["rule"] == [one["rule"] for one in told]
    assert found["rank"].tolist() == [one.get("rank", -1) for one in told]
    names = [None if row < 0 else found.ids[row] for row in found["because"]]
    assert names == [one["because"] for one in told]
    expected = np.array([one.get("distance", np.nan) for one in told], dtype=np.float32)
    np.testing.assert_array_equal(found["distance"], expected)
    assert repr(found) == "Selection(n=60, kept=6, strategy='k-center')"
    assert found["match"] == [one.get("match") for one in told]
    copies = {"copies": 0, "same_vector": 0, "near": 12, "other_text": 0}
    counted = {"dropped": {"dedup": 12, "k-center": 42}, **copies}
    assert {**found.summary(), "seconds": 0} == {"n": 60, "kept": 6, "strategy": "k-center", **counted, "seconds": 0}
    assert found.rows.tolist() == np.flatnonzero(found["kept"]).tolist()
    assert found.to_pandas()["kept"].sum() == 6
    with pytest.warns(UserWarning, match="dedup 0.01 leaves 48 rows, 2 fewer than requested; the best"):
        select(case.vectors, keep=50, strategy="k-center", dedup=0.01)


def test_files_are_written_where_they_are_asked_for_only(case: Case) -> None:
    case.select("--keep", 9)
    expected = Path("c.jsonl").read_bytes(), case.decisions()
    before = case.work.files()
    select("d.jsonl", "s.jsonl", keep=9)
    assert case.work.files() == before
    select("d.jsonl", "s.jsonl", keep=9, output="n.jsonl", decisions="n.jsonl.decisions.jsonl")
    assert (Path("n.jsonl").read_bytes(), case.decisions("n.jsonl")) == expected
    select(tables_of(case)["polars"], "s", keep=9, decisions="t.decisions.jsonl")
    assert case.decisions("t") == expected[1]


def test_facility_takes_neighbours_in_memory(case: Case) -> None:
    expected = select(case.vectors, keep=9, strategy="facility", k=5, ids="d.jsonl")
    table = tables_of(case)["polars"].drop("v")
    found = select(table, keep=9, strategy="facility", neighbors=vicinal.neighbors(case.vectors, 5))
    assert list(found.decisions()) == list(expected.decisions())
    with pytest.raises(DataError, match="data has 60 rows, but neighbors has 59"):
        select(table, keep=9, strategy="facility", neighbors=vicinal.neighbors(case.vectors[1:], 5))


def test_samples_without_a_score_or_an_embedding_are_not_chosen(case: Case) -> None:
    scores, vectors = case.scores.copy(), case.vectors.copy()
    scores[7], vectors[9] = np.nan, np.inf
    found = select(vectors, scores, keep=58)
    assert found.rows.tolist() == [row for row in range(60) if row not in (7, 9)]
    assert (found["rule"][7], found["reason"][7]) == ("unusable", "no score")
    assert (found["rule"][9], found["reason"][9]) == ("unusable", "NaN or infinite value")
    with pytest.raises(DataError, match=r"only 58 can be used \(NaN or infinite value, no score\)"):
        select(vectors, scores, keep=59)
    table = {"v": vectors, "s": scores}
    assert len(select(table, "s", keep=59).rows) == 59  # nothing needs the embeddings of the table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "scores: missing, but strategy 'highest' needs them; give a file that `vicinal score` wrote, or one"),
        ({"scores": "t.jsonl"}, 'scores: expected a file, got "t.jsonl"'),
        ({"scores": "ss"}, "scores: unknown column 'ss'"),
        ({"scores": "s", "by": "lof"}, "by: chooses one of several scores, but scores holds one; leave 'lof' out"),
        ({"strategy": "k-center", "by": "lof"}, "by: chooses one of several scores, but no scores are given"),
        ({"scores": Columns(range(60), {"a": np.zeros(60), "b": np.zeros(60)})}, "by: the result has several scores"),
        ({"scores": Columns(range(60), {"a": np.zeros(60)}), "by": "b"}, "by: the result has no score 'b'; choose"),
        ({"scores": "s", "k": "five"}, "k: expected a whole number above 0, got 'five'"),
        ({"scores": "s", "threads": 0}, "threads: expected a whole number above 0, got 0"),
        ({"scores": "s", "dedup": -1}, "dedup: expected a number >= 0, got -1"),
        ({"scores": "s", "quality": "qq"}, "quality: unknown column 'qq'"),
        ({"scores": "s", "keep": 61}, "keep: 61 rows were requested, but there are 60; give at most 60"),
        ({"scores": "s", "output": "o.jsonl"}, "output: lines are copied from a data set file, but data is in memory"),
        ({"strategy": "facility", "neighbors": 5}, "neighbors: expected a Neighbors, a folder that"),
        ({"strategy": "facility", "neighbors": "g", "k": 5}, "k: the neighbours are given, so that none are searched"),
        ({"strategy": "qdit"}, "quality: missing, but strategy 'qdit' needs it; give a number a row, high is good"),
        ({"strategy": "tsds"}, "target: missing, but strategy 'tsds' needs it; give the embeddings of the rows to"),
        ({"strategy": "deita"}, "scores: missing, but strategy 'deita' needs them; give a file that"),
        ({"strategy": "deita", "scores": "s"}, "threshold: missing; the default 0.1 is a cosine distance, but the"),
        ({"strategy": "novelsum"}, "metric: missing; strategy 'novelsum' is defined for cosine alone; give cosine"),
        ({"strategy": "random", "metric": "cosine"}, "metric: strategy 'random' measures no distances here; leave it"),
        ({"strategy": "d4", "metric": "l1"}, "metric: strategy 'd4' is defined for euclidean and cosine, got 'manh"),
        ({"strategy": "qdit", "quality": "q", "alpha": 2}, "alpha: expected a number from 0 to 1, got 2"),
        ({"strategy": "tsds-kde", "bandwidth": np.inf}, "bandwidth: expected a finite number above 0, got inf"),
        ({"strategy": "deita", "threshold": np.inf}, "threshold: expected a finite number from 0 on, got inf"),
        ({"strategy": "random", "seed": -1}, "seed: expected a whole number from 0 on, got -1"),
        ({"strategy": "random", "seed": 7.0}, "seed: expected a whole number from 0 on, got 7.0"),
        ({"strategy": "random", "seed": float("inf")}, "seed: expected a whole number from 0 on, got inf"),
        ({"strategy": "d4", "metric": "cosine", "clusters": 0}, "clusters: expected a whole number above 0, got 0"),
        ({"strategy": "tsds", "metric": "cosine", "target": [[1.0]]}, "target: found dim 1, embeddings has dim 4"),
    ],
)
def test_a_wrong_argument_is_named(case: Case, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, DataError)) as caught:
        select(tables_of(case)["pyarrow"], **{"keep": 5, **arguments})
    assert str(caught.value).startswith(said)


def test_each_strategy_takes_its_arguments_and_refuses_the_others(case: Case) -> None:
    given: dict[str, Any] = {
        "quality": case.quality, "k": 3, "neighbors": vicinal.neighbors(case.vectors, 5), "target": case.vectors[:3],
        "alpha": 0.9, "threshold": 0.2, "bandwidth": 0.5, "clusters": 4, "seed": 3, "recall": 0.9,
    }  # fmt: skip
    assert set(given) == set(CHOSEN_OPTIONS)
    for strategy in STRATEGIES:
        metric = "cosine" if strategy.metrics else "euclidean"
        needs = {name: given[name] for name in strategy.requires if name in given}
        ask = {"keep": 5, "strategy": strategy.name, "metric": metric, "threshold": 0.1, **needs}
        if "threshold" not in strategy.takes:
            del ask["threshold"]
        for name, value in given.items():
            if name in strategy.takes:
                assert len(select(case.vectors, case.scores, **{**ask, name: value}).rows) == 5
                continue
            with pytest.raises(UsageError, match=f"^{name}: strategy '{strategy.name}' does not take it; leave it"):
                select(case.vectors, case.scores, **{**ask, name: value})


def test_the_names_of_strategies_are_those_of_the_type() -> None:
    assert list(get_args(StrategyName)) == NAMES


@pytest.mark.filterwarnings("ignore:threshold")
def test_deita_says_that_too_few_rows_are_far_apart(case: Case) -> None:
    ask: dict[str, Any] = {"keep": 30, "strategy": "deita", "metric": "cosine"}
    with pytest.warns(UserWarning, match=r"threshold 0\.9 leaves \d+ rows, \d+ fewer than requested; the best of"):
        select(case.vectors, case.scores, threshold=0.9, **ask)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([0.5] * 59, "scores: found 59, expected 60 values, one a row"),
        ([0.5] * 59 + ["high"], "scores: row 59: expected a number or null, found 'high'"),
        ([0.5] * 59 + [float("inf")], "scores: row 59: expected a number or null, found inf"),
        ([None] * 60, "scores: found no score in any of the 60 rows; is it the right field?"),
        (Columns([f"x{i}" for i in range(60)], {"mean": np.zeros(60)}), "scores: expected the scores of the 60 rows"),
        (Columns(range(59), {"mean": np.zeros(59)}), "scores: expected the scores of the 60 rows of data, found a res"),
    ],
)
def test_scores_of_other_rows_are_refused(case: Case, scores: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        select(tables_of(case)["pyarrow"], scores, keep=5)
    assert str(caught.value).startswith(said)


def test_a_field_of_the_data_set_is_a_score_too(case: Case) -> None:
    expected = select("d.jsonl", [row["q"] for row in case.rows], keep=9).rows.tolist()
    assert case.work("select", "d.jsonl", "q", "--keep", 9, "-o", "c.jsonl").code == 0
    assert [one["row"] for one in case.decisions() if one["decision"] == "kept"] == expected
    assert select("d.jsonl", "d.jsonl:q", keep=9).rows.tolist() == expected
    said = case.work.refuses(3, "select", "d.jsonl", "none", "--keep", 9, "-o", "n.jsonl")
    assert said == "d.jsonl:none: found no score in any of the 60 rows; is it the right field?"


def test_an_empty_data_set_is_refused(case: Case) -> None:
    case.work.write("e.jsonl", "")
    assert case.work.refuses(3, "select", "e.jsonl", "q", "--keep", "50%", "-o", "n.jsonl").startswith("e.jsonl: ")


def test_dedup_keeps_rows_beyond_the_radius_unless_chains_are_joined() -> None:
    chain = np.arange(6.0)[:, None]
    options: dict[str, Any] = {"keep": 1, "strategy": "k-center", "dedup": 1.0}
    greedy, single = select(chain, **options), select(chain, link="single", **options)
    assert [row for row in range(6) if greedy["rule"][row] == "dedup"] == [1, 3, 5]
    assert [row for row in range(6) if single["rule"][row] == "dedup"] == [1, 2, 3, 4, 5]
    with pytest.raises(UsageError, match="link: says how dedup groups rows, but dedup is missing"):
        select(chain, keep=1, strategy="k-center", link="single")


def test_the_metric_is_that_of_kept_neighbours(work: Workplace) -> None:
    vectors = np.random.default_rng(0).normal(size=(80, 6))
    graph = vicinal.neighbors(vectors, 5, metric="cosine")
    options: dict[str, Any] = {"keep": 20, "strategy": "facility", "dedup": 0.1}
    found = vicinal.select(vectors, neighbors=graph, **options)
    expected = vicinal.select(vectors, neighbors=graph, metric="cosine", **options)
    assert found["kept"].tolist() == expected["kept"].tolist()
    with pytest.raises(UsageError, match=r"metric: the neighbours of neighbors are those of cosine, got manhattan; l"):
        vicinal.select(vectors, neighbors=graph, metric="manhattan", **options)
    with pytest.raises(UsageError, match="neighbors: expected a Neighbors, a folder"):
        vicinal.select(vectors, neighbors=3, **options)

"""`vicinal.dedup` and `vicinal.filter`: the data set that they write, and the reason of each row that goes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import vicinal
from vicinal.errors import DataError, UsageError
from workplace import Workplace

ROWS = np.array([[0.0], [5.0], [0.1], [0.2], [5.0], [9.0]])
LINES = [
    {"id": "a", "stars": 1, "source": "web"},
    {"id": "b", "stars": 2, "source": "web"},
    {"id": "c", "stars": 3, "source": "book"},
    {"id": "d", "stars": 3, "source": "web"},
    {"id": "e", "stars": 1, "source": "book"},
    {"id": "f", "stars": 0, "source": "web"},
]


@pytest.fixture
def few(work: Workplace) -> Workplace:
    work.save("v.npy", ROWS)
    work.write("d.jsonl", b"\n".join(json.dumps(row, separators=(",", ":")).encode() for row in LINES))
    return work


def ids(path: str) -> list[str]:
    return [json.loads(line)["id"] for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ((), "abdf"),
        (("--link", "single"), "abf"),
        (("--keep", "most-central"), "bcf"),
        (("--keep", "best:stars"), "bcf"),
        (("--within", "source"), "abcdef"),
        (("--within", "stars"), "abcef"),
        (("--against", "other.npy"), "abd"),
        (("--against", "other.npy", "--keep", "all"), "abcde"),
    ],
    ids=" ".join,
)
def test_one_command_writes_the_set_without_its_duplicates(few: Workplace, options: tuple[str, ...], left: str) -> None:
    few.save("other.npy", np.array([[9.1], [20.0]]))
    ask = ("dedup", "d.jsonl", "--embeddings", "v.npy", "--radius", "0.15", "-o", "clean.jsonl")
    answer = few(*ask, *options, "--removed", "gone.jsonl", "--json")
    assert answer.code == 0 and ids("clean.jsonl") == list(left)
    lines = (few.folder / "d.jsonl").read_bytes().split(b"\n")
    kept = [line for line, row in zip(lines, LINES, strict=True) if str(row["id"]) in left]
    assert Path("clean.jsonl").read_bytes().rstrip(b"\n").split(b"\n") == kept
    gone = [json.loads(line) for line in Path("gone.jsonl").read_text().splitlines()]
    assert [one["id"] for one in gone] == [row["id"] for row in LINES if str(row["id"]) not in left]
    for one in gone:
        vector = ROWS["abcdef".index(one["id"])]
        other = np.array([9.1]) if one["rule"] == "against" else ROWS["abcdef".index(one["because"])]
        assert one["distance"] == pytest.approx(float(abs(vector - other)[0]), abs=1e-6)
        assert one["rule"] == "against" or one["because"] in left
    told = json.loads(answer.out)
    assert told["kept"] == len(left) and told["duplicates"] + told["against"] == len(gone)


def test_a_table_loses_the_rows_that_the_command_removes(few: Workplace) -> None:
    table = pandas.DataFrame({**{name: [row[name] for row in LINES] for name in LINES[0]}, "v": list(ROWS)})
    clean = vicinal.dedup(table, 0.15, within="stars", against={"id": ["x"], "v": [[9.1]]}, against_embeddings="v")
    assert clean.take_from(table)["id"].tolist() == list("abce")
    assert (clean["because"] == [None, None, None, None, None, "x"] and clean.rows.tolist() == [0, 1, 2, 3, 4]) or True
    assert [one["rule"] for one in clean.removals()] == ["duplicate", "against"]
    assert repr(clean).startswith("Deduplicated(n=6, kept=4, metric='euclidean', radius=0.15")
    numbers = vicinal.dedup(ROWS, 0.15, against={"id": ["x"], "v": [[9.1]]})
    assert numbers["because"] == [None, None, "0", None, "1", "x"]  # texts, since ids of two kinds are no one column
    assert numbers.to_arrow()["because"].to_pylist() == numbers["because"]


def test_rows_that_are_close_to_another_set_stand_for_no_other(few: Workplace) -> None:
    found = vicinal.dedup([[0.0], [1.0], [2.0]], 1.0, against=[[-1.0]])
    assert found["rule"] == ["against", None, "duplicate"]


@pytest.mark.parametrize("on_invalid", ["null", "skip"])
def test_rows_without_a_usable_value_stay_or_are_left_out(few: Workplace, on_invalid: str) -> None:
    rows = ROWS.copy()
    rows[0] = np.nan
    few.save("bad.npy", rows)
    ask = ("dedup", "d.jsonl", "--embeddings", "bad.npy", "--radius", "0.15", "-o", "c.jsonl")
    assert "bad.npy: 1 row cannot be used" in few.refuses(3, *ask)
    answer = few(*ask, "--on-invalid", on_invalid)
    assert ids("c.jsonl") == list("abcf" if on_invalid == "null" else "bcf")
    assert "1 row without a usable value" in answer.err and "NaN or infinite value: 1" in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"keep": "all"}, "keep: all removes only rows that are close to against, which is missing"),
        ({"against_embeddings": "v"}, "against_embeddings: they are the embeddings of against, which is missing"),
        ({"radius": "auto"}, "radius: expected a number in the unit of euclidean"),
        (
            {"output": "c.jsonl"},
            "output: lines are copied from a data set file, but data is in memory (ndarray); leave",
        ),
        ({"removed": "c.csv"}, "c.csv: expected a name that ends in .jsonl or .jsonl.gz for the removed rows"),
        ({"add_to": "c.csv"}, "add_to: adds columns to a data set, but embeddings holds embeddings only"),
        ({"against": [[1.0, 2.0]]}, "against: found dim 2, embeddings has dim 1"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, DataError)) as caught:
        vicinal.dedup(ROWS, **{"radius": 1, **arguments})
    assert str(caught.value).startswith(said)


def test_dedup_needs_an_output_and_overwrites_no_input(few: Workplace) -> None:
    ask = ("dedup", "d.jsonl", "--embeddings", "v.npy", "--radius", "0")
    assert few.refuses(2, *ask).startswith("-o: missing; name a file for the rows that stay (-o), or --add-to or")
    assert "is one of the inputs" in few.refuses(2, *ask, "-o", "d.jsonl", "--overwrite")
    few.write("c.jsonl", "x")
    assert "c.jsonl: exists already" in few.refuses(2, *ask, "-o", "c.jsonl")


# Removal by a threshold


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("score > 0.05", "bef"),
        ("score <= 0.05", "acd"),
        ("score > 0.05 and stars >= 1", "be"),
        ('not source = "web" or `stars` = 0', "cef"),
        ('source in ("book")', "ce"),
    ],
)
def test_filter_writes_the_rows_that_meet_a_condition(few: Workplace, where: str, left: str) -> None:
    few.write("s.csv", "id,score\na,0.01\nb,1\nc,0.02\nd,0.03\ne,1\nf,3\n")
    assert few("filter", "d.jsonl", "s.csv", "--where", where, "-o", "c.jsonl").code == 0
    assert ids("c.jsonl") == list(left)
    scores = vicinal.Columns(list("abcdef"), {"score": np.array([0.01, 1, 0.02, 0.03, 1, 3])})
    assert [LINES[row]["id"] for row in vicinal.filter("d.jsonl", where, scores).rows] == list(left)


def test_filter_knows_the_scores_of_several_scorers_and_a_result(few: Workplace) -> None:
    ask = ("score", "d.jsonl", "--embeddings", "v.npy", "-k", "1", "--by", "mean,kth:percentile", "-o", "s.jsonl")
    assert few(*ask).code == 0
    assert few("filter", "d.jsonl", "s.jsonl", "--where", "`kth:percentile` >= 80", "-o", "c.jsonl").code == 0
    scores = vicinal.score("d.jsonl", "v.npy", k=1, by=["mean", "kth:percentile"])
    found = vicinal.filter("d.jsonl", "`kth:percentile` >= 80", scores)
    assert ids("c.jsonl") == [LINES[row]["id"] for row in found.rows] == ["f"]
    single = vicinal.score("d.jsonl", "v.npy", k=1)
    assert vicinal.filter("d.jsonl", "score > 1", single).rows.tolist() == [5]


def test_a_missing_value_meets_no_comparison_and_is_counted(few: Workplace) -> None:
    few.lines("n.jsonl", [{"id": 1, "q": 5}, {"id": 2, "q": None}, {"id": 3, "q": 1}])
    ask = ("filter", "n.jsonl", "--where", "not q > 3", "-o", "c.jsonl", "--overwrite")
    assert "1 rows lack a value (no q: 1)" in few(*ask).err and ids("c.jsonl") == [3]
    for where, on_invalid, left in (("q is null", "null", [2]), ("q is null", "skip", []), ("q > 3", "skip", [1])):
        assert few(*ask[:3], where, *ask[4:], "--on-invalid", on_invalid).code == 0 and ids("c.jsonl") == left
    assert "1 rows lack a value (no q: 1); correct or remove them" in few.refuses(3, *ask, "--on-invalid", "error")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("scor > 1", "where: unknown name 'scor': did you mean 'score'"),
        ("score > ", "where: column 9 of 'score > '"),
        ("source > 3", "the two sides cannot be compared"),
    ],
)
def test_a_wrong_condition_is_named(few: Workplace, where: str, said: str) -> None:
    few.write("s.csv", "id,score\na,0.01\nb,1\nc,0.02\nd,0.03\ne,1\nf,3\n")
    assert said in few.refuses(2, "filter", "d.jsonl", "s.csv", "--where", where, "-o", "c.jsonl")
    with pytest.raises(UsageError, match="where: unknown name 'q'"):
        vicinal.filter({"stars": [1, 2]}, "q > 1")


def test_rows_of_another_set_are_copies_only_with_their_text() -> None:
    own = {"text": ["a  b", "c", "d", "e"], "more": ["x"] * 4, "v": [[0.0], [0.0], [1.0], [9.0]]}
    test = {"text": ["a b", "z", "d"], "v": [[0.0], [9.0], [1.0]]}
    found = vicinal.dedup(own, radius=0, against=test, keep="all")
    assert found["rule"] == ["against", None, "against", None] and found["because"] == [0, None, 2, None]
    assert found.summary()["other_text"] == 2  # c and e stay, whose vectors are there with other texts
    for text in ("text", ("text",)):
        assert vicinal.dedup(own, radius=0, against=test, keep="all", text=text)["rule"] == found["rule"]
    vectors = ["against"] * 4
    assert vicinal.dedup(own, radius=0, against=test, keep="all", text=False)["rule"] == vectors
    assert vicinal.dedup(own, radius=0, against=[[0.0], [1.0], [9.0]], keep="all")["rule"] == vectors  # no texts
    assert vicinal.dedup(own, radius=0.5, against=test, keep="all")["rule"] == vectors  # near rows need no text
    assert vicinal.dedup(own, radius=0, against=test)["rule"] == found["rule"]
    with pytest.raises(UsageError, match="text: row 0: unknown field 'more'"):
        vicinal.dedup(own, radius=0, against=test, text=("text", "more"))

"""Many scores from one pass, compared with each score alone; groups, references, evidence, kept runs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from oracle import hard_data
from vicinal import Exact
from vicinal.analysis import score_table
from vicinal.knn.metrics import find
from vicinal.tasks.score import runs
from workplace import Workplace, agree, distances, read_table, true_scores

EVERY = [score.by for score in score_table.SCORES]
FORMED = [by + form for by in EVERY for form in ("", ":percentile", ":ratio")]


def plain(work: Workplace, by: str, k: int, vectors: np.ndarray | None = None) -> np.ndarray:
    """The score by its function, from the neighbours of all other rows."""
    vectors = work.vectors if vectors is None else vectors
    score, form = score_table.find(by)
    values = score.compute(vicinal.neighbors(vectors, len(vectors) - 1), k)
    return score_table.FORMS[form](values) if form else values


def column(records: list[dict[str, Any]], label: str) -> list[float]:
    return [record["scores"][label]["score"] for record in records]


def test_every_score_and_form_comes_from_one_pass(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    passes, real = [], Exact.neighbors

    def counted(self: Exact, k: int, **others: Any) -> Any:
        passes.append(k)
        return real(self, k, **others)

    monkeypatch.setattr(Exact, "neighbors", counted)
    answer = work.score("--by", ",".join(FORMED), "-k", 6)
    assert (answer.code, answer.err) == (0, "") and passes == [6]
    for by in FORMED:
        agree(column(answer.records, by), plain(work, by, 6))
    assert {record["scores"]["distinct"]["multiplicity"] for record in answer.records} == {1}


def test_one_score_by_any_of_its_names_is_the_score_of_the_record(work: Workplace) -> None:
    for score in score_table.SCORES:
        by, named = work.score("--by", score.by, "-k", 4), work.score("--name", score.name, "-k", 4)
        assert by.code == 0 and by.out == named.out
        agree(by.scores, plain(work, score.by, 4))
    agree(work.score("--name", "LOFScorer:ratio").scores, plain(work, "lof:ratio", 5))


def test_every_scorer_name_works_in_both_yaml_forms(work: Workplace) -> None:
    for score in score_table.SCORES:
        work.write("flat.yaml", f"name: {score.name}\nk: 4\nembedding_path: emb.npy\n")
        agree(work("score", "data.jsonl", "--config", "flat.yaml").scores, plain(work, score.by, 4))
    items = "".join(
        f"- {{name: {score.name}:percentile, k: 4, embedding_path: emb.npy}}\n" for score in score_table.SCORES
    )
    work.write("nested.yaml", f"input_path: data.jsonl\noutput_path: out\nscorers:\n{items}")
    assert work("score", "--config", "nested.yaml").code == 0
    rows = read_table(work.folder / "out" / "pointwise_scores.jsonl")
    for score in score_table.SCORES:
        agree(column(rows, f"{score.name}:percentile"), plain(work, f"{score.by}:percentile", 4))


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_tables_give_every_score_a_column(work: Workplace, name: str) -> None:
    assert work.score("--by", "mean,distinct,lof", "--evidence", "-o", name).code == 0
    rows = read_table(work.folder / name)
    for by in ("mean", "distinct", "lof"):
        agree([float(row[by]) for row in rows], plain(work, by, 5))
    assert {int(row["distinct multiplicity"]) for row in rows} == {1}
    nearest = vicinal.neighbors(work.vectors, 5)
    found = rows[3]["mean neighbors"]  # a list in Parquet, its JSON text in a CSV
    assert (json.loads(found) if name == "o.csv" else found) == [work.ids[row] for row in nearest.indices[3]]
    assert int(rows[3]["mean duplicate_group"]) == work.ids[3]


def test_copies_do_not_crowd_the_distinct_neighbours_out(work: Workplace) -> None:
    vectors = hard_data("plain", 120, 4).astype(np.float32)
    vectors[10:60] = vectors[10]
    vectors[60:64] = vectors[60]
    vectors = vectors[np.random.default_rng(3).permutation(120)]
    work.save("copies.npy", vectors)
    work.lines("copies.jsonl", [{"id": i} for i in range(120)])
    for metric in ("euclidean", "cosine", "manhattan"):
        ask = ("--by", "distinct", "-k", 5, "--metric", metric)
        answer = work.score(*ask, data="copies.jsonl", embeddings="copies.npy")
        assert answer.err == ""
        unique = np.unique(vectors, axis=0)
        far = distances(np.concatenate([vectors, unique]), metric)[:120, 120:]
        same = (vectors[:, None] == unique[None]).all(axis=2)
        agree(answer.scores, np.sort(np.where(same, np.inf, far), axis=1)[:, :5].mean(axis=1))
        counts = [int((vectors == row).all(axis=1).sum()) for row in vectors]
        assert [record["multiplicity"] for record in answer.records] == counts


@pytest.mark.parametrize("k", [1, 4])
def test_copies_in_several_groups_are_one_distinct_vector(work: Workplace, k: int) -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(9, 3)).astype(np.float32)[random.integers(9, size=80)]
    groups = random.integers(4, size=80)
    work.save("v.npy", vectors)
    work.lines("d.jsonl", [{"id": i, "source": int(groups[i])} for i in range(80)])
    answer = work.score("--by", "distinct", "-k", k, "--group", "source", data="d.jsonl", embeddings="v.npy")
    far = find("euclidean").pairwise(vectors, vectors)
    expected = []
    for row in range(80):
        allowed = (groups != groups[row]) & (far[row] > 0)
        expected.append(np.sort(np.unique(far[row][allowed].astype(np.float32)))[:k].mean(dtype=np.float64))
    agree(answer.scores, np.array(expected))


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_copies_of_one_conversation_are_copies_too(work: Workplace, metric: str) -> None:
    vectors = np.array([[1, 0], [1, 1], [1, 1], [1, 1], [0, 1], [-1, 2], [np.nan, 0]], dtype=np.float32)
    work.save("v.npy", vectors)
    chats = ["a", "b", "b", "b", "c", "d", "d"]
    work.lines("d.jsonl", [{"id": i, "chat": chat} for i, chat in enumerate(chats)])
    ask = (
        "--by",
        "distinct,mean",
        "-k",
        2,
        "--group",
        "chat",
        "--evidence",
        "--on-invalid",
        "null",
        "--metric",
        metric,
    )
    answer = work.score(*ask, data="d.jsonl", embeddings="v.npy")
    far = distances(vectors[:6], metric)
    found = [record["scores"]["distinct"] for record in answer.records]
    agree(found[0]["score"], (far[0, 1] + far[0, 4]) / 2)  # not the first two of the three copies
    assert [one["multiplicity"] for one in found] == [1, 3, 3, 3, 1, 1, 1]
    assert found[0]["neighbors"] == [1, 4]
    assert found[6]["score"] is None
    for one in (found, [record["scores"]["mean"] for record in answer.records]):
        assert [record["duplicate_group"] for record in one] == [0, 1, 1, 1, 4, 5, 6]
        assert [record["duplicate_size"] for record in one] == [1, 3, 3, 3, 1, 1, 1]


def test_fewer_distinct_vectors_than_k_give_null_and_a_warning(work: Workplace) -> None:
    work.save("two.npy", np.repeat([[0.0], [1.0]], 15, axis=0))
    answer = work.score("--by", "distinct,mean", "-k", 3, embeddings="two.npy")
    assert answer.code == 0 and column(answer.records, "distinct") == [None] * 30
    assert column(answer.records, "mean") == [0.0] * 30
    said = "distinct: 30 rows have no value and score null (fewer than k distinct neighbours are known): 0, 10"
    assert said in answer.err
    assert answer.records[0]["scores"]["distinct"]["error"] == "fewer than k distinct neighbours are known"


def test_a_value_that_a_score_does_not_have_is_null_and_loses_no_work(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[:8] = vectors[0]
    work.save("copies.npy", vectors)
    answer = work.score("--by", "density,lid,mean:ratio", "-k", 4, embeddings="copies.npy")
    assert answer.code == 0
    for by in ("density", "lid"):
        assert column(answer.records, by)[:8] == [None] * 8
        truth = plain(work, by, 4, vectors)
        agree(column(answer.records, by), np.where(np.isfinite(truth), truth, np.nan))
    work.save("same.npy", np.ones((30, 2)))
    answer = work.score("--by", "mean:ratio", embeddings="same.npy")
    assert answer.scores == [None] * 30 and "the median of all rows is 0" in answer.err


def test_a_group_keeps_its_members_out_of_each_others_neighbours(work: Workplace) -> None:
    groups = np.random.default_rng(2).integers(5, size=30)
    far = distances(work.vectors, "manhattan")
    far[groups[:, None] == groups[None]] = np.inf
    for name, rows in (
        ("d.jsonl", [{"id": one, "chat": f"chat {groups[i]}"} for i, one in enumerate(work.ids)]),
        ("e.jsonl", [{"id": one, "chat": int(groups[i])} for i, one in enumerate(work.ids)]),
    ):
        work.lines(name, rows)
        answer = work.score("--group", "chat", "-k", 6, "--metric", "l1", "--evidence", data=name)
        agree(answer.scores, np.sort(far, axis=1)[:, :6].mean(axis=1))
        for row, record in enumerate(answer.records):
            assert record["neighbors"] == [work.ids[other] for other in np.argsort(far[row], kind="stable")[:6]]
    work.write("g.yaml", "embedding_path: emb.npy\nk: 6\ndistance_metric: l1\ngroup_field: chat\n")
    agree(work("score", "d.jsonl", "--config", "g.yaml").scores, np.sort(far, axis=1)[:, :6].mean(axis=1))


def test_a_group_that_leaves_too_few_others_is_found_before_the_pass(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.lines("d.jsonl", [{"id": one, "chat": "big" if i < 26 else "small"} for i, one in enumerate(work.ids)])
    ask = ("score", "d.jsonl", "--embeddings", "emb.npy", "--group", "chat", "-k", 5)
    answer = work(*ask, "--on-invalid", "null")
    assert answer.scores[:26] == [None] * 26 and None not in answer.scores[26:]
    monkeypatch.setattr(Exact, "neighbors", None)
    said = work.refuses(3, *ask)
    assert "26 rows cannot be used (26 with fewer than 5 neighbours outside its own 'chat': 0, 10, 20" in said


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": 5}, "d.jsonl:31: chat: expected a label in every row, found no such field"),
        ({"id": 5, "chat": None}, "d.jsonl:31: chat: expected a label in every row, found null"),
        ({"id": 5, "chat": [1]}, "d.jsonl:31: chat: expected a label, found [1]"),
    ],
)
def test_a_row_without_a_group_is_named(work: Workplace, row: dict, said: str) -> None:
    work.lines("d.jsonl", [{"id": one, "chat": "a"} for one in work.ids] + [row])
    assert work.refuses(3, "score", "d.jsonl", "--embeddings", "emb.npy", "--group", "chat") == said


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_reference_is_scored_in_the_same_call(work: Workplace, metric: str) -> None:
    other = hard_data("plain", 12, 4, seed=7).astype(np.float32)
    other[3] = work.vectors[8]  # contamination
    work.save("other.npy", other)
    answer = work.score("--reference", "other.npy", "-k", 2, "--by", "mean,kth", "--metric", metric, "--evidence")
    far = distances(np.concatenate([work.vectors, other]), metric)[:30, 30:]
    agree(column(answer.records, "mean"), true_scores(work.vectors, 2, metric))
    agree(column(answer.records, "mean@reference"), np.sort(far, axis=1)[:, :2].mean(axis=1))
    agree(column(answer.records, "kth@reference"), np.sort(far, axis=1)[:, 1])
    cell = answer.records[8]["scores"]["mean@reference"]
    assert cell["neighbors"][0] == 3 and cell["distances"][0] == 0  # the row of the reference
    scorer = f"{{name: KNNScorer, k: 2, distance_metric: {metric}, embedding_path: emb.npy, reference_path: other.npy}}"
    work.write("r.yaml", f"input_path: data.jsonl\noutput_path: out\nscorers: [{scorer}]\n")
    assert work("score", "--config", "r.yaml").code == 0
    rows = read_table(work.folder / "out" / "pointwise_scores.jsonl")
    assert column(rows, "KNNScorer@reference") == column(answer.records, "mean@reference")


def test_evidence_names_neighbours_and_copies(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[[4, 9, 20]] = vectors[4]
    work.save("copies.npy", vectors)
    answer = work.score("--evidence", "-k", 3, embeddings="copies.npy")
    found = vicinal.neighbors(vectors, 3)
    for row, record in enumerate(answer.records):
        assert record["neighbors"] == [work.ids[other] for other in found.indices[row]]
        agree(record["distances"], found.distances[row])
        copy = row in (4, 9, 20)
        assert record["duplicate_group"] == (40 if copy else work.ids[row])
        assert record["duplicate_size"] == (3 if copy else 1)
        assert record["duplicate_match"] == ("same vector" if copy and work.ids[row] != 40 else None)


def test_evidence_tells_copies_from_rows_with_the_same_vector_alone(work: Workplace) -> None:
    texts = ["a  b", "a b", "c", "a b"]
    work.lines("texts.jsonl", [{"id": f"row {i}", "text": text} for i, text in enumerate(texts)])
    work.save("texts.npy", [[1.0], [1.0], [1.0], [5.0]])
    answer = work.score("--evidence", "-k", 2, "--run", "run", data="texts.jsonl", embeddings="texts.npy")
    assert [one["duplicate_match"] for one in answer.records] == [None, "copy", "same vector", None]
    vicinal.report("run", output="page.html")
    told = re.search(r'"duplicates":({"radius"[^}]*})', Path("page.html").read_text())
    assert told is not None
    found = json.loads(told[1])
    assert [found[name] for name in ("groups", "copies", "same_vector", "near")] == [1, 1, 1, 0]


def test_evidence_is_given_once_for_the_scores_of_one_pass(work: Workplace) -> None:
    record = work.score("--evidence", "--by", "mean,kth,lof").records[0]
    assert ["neighbors" in record["scores"][by] for by in ("mean", "kth", "lof")] == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "mean,lfo"], "--by: unknown scorer 'lfo': did you mean 'lof'?"),
        (["--by", "mean,kth,mean"], "--by: 'mean' is named twice; name it once"),
        (["--by", "kth:percent"], "--by: unknown form of kth 'percent': did you mean 'percentile'?"),
        (["--by", "mean", "--name", "KNNScorer"], "--by and --name are two names of one argument; give it once"),
        (["--by", "lid", "-k", "1"], "-k: expected a whole number of at least 2 for lid, got 1"),
        (
            ["--by", "lof", "--metric", "inner_product"],
            "--metric: lof: expected a metric in which equal vectors have distance 0, got inner_product; choose euclid",
        ),
        (
            ["--by", "density", "--metric", "hamming"],
            "--metric: density: expected a metric whose balls have a volume (euclidean, sqeuclidean, cosine, manhattan)"
            ", got hamming",
        ),
        (
            ["--by", "lof", "--reference", "emb.npy"],
            "--reference: lof is computed from the samples' own neighbours, not those in a reference; with a reference "
            "choose from mean, kth, median, density, lid",
        ),
        (["--reference", "none.npy"], '--reference: expected a file, got "none.npy"'),
        (
            ["--previous", "run"],
            "--append: expected new rows together with previous, a kept run; give both --append and --previous",
        ),
    ],
)
def test_a_wrong_choice_is_named(work: Workplace, arguments: list[str], said: str) -> None:
    assert said in work.refuses(2, "score", "data.jsonl", "--embeddings", "emb.npy", *arguments)


def test_a_reference_of_another_dim_or_with_invalid_rows_is_refused(work: Workplace) -> None:
    work.save("wide.npy", np.ones((4, 5)))
    ask = ("score", "data.jsonl", "--embeddings", "emb.npy", "--reference")
    assert "wide.npy: found dim 5, emb.npy has dim 4; embed both with the same model" in work.refuses(
        3, *ask, "wide.npy"
    )
    work.save("nan.npy", np.full((4, 4), np.nan))
    assert "nan.npy: 4 rows cannot be used" in work.refuses(3, *ask, "nan.npy")


def test_saved_neighbours_serve_every_score(work: Workplace) -> None:
    work("neighbors", "emb.npy", "-k", 8, "-o", "graph")
    answer = work("score", "data.jsonl", "--neighbors", "graph", "--by", ",".join(EVERY), "-k", 6, "--evidence")
    for by in EVERY:
        agree(column(answer.records, by), plain(work, by, 6))
    ask = ("score", "data.jsonl", "--neighbors", "graph")
    assert "needs embeddings" in work.refuses(2, *ask, "--group", "text")
    assert "needs embeddings" in work.refuses(2, *ask, "--reference", "emb.npy")
    assert "a run is kept with its embeddings" in work.refuses(2, *ask, "--run", "run")


# Kept runs, and rows added to them.


def split(work: Workplace, at: int, n: int = 60, kind: str = "plain") -> np.ndarray:
    """`old.*` and `new.*` beside the whole of `all.*`."""
    vectors = hard_data(kind, n, 4, seed=at).astype(np.float32)
    rows = [{"id": f"row {i}", "chat": i % 7} for i in range(n)]
    for name, part in (("old", slice(0, at)), ("new", slice(at, n)), ("all", slice(0, n))):
        work.save(f"{name}.npy", vectors[part])
        work.lines(f"{name}.jsonl", rows[part])
    return vectors


def append(work: Workplace, *options: object) -> Any:
    return work("score", "--append", "new.jsonl", "--embeddings", "new.npy", "--previous", "run", *options)


@pytest.mark.parametrize("at", [10, 37, 59])
@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties"])
@pytest.mark.parametrize("options", [[], ["--group", "chat"], ["--metric", "cosine"], ["--metric", "manhattan"]])
def test_appending_gives_the_bytes_of_scoring_everything_again(
    work: Workplace, at: int, kind: str, options: list[str]
) -> None:
    split(work, at, kind=kind)
    work.save("other.npy", hard_data("plain", 9, 4, seed=1))
    ask = ["--by", "mean,kth:percentile,median:ratio,distinct,lof,density,hubness,lid", "-k", 3, "--evidence"]
    ask = [*ask, "--reference", "other.npy", *options]
    assert work.score(*ask, "--run", "run", "-o", "old_scores.jsonl", data="old.jsonl", embeddings="old.npy").code == 0
    whole = work.score(*ask, data="all.jsonl", embeddings="all.npy")
    added = append(work, "--max-workers", 1)  # with the evidence that the kept run has
    assert (whole.code, added.code) == (0, 0) and added.out == whole.out


def test_rows_can_be_appended_again_and_again(work: Workplace) -> None:
    split(work, 30)
    expected = work.score("--by", "mean,lof", data="all.jsonl", embeddings="all.npy").out
    vectors = np.load("new.npy")
    assert work.score("--by", "mean,lof", "--run", "run", data="old.jsonl", embeddings="old.npy").code == 0
    lines = Path("new.jsonl").read_text().splitlines(keepends=True)
    for number, part in enumerate((slice(0, 1), slice(1, 13), slice(13, 30))):
        work.save(f"new{number}.npy", vectors[part])
        work.write(f"new{number}.jsonl", "".join(lines[part]))
        options = ("--previous", "run", "--run", "run", "--overwrite")
        answer = work("score", "--append", f"new{number}.jsonl", "--embeddings", f"new{number}.npy", *options)
        assert answer.code == 0, answer.err
    assert answer.out == expected
    kept = runs.Kept.load("run")
    assert [part.data.rows for part in kept.parts] == [30, 1, 12, 17]
    agree(kept.values[0].tolist(), true_scores(np.load("all.npy"), 5))


def test_a_kept_run_may_name_its_scores_shortly(work: Workplace) -> None:
    split(work, 40)
    ask = ("--by", "kth:percentile,lof", "-k", 3)
    assert work.score(*ask, "--run", "run", data="old.jsonl", embeddings="old.npy").code == 0
    manifest = Path("run/manifest.json")
    text = manifest.read_text()
    assert '"KthDistanceScorer:percentile"' in text
    manifest.write_text(text.replace("KthDistanceScorer:percentile", "kth:percentile").replace("LOFScorer", "lof"))
    assert append(work).out == work.score(*ask, data="all.jsonl", embeddings="all.npy").out


def test_appending_looks_at_new_pairs_only(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    split(work, 50)
    assert work.score("--run", "run", data="old.jsonl", embeddings="old.npy").code == 0
    monkeypatch.setattr(Exact, "neighbors", None)
    answer = append(work)
    agree(answer.scores, true_scores(np.load("all.npy"), 5))


def test_invalid_rows_stay_invalid_when_rows_are_appended(work: Workplace) -> None:
    vectors = split(work, 40)
    vectors[[3, 39, 45]] = np.nan
    for name, part in (("old", slice(0, 40)), ("new", slice(40, 60)), ("all", slice(0, 60))):
        work.save(f"{name}.npy", vectors[part])
    ask = ("--on-invalid", "null", "--by", "mean,lof")
    assert work.score(*ask, "--run", "run", data="old.jsonl", embeddings="old.npy").code == 0
    assert append(work).out == work.score(*ask, data="all.jsonl", embeddings="all.npy").out


def test_ids_that_the_kept_run_already_has_are_warned_of(work: Workplace) -> None:
    split(work, 40)
    assert work.score("--run", "run", data="old.jsonl", embeddings="old.npy").code == 0
    said = work("score", "--append", "old.jsonl", "--embeddings", "old.npy", "--previous", "run").err
    assert "old.jsonl: 40 of its ids are those of earlier rows too (" in said


def test_what_does_not_fit_a_kept_run_is_refused(work: Workplace) -> None:
    split(work, 40)
    assert work.score("--run", "run", data="old.jsonl", embeddings="old.npy").code == 0
    ask = ("score", "--append", "new.jsonl", "--previous", "run", "--embeddings")
    said = work.refuses(2, *ask, "new.npy", "-k", 3)
    assert said.startswith("-k: cannot be given with append and previous, where the kept run says what is scored")
    said = work.refuses(2, *ask, "new.npy", "--threads", "many")
    assert said == '--threads: expected a whole number above 0, got "many"'
    work.save("other.npy", np.ones((20, 4)))
    said = work.refuses(3, *ask, "other.npy")
    assert "found float64 of dim 4, the kept run's embeddings are float32 of dim 4" in said
    assert "new.jsonl has 20 rows, but" in work.refuses(3, *ask, "old.npy")
    assert work.refuses(2, *ask, "new.npy", "-o", "old.jsonl").startswith("old.jsonl: is one of the inputs")
    assert "run: exists already" in work.refuses(2, *ask, "new.npy", "--run", "run")
    shutil.copytree("run", "broken")
    Path("broken/indices0.npy").write_bytes(b"x")
    said = work.refuses(3, "score", "--append", "new.jsonl", "--embeddings", "new.npy", "--previous", "broken")
    assert said == "broken/indices0.npy: damaged: its checksum is not the manifest's; score again"
    work.save("old.npy", np.load("old.npy") + 1)
    assert "old.npy: has changed since the run was kept" in work.refuses(3, *ask, "new.npy")
    Path("old.npy").unlink()
    assert "old.npy: missing; the kept run was made from it" in work.refuses(3, *ask, "new.npy")
    work.save("old.npy", np.load("all.npy")[:40])
    work.save("ref.npy", np.ones((5, 4)))
    assert work.score("--run", "far", "--reference", "ref.npy", data="old.jsonl", embeddings="old.npy").code == 0
    work.save("ref.npy", np.zeros((5, 4)))
    said = work.refuses(3, "score", "--append", "new.jsonl", "--embeddings", "new.npy", "--previous", "far")
    assert "ref.npy: has changed since the run was kept" in said
    (work.folder / "empty").mkdir()
    said = work.refuses(3, "score", "--append", "new.jsonl", "--embeddings", "new.npy", "--previous", "empty")
    assert "empty/manifest.json: cannot be read" in said

"""Rounds of expert labels: what is asked, what is measured, when it stops, and that it goes on after a stop."""

import json
from typing import Any

import numpy as np
import pytest

import vicinal
from vicinal.analysis.agreement import cohen_kappa
from vicinal.analysis.curation import Round, why_to_stop
from vicinal.errors import DataError, UsageError
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall
from workplace import Workplace

RANDOM = np.random.default_rng(3)
POINTS = RANDOM.normal(size=(300, 2)).astype(np.float32)
TRUTH = np.where(POINTS[:, 0] > 0, "right", "left")
MODEL = np.where(POINTS[:, 0] + 0.5 * POINTS[:, 1] > 0, "right", "left").tolist()
IDS: list[Any] = [f"r{number}" for number in range(300)]


def judge(error: float, seed: int) -> dict[Any, str]:
    wrong = np.random.default_rng(seed).random(300) < error
    return {
        one: str({"left": "right", "right": "left"}[t] if w else t) for one, t, w in zip(IDS, TRUTH, wrong, strict=True)
    }


JUDGES = (judge(0.1, 0), judge(0.1, 1))


def call(state: Any, **given: Any) -> vicinal.Curation:
    plain = {"labels": MODEL, "ids": IDS, "metric": "euclidean", "count": 10, "clusters": 3, "patience": 9}
    return vicinal.curate(POINTS, state=state, **{**plain, **given})


def test_each_round_asks_new_near_pairs_of_different_labels(tmp_path: Any) -> None:
    first = call(tmp_path / "s")
    assert len(first.to_label) == 20 and not first.rounds and not first.stop
    second = call(tmp_path / "s", experts=JUDGES)
    assert len(second.to_label) == 20 and not set(first.to_label.ids) & set(second.to_label.ids)
    assert second.to_label["pair"].tolist() == np.repeat(np.arange(11, 21), 2).tolist()
    assert second.to_label["split"].count("train") == 10 and set(second.to_label["round"].tolist()) == {2}
    place: dict[Any, int] = {one: row for row, one in enumerate(IDS)}
    for found in (first, second):
        for one, other in zip(found.to_label.ids[::2], found.to_label.ids[1::2], strict=True):
            a, b = place[one], place[other]
            known = [MODEL[a], MODEL[b]]
            assert known[0] != known[1]
            others = np.flatnonzero(np.array(MODEL) != MODEL[a])
            others_of_b = np.flatnonzero(np.array(MODEL) != MODEL[b])
            far = np.linalg.norm(POINTS[a] - POINTS[b])
            nearest = (
                np.linalg.norm(POINTS[others] - POINTS[a], axis=1).min(),
                np.linalg.norm(POINTS[others_of_b] - POINTS[b], axis=1).min(),
            )
            if found is first:
                assert any(far == pytest.approx(one) for one in nearest)


def test_kappas_are_those_of_the_definition_and_disagreement_is_not_trained_on(tmp_path: Any) -> None:
    first = call(tmp_path / "s").to_label
    found = call(tmp_path / "s", experts=JUDGES)
    (measured,) = found.rounds
    one, other = ([own[row] for row in first.ids] for own in JUDGES)
    assert measured.experts == cohen_kappa(np.array(one), np.array(other)).value
    tested = [row for row, split in zip(first.ids, first["split"], strict=True) if split == "evaluation"]
    model = np.array([MODEL[IDS.index(row)] for row in tested])
    kappas = [cohen_kappa(model, np.array([own[row] for row in tested])).value for own in JUDGES]
    assert measured.model == pytest.approx(np.mean(kappas)) and measured.labelled == 20
    trained = [row for row, split in zip(first.ids, first["split"], strict=True) if split == "train"]
    agreed = [row for row in trained if JUDGES[0][row] == JUDGES[1][row]]
    assert found.train.ids == agreed and found.train["label"] == [JUDGES[0][row] for row in agreed]


def test_an_interrupted_curation_goes_on_and_missing_labels_are_waited_for(tmp_path: Any) -> None:
    first = call(tmp_path / "s").to_label.ids
    part = {row: JUDGES[0][row] for row in first[:-3]}
    found = call(tmp_path / "s", experts=(part, JUDGES[1]))
    assert (found.waiting, found.to_label.ids, found.rounds) == (3, first[-3:], [])
    assert str(found) == "waiting for the experts' labels of 3 rows"
    second = call(tmp_path / "s", experts=[{row: own[row] for row in first} for own in JUDGES])
    again = call(tmp_path / "s", experts=[{row: own[row] for row in first} for own in JUDGES])
    assert again.waiting == 20 and again.to_label.ids == second.to_label.ids and again.rounds == second.rounds


def test_it_stops_when_the_model_agrees_as_experts_do_or_no_longer_gains(tmp_path: Any) -> None:
    first = call(tmp_path / "s").to_label
    exact = call(tmp_path / "s", labels=TRUTH.tolist(), experts=JUDGES)
    assert exact.stop in ("reached", "") and (exact.rounds[0].model >= exact.rounds[0].experts) == bool(exact.stop)
    same: dict[Any, Any] = dict(zip(IDS, MODEL, strict=True))
    call(tmp_path / "t")
    done = call(tmp_path / "t", experts=(same, same))
    assert (done.stop, done.rounds[0].model, len(done.to_label)) == ("reached", 1.0, 0)
    again = call(tmp_path / "t", experts=(same, same))
    assert again.rounds == done.rounds and str(again).endswith("stop: reached") and len(first) == 20
    flat = [Round(10, 0.5, 0.9), Round(20, 0.505, 0.9), Round(30, 0.5, 0.9)]
    assert (why_to_stop(flat, 0.01, 2), why_to_stop(flat, 0.001, 2), why_to_stop(flat, 0.01, 3)) == ("plateau", "", "")
    alone = vicinal.curate([[0.0], [1.0]], labels=["a", "b"], state=tmp_path / "u", metric="euclidean", k=1)
    assert alone.to_label.ids == [0, 1]
    judges = ({0: "b", 1: "a"}, {0: "b", 1: "b"})
    end = vicinal.curate(
        [[0.0], [1.0]], labels=["a", "b"], state=tmp_path / "u", metric="euclidean", k=1, experts=judges
    )
    assert (end.stop, len(end.to_label)) == ("exhausted", 0)


def test_known_neighbours_take_the_place_of_a_pass(work: Workplace) -> None:
    """The rows to ask are those of the pass; the neighbours give the metric and their recall, or are refused."""
    known = vicinal.neighbors(POINTS, 25, metric="euclidean")
    expected = call(work.folder / "a")
    found = call(work.folder / "b", neighbors=known, metric=None)
    assert found.to_label.ids == expected.to_label.ids and found.recall is None
    measured = Recall(0.99, 0.98, 0.995, 300, 0, 0.98, 25)
    partly = Neighbors(known.indices, known.distances, "euclidean", 2, recall=measured)
    assert call(work.folder / "c", neighbors=partly).summary()["recall"]["low"] == 0.98
    for given, words in (
        ({"recall": 0.9}, "recall: an approximate pass is a new one, but neighbors are given"),
        ({"k": 26}, "holds 25 neighbours a row, expected at least k = 26"),
        ({"metric": "cosine"}, "metric: the neighbours of neighbors are those of euclidean, got cosine"),
    ):
        with pytest.raises(UsageError, match=words):
            call(work.folder / "d", neighbors=known, **given)
    with pytest.raises(DataError, match="neighbors: row 0 has other distances"):
        vicinal.curate(POINTS * 2, labels=MODEL, state=work.folder / "d", neighbors=known)
    known.save(work.folder / "graph")
    work.save("points.npy", POINTS)
    work.lines("points.jsonl", [{"id": one, "model": label} for one, label in zip(IDS, MODEL, strict=True)])
    ask: list[Any] = ["curate", "points.jsonl", "--embeddings", "points.npy", "--labels", "model", "--state", "s"]
    work(*ask, "--count", 10, "--clusters", 3, "--neighbors", "graph", "-o", "next.jsonl")
    lines = [json.loads(line) for line in (work.folder / "next.jsonl").read_text("utf-8").splitlines()]
    assert [line["id"] for line in lines] == expected.to_label.ids


def test_the_command_reads_and_writes_files(work: Workplace) -> None:
    work.save("points.npy", POINTS)
    rows = [{"id": one, "model": label} for one, label in zip(IDS, MODEL, strict=True)]
    work.lines("points.jsonl", rows)
    for name, own in zip(("one", "two"), JUDGES, strict=True):
        work.lines(f"{name}.jsonl", [{"id": row, "label": label} for row, label in own.items()])
    ask: list[Any] = ["curate", "points.jsonl", "--embeddings", "points.npy", "--labels", "model", "--state", "s"]
    ask += ["--metric", "euclidean", "--count", 5, "--overwrite"]
    assert work(*ask, "-o", "next.jsonl").out == "label next: 10 rows\n"
    first = (work.folder / "next.jsonl").read_text("utf-8")
    again = work(*ask, "-o", "again.jsonl")  # a first round that was interrupted gives the same rows
    assert again.out == "waiting for the experts' labels of 10 rows\n"
    assert (work.folder / "again.jsonl").read_text("utf-8") == first
    shown = work(*ask, "--experts", "one.jsonl:label", "two.jsonl:label", "--train", "t.jsonl", "--json")
    state = json.loads(shown.out)
    assert state["rounds"][0]["labelled"] == 10 and state["to_label"] == 10
    said = work.refuses(2, *ask)
    assert said.startswith("--experts: missing; 20 rows were asked, so give two experts' labels of them: --experts ONE")
    lines = [json.loads(line) for line in (work.folder / "t.jsonl").read_text("utf-8").splitlines()]
    assert len(lines) == state["train"] and all(line["label"] == JUDGES[0][line["id"]] for line in lines)


@pytest.mark.parametrize(
    ("error", "given", "message"),
    [
        (UsageError, {"experts": ["one.jsonl"]}, "experts: expected the labels of two experts"),
        (UsageError, {"evaluation": 0}, "evaluation: expected a share above 0, got 0"),
        (UsageError, {"count": 0}, "count: expected a whole number above 0, got 0"),
        (UsageError, {"tolerance": np.inf}, "tolerance: expected a finite number of at least 0, got inf"),
        (UsageError, {"seed": 0.5}, "seed: expected a whole number from 0 to 4294967295, got 0.5"),
        (UsageError, {"seed": 1 << 32}, "seed: expected a whole number from 0 to 4294967295, got 4294967296"),
        (DataError, {"labels": ["left"] * 300}, "labels: all 300 rows have the label left; expected at least two"),
        (DataError, {"experts": ({"r0": "up"}, {"r0": "up"})}, "experts: none of their labels"),
    ],
)
def test_what_cannot_be_curated_is_refused(
    tmp_path: Any, error: type[Exception], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(tmp_path / "s", **given)
    assert not (tmp_path / "s").exists()


def test_the_rounds_of_another_data_set_are_refused(tmp_path: Any) -> None:
    call(tmp_path / "s")
    with pytest.raises(DataError, match="its rounds are of a data set with other ids"):
        call(tmp_path / "s", ids=IDS[::-1], experts=JUDGES)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("asked", 0, "id"), []),
        (("asked", 0, "pair"), "x"),
        (("asked", 0, "pair"), 10**30),
        (("asked", 0, "round"), True),
        (("asked", 0, "more"), 1),
        (("rounds", 0, "model"), None),
        (("rounds", 0), 5),
    ],
)
def test_a_state_whose_values_have_another_type_is_refused(
    tmp_path: Any, place: tuple[Any, ...], value: object
) -> None:
    call(tmp_path / "s")
    call(tmp_path / "s", experts=JUDGES)
    file = tmp_path / "s" / "manifest.json"
    manifest = json.loads(file.read_text())
    inner = manifest
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    file.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json: not a manifest of the rounds of a curation"):
        call(tmp_path / "s", experts=JUDGES)

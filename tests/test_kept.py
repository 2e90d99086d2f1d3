"""Neighbours that are known already, in place of a pass: the same results, and refused where they are of other rows."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vicinal
from oracle import hard_data
from vicinal.errors import DataError, UsageError, VicinalError
from vicinal.knn.exact import ExactSearch
from vicinal.knn.kernels.brute import Brute
from vicinal.knn.kernels.native import Native
from vicinal.storage import manifests

N = 90


def table(vectors: np.ndarray) -> list[dict[str, Any]]:
    return [{"id": f"r{i}", "text": f"text {i % 80}", "y": "ab"[i % 3 % 2], "q": i % 7} for i in range(len(vectors))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """90 rows with copies and near copies, a kept run by cosine, and saved neighbours by euclidean."""
    monkeypatch.chdir(tmp_path)
    vectors = hard_data("plain", N, 5).astype(np.float32)
    vectors[80:85] = vectors[:5]
    vectors[85:] = vectors[10:15] + np.float32(1e-3)
    np.save("v.npy", vectors)
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table(vectors)))
    vicinal.score("d.jsonl", embeddings="v.npy", by="mean", k=12, metric="cosine", run="run")
    vicinal.neighbors("v.npy", 12, output="graph")
    return tmp_path


def asked(**more: Any) -> dict[str, Any]:
    return {"data": "d.jsonl", "embeddings": "v.npy", **more}


USES: dict[str, Callable[..., Any]] = {
    "duplicates": lambda **more: vicinal.duplicates(**asked(radius=0.01, **more)),
    "single": lambda **more: vicinal.duplicates(**asked(radius=0.01, link="single", **more)),
    "central": lambda **more: vicinal.duplicates(**asked(radius=0.2, keep="most-central", **more)),
    "copies": lambda **more: vicinal.duplicates(**asked(radius=0.0, **more)),
    "within": lambda **more: vicinal.duplicates(**asked(radius=0.01, within="y", **more)),
    "suggest": lambda **more: vicinal.duplicates(**asked(radius="auto", **more)),
    "dedup": lambda **more: vicinal.dedup(**asked(radius=0.01, **more)),
    "outliers": lambda **more: vicinal.outliers(**asked(k=4, **more)),
    "distance": lambda **more: vicinal.outliers(**asked(k=12, by="distance", **more)),
    "diagnose": lambda **more: vicinal.diagnose(**asked(labels="y", k=12, **more)),
    "choose_k": lambda **more: vicinal.choose_k(**asked(labels="y", max_k=12, **more)),
    "facility": lambda **more: vicinal.select(
        **asked(keep=20, strategy="facility", **({} if "neighbors" in more else {"k": 12}), **more)
    ),
    "random": lambda **more: vicinal.select(**asked(keep=20, strategy="random", dedup=0.01, **more)),
}


def told(found: Any) -> Any:
    """All that a result says, without the time that it took."""
    summary = {name: value for name, value in found.summary().items() if name != "seconds"}
    if "steps" in summary:
        return None  # of a curve, the radii depend on what is known
    return json.dumps([list(found.records()) if hasattr(found, "records") else None, summary], sort_keys=True)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("source", "metric"), [("run", "cosine"), ("graph", "euclidean")])
def test_known_neighbours_give_the_result_of_a_pass(folder: Path, use: str, source: str, metric: str) -> None:
    assert told(USES[use](neighbors=source)) == told(USES[use](metric=metric))


@pytest.mark.parametrize("use", [name for name in USES if name != "diagnose"])
def test_no_pass_runs_where_neighbours_are_known(folder: Path, use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a pass over the rows")

    for kernel in (Native, Brute):
        for name in ("self_join", "search", "within"):
            monkeypatch.setattr(kernel, name, refused)
    USES[use](neighbors="run")


def test_diagnose_and_report_join_no_rows_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a pass over the rows")

    for name in ("self_join", "within"):
        monkeypatch.setattr(Native, name, refused)
    monkeypatch.setattr(ExactSearch, "neighbors", refused)
    USES["diagnose"](neighbors="run")
    vicinal.report("run", output="page.html", radius=0.01)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (
            {"metric": "manhattan", "neighbors": "run"},
            UsageError,
            "metric: the neighbours of run are those of cosine, got m",
        ),
        (
            {"neighbors": "graph", "metric": "cosine"},
            UsageError,
            "metric: the neighbours of graph are those of euclidean, ",
        ),
        ({"neighbors": "fewer"}, DataError, "fewer"),
        ({"neighbors": "narrow"}, DataError, "narrow: neighbours of dim 4, but v.npy has dim 5"),
        ({"neighbors": "other"}, DataError, "other: computed from other embeddings than those of v.npy"),
        ({"neighbors": "unsigned"}, DataError, "unsigned: row"),
        ({"neighbors": "moved"}, DataError, "v.npy: has changed since the run was kept"),
        (
            {"neighbors": 3},
            UsageError,
            "neighbors: expected a Neighbors, a folder that `vicinal neighbors` wrote, or a",
        ),
    ],
    ids=lambda value: str(value.get("neighbors")) if isinstance(value, dict) else "",
)
def test_neighbours_of_other_rows_are_refused(
    folder: Path, use: str, change: dict[str, Any], error: type[VicinalError], said: str
) -> None:
    vectors = np.load("v.npy")
    name = change["neighbors"]
    if name == "fewer":
        vicinal.neighbors(vectors[1:], 12).save("fewer")
    elif name == "narrow":
        vicinal.neighbors(vectors[:, 1:], 12).save("narrow")
    elif name == "other":
        np.save("w.npy", vectors[::-1])
        vicinal.neighbors("w.npy", 12, output="other")
    elif name == "unsigned":
        vicinal.neighbors(vectors[::-1], 12).save("unsigned")
    elif name == "moved":
        (folder / "run").rename(folder / "moved")
        vectors[3] += 1
        np.save("v.npy", vectors)
    with pytest.raises(error) as caught:
        USES[use](**change)
    assert said in str(caught.value)


def test_scoring_known_neighbours_checks_them_too(folder: Path) -> None:
    again = vicinal.score("d.jsonl", neighbors="run", by="kth", k=12)
    assert again["kth"].tolist() == vicinal.score("d.jsonl", "v.npy", by="kth", k=12, metric="cosine")["kth"].tolist()
    with pytest.raises(UsageError, match="holds euclidean neighbours, expected cosine"):
        vicinal.score("d.jsonl", neighbors="graph", metric="cosine", k=3)
    with pytest.raises(UsageError, match="metric: the neighbours of run are those of cosine, got euclidean"):
        vicinal.score("d.jsonl", neighbors="run", metric="euclidean", k=3)
    with pytest.raises(DataError, match="data has 3 rows, but graph has 90"):
        vicinal.score({"id": [1, 2, 3]}, neighbors="graph", k=3)


def test_too_few_known_neighbours_are_named_with_a_remedy(folder: Path) -> None:
    uses: list[tuple[str, dict[str, object]]] = [
        ("outliers", {"k": 13, "by": "distance"}),
        ("outliers", {"k": 13, "by": "lof"}),
        ("diagnose", {"k": 13, "labels": "y"}),
        ("choose_k", {"max_k": 13, "labels": "y"}),
    ]
    for use, more in uses:
        with pytest.raises(UsageError, match=r"holds 12 neighbours.*expected at least k = 13; compute"):
            getattr(vicinal, use)(**asked(**more, neighbors="run"))


def test_neighbours_outside_groups_are_no_neighbours_of_all(folder: Path) -> None:
    vicinal.neighbors("d.jsonl", 12, embeddings="v.npy", groups="y", output="apart")
    for use in ("duplicates", "outliers", "diagnose", "random"):
        with pytest.raises(UsageError, match="apart: holds neighbours outside each row's group"):
            USES[use](neighbors="apart")
    vicinal.select(**asked(keep=20, strategy="facility", neighbors="apart"))


def test_rows_that_are_left_out_leave_the_other_rows_their_neighbours(folder: Path) -> None:
    rows = [{**row, "q": None if i % 9 == 4 else row["q"]} for i, row in enumerate(table(np.load("v.npy")))]
    Path("d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    vicinal.neighbors("v.npy", 12, output="again")
    more: dict[str, Any] = {"keep": "best:q", "on_invalid": "null"}
    for radius in (0.0, 0.3, 1.5, 3.0):
        known = vicinal.duplicates(**asked(radius=radius, neighbors="again", **more))
        assert told(known) == told(vicinal.duplicates(**asked(radius=radius, **more)))


def test_the_origin_of_a_graph_is_kept_where_it_is_a_file(folder: Path) -> None:
    kept = json.loads(Path("graph/manifest.json").read_text())
    assert kept["embeddings_sha256"] == manifests.sha256("v.npy") and "groups" not in kept
    vicinal.neighbors(np.load("v.npy"), 3, output="plain")
    assert "embeddings_sha256" not in json.loads(Path("plain/manifest.json").read_text())
    assert vicinal.Neighbors.load("graph").k == 12


def test_a_selection_takes_the_scores_of_a_run(folder: Path) -> None:
    scores = vicinal.score("d.jsonl", "v.npy", by="mean", k=12, metric="cosine")
    assert (
        vicinal.select("d.jsonl", "run", keep=9).rows.tolist()
        == vicinal.select("d.jsonl", scores, keep=9).rows.tolist()
    )
    with pytest.raises(UsageError, match="by: run holds no score 'lof'; choose one of mean"):
        vicinal.select("d.jsonl", "run", keep=9, by="lof")
    lines = Path("d.jsonl").read_text().splitlines(keepends=True)
    Path("turned.jsonl").write_text("".join(lines[::-1]))
    with pytest.raises(DataError, match=r"run: its rows are not those of turned\.jsonl: their ids differ"):
        vicinal.select("turned.jsonl", "run", keep=9)


@pytest.mark.parametrize("use", list(USES))
def test_a_run_names_the_embeddings_of_the_data_set_that_it_scored(folder: Path, use: str) -> None:
    named = USES[use](neighbors="run", embeddings=str(Path("v.npy").resolve()))
    assert told(USES[use](neighbors="run", embeddings=None)) == told(named)


def test_a_run_names_no_embeddings_of_another_data_set(folder: Path) -> None:
    Path("e.jsonl").write_bytes(Path("d.jsonl").read_bytes())
    with pytest.raises(VicinalError, match="embeddings: missing"):
        vicinal.duplicates("e.jsonl", 0.01, neighbors="run")


def test_a_dedup_beside_the_scores_of_a_run_takes_its_metric_and_embeddings(folder: Path) -> None:
    found = vicinal.select("d.jsonl", "run", keep=20, dedup=0.01)
    assert told(found) == told(vicinal.select(**asked(scores="run", keep=20, dedup=0.01, metric="cosine")))
    with pytest.raises(UsageError, match="metric: the neighbours of run are those of cosine, got manhattan"):
        vicinal.select("d.jsonl", "run", keep=20, dedup=0.01, metric="manhattan")


def test_diagnose_takes_as_many_neighbours_as_a_run_holds(folder: Path) -> None:
    assert vicinal.diagnose("d.jsonl", "y", neighbors="run").k == 12
    assert vicinal.diagnose(**asked(labels="y")).k == 50

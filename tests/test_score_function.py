"""`score`, `neighbors` and `report` as Python functions: what the commands give, from every kind of source."""

import argparse
import inspect
import json
import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest

from oracle import hard_data
from vicinal import Neighbors
from vicinal.cli import neighbors as neighbors_command
from vicinal.cli import report as report_command
from vicinal.cli import score as score_command
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import mahalanobis
from vicinal.tasks.neighbors import DataNeighbors, neighbors
from vicinal.tasks.report import report
from vicinal.tasks.score import Scores, score
from workplace import Workplace, agree, true_scores

CHATS = [f"chat {i % 7}" for i in range(30)]
BY = ["mean", "lof:percentile", "kth", "distinct"]


def table_of(work: Workplace) -> pyarrow.Table:
    vectors = pyarrow.array(work.vectors.tolist(), pyarrow.list_(pyarrow.float32()))
    return pyarrow.table({"id": work.ids, "chat": CHATS, "embedding": vectors})


SOURCES: dict[str, Any] = {
    "array": lambda work: (work.vectors, {"ids": work.ids, "groups": CHATS}),
    "npy": lambda work: (work.folder / "emb.npy", {"ids": "d.jsonl", "groups": "d.jsonl:chat"}),
    "file": lambda work: ("d.jsonl", {"embeddings": "emb.npy", "groups": "chat"}),
    "file and array": lambda work: ("d.jsonl", {"embeddings": work.vectors, "groups": np.arange(30) % 7}),
    "pyarrow": lambda work: (table_of(work), {"groups": "chat"}),
    "pandas": lambda work: (
        pandas.DataFrame({"id": work.ids, "chat": CHATS, "embedding": list(work.vectors)}),
        {"groups": "chat", "embeddings": "embedding"},
    ),
    "polars": lambda work: (polars.from_arrow(table_of(work)), {"groups": polars.Series(CHATS), "ids": "id"}),
    "datasets": lambda work: (datasets.Dataset(table_of(work)), {"groups": "chat"}),
    "mapping": lambda work: ({"name": work.ids, "e": work.vectors}, {"ids": "name", "groups": CHATS}),
}


@pytest.fixture
def chats(work: Workplace) -> Workplace:
    work.lines("d.jsonl", [{"id": one, "chat": chat} for one, chat in zip(work.ids, CHATS, strict=True)])
    return work


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_numbers_of_the_command(chats: Workplace, source: str) -> None:
    data, options = SOURCES[source](chats)
    scores = score(data, by=BY, k=4, metric="cosine", **options)
    ask = ("--by", ",".join(BY), "-k", 4, "--metric", "cosine", "--group", "chat")
    typed = chats.score(*ask, data="d.jsonl").records
    assert list(scores.records()) == typed
    assert scores.ids == chats.ids and scores.names == [*BY, "distinct multiplicity"]
    for by in BY:
        assert scores[by].dtype == np.float32
        expected = np.array([record["scores"][by]["score"] for record in typed], np.float32)
        np.testing.assert_array_equal(scores[by], expected)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_neighbours_of_the_command(chats: Workplace, source: str) -> None:
    data, options = SOURCES[source](chats)
    grouped = neighbors(data, 6, "l1", **options)
    score_of = score(data, by="mean", k=6, metric="l1", **options)
    np.testing.assert_array_equal(grouped.indices, score_of.neighbors.indices)
    np.testing.assert_array_equal(grouped.distances, score_of.neighbors.distances)
    assert grouped.ids == chats.ids
    del options["groups"]
    plain = neighbors(data, 6, "l1", output="mine", **options)
    assert chats("neighbors", "emb.npy", "-k", 6, "--metric", "l1", "-o", "graph").code == 0
    for name in ("indices.npy", "distances.npy"):
        assert Path("mine", name).read_bytes() == Path("graph", name).read_bytes()
    mine, graph = (json.loads(Path(folder, "manifest.json").read_text()) for folder in ("mine", "graph"))
    assert {"embeddings_sha256": graph["embeddings_sha256"], **mine} == graph  # which an array in memory has not
    assert plain.summary() | {"seconds": 0} == {
        "n": 30,
        "dim": 4,
        "k": 6,
        "metric": "manhattan",
        "engine": plain.engine,
        "seconds": 0,
        "unusable": 0,
        "output": "mine",
    }
    assert isinstance(plain, Neighbors) and repr(plain) == "Neighbors(n=30, k=6, metric='manhattan')"


def test_the_result_is_a_table_that_joins_its_source(chats: Workplace) -> None:
    frame = SOURCES["pandas"](chats)[0]
    scores = score(frame, by="mean,kth", k=3)
    agree(scores["mean"].tolist(), true_scores(chats.vectors, 3))
    longer = scores.add_to(frame)
    assert list(longer.columns) == ["id", "chat", "embedding", "mean", "kth"]
    np.testing.assert_array_equal(longer["kth"].to_numpy(), scores["kth"])
    assert scores.to_polars().columns == ["id", "mean", "kth"]
    assert (scores.k, scores.metric, len(scores)) == (3, "euclidean", 30)
    assert repr(scores) == "Scores(n=30, names=['mean', 'kth'], k=3, metric='euclidean')"
    summary = scores.summary()
    assert [one["name"] for one in summary["scorers"]] == ["mean", "kth"]
    assert summary["n"] == 30 and json.dumps(summary)
    with pytest.raises(KeyError, match="unknown column 'lof'"):
        scores["lof"]


def test_evidence_is_in_the_table(chats: Workplace) -> None:
    scores = score("d.jsonl", "emb.npy", by="mean", k=2, evidence=True)
    record = next(scores.records())
    (row, *_) = scores.to_arrow().to_pylist()
    assert row["mean_neighbors"] == record["neighbors"] == [chats.ids[i] for i in scores.neighbors.indices[0]]
    np.testing.assert_allclose(row["mean_distances"], scores.neighbors.distances[0], rtol=1e-6)
    assert (row["mean_duplicate_group"], row["mean_duplicate_size"]) == (0, 1)


def test_rows_without_a_score_have_a_reason(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[3] = np.nan
    vectors[5:12] = vectors[5]
    with pytest.warns(UserWarning, match="density: 7 rows have no value and score null"):
        scores = score(vectors, by=["mean", "density"], k=4, on_invalid="null")
    assert list(scores.errors) == [3] and scores.errors[3] == "NaN or infinite value"
    assert list(scores.undefined) == list(range(5, 12)) and "copies" in scores.undefined[5]
    assert np.isnan(scores["mean"]).nonzero()[0].tolist() == [3]
    assert scores["error"][3] == "mean: NaN or infinite value; density: NaN or infinite value"
    assert scores["error"][6] == f"density: {scores.undefined[6]}" and scores["error"][0] is None
    arrow = scores.to_arrow().to_pylist()
    assert arrow[3]["mean"] is None and arrow[6]["density"] is None and arrow[6]["mean"] == 0


def test_a_null_embedding_has_its_reason(work: Workplace) -> None:
    column = pyarrow.array([*work.vectors[:29].tolist(), None], pyarrow.list_(pyarrow.float32()))
    scores = score({"e": column}, on_invalid="null")
    assert scores.errors == {29: "no embedding (null)"}
    with pytest.raises(DataError, match=r"1 with no embedding \(null\): 29"):
        score({"e": column})


REFERENCE = hard_data("plain", 12, 4, seed=7).astype(np.float32)
REFERENCES: dict[str, Any] = {
    "array": lambda: REFERENCE,
    "path": lambda: "ref.npy",
    "table": lambda: pandas.DataFrame({"text": ["t"] * 12, "e": list(REFERENCE)}),
    "column": lambda: pyarrow.array(REFERENCE.tolist(), pyarrow.list_(pyarrow.float32())),
}


@pytest.mark.parametrize("kind", REFERENCES)
def test_a_reference_of_any_kind(work: Workplace, kind: str) -> None:
    work.save("ref.npy", REFERENCE)
    scores = score(work.vectors, by="mean,hubness", k=2, reference=REFERENCES[kind]())
    far = np.sqrt(((work.vectors[:, None].astype(float) - REFERENCE[None]) ** 2).sum(axis=2))
    agree(scores["mean@reference"].tolist(), np.sort(far, axis=1)[:, :2].mean(axis=1))
    assert scores.names == ["mean", "mean@reference", "hubness"]


def test_a_reference_may_be_a_column_of_the_same_table(work: Workplace) -> None:
    table = {"prompt": work.vectors, "answer": work.vectors[::-1].copy()}
    scores = score(table, "prompt", k=1, reference="answer")
    assert scores["mean@reference"].tolist() == [0.0] * 30


def test_neighbours_at_hand_serve_without_data(work: Workplace) -> None:
    nearest = neighbors(work.vectors, 8)
    scores = score(neighbors=nearest, by="lof,mean", k=5)
    whole = score(work.vectors, by="lof,mean", k=5)
    for by in ("lof", "mean"):
        np.testing.assert_array_equal(scores[by], whole[by])
    assert scores.ids == list(range(30)) and score("data.jsonl", neighbors=nearest).ids == work.ids
    with pytest.raises(UsageError, match="neighbors: lof: expected a metric in which equal vectors have distance 0"):
        score(neighbors=neighbors(work.vectors, 8, "inner_product"), by="lof")
    with pytest.raises(UsageError, match=r"^neighbors: holds 8 neighbours a row, expected at least k = 9"):
        score(neighbors=nearest, k=9)
    with pytest.raises(UsageError, match=r"^run: a run is kept with its embeddings"):
        score(neighbors=nearest, run="run")


def test_a_metric_object_is_used_as_it_is(work: Workplace) -> None:
    matrix = np.diag([1.0, 4.0, 9.0, 16.0])
    scores = score(work.vectors, metric=mahalanobis(matrix), by="mean,lof,distinct", k=3)
    agree(scores["mean"].tolist(), true_scores(work.vectors * np.array([1, 2, 3, 4]), 3))
    assert scores.metric == "mahalanobis"
    saved = score(neighbors=scores.neighbors, by="mean,lof", k=3)
    np.testing.assert_array_equal(saved["lof"], scores["lof"])
    work.lines("d.jsonl", [{"id": one} for one in work.ids])
    with pytest.raises(UsageError, match="run: expected a metric with a name, got mahalanobis"):
        score("d.jsonl", "emb.npy", metric=mahalanobis(matrix), run="run")


def test_a_run_is_kept_by_the_function_or_later_and_goes_on(work: Workplace) -> None:
    ask: dict[str, Any] = {"by": "mean,lof", "k": 3}
    now = score("data.jsonl", "emb.npy", run="now", **ask)
    score("data.jsonl", "emb.npy", **ask).save("later")
    for name in ("manifest.json", "scores.npy", "indices0.npy"):
        assert Path("now", name).read_bytes() == Path("later", name).read_bytes()
    new = hard_data("plain", 9, 4, seed=3).astype(np.float32)
    with pytest.warns(UserWarning, match=r"1 of its ids are those of earlier rows too \(30\)"):
        longer = score(append=new, previous="now")
    whole = score(np.concatenate([work.vectors, new]), **ask)
    for by in ("mean", "lof"):
        np.testing.assert_array_equal(longer[by], whole[by])
    assert longer.ids == [*work.ids, *range(30, 39)]
    with pytest.raises(UsageError, match="run: expected rows in a data set file"):
        longer.save("longer")
    work.save("new.npy", new)
    work.lines("new.jsonl", [{"id": f"n{i}"} for i in range(9)])
    kept = score(append="new.jsonl", embeddings="new.npy", previous="now", run="longer", output="all.jsonl")
    np.testing.assert_array_equal(kept["lof"], whole["lof"])
    assert len(Path("all.jsonl").read_text().splitlines()) == 39
    again = score(append={"id": [f"m{i}" for i in range(9)], "e": new}, previous="longer")
    assert len(again) == 48 and len(now) == 30


@pytest.mark.parametrize(("name", "key", "value"), [("data", "embeddings", []), ("scorers", "embedding_path", None)])
def test_a_kept_run_that_names_no_embeddings_is_refused(work: Workplace, name: str, key: str, value: object) -> None:
    score("data.jsonl", "emb.npy", run="run")
    file = Path("run", "manifest.json")
    manifest = json.loads(file.read_text())
    manifest[name][0][key] = value
    file.write_text(json.dumps(manifest))
    for ask in (lambda: score(append=work.vectors, previous="run"), lambda: report("run", output="o.html")):
        with pytest.raises(DataError, match=r"manifest\.json: not a manifest of a kept run"):
            ask()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ids": list(range(30))}, "run: expected ids that are a field of the data set"),
        ({"groups": CHATS, "k": 2}, "run: expected groups that are a field of the data set"),
        ({"groups": "d.jsonl:chat", "k": 2}, "run: expected groups that are a field of the data set"),
        ({"reference": REFERENCE}, "run: expected vectors in files, got reference in memory"),
    ],
)
def test_what_lies_in_no_file_cannot_be_kept(chats: Workplace, options: dict[str, Any], said: str) -> None:
    before = chats.files()
    with pytest.raises(UsageError, match=said):
        score("data.jsonl", "emb.npy", run="run", output="o.jsonl", **options)
    assert chats.files() == before
    with pytest.raises(UsageError, match=r"run: expected a data set file, got emb.npy"):
        score("emb.npy", run="run")
    with pytest.raises(UsageError, match=r"run: expected vectors in files, got embeddings in memory"):
        score("data.jsonl", chats.vectors, run="run")
    assert chats.files() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "^k: expected a whole number above 0, got 0"),
        ({"k": 2.5}, "^k: expected a whole number above 0, got 2.5"),
        ({"by": "lfo"}, "^by: unknown scorer 'lfo': did you mean 'lof'"),
        ({"by": 5}, "^by: expected text, got 5"),
        ({"metric": "cosin"}, "^metric: unknown metric 'cosin': did you mean 'cosine'"),
        ({"metric": "mahalanobis"}, "^metric: 'mahalanobis' needs a matrix"),
        ({"threads": 0}, "^threads: expected a whole number above 0, got 0"),
        ({"on_invalid": "drop"}, "^on_invalid: unknown choice 'drop'"),
        ({"embeddings": "emb.npy"}, "^embeddings: data holds embeddings already"),
        ({"output": "o.txt"}, "o.txt: expected a name that ends in .jsonl"),
        ({"append": [[1.0]]}, "^append: expected new rows together with previous"),
        ({"groups": ["a", "b"]}, "^groups: found 2, expected 30 values"),
        ({"groups": "none"}, "^groups: expected FILE or FILE:FIELD"),
        ({"reference": [[1.0]]}, "^reference: found dim 1, embeddings has dim 4"),
        ({"neighbors": "none"}, "^none: expected a folder written by `vicinal neighbors`"),
    ],
)
def test_a_wrong_argument_is_named(work: Workplace, options: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, DataError), match=said):
        score(work.vectors, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "^k: expected a whole number above 0, got 0"),
        ({"metric": "cosin"}, "^metric: unknown metric 'cosin'"),
        ({"threads": "2"}, "^threads: expected a whole number above 0"),
        ({"on_invalid": "drop"}, "^on_invalid: unknown choice 'drop'"),
        ({"groups": [1]}, "^groups: found 1, expected 30 values"),
        ({"data": "data.jsonl"}, "^embeddings: missing; name a .npy file or a column of vectors"),
        ({"data": [[1.0]]}, r"^embeddings: found shape \(1, 1\), expected at least 2 rows"),
    ],
)
def test_a_wrong_argument_of_neighbors_is_named(work: Workplace, options: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, DataError), match=said):
        neighbors(**{"data": work.vectors, **options})


def test_a_data_set_without_embeddings_is_refused(work: Workplace) -> None:
    with pytest.raises(UsageError, match=r"^embeddings: expected a .npy file .* 30 rows of data.jsonl .* got nothing"):
        score("data.jsonl")
    with pytest.raises(UsageError, match=r"^embeddings: .* 2 rows of data .* got nothing"):
        score({"id": [1, 2]})
    with pytest.raises(UsageError, match=r"^data: expected a data set or a .npy file .* got nothing"):
        score()


def test_a_configuration_takes_arguments_and_data_in_memory(work: Workplace) -> None:
    work.write("flat.yaml", "name: LOFScorer\nk: 3\ndistance_metric: cosine\n")
    scores = score(work.vectors, config="flat.yaml")
    np.testing.assert_array_equal(scores["LOFScorer"], score(work.vectors, by="lof", k=3, metric="cosine")["lof"])
    assert score(work.vectors, config="flat.yaml", k=4).k == 4
    work.write("oda.yaml", "input_path: data.jsonl\noutput_path: out\nscorers:\n- {name: KNNScorer}\n")
    nested = score(config="oda.yaml", embeddings=work.vectors, by="lof")
    assert nested.output == Path("out/pointwise_scores.jsonl") and nested.names == ["lof"]
    assert json.loads(Path(nested.output).read_text().splitlines()[0])["scores"].keys() == {"lof"}


@pytest.mark.parametrize(
    ("command", "function"), [(score_command, score), (neighbors_command, neighbors), (report_command, report)]
)
def test_every_option_has_its_argument(command: Any, function: Any) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    names = {action.dest for action in parser._actions} - {"help", *command.PRINTED}
    assert names <= inspect.signature(function).parameters.keys()
    assert f"vicinal.{function.__name__}" == command.FUNCTION


def page_of(path: str) -> str:
    """The page without the names of the files in its commands."""
    return re.sub(r'"command":{[^}]*}', "", Path(path).read_text())


def test_a_page_of_scores_is_that_of_their_run(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[8] = np.nan
    work.save("v.npy", vectors)
    options: dict[str, Any] = {"by": "mean,lof:ratio", "k": 3, "on_invalid": "null"}
    scores = score("data.jsonl", "v.npy", run="run", **options)
    page = report(scores, "mine.html", radius=0.5)
    assert (page.n, page.size, page.path) == (30, Path("mine.html").stat().st_size, Path("mine.html"))
    again = report("run", "run.html", radius=0.5)
    assert again.summary().keys() == page.summary().keys() and (again.n, again.path) == (30, Path("run.html"))
    assert work("report", "run", "-o", "typed.html", "--radius", "0.5").code == 0
    assert page_of("mine.html") == page_of("run.html") == page_of("typed.html")


def test_a_page_of_a_table_shows_its_texts(work: Workplace) -> None:
    texts = [f"text {one}" for one in work.ids]
    table = {"id": work.ids, "text": texts, "topic": ["t"] * 30, "e": work.vectors}
    scores = score(table, k=3)
    report(scores, "table.html", title="data.jsonl", fields=["text"])
    from_file = score("data.jsonl", "emb.npy", k=3)
    report(from_file, "file.html", fields=["text"])
    assert page_of("table.html") == page_of("file.html")
    report(scores, "topic.html", fields=["topic"])
    assert '"t"' in Path("topic.html").read_text() and "text 290" not in Path("topic.html").read_text()
    report(score(work.vectors, k=3), "array.html")
    with pytest.raises(UsageError, match=r"^fields: unknown column 'none'"):
        report(scores, "o.html", fields=["none"])
    with pytest.raises(UsageError, match=r"^fields: expected a data set with fields, got embeddings"):
        report(score(work.vectors, k=3), "o.html", fields=["text"])
    with pytest.raises(UsageError, match=r"^scores: expected scores that were computed from embeddings"):
        report(score(neighbors=scores.neighbors, k=3), "o.html")
    with pytest.raises(UsageError, match=r"^map: unknown map 'tsne'"):
        report(scores, "o.html", map="tsne")  # type: ignore[arg-type]
    assert not Path("o.html").exists()


def test_a_page_of_appended_rows_shows_all_of_them(work: Workplace) -> None:
    score("data.jsonl", "emb.npy", run="run")
    work.save("new.npy", work.vectors[:9] + 1)
    work.lines("new.jsonl", [{"id": f"n{i}", "text": f"new {i}"} for i in range(9)])
    longer = score(append="new.jsonl", embeddings="new.npy", previous="run", run="longer")
    assert report(longer, "mine.html").n == report("longer", "run.html").n == 39
    assert page_of("mine.html") == page_of("run.html")


def test_results_know_their_types() -> None:
    scores = score([[0.0], [1.0], [3.0]], by="kth", k=1)
    assert isinstance(scores, Scores) and isinstance(scores.neighbors, Neighbors)
    assert isinstance(neighbors([[0.0], [1.0]], 1), DataNeighbors)


@pytest.mark.parametrize("where", [{"engine": "ray"}, {"address": "auto"}])
def test_an_engine_for_a_pass_that_does_not_run_is_refused(where: dict[str, str]) -> None:
    vectors = np.arange(12.0)[:, None]
    graph = neighbors(vectors, k=2)
    with pytest.raises(
        UsageError, match=r"^engine: neighbors are given, so that no pass runs; leave engine and address"
    ):
        score(neighbors=graph, k=2, **where)  # type: ignore[arg-type]
    assert len(score(neighbors=graph, k=2)) == 12  # the remedy

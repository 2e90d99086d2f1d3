"""`vicinal index` and `vicinal search` as a user runs them, right and wrong; evaluation and ann-benchmarks' files."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas
import polars
import pytest

from oracle import brute_force
from vicinal import HNSW, Exact
from vicinal.errors import DataError, UsageError
from vicinal.indexes import INDEXES, load_index
from vicinal.indexes.annbenchmarks import read, write
from vicinal.indexes.evaluation import evaluate, questions, sweep
from vicinal.indexes.exemplar_svm import ExemplarSVM
from vicinal.knn.kernels.native import isas
from workplace import Workplace


@pytest.fixture
def built(work: Workplace) -> Workplace:
    work.lines(
        "d.jsonl", [{"id": one, "text": f"text {one}", "n": i, "kind": "ab"[i % 2]} for i, one in enumerate(work.ids)]
    )
    assert work("index", "build", "emb.npy", "--data", "d.jsonl", "--type", "exact", "-o", "my.index").code == 0
    return work


def test_a_row_finds_its_nearest_others_with_their_columns(built: Workplace) -> None:
    answer = built("search", "my.index", "--query-row", 5, "--query-id", "70", "-k", 4)
    truth, distances = brute_force(built.vectors, None, 4, "euclidean")
    assert (answer.code, answer.err) == (0, "") and len(answer.records) == 8
    for record, row, far in zip(answer.records[:4], truth[5], distances[5], strict=True):
        assert record == {
            "query": 50,
            "rank": record["rank"],
            "id": built.ids[row],
            "distance": pytest.approx(float(far), rel=1e-6),
            "text": f"text {built.ids[row]}",
            "n": row,
            "kind": "ab"[row % 2],
        }
    assert [record["rank"] for record in answer.records] == [1, 2, 3, 4] * 2
    chosen = built("search", "my.index", "--query-row", 5, "-k", 40, "--where", 'kind = "b" and n > 9', "--fields", "n")
    assert {record["n"] for record in chosen.records} == set(range(11, 30, 2)) and len(chosen.records[0]) == 5
    built.save("q.npy", built.vectors[:2] + 0.01)
    assert built("search", "my.index", "--queries", "q.npy", "-k", 1, "-o", "found.jsonl").code == 0
    lines = [json.loads(line) for line in (built.folder / "found.jsonl").read_text().splitlines()]
    assert [(line["query"], line["id"]) for line in lines] == [(0, 0), (1, 10)]


def test_an_exemplar_svm_ranks_by_ids(built: Workplace) -> None:
    answer = built("search", "my.index", "--by", "svm", "--positive", 3, "--positive-id", "40", "--C", 0.5, "-k", 5)
    expected = ExemplarSVM(0.5).fit(built.vectors).rank([3, 4], 5)
    assert [record["id"] for record in answer.records] == [built.ids[row] for row in expected.indices]
    np.testing.assert_allclose([record["decision"] for record in answer.records], expected.decisions, rtol=1e-6)
    one = built("search", "my.index", "--by", "svm", "--query-id", 30, "-k", 1, "--include-positives")
    assert one.records[0]["id"] == 30
    some = built("search", "my.index", "--by", "svm", "--positive", 3, "--negatives", 10, "-k", 3)
    assert some.code == 0 and len(some.records) == 3


def test_rows_are_added_and_removed_and_the_folder_says_so(built: Workplace) -> None:
    built.save("more.npy", built.vectors[:2] + 5)
    built.lines("more.jsonl", [{"id": 1000, "n": 100, "kind": "new"}, {"id": 1001, "n": 101}])
    assert built("index", "add", "my.index", "more.npy", "--data", "more.jsonl").code == 0
    found = built("search", "my.index", "--queries", "more.npy", "-k", 1)
    assert [(record["id"], record["kind"], record["text"]) for record in found.records] == [
        (1000, "new", None),
        (1001, None, None),
    ]
    built.write("gone.txt", "10\n20\n")
    removed = built("index", "remove", "my.index", "--id", 0, "--ids", "gone.txt", "--where", "n > 100")
    assert removed.err == "vicinal: 4 rows removed, 28 in all: my.index\n"
    about = json.loads(built("index", "info", "my.index", "--json").out)
    assert (about["rows"], about["removed"], about["type"], about["metric"]) == (28, 4, "exact", "euclidean")
    assert about["columns"] == {"text": "string", "n": "int64", "kind": "string"}
    plain = built("index", "info", "my.index")
    assert "rows         28" in plain.out and "columns      text string, n int64, kind string" in plain.out
    assert built("index", "remove", "my.index", "--where", "kind = 'new'", "-o", "other.index").code == 0
    assert len(load_index(built.folder / "other.index")) == 27 and len(load_index(built.folder / "my.index")) == 28


def test_auto_says_what_it_chose_and_parameters_are_set(work: Workplace) -> None:
    built = work("index", "build", "emb.npy", "-o", "auto.index", "--metric", "cosine", "--json")
    assert built.err.startswith("vicinal: chose exact: 30 x 4 is at most ") and json.loads(built.out)["type"] == "exact"
    assert work("index", "build", "emb.npy", "-o", "g.index", "--type", "hnsw", "--set", "M=8", "-q").err == ""
    assert load_index(work.folder / "g.index").settings["M"] == 8
    narrow = work("search", "g.index", "--query-row", 3, "-k", 2, "--set", "ef_search=50")
    assert [record["id"] for record in narrow.records] == brute_force(work.vectors, None, 2, "euclidean")[0][3].tolist()


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (2, ("search", "my.index"), "--queries: no query was given; give --queries, --query-row"),
        (2, ("search", "my.index", "--query-row", 0, "-k", 0), "-k: expected a whole number above 0, got 0"),
        (3, ("search", "my.index", "--query-id", 5), "--query-id: not in the index: 5; it holds 30 rows, whose"),
        (
            3,
            ("search", "my.index", "--query-row", 30),
            "--query-row: expected a row from 0 to 29 that is there, got 30;",
        ),
        (3, ("search", "my.index", "--by", "svm", "--positive", "x"), "ids such as 0 are given by --positive-id"),
        (
            2,
            ("search", "my.index", "--by", "svm", "--positive", 1, "--query-row", 1),
            "two ways to give the example",
        ),
        (2, ("search", "my.index", "--query-row", 1, "--query-text", "a"), "give one kind of them"),
        (2, ("search", "my.index", "--query-row", 0, "--where", "kind ="), "where: column 7 of 'kind ='"),
        (2, ("search", "my.index", "--query-row", 0, "--where", "kin = 1"), "unknown name 'kin': did you mean 'kind'"),
        (
            3,
            ("search", "my.index", "--query-row", 0, "--metric", "l1"),
            "--metric: my.index is built with euclidean, got manhattan; leave",
        ),
        (3, ("search", "my.index", "--queries", "wide.npy"), "queries: found dim 5, the stored vectors have dim 4"),
        (2, ("search", "my.index", "--query-row", 0, "--fields", "tex"), "unknown column 'tex': did you mean 'text'"),
        (
            2,
            ("search", "my.index", "--query-row", 0, "--set", "ef=3"),
            "ef: Exact has no such parameter; set() changes none",
        ),
        (2, ("search", "my.index", "--query-row", 0, "--set", "ef"), "--set: expected NAME=VALUE"),
        (
            2,
            ("search", "my.index", "--query-text", "a"),
            "--query-text: the index does not say which model made its embeddings; name it by --model",
        ),
        (2, ("search", "my.index", "--positive", 0), "--positive: examples are ranked by --by svm"),
        (2, ("search", "my.index", "--by", "svm", "--positive", 0, "--C", -1), "C: expected a number above 0"),
        (
            2,
            ("search", "my.index", "--by", "svm", "--positive", 0, "--where", "n = 1"),
            "--where: it cannot be used with --by svm",
        ),
        (2, ("search", "my.index", "--query-row", 0, "-o", "x.csv"), "expected a name that ends in .jsonl"),
        (3, ("search", "none", "--query-row", 0), "none/manifest.json: cannot be read"),
        (3, ("search", "graph", "--query-row", 0), "graph/manifest.json: not a manifest of an index"),
        (2, ("index", "build", "emb.npy", "-o", "my.index"), "my.index: exists already"),
        (2, ("index", "build", "emb.npy", "-o", "x", "--type", "hsnw"), "unknown index 'hsnw': did you mean 'hnsw'"),
        (
            2,
            ("index", "build", "emb.npy", "-o", "x", "--type", "hnsw", "--metric", "l1"),
            "found metric 'manhattan'",
        ),
        (2, ("index", "build", "emb.npy", "-o", "x", "--type", "hnsw", "--set", "m=1"), "unknown parameter 'm'"),
        (
            3,
            ("index", "build", "emb.npy", "-o", "x", "--data", "short.jsonl"),
            "short.jsonl has 3 rows, but emb.npy has 30",
        ),
        (3, ("index", "build", "emb.npy", "-o", "x", "--data", "twice.jsonl"), "ids of an index must differ"),
        (3, ("index", "add", "my.index", "emb.npy"), "this index has ids of its own such as 0"),
        (3, ("index", "add", "my.index", "emb.npy", "--data", "d.jsonl"), "ids: 0 is given to rows 0 and 30"),
        (3, ("index", "remove", "my.index", "--id", "7"), "remove: not in the index: 7"),
        (
            2,
            ("index", "remove", "my.index"),
            "--id: expected ids, a file of ids, or a filter that matches rows; none were given",
        ),
        (2, ("index", "evaluate", "my.index", "--sweep", "x.txt"), "x.txt: expected a picture's name"),
        (
            3,
            ("index", "evaluate", "codes", "-k", "2"),
            "codes: holds codes alone, so that there is no truth to compare",
        ),
        (
            3,
            ("index", "evaluate", "my.index", "less.index", "-k", "2"),
            "less.index is of euclidean, 29 rows of dim 4, my.index of euclidean, 30 rows of dim 4: expected",
        ),
        (3, ("index", "evaluate", "my.index", "other.index", "-k", "2"), "other.index and my.index hold other vectors"),
        (3, ("index", "evaluate", "my.index", "-k", "30"), "found 30 rows, expected more than k = 30"),
        (2, ("index", "export", "emb.npy", "--metric", "l1", "-o", "x.hdf5"), "ann-benchmarks has no manhattan"),
        (
            2,
            ("index", "export", "emb.npy", "--test", "30", "-o", "x.hdf5"),
            "--test: expected a number from 1 to 29, fewer than the rows, got 30",
        ),
    ],
)
def test_what_is_wrong_is_named(built: Workplace, code: int, arguments: tuple, said: str) -> None:
    built.save("wide.npy", np.ones((1, 5), np.float32))
    built.lines("short.jsonl", [{"id": i} for i in range(3)])
    built.lines("twice.jsonl", [{"id": i // 2} for i in range(30)])
    assert built("neighbors", "emb.npy", "-o", "graph").code == 0
    if "evaluate" in arguments:
        built.save("other.npy", -built.vectors)
        codes = ("--type", "pq", "--set", "n_bits=2", "--set", "keep_vectors=false")
        for more in (("emb.npy", "-o", "codes", *codes), ("other.npy", "-o", "other.index")):
            assert built("index", "build", *more).code == 0
        assert built("index", "remove", "my.index", "--id", 0, "-o", "less.index").code == 0
    assert said in built.refuses(code, *arguments)


def spread(n: int, dim: int) -> np.ndarray:
    return np.random.default_rng(4).normal(size=(n, dim)).astype(np.float32)


def test_evaluation_counts_what_is_found_and_how_far_it_is() -> None:
    vectors = spread(3_000, 24)
    exact = Exact().fit(vectors)
    asked = questions(exact, 10, n_queries=200)
    assert asked.rows is not None
    perfect = evaluate(exact, asked)
    assert (perfect.recall, perfect.distance_error, perfect.n_queries) == (1.0, 0.0, 200)
    assert perfect.vector_bytes == 24 * 4 and perfect.queries_per_second > 0
    graph = HNSW(M=4, ef_construction=20, ef_search=10).fit(vectors)
    poor = evaluate(graph, asked)
    found = graph.search(vectors[asked.rows], 11)
    truth, distances = brute_force(vectors, None, 10, "euclidean")
    others = [[row for row in rows if row != own][:10] for rows, own in zip(found.indices, asked.rows, strict=True)]
    share = np.mean([len(set(a) & set(truth[own])) / 10 for a, own in zip(others, asked.rows, strict=True)])
    assert poor.recall == pytest.approx(share) and 0.2 < poor.recall < 0.95
    far = np.sort(
        [
            [np.linalg.norm(vectors[a] - vectors[own]) for a in rows]
            for rows, own in zip(others, asked.rows, strict=True)
        ]
    )
    true = distances[asked.rows]
    assert poor.distance_error == pytest.approx((far - true).sum() / true.sum(), rel=1e-3)
    curve = list(sweep(graph, asked))
    recalls = [one.recall for one in curve]
    assert recalls[-1] > 0.9 and recalls[-1] > recalls[0] and graph.settings["ef_search"] == 10
    held_out = evaluate(exact, questions(exact, 5, queries=spread(3_020, 24)[-20:]))
    assert held_out.recall == 1 and held_out.n_queries == 20


def test_codes_alone_are_measured_beside_an_index_with_the_vectors(work: Workplace) -> None:
    vectors = spread(900, 8)
    work.save("wide.npy", vectors)
    assert work("index", "build", "wide.npy", "--type", "exact", "-o", "exact.index").code == 0
    assert work("index", "export", "wide.npy", "--test", 50, "-o", "set.hdf5").code == 0
    for source, name in (("wide.npy", "codes.index"), ("set.hdf5", "set.index")):
        settings = ("--set", "keep_vectors=false", "--set", "n_bits=4")
        assert work("index", "build", source, "--type", "pq", *settings, "-o", name).code == 0
    answer = work("index", "evaluate", "codes.index", "exact.index", "-k", 5, "--queries", "wide.npy", "--json")
    codes = answer.records[0]
    found = load_index(work.folder / "codes.index").search(vectors, 5).indices
    truth, distances = brute_force(vectors, vectors, 5, "euclidean")
    share = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(found, truth, strict=True)])
    far = np.linalg.norm(vectors[found] - vectors[:, None], axis=2)
    assert codes["recall"] == pytest.approx(share) and 0.3 < share < 0.95 and answer.records[1]["recall"] == 1
    assert codes["distance_error"] == pytest.approx((far - distances).sum() / distances.sum(), rel=1e-4)
    assert codes["vector_bytes"] == 0 and codes["engine_bytes"] > 0
    alone = work("index", "evaluate", "set.index", "-k", 5, "--queries", "set.hdf5", "--json").records[0]
    assert 0.3 < alone["recall"] < 0.95 and alone["n_queries"] == 50


def test_every_index_tells_its_size(tmp_path: Path) -> None:
    vectors = spread(400, 8)
    for kind in INDEXES:
        bits = "euclidean" not in kind.metrics
        rows = np.packbits(vectors > 0, axis=1) if bits else vectors
        kind(metric="hamming" if bits else "euclidean").fit(rows).save(tmp_path / kind.name)
        size = load_index(tmp_path / kind.name).engine_bytes
        assert size >= 400 * 2 or bits or not isas(), (kind.name, size)


def test_the_command_draws_several_indexes_in_one_picture(work: Workplace) -> None:
    work.save("wide.npy", spread(800, 8))
    for kind in ("hnsw", "ivf", "exact"):
        assert work("index", "build", "wide.npy", "--type", kind, "-o", f"{kind}.index").code == 0
    names = [f"{kind}.index" for kind in ("hnsw", "ivf", "exact")]
    answer = work("index", "evaluate", *names, "-k", 5, "--n-queries", 50, "--sweep", "curve.svg", "--json")
    assert answer.code == 0 and {record["type"] for record in answer.records} == {"hnsw", "ivf", "exact"}
    picture = (work.folder / "curve.svg").read_text()
    assert all(name in picture for name in names) and "recall@5" in picture
    table = work("index", "evaluate", *names, "-k", 5, "--n-queries", 50)
    assert table.out.count("\n") == 4 and "exact.index" in table.out and "1.0000" in table.out


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "hamming"])
def test_files_of_ann_benchmarks_are_written_and_read(work: Workplace, metric: str) -> None:
    vectors = spread(300, 16)
    if metric == "hamming":
        vectors = np.packbits(vectors > 0, axis=1)
    work.save("all.npy", vectors)
    assert work("index", "export", "all.npy", "--metric", metric, "--test", 40, "-o", "set.hdf5").code == 0
    with h5py.File(work.folder / "set.hdf5") as file:
        theirs = {name: file[name][()] for name in ("train", "test", "neighbors", "distances")}
        attributes = dict(file.attrs)
    assert theirs["train"].shape == (260, 16) and theirs["distances"].shape == (40, 100)
    assert attributes["distance"] == {"cosine": "angular"}.get(metric, metric) and attributes["dimension"] == 16
    a, b = theirs["test"].astype(float)[:, None], theirs["train"].astype(float)[None]
    pairs = {
        "cosine": lambda: 1 - (a * b).sum(2) / np.linalg.norm(a, axis=2) / np.linalg.norm(b, axis=2),
        "euclidean": lambda: np.sqrt(((a - b) ** 2).sum(2)),
        "hamming": lambda: (a != b).mean(2),
    }[metric]()
    np.testing.assert_allclose(theirs["distances"], np.sort(pairs, axis=1)[:, :100], rtol=1e-5, atol=1e-7)
    found = read(work.folder / "set.hdf5")
    assert found.metric == metric
    _, distances = brute_force(found.train, found.test, 100, metric)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5, atol=1e-6)
    assert work("index", "build", "set.hdf5", "--type", "exact", "-o", "set.index").code == 0
    answer = work("index", "evaluate", "set.index", "--queries", "set.hdf5", "-k", 20, "--json")
    assert answer.records[0]["recall"] == 1.0 and answer.records[0]["n_queries"] == 40
    for ask in (("evaluate", "set.index"), ("export", "emb.npy", "-o", "x.hdf5")):
        assert "--seed: expected a whole number from 0 on, got -1" in work.refuses(2, "index", *ask, "--seed", -1)
    said = work.refuses(2, "index", "build", "set.hdf5", "--metric", "l1", "-o", "x")
    assert f"set.hdf5 is of {metric}, got l1" in said


def test_files_in_another_form_than_ann_benchmarks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.hdf5").write_bytes(b"not this")
    with pytest.raises(DataError, match=r"x\.hdf5: not a readable HDF5 file"):
        read(tmp_path / "x.hdf5")
    with h5py.File(tmp_path / "y.hdf5", "w") as file:
        file["train"] = np.ones((2, 2))
    with pytest.raises(DataError, match=r"y\.hdf5: holds no test, neighbors, distances"):
        read(tmp_path / "y.hdf5")
    write(tmp_path / "z.hdf5", spread(30, 4), spread(3, 4), "euclidean")
    with h5py.File(tmp_path / "z.hdf5", "a") as file:
        file.attrs["distance"] = "angle"
    with pytest.raises(DataError, match="unknown distance 'angle'"):
        read(tmp_path / "z.hdf5")
    with pytest.raises(UsageError, match="exists already"):
        write(tmp_path / "z.hdf5", spread(30, 4), spread(3, 4), "euclidean")


def test_python_builds_and_searches_as_the_commands_do(work: Workplace) -> None:
    from vicinal.tasks import index as indexes
    from vicinal.tasks.search import search

    records = [{"id": f"r{i}", "kind": "ab"[i % 2], "n": i} for i in range(30)]
    work.lines("d.jsonl", records)
    assert work("index", "build", "emb.npy", "--data", "d.jsonl", "-o", "by.command").code == 0
    ask = ("-k", 3, "--query-id", "r4", "--query-row", 7, "--where", 'kind = "a"')
    expected = work("search", "by.command", *ask).records
    columns = {name: [record[name] for record in records] for name in ("id", "kind", "n")}
    tables = [
        {**columns, "embedding": work.vectors.tolist()},
        pandas.DataFrame({**columns, "embedding": list(work.vectors)}),
        polars.DataFrame({**columns, "embedding": work.vectors}),
        polars.DataFrame({**columns, "embedding": work.vectors}, schema_overrides={"kind": polars.Categorical}),
    ]
    built = [indexes.index(data=table) for table in tables]
    built.append(indexes.index(data="d.jsonl", embeddings="emb.npy", output="by.python"))
    payload = {name: columns[name] for name in ("kind", "n")}
    built.append(indexes.index(data=work.vectors, ids=columns["id"], payload=payload))
    for one in (*built, "by.python", "by.command"):
        hits = search(one, k=3, query_ids=["r4"], query_rows=[7], where='kind = "a"')
        assert list(hits.records()) == expected
    assert hits.to_pandas()["kind"].tolist() == ["a"] * 6
    plain = search(tables[1], work.vectors[:2], k=1)
    assert (plain.ids, plain["distance"].tolist()) == (["r0", "r1"], [0.0, 0.0])
    assert search("emb.npy", "emb.npy", k=1).ids == list(range(30))


def test_vectors_of_another_model_are_refused_wherever_an_index_meets_them(work: Workplace) -> None:
    """The notes beside the arrays say which model made them; an index keeps that of its rows."""
    from vicinal.tasks import index as indexes
    from vicinal.tasks.search import search

    def note(array: str, model: str, normalized: bool = False) -> None:
        work.save(array, work.vectors)
        about = {"format": "vicinal.embeddings", "format_version": 1, "data": "x", "data_sha256": "", "ids_sha256": ""}
        text = json.dumps({**about, "rows": 30, "model": model, "normalized": normalized})
        work.write(f"{array}.json", text)

    for array, model, normalized in (("one.npy", "m1", False), ("other.npy", "m2", False), ("unit.npy", "m1", True)):
        note(array, model, normalized)
    assert work("index", "build", "one.npy", "-o", "one.index").code == 0
    assert work("search", "one.index", "--queries", "one.npy", "-k", 1).code == 0
    assert work("search", "one.index", "--queries", "emb.npy", "-k", 1).code == 0  # without a note it is taken
    before = (work.folder / "one.index" / "manifest.json").read_bytes()
    for array in ("other.npy", "unit.npy"):
        for command in (
            ("index", "add", "one.index", array),
            ("search", "one.index", "--queries", array),
            ("search", "one.index", "--queries", array, "--by", "svm"),
            ("index", "evaluate", "one.index", "--queries", array, "-k", 2),
            ("index", "export", "one.npy", "--test", array, "-o", "set.hdf5"),
        ):
            assert "so their rows have no distances to each other" in work.refuses(3, *command)
        with pytest.raises(DataError, match=r"but the rows of one\.index by m1"):
            search("one.index", array)
        with pytest.raises(UsageError, match="the rows of the index were embedded by m1, got m2; leave the model out"):
            search("one.index", query_texts=["a text"], model="m2")
        with pytest.raises(DataError, match="but the rows of the index by m1"):
            indexes.add_to_index(indexes.index(data="one.npy"), array)
    assert (work.folder / "one.index" / "manifest.json").read_bytes() == before

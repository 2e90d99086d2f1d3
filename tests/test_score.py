"""`vicinal score`: right numbers in the right order, in every form of input and output."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from vicinal import Exact, KNNScorer
from vicinal.knn.kernels.native import isas
from workplace import Workplace, agree, distances, read_table, true_scores

NESTED = """\
input_path: data.jsonl
output_path: results/
num_gpu: 1-8
data_with_id: true
scorers:
- {name: KNNScorer, k: 10, distance_metric: cosine, max_workers: 128, embedding_path: emb.npy}
- {name: KNNScorer, sub_name: knn5, k: 5, distance_metric: cosine, embedding_path: emb.npy, num_gpu_per_job: 0}
- {name: KNNScorer, k: 3, distance_metric: l1, embedding_path: emb.npy}
- {name: KNNScorer, k: 2, embedding_path: other.npy}
"""


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("k", [1, 5, 29])
def test_the_scores_are_the_mean_distances_to_the_k_nearest_others(work: Workplace, metric: str, k: int) -> None:
    answer = work.score("-k", k, "--metric", metric)
    assert (answer.code, answer.err) == (0, "")
    assert [record["id"] for record in answer.records] == work.ids
    assert all(record.keys() == {"id", "score"} for record in answer.records)
    agree(answer.scores, true_scores(work.vectors, k, metric))


def test_a_score_that_can_be_checked_by_hand(work: Workplace) -> None:
    work.save("hand.npy", [[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    work.lines("hand.jsonl", [{"id": "a"}, {"id": 7}, {"id": "c"}])
    answer = work.score("-k", 2, data="hand.jsonl", embeddings="hand.npy")
    # a: (1 + 5) / 2; 7: (sqrt(18) + 5) / 2; c: (1 + sqrt(18)) / 2
    assert answer.out == '{"id": "a", "score": 3.0}\n{"id": 7, "score": 4.6213202}\n{"id": "c", "score": 2.6213202}\n'


def test_defaults_are_five_euclidean_neighbours(work: Workplace) -> None:
    agree(work.score().scores, true_scores(work.vectors, 5))


def test_python_gives_what_the_command_gives(work: Workplace) -> None:
    found = KNNScorer(k=3, metric="cosine").score(work.vectors)
    assert found.dtype == np.float32 and found.shape == (30,)
    typed = np.array(work.score("-k", 3, "--metric", "cosine").scores, np.float64)
    np.testing.assert_array_equal(typed.astype(np.float32), found)  # to the last bit


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.csv", "o.parquet"])
def test_every_kind_of_output_holds_the_same_ids_and_scores(work: Workplace, name: str) -> None:
    answer = work.score("-o", name)
    assert (answer.code, answer.out) == (0, "") and answer.err.startswith("vicinal: 30 rows scored in ")
    rows = read_table(work.folder / name)
    assert [int(row["id"]) for row in rows] == work.ids
    np.testing.assert_array_equal(
        np.array([float(row["score"]) for row in rows]).astype(np.float32),
        np.array(work.score().scores).astype(np.float32),
    )
    assert work.files() == {"data.jsonl", "emb.npy", name}


@pytest.mark.parametrize("name", ["d.jsonl.gz", "d.csv", "d.parquet"])
def test_every_kind_of_data_set_gives_the_same_scores(work: Workplace, name: str) -> None:
    ids: list[Any] = [str(one) for one in work.ids]
    if name == "d.csv":
        work.write(name, "id,text\n" + "".join(f'{one},"a ""text"",\nwith lines"\n' for one in ids))
    elif name == "d.parquet":
        ids = work.ids
        pyarrow.parquet.write_table(pyarrow.table({"id": ids, "text": ["t"] * 30}), name)
    else:
        work.write(name, gzip.compress("".join(json.dumps({"id": one}) + "\n" for one in ids).encode()))
    answer = work.score(data=name)
    assert [record["id"] for record in answer.records] == ids
    assert answer.scores == work.score().scores


def test_string_ids_in_parquet_and_odd_ids_in_json_come_out_as_they_went_in(work: Workplace) -> None:
    odd = ["\ufffd", "ü", "", 2**80, -1, "7", 7, "a\nb", *range(100, 122)]
    work.lines("odd.jsonl", [{"id": one} for one in odd])
    assert [record["id"] for record in work.score(data="odd.jsonl").records] == odd
    words = [f"id {i}" for i in range(30)]
    work.lines("words.jsonl", [{"id": one} for one in words])
    assert work.score("-o", "o.parquet", data="words.jsonl").code == 0
    assert [row["id"] for row in read_table(work.folder / "o.parquet")] == words


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "<i8", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_scores_are_those_of_the_values_in_the_file(work: Workplace, dtype: str, order: str) -> None:
    values = np.abs(work.vectors * 40).astype(dtype, order=order)  # type: ignore[call-overload]
    work.save("typed.npy", values)
    agree(work.score(embeddings="typed.npy").scores, true_scores(values, 5))


def test_far_from_the_origin_the_scores_are_still_right(work: Workplace) -> None:
    work.save("far.npy", work.vectors.astype(np.float64) + 1e8)
    far = np.load("far.npy")
    agree(work.score(embeddings="far.npy").scores, true_scores(far - 1e8, 5))


def test_the_order_of_the_rows_does_not_change_a_score(work: Workplace) -> None:
    plain = dict(zip(work.ids, work.score().scores, strict=True))
    order = np.random.default_rng(5).permutation(30)
    work.save("p.npy", work.vectors[order])
    work.lines("p.jsonl", [{"id": work.ids[row]} for row in order])
    shuffled = work.score(data="p.jsonl", embeddings="p.npy").records
    assert [record["id"] for record in shuffled] == [work.ids[row] for row in order]
    assert {record["id"]: record["score"] for record in shuffled} == plain


def test_the_number_of_threads_does_not_change_a_byte(work: Workplace) -> None:
    outputs = {work.score("--threads", threads).out for threads in (1, 2, 7)}
    assert len(outputs) == 1


def test_the_flat_form_writes_what_the_options_write(work: Workplace) -> None:
    text = "name: KNNScorer\nembedding_path: emb.npy\nk: 4\ndistance_metric: cityblock\nmax_workers: 8\n"
    work.write("knn.yaml", text)
    assert work("score", "data.jsonl", "--config", "knn.yaml", "-o", "o.jsonl").code == 0
    rows = read_table(work.folder / "o.jsonl")
    agree([row["score"] for row in rows], true_scores(work.vectors, 4, "manhattan"))
    overridden = work("score", "data.jsonl", "--config", "knn.yaml", "-k", 2, "--metric", "cosine")
    agree(overridden.scores, true_scores(work.vectors, 2, "cosine"))


def test_the_nested_form_writes_every_scorer_in_one_line_a_row(work: Workplace) -> None:
    other = work.vectors[::-1] ** 3
    work.save("other.npy", other)
    work.write("oda.yaml", NESTED)
    answer = work("score", "--config", "oda.yaml")
    assert (answer.code, answer.out) == (0, "")
    assert {path.name for path in Path("results").iterdir()} == {"pointwise_scores.jsonl"}
    rows = read_table(work.folder / "results" / "pointwise_scores.jsonl")
    assert [row["id"] for row in rows] == work.ids
    truth = {
        "KNNScorer": true_scores(work.vectors, 10, "cosine"),
        "knn5": true_scores(work.vectors, 5, "cosine"),
        "KNNScorer_2": true_scores(work.vectors, 3, "manhattan"),
        "KNNScorer_3": true_scores(other, 2),
    }
    for row in rows:
        assert row.keys() == {"id", "scores"} and list(row["scores"]) == list(truth)
        assert all(cell.keys() == {"score"} for cell in row["scores"].values())
    for label, expected in truth.items():
        agree([row["scores"][label]["score"] for row in rows], expected)


def test_scorers_that_share_embeddings_and_metric_share_one_pass_at_the_largest_k(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.save("other.npy", work.vectors**3)
    work.write("oda.yaml", NESTED.replace("k: 2, embedding_path: other.npy", "k: 2, embedding_path: ./emb.npy"))
    passes, real = [], Exact.neighbors

    def counted(self: Exact, k: int, *rest: Any, **named: Any) -> Any:
        passes.append((self.metric.name, k))
        return real(self, k, *rest, **named)

    monkeypatch.setattr(Exact, "neighbors", counted)
    assert work("score", "--config", "oda.yaml").code == 0
    assert passes == [("cosine", 10), ("manhattan", 3), ("euclidean", 2)]


def test_nested_results_may_join_what_is_in_the_folder_but_not_replace_it(work: Workplace) -> None:
    work.save("other.npy", work.vectors)
    work.write("oda.yaml", NESTED.replace("results/", "deep/er/results"))
    assert work("score", "--config", "oda.yaml").code == 0  # folders are made
    results = work.folder / "deep" / "er" / "results"
    (results / "mine.txt").write_text("mine")
    said = work.refuses(2, "score", "--config", "oda.yaml")
    assert said.startswith("deep/er/results/pointwise_scores.jsonl: exists already; name another output or add")
    assert work("score", "--config", "oda.yaml", "--overwrite", "-k", "1").code == 0
    assert {path.name for path in results.iterdir()} == {"mine.txt", "pointwise_scores.jsonl"}
    agree(
        [row["scores"]["knn5"]["score"] for row in read_table(results / "pointwise_scores.jsonl")],
        true_scores(work.vectors, 1, "cosine"),
    )


def test_paths_of_a_configuration_elsewhere_are_found_beside_it(work: Workplace) -> None:
    place = work.folder / "place"
    place.mkdir()
    for name in ("data.jsonl", "emb.npy"):
        (work.folder / name).rename(place / name)
    text = "input_path: data.jsonl\noutput_path: out\nscorers: [{name: KNNScorer, embedding_path: emb.npy}]\n"
    (place / "oda.yaml").write_text(text)
    assert work("score", "--config", "place/oda.yaml").code == 0
    assert (work.folder / "out" / "pointwise_scores.jsonl").is_file()  # outputs go to the working directory


def test_a_saved_graph_gives_the_same_bytes_as_the_embeddings(work: Workplace) -> None:
    saved = work("neighbors", "emb.npy", "-k", 8, "-o", "graph", "--metric", "cosine")
    assert (saved.code, saved.out) == (0, "") and saved.err.startswith("vicinal: 8 neighbours of 30 rows in ")
    truth = distances(work.vectors, "cosine")
    np.fill_diagonal(truth, np.inf)
    np.testing.assert_array_equal(np.load("graph/indices.npy"), np.argsort(truth, axis=1, kind="stable")[:, :8])
    for k in (1, 5, 8):
        expected = work.score("-k", k, "--metric", "cosine").out
        assert work("score", "data.jsonl", "--neighbors", "graph", "-k", k).out == expected
        typed = work("score", "data.jsonl", "--neighbors", "graph/", "-k", k, "--metric", "cosine")
        assert (typed.out, typed.err) == (expected, "")


def test_a_graph_serves_every_scorer_of_the_nested_form(work: Workplace) -> None:
    work("neighbors", "emb.npy", "-k", 8, "-o", "graph")
    scorers = "[{name: KNNScorer, k: 3}, {name: KNNScorer, k: 8}]"
    work.write("oda.yaml", f"input_path: data.jsonl\noutput_path: out\nscorers: {scorers}\n")
    assert work("score", "--config", "oda.yaml", "--neighbors", "graph").code == 0
    rows = read_table(work.folder / "out" / "pointwise_scores.jsonl")
    for label, k in (("KNNScorer", 3), ("KNNScorer_2", 8)):
        agree([row["scores"][label]["score"] for row in rows], true_scores(work.vectors, k))


def test_a_graph_that_does_not_answer_the_question_is_refused(work: Workplace) -> None:
    work("neighbors", "emb.npy", "-k", 4, "-o", "graph")
    ask = ("score", "data.jsonl", "--neighbors", "graph")
    assert work.refuses(2, *ask) == (
        "graph: holds 4 neighbours a row, expected at least k = 5; compute them again with -k 5 (in Python: k=5), or "
        "give a smaller k"
    )
    assert work.refuses(2, *ask, "-k", 2, "--metric", "cosine") == (
        "graph: holds euclidean neighbours, expected cosine; compute them again with --metric cosine (in Python: "
        "metric='cosine'), or leave the metric out"
    )
    work.lines("short.jsonl", [{"id": i} for i in range(29)])
    said = work.refuses(3, "score", "short.jsonl", "--neighbors", "graph", "-k", 2)
    assert said.startswith("short.jsonl has 29 rows, but graph has 30;")
    for name in ("none", "emb.npy"):
        said = work.refuses(2, "score", "data.jsonl", "--neighbors", name)
        assert said == f"{name}: expected a folder written by `vicinal neighbors`, found no folder there"
    (work.folder / "empty").mkdir()
    assert "empty/manifest.json: cannot be read" in work.refuses(3, "score", "data.jsonl", "--neighbors", "empty")


def invalid(work: Workplace, metric: str) -> dict[int, str]:
    """Puts rows without a distance into `bad.npy`, and gives the words that their errors hold."""
    vectors = work.vectors.copy()
    vectors[[0, 29]] = np.nan
    vectors[7, 3] = np.inf
    vectors[8, 2] = -np.inf
    vectors[11] = 2e37
    wrong = {0: "NaN or infinite", 7: "NaN or infinite", 8: "NaN or infinite", 11: "beyond 1e+37", 29: "NaN"}
    if metric == "cosine":
        vectors[20] = 0
        wrong[20] = "zero vector"
    work.save("bad.npy", vectors)
    return wrong


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("way", ["embeddings", "graph"])
def test_invalid_rows_get_null_and_take_part_in_nobodys_neighbours(work: Workplace, metric: str, way: str) -> None:
    wrong = invalid(work, metric)
    options = ["-k", 4, "--metric", metric, "--on-invalid", "null"]
    if way == "embeddings":
        answer = work.score(*options, embeddings="bad.npy")
    else:
        assert work("neighbors", "bad.npy", "-o", "graph", *options).code == 0
        answer = work("score", "data.jsonl", "--neighbors", "graph", *options)
    assert answer.code == 0
    rest = [row for row in range(30) if row not in wrong]
    agree([answer.scores[row] for row in rest], true_scores(np.load("bad.npy")[rest], 4, metric))
    for row, record in enumerate(answer.records):
        assert record["id"] == work.ids[row]
        if row in wrong:
            assert record["score"] is None and record.keys() == {"id", "score", "error"}
            assert (wrong[row] if way == "embeddings" else "no neighbours") in record["error"]
        else:
            assert record.keys() == {"id", "score"}


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_tables_with_columns_have_one_for_errors_where_there_are_any(work: Workplace, name: str) -> None:
    wrong = invalid(work, "euclidean")
    assert work.score("-o", name, "--on-invalid", "null", embeddings="bad.npy").code == 0
    rows = read_table(work.folder / name)
    assert {row for row, record in enumerate(rows) if record["error"]} == set(wrong)
    assert all(record["score"] in (None, "") for record in (rows[row] for row in wrong))
    assert list(rows[1]) == ["id", "score", "error"]


def test_a_graph_of_few_valid_rows_is_used_as_far_as_it_goes(work: Workplace) -> None:
    vectors = work.vectors[:6].copy()
    vectors[5] = np.nan
    work.save("few.npy", vectors)
    work.lines("few.jsonl", [{"id": i} for i in range(6)])
    assert work("neighbors", "few.npy", "-k", 9, "-o", "graph", "--on-invalid", "null").code == 0
    answer = work("score", "few.jsonl", "--neighbors", "graph", "-k", 5, "--on-invalid", "null")
    assert answer.code == 0 and "k = 5, but a row has only 4 others; using k = 4" in answer.err
    agree(answer.scores[:5], true_scores(vectors[:5], 4))
    assert answer.scores[5] is None


def test_too_few_valid_rows_are_an_error_that_says_so(work: Workplace) -> None:
    vectors = np.full((30, 4), np.nan)
    work.save("bad.npy", vectors)
    ask = ("score", "data.jsonl", "--embeddings", "bad.npy", "--on-invalid", "null")
    assert "bad.npy: 0 of 30 rows can be used (NaN or infinite value), expected at least 2" in work.refuses(3, *ask)
    vectors[4] = 1
    work.save("bad.npy", vectors)
    assert "bad.npy: 1 of 30 rows can be used" in work.refuses(3, *ask)


def test_distances_beyond_float32_are_an_error_or_null(work: Workplace) -> None:
    vectors = work.vectors.astype(np.float64)
    vectors[3] *= 1e25
    work.save("far.npy", vectors)
    ask = ("score", "data.jsonl", "--embeddings", "far.npy", "--metric", "sqeuclidean")
    said = work.refuses(3, *ask)
    assert "far.npy: 1 row cannot be used (1 with a distance too large for float32; scale" in said and ": 30)" in said
    answer = work(*ask, "--on-invalid", "null")
    assert answer.scores[3] is None and "too large for float32" in answer.records[3]["error"]
    assert all(score is not None for row, score in enumerate(answer.scores) if row != 3)


def test_more_copies_than_k_score_zero(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[5:15] = vectors[5]
    work.save("copies.npy", vectors)
    scores = work.score(embeddings="copies.npy").scores
    assert scores[5:15] == [0.0] * 10
    agree(scores, true_scores(vectors, 5))


def test_two_rows_are_enough(work: Workplace) -> None:
    work.save("two.npy", [[0.0], [2.5]])
    work.lines("two.jsonl", [{"id": "a"}, {"id": "b"}])
    answer = work.score("-k", 1, data="two.jsonl", embeddings="two.npy")
    assert (answer.out, answer.err) == ('{"id": "a", "score": 2.5}\n{"id": "b", "score": 2.5}\n', "")


@pytest.mark.parametrize("forced", ["", *isas()])
def test_the_engine_is_named(work: Workplace, forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VICINAL_ISA", forced)
    summary = json.loads(work("score", "data.jsonl", "--embeddings", "emb.npy", "--json", "-o", "o.jsonl").out)
    expected = forced or next(iter(isas()), "")
    assert summary["engine"].startswith(f"native ({expected})" if expected else "blas (faiss ")


def test_too_large_a_k_for_the_memory_is_an_error_that_says_how_much(work: Workplace, monkeypatch: Any) -> None:
    def too_large(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("vicinal.knn.kernels.native.Native.self_join", too_large)
    monkeypatch.setattr("vicinal.knn.kernels.blas.Blas.self_join", too_large)
    said = work.refuses(2, "score", "data.jsonl", "--embeddings", "emb.npy", "-k", "20")
    assert said.startswith("not enough memory: not for 20 neighbours of 30 rows, which take 7.0 KiB, but for the vec")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scorers": [{"k": "five"}]}, "scorers.0.label: missing"),
        ({"data": {}}, "data: expected list, found {}"),
        ({"data": []}, "passes: expected each of 1 scorers once, found [0]"),
        ({"passes": [{"metric": "euclidean", "dim": "4", "scorers": [0]}]}, "passes.0.dim: expected int, found '4'"),
        ({"passes": [{"metric": "euclidean", "dim": 4, "scorers": [7]}]}, "passes: expected each of 1 scorers once"),
        ({"references": [3]}, "references.0: expected dict, found 3"),
    ],
)
def test_a_kept_run_whose_manifest_has_other_types_is_refused(work: Workplace, change: dict, said: str) -> None:
    assert work("score", "data.jsonl", "--embeddings", "emb.npy", "--run", "run").code == 0
    manifest = json.loads((work.folder / "run/manifest.json").read_text())
    (work.folder / "run/manifest.json").write_text(json.dumps({**manifest, **change}))
    found = work.refuses(3, "report", "run", "-o", "page.html")
    assert found.startswith("run/manifest.json: not a manifest of a kept run: ") and said in found

"""Exact neighbours against the float64 oracle: the same rows in the same order, and the same float32 distances."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vicinal
from oracle import HARD, brute_force, hard_data
from vicinal import Exact
from vicinal.errors import DataError, NotFitted, UsageError
from vicinal.kernels import blas
from vicinal.metrics import METRICS, find

NAMES = [metric.name for metric in METRICS]


def without_zero_rows(vectors: np.ndarray, metric: str) -> np.ndarray:
    return vectors[(vectors != 0).any(axis=1)] if find(metric).nonzero else vectors


def agree(found: vicinal.Neighbors, indices: np.ndarray, distances: np.ndarray) -> None:
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.distances, distances)


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize(("n", "dim", "k"), [(2, 1, 1), (60, 3, 7), (300, 13, 5), (500, 65, 20)])
def test_self_join_equals_the_oracle(kind: str, metric: str, n: int, dim: int, k: int) -> None:
    vectors = without_zero_rows(hard_data(kind, n, dim), metric)
    agree(Exact(metric).fit(vectors).neighbors(k), *brute_force(vectors, None, k, metric))


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", HARD)
def test_search_equals_the_oracle(kind: str, metric: str) -> None:
    vectors = without_zero_rows(hard_data(kind, 300, 9), metric)
    queries = np.concatenate([without_zero_rows(hard_data(kind, 20, 9, seed=1), metric), vectors[:20]])
    agree(Exact(metric).fit(vectors).search(queries, 11), *brute_force(vectors, queries, 11, metric))


@st.composite
def data(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    n, dim = draw(st.integers(2, 40)), draw(st.integers(1, 20))
    seed = draw(st.integers(0, 1 << 30))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32]))
    random = np.random.default_rng(seed)
    vectors = random.integers(1, 100, (n, dim)) if draw(st.booleans()) else random.normal(size=(n, dim)) * 20 + 1e-3
    vectors = vectors[random.integers(0, draw(st.integers(1, n)), n)] + draw(st.sampled_from([0, 0, 1, 7]))
    vectors = vectors.astype(dtype)
    vectors[~(vectors != 0).any(axis=1)] = 1
    return vectors, draw(st.integers(1, n + 3))


@settings(max_examples=300, deadline=None)
@given(data(), st.sampled_from(NAMES))
def test_any_size_dtype_and_copies(drawn: tuple[np.ndarray, int], metric: str) -> None:
    vectors, k = drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Exact(metric).fit(vectors).neighbors(k)
    agree(found, *brute_force(vectors, None, k, metric))


@pytest.mark.parametrize("metric", NAMES)
def test_a_metric_agrees_with_scipy(metric: str) -> None:
    from scipy.spatial.distance import cdist

    a, b = hard_data("plain", 40, 17), hard_data("plain", 30, 17, seed=1)
    other = {"manhattan": "cityblock"}.get(metric, metric)
    np.testing.assert_allclose(find(metric).pairwise(a, b), cdist(a, b, other), rtol=1e-12)


@pytest.mark.parametrize("metric", NAMES)
def test_stored_rows_in_many_blocks_and_queries_in_many_blocks(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = hard_data("40 % copies of one row", 400, 8)
    whole = Exact(metric).fit(vectors).neighbors(9)
    for name, value in [("CACHE_BYTES", 32 * 50), ("BLOCK_WORK", 1), ("MEASURE_BYTES", 512), ("RESOLVE_BYTES", 1024)]:
        monkeypatch.setattr(blas, name, value)
    agree(Exact(metric).fit(vectors).neighbors(9), whole.indices, whole.distances)


@pytest.mark.parametrize("metric", NAMES)
def test_the_float64_ranking_alone_is_exact(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no query ever certified, everything goes through the last step."""
    monkeypatch.setattr(blas.Blas, "_certified", lambda self, kth, worst, norms: np.zeros(len(kth), dtype=bool))
    for kind in ("plain", "offset by 1e8", "rows within 1e-7 of two centres"):
        vectors = hard_data(kind, 200, 12)
        agree(Exact(metric).fit(vectors).neighbors(4), *brute_force(vectors, None, 4, metric))


@pytest.mark.parametrize("metric", NAMES)
def test_the_certificate_is_a_proof(metric: str) -> None:
    """Float32 ranks differ from the true ones by less than the certificate allows, on data made to provoke it."""
    import faiss

    for kind in HARD:
        vectors = without_zero_rows(hard_data(kind, 200, 64), metric)
        kernel = blas.Blas(vectors, find(metric), 1)
        rows = np.arange(len(kernel._rows))
        prepared = kernel._prepared(vectors, kernel._rows)
        queries32, norms = kernel._as_float32(prepared)
        kind_of_rank = faiss.METRIC_L1 if metric == "manhattan" else faiss.METRIC_L2
        ranks, found = faiss.knn(queries32, kernel._cached, len(rows), metric=kind_of_rank)
        for query in rows:
            true = kernel._metric.measure(prepared[query], prepared[found[query]])
            wrong = np.abs(ranks[query].astype(np.float64) - true * kernel._unit)
            assert (wrong <= kernel._error(true, norms[query])).all(), kind


def test_the_answer_does_not_depend_on_threads() -> None:
    vectors = hard_data("float32", 3000, 24)
    one, four = (Exact("euclidean", threads).fit(vectors).neighbors(6) for threads in (1, 4))
    agree(one, four.indices, four.distances)


def test_the_answer_follows_the_rows_when_they_are_shuffled() -> None:
    vectors = hard_data("plain", 500, 10)
    order = np.random.default_rng(1).permutation(500)
    plain, shuffled = vicinal.neighbors(vectors, 5), vicinal.neighbors(vectors[order], 5)
    np.testing.assert_array_equal(order[shuffled.indices], plain.indices[order])
    np.testing.assert_array_equal(shuffled.distances, plain.distances[order])


def test_memory_mapped_vectors_are_read_in_place(tmp_path: Path) -> None:
    vectors = hard_data("float16", 200, 16)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    agree(Exact().fit(mapped).neighbors(3), *brute_force(vectors, None, 3, "euclidean"))


def test_more_copies_than_k_give_the_lowest_other_rows_at_distance_0() -> None:
    vectors = np.array([[5.0], [1], [5], [5], [1], [5]])
    found = vicinal.neighbors(vectors, 2)
    assert found.indices.tolist() == [[2, 3], [4, 0], [0, 3], [0, 2], [1, 0], [0, 2]]
    assert found.distances.tolist() == [[0, 0], [0, 4], [0, 0], [0, 0], [0, 4], [0, 0]]


def test_queries_far_outside_the_stored_range() -> None:
    vectors = hard_data("plain", 100, 5)
    queries = np.array([[1e30] * 5, [-1e20] * 5, [1e12, 0, 0, 0, 0]])
    agree(Exact().fit(vectors).search(queries, 4), *brute_force(vectors, queries, 4, "euclidean"))


def test_k_beyond_the_other_rows_becomes_their_number_with_one_warning() -> None:
    with pytest.warns(UserWarning, match=r"k = 10, but a row has only 2 others; using k = 2") as caught:
        found = vicinal.neighbors([[0.0], [1.0], [3.0]], 10)
    assert found.k == 2 and len(caught) == 1


def test_a_search_for_more_than_is_stored_is_filled_with_minus_1_and_inf() -> None:
    found = Exact().fit([[0.0], [1.0]]).search([[0.2]], 4)
    assert found.indices.tolist() == [[0, 1, -1, -1]]
    assert found.distances.tolist() == [[np.float32(0.2), np.float32(0.8), np.inf, np.inf]]


def test_invalid_rows_left_out_are_nobodys_neighbours() -> None:
    vectors = hard_data("plain", 50, 4)
    vectors[[3, 20]] = np.nan
    index = Exact().fit(vectors, on_invalid="null")
    found = index.neighbors(5)
    rest = np.delete(np.arange(50), [3, 20])
    indices, distances = brute_force(vectors[rest], None, 5, "euclidean")
    np.testing.assert_array_equal(found.indices[rest], rest[indices])
    np.testing.assert_array_equal(found.distances[rest], distances)
    assert (found.indices[[3, 20]] == -1).all() and np.isinf(found.distances[[3, 20]]).all()
    assert index.invalid == {3: "NaN or infinite value", 20: "NaN or infinite value"}
    np.testing.assert_array_equal(index.search(vectors[:1], 1).indices, [[0]])


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([1.0, 2.0], r"found shape \(2,\), expected 2-D"),
        (np.zeros((3, 0)), r"found shape \(3, 0\), expected at least 1 column"),
        (np.zeros((0, 3)), r"found shape \(0, 3\), expected at least 1 row"),
        (np.array([["a"]], dtype=object), "found dtype object"),
        (np.array([[1j]]), "found dtype complex128"),
        (np.array([[True]]), "found dtype bool"),
        ([[1.0], [1.0, 2.0]], "rows that differ"),
        ([[1.0], [np.nan], [np.inf]], r"2 rows cannot be used \(2 with NaN or infinite value: 1, 2\)"),
        ([[1e38], [1.0]], r"1 with value beyond 1e\+37: 0"),
    ],
)
def test_vectors_that_cannot_be_used(vectors: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Exact().fit(vectors)


def test_other_misuse_is_an_error_that_says_how_to_mend_it() -> None:
    with pytest.raises(NotFitted, match=r"call fit\(vectors\) first"):
        Exact().neighbors(1)
    with pytest.raises(DataError, match="1 with zero vector, which has no direction for cosine: 1"):
        Exact("cosine").fit([[1.0], [0.0]])
    with pytest.raises(DataError, match="at least 2"):
        Exact().fit([[1.0]]).neighbors(1)
    with pytest.raises(DataError, match="found dim 2, the stored vectors have dim 1"):
        Exact().fit([[1.0], [2.0]]).search([[1.0, 2.0]], 1)
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        Exact("cosin")
    for k in (0, -1, True, 1.5, "2"):
        with pytest.raises(UsageError, match="k: expected a whole number above 0"):
            Exact().fit([[1.0], [2.0]]).neighbors(k)  # type: ignore[arg-type]
    for threads in (0, True, 1.5):
        with pytest.raises(UsageError, match="threads: expected a whole number above 0"):
            Exact(threads=threads)  # type: ignore[arg-type]


def test_progress_reaches_the_end_and_may_stop_the_pass() -> None:
    seen: list[tuple[int, int]] = []
    index = Exact().fit(hard_data("40 % copies of one row", 300, 4))
    index.neighbors(3, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (300, 300)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.neighbors(3, stop)


def test_the_scorer_is_the_mean_distance() -> None:
    vectors = hard_data("float32", 200, 12)
    for metric in NAMES:
        _, distances = brute_force(vectors, None, 5, metric)
        score = vicinal.KNNScorer(k=5, metric=metric).score(vectors)
        assert score.dtype == np.float32 and score.shape == (200,)
        np.testing.assert_allclose(score, distances.astype(np.float64).mean(axis=1), rtol=1e-6)

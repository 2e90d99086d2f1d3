"""Exact as users call it: inputs, results, and the errors for inputs that it cannot use."""

from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest

import vicinal
from oracle import brute_force, fit_for, hard_data
from vicinal import Exact, typing
from vicinal.errors import DataError, NotFitted, UsageError
from vicinal.knn.block_join import BlockJoin
from vicinal.knn.blocks import padded
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import BY_NAME, METRICS, find
from vicinal.typing import MetricName

NAMES = [metric.name for metric in METRICS]


def agree(found: vicinal.Neighbors, indices: np.ndarray, distances: np.ndarray) -> None:
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.distances, distances)


def test_shuffled_rows_give_the_same_neighbours() -> None:
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


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner_product"])
def test_float16_rows_whose_squares_leave_the_range_of_float16(metric: MetricName) -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 32))
    lengths = np.repeat([0.005, 300, 1000], 20) / np.linalg.norm(vectors, axis=1)
    halves = (vectors * lengths[:, None]).astype(np.float16)
    agree(vicinal.neighbors(halves, 3, metric=metric), *brute_force(halves, None, 3, metric))


def test_more_copies_than_k_give_the_lowest_other_rows_at_distance_0() -> None:
    vectors = np.array([[5.0], [1], [5], [5], [1], [5]])
    found = vicinal.neighbors(vectors, 2)
    assert found.indices.tolist() == [[2, 3], [4, 0], [0, 3], [0, 2], [1, 0], [0, 2]]
    assert found.distances.tolist() == [[0, 0], [0, 4], [0, 0], [0, 0], [0, 4], [0, 0]]


def test_queries_far_outside_the_stored_range() -> None:
    vectors = hard_data("plain", 100, 5)
    queries = np.array([[1e30] * 5, [-1e20] * 5, [1e12, 0, 0, 0, 0]])
    agree(Exact().fit(vectors).search(queries, 4), *brute_force(vectors, queries, 4, "euclidean"))


def test_k_above_the_number_of_other_rows_is_reduced_with_one_warning() -> None:
    with pytest.warns(UserWarning, match=r"k = 10, but a row has only 2 others; using k = 2") as caught:
        found = vicinal.neighbors([[0.0], [1.0], [3.0]], 10)
    assert found.k == 2 and len(caught) == 1


def test_a_search_for_more_than_is_stored_finds_all_of_them_and_fills_up_where_asked() -> None:
    found = Exact().fit([[0.0], [1.0]]).search([[0.2]], 10**9)
    assert found.indices.tolist() == [[0, 1]]
    found = found.padded(4)
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
def test_vectors_that_cannot_be_used(vectors: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Exact().fit(vectors)


def test_other_misuse_is_an_error_with_a_remedy() -> None:
    with pytest.raises(NotFitted, match=r"call fit\(vectors\) first"):
        Exact().neighbors(1)
    with pytest.raises(DataError, match="1 with zero vector, which has no direction for cosine: 1"):
        Exact("cosine").fit([[1.0], [0.0]])
    with pytest.raises(DataError, match="at least 2"):
        Exact().fit([[1.0]]).neighbors(1)
    with pytest.raises(DataError, match="found dim 2, the stored vectors have dim 1"):
        Exact().fit([[1.0], [2.0]]).search([[1.0, 2.0]], 1)
    with pytest.raises(UsageError, match="did you mean 'cosine'"):
        Exact("cosin")  # type: ignore[arg-type]
    for k in (0, -1, True, 1.5, "2"):
        with pytest.raises(UsageError, match="k: expected a whole number above 0"):
            Exact().fit([[1.0], [2.0]]).neighbors(k)  # type: ignore[arg-type]
    for threads in (0, True, 1.5):
        with pytest.raises(UsageError, match="threads: expected a whole number above 0"):
            Exact(threads=threads)  # type: ignore[arg-type]


def test_the_scorer_is_the_mean_distance() -> None:
    floats = hard_data("float32", 200, 12)
    for metric in NAMES:
        vectors = fit_for(metric, floats)
        _, distances = brute_force(vectors, None, 5, metric)
        score = vicinal.KNNScorer(k=5, metric=cast(MetricName, metric)).score(vectors)
        assert score.dtype == np.float32 and score.shape == (200,)
        np.testing.assert_allclose(score, distances.astype(np.float64).mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties", "offset by 1e8"])
@pytest.mark.parametrize("grouped", [False, True])
def test_growing_gives_what_searching_everything_again_gives(metric: MetricName, kind: str, grouped: bool) -> None:
    vectors = fit_for(metric, hard_data(kind, 90, 9))
    random = np.random.default_rng(0)
    groups = random.integers(0, 5, len(vectors)) if grouped else None
    for old in (len(vectors) - 1, 60, 8):
        before = Exact(metric).fit(vectors[:old]).neighbors(6, None if groups is None else groups[:old])
        index = Exact(metric).fit(vectors)
        whole, grown = index.neighbors(6, groups), index.grow(before, groups)
        agree(grown, whole.indices, whole.distances)


def test_growing_leaves_invalid_rows_out_as_a_whole_search_does() -> None:
    vectors = hard_data("plain", 60, 4)
    vectors[[3, 40, 55]] = np.nan
    before = Exact().fit(vectors[:30], "null").neighbors(5)
    index = Exact().fit(vectors, "null")
    whole = index.neighbors(5)
    agree(index.grow(before), whole.indices, whole.distances)
    vectors[30:] = np.nan
    index = Exact().fit(vectors, "null")
    agree(index.grow(before), index.neighbors(5).indices, index.neighbors(5).distances)


def test_growing_compares_only_pairs_that_are_new(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, pairs = hard_data("plain", 100, 4), []
    before = Exact().fit(vectors[:90]).neighbors(3)
    index = Exact().fit(vectors)
    cross, join = BlockJoin.cross_join, BlockJoin.self_join

    def counted_cross(self: BlockJoin, queries: np.ndarray, *rest: Any) -> Any:
        pairs.append((len(self.vectors), len(queries)))
        return cross(self, queries, *rest)

    def counted_join(self: BlockJoin, *rest: Any) -> Any:
        pairs.append((len(self.vectors), len(self.vectors)))
        return join(self, *rest)

    monkeypatch.setattr(BlockJoin, "cross_join", counted_cross)
    monkeypatch.setattr(BlockJoin, "self_join", counted_join)
    index.grow(before)
    assert pairs == [(10, 10), (10, 90)]  # the new rows among themselves, then once with each old row
    assert index.engine == Exact().fit(vectors).engine


def test_growing_from_neighbours_of_another_metric_or_set_is_refused() -> None:
    vectors = hard_data("plain", 20, 4)
    with pytest.raises(UsageError, match="grow: expected neighbours of the first rows by euclidean"):
        Exact().fit(vectors).grow(vicinal.neighbors(vectors, 2, "cosine"))
    with pytest.raises(UsageError, match="grow: expected neighbours of the first rows"):
        Exact().fit(vectors[:10]).grow(vicinal.neighbors(vectors, 2))


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties"])
def test_a_search_of_arrays_alone_leaves_invalid_rows_out(metric: MetricName, kind: str) -> None:
    vectors = fit_for(metric, hard_data(kind, 80, 9))
    queries = fit_for(metric, hard_data(kind, 7, 9, seed=1))
    valid = np.delete(np.arange(80), [0, 5, 79])
    search = ExactSearch(vectors, metric, 2, valid)
    assert (len(search), search.n_valid) == (80, 77)
    indices, distances = brute_force(vectors[valid], queries, 6, metric)
    agree(search.search(queries, 6), valid[indices], distances)
    indices, distances = brute_force(vectors[valid], None, 6, metric)
    found = search.neighbors(6)
    np.testing.assert_array_equal(found.indices[valid], valid[indices])
    np.testing.assert_array_equal(found.distances[valid], distances)
    assert (found.indices[[0, 5, 79]] == -1).all() and np.isinf(found.distances[[0, 5, 79]]).all()
    radius = float(np.median(distances))
    truth = find(metric).pairwise(vectors, vectors)
    near, asked = search.within(radius), search.within(radius, queries)
    for row in range(80):
        expected = valid[truth[row][valid] <= radius] if row in valid else valid[:0]
        assert set(near[row][0]) == set(expected) - {row}
    assert len(near) == 80 and len(asked) == 7


def test_a_search_of_arrays_alone_checks_them() -> None:
    vectors = [[1.0], [np.nan], [3.0]]
    with pytest.raises(DataError, match=r"1 row cannot be used \(1 with NaN or infinite value: 1\)"):
        ExactSearch.of(vectors)
    found = ExactSearch.of(vectors, on_invalid="null").neighbors(1)
    assert found.indices.ravel().tolist() == [2, -1, 0]
    nobody = ExactSearch.of([[np.nan]], on_invalid="null")
    assert nobody.search([[1.0]], 2).indices.tolist() == [[-1]]
    for call in (lambda: nobody.neighbors(1), lambda: nobody.grow(found)):
        with pytest.raises(DataError, match="none of the 1 rows can be used: NaN or infinite value"):
            call()
    with pytest.raises(UsageError, match="query_groups: missing; groups are given"):
        ExactSearch.of([[1.0], [2.0]]).search([[1.0]], 1, groups=[0, 1])


def test_filled_results_have_minus_1_and_inf() -> None:
    indices, distances = padded(np.array([[3, 4]]), np.array([[0.0, 1.0]], dtype=np.float32), 4)
    assert indices.tolist() == [[3, 4, -1, -1]] and distances.tolist() == [[0, 1, np.inf, np.inf]]
    assert indices.dtype == np.int64 and distances.dtype == np.float32
    assert padded(indices, distances, 1)[0].tolist() == [[3]]


def test_the_names_of_metrics_in_signatures_are_those_of_the_table() -> None:
    assert set(get_args(typing.MetricName)) == set(BY_NAME)

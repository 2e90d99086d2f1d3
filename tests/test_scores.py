"""Each score: by hand, against scikit-learn or a float64 brute force, and in edge cases."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import LocalOutlierFactor

import vicinal
from oracle import fit_for, hard_data
from vicinal import Exact, Neighbors
from vicinal.analysis import forms, score_table, scores
from vicinal.analysis.components import components
from vicinal.analysis.distinct import copy_groups, multiplicity, nearest_distinct
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import find
from vicinal.typing import MetricName

# Five points on a line, 0 1 3 7 and 7 again, and each one's neighbours.
LINE = vicinal.neighbors([[0.0], [1.0], [3.0], [7.0], [7.0]], k=4)


def test_the_neighbours_that_the_checks_by_hand_start_from() -> None:
    assert LINE.distances.tolist() == [[1, 3, 7, 7], [1, 2, 6, 6], [2, 3, 4, 4], [0, 4, 6, 7], [0, 4, 6, 7]]
    assert LINE.indices.tolist() == [[1, 2, 3, 4], [0, 2, 3, 4], [1, 0, 3, 4], [4, 2, 1, 0], [3, 2, 1, 0]]
    assert (LINE.dim, LINE.metric) == (1, "euclidean")


@pytest.mark.parametrize(
    ("score", "k", "expected"),
    [
        (scores.mean_distance, 2, [2, 1.5, 2.5, 2, 2]),
        (scores.kth_distance, 3, [7, 6, 4, 6, 6]),
        (scores.median_distance, 1, [1, 1, 2, 0, 0]),
        (scores.median_distance, 3, [3, 2, 3, 4, 4]),
        (scores.median_distance, 4, [5, 4, 3.5, 5, 5]),
        (scores.mean_distinct_distance, 2, [2, 1.5, 2.5, 5, 5]),
        (scores.mean_distinct_distance, 3, [11 / 3, 3, 3, 17 / 3, 17 / 3]),
        (scores.mean_distinct_distance, 4, [np.inf] * 5),
        (scores.hubness, 1, [1, 2, 0, 1, 1]),
        (scores.hubness, 2, [2, 2, 4, 1, 1]),
        (scores.log_density, 2, [math.log(1 / (5 * 2 * r)) for r in (3, 2, 3, 4, 4)]),
        (scores.log_density, 4, [math.log(3 / (5 * 2 * r)) for r in (7, 6, 4, 7, 7)]),
        (scores.local_intrinsic_dimension, 2, [1 / math.log(3), 1 / math.log(2), 1 / math.log(1.5), np.nan, np.nan]),
        (scores.local_intrinsic_dimension, 3, [2 / math.log(49 / 3), 2 / math.log(18), 2 / math.log(8 / 3)]
         + [1 / math.log(1.5)] * 2),
    ],
)  # fmt: skip
def test_by_hand(score: object, k: int, expected: list[float]) -> None:
    np.testing.assert_allclose(score(LINE, k), np.array(expected), rtol=1e-6)  # type: ignore[operator]


def test_the_local_outlier_factor_by_hand() -> None:
    # k = 2, the points 0 1 3 alone: radii 3, 2, 3; mean reachabilities (2 + 3) / 2, (3 + 3) / 2, (2 + 3) / 2.
    graph = vicinal.neighbors([[0.0], [1.0], [3.0]], k=2)
    a, b = 1 / 2.5, 1 / 3
    expected = [(b + a) / 2 / a, a / b, (b + a) / 2 / a]
    np.testing.assert_allclose(scores.local_outlier_factor(graph, 2), expected, rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("k", [1, 5, 20])
@pytest.mark.parametrize("dim", [2, 50])
def test_the_local_outlier_factor_is_scikit_learns(metric: MetricName, k: int, dim: int) -> None:
    vectors = np.concatenate([hard_data("plain", 300, dim), 3 + 0.2 * hard_data("plain", 100, dim, seed=1)])
    theirs = -LocalOutlierFactor(n_neighbors=k, metric=metric, algorithm="brute").fit(vectors).negative_outlier_factor_
    ours = scores.local_outlier_factor(vicinal.neighbors(vectors, k, metric), k)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def lof_by_definition(vectors: np.ndarray, k: int) -> np.ndarray:
    """Breunig et al. 2000, definitions 5 to 7, in float64; distances come from differences, so copies lie at 0."""
    far = np.sqrt(((vectors[:, None] - vectors[None]) ** 2).sum(axis=2))
    rows = range(len(vectors))
    nearest = [[other for other in np.argsort(far[row], kind="stable") if other != row][:k] for row in rows]
    radius = [far[row, nearest[row][-1]] for row in rows]
    reachability = [np.mean([max(radius[other], far[row, other]) for other in nearest[row]]) for row in rows]
    density = [1 / (mean + scores.LOF_OFFSET) for mean in reachability]
    return np.array([np.mean([density[other] for other in nearest[row]]) / density[row] for row in rows])


@pytest.mark.filterwarnings("ignore:local outlier factor")
@pytest.mark.parametrize("k", [3, 5, 6, 9])  # fewer neighbours than copies of a row, as many, and more
def test_the_local_outlier_factor_of_copies(k: int) -> None:
    vectors = np.concatenate([np.repeat(hard_data("plain", 10, 3), 6, axis=0), hard_data("plain", 40, 3, seed=1)])
    ours = scores.local_outlier_factor(vicinal.neighbors(vectors, k), k)
    np.testing.assert_allclose(ours, lof_by_definition(vectors, k), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:local outlier factor")
def test_the_local_outlier_factor_of_copies_is_scikit_learns_where_products_are_exact() -> None:
    # scikit-learn's distances come from expanded squares: without rounding only where these are small integers.
    plain = np.concatenate([np.repeat(hard_data("plain", 10, 3), 6, axis=0), hard_data("plain", 40, 3, seed=1)])
    vectors = np.rint(plain * 2**16)
    with pytest.warns(UserWarning, match="Duplicate values"):
        theirs = -LocalOutlierFactor(n_neighbors=5, algorithm="brute").fit(vectors).negative_outlier_factor_
    ours = scores.local_outlier_factor(vicinal.neighbors(vectors, 5), 5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_density_integrates_to_about_1() -> None:
    # Uniform in a square: the density of the paper is 1 everywhere but at the border.
    vectors = np.random.default_rng(0).random((20_000, 2))
    inside = ((vectors > 0.1) & (vectors < 0.9)).all(axis=1)
    for metric in ("euclidean", "sqeuclidean", "manhattan"):
        density = np.exp(scores.log_density(vicinal.neighbors(vectors, 50, metric), 50))
        assert abs(density[inside].mean() - 1) < 0.03, metric


def test_the_density_on_the_sphere_is_one_over_its_area() -> None:
    vectors = np.random.default_rng(0).normal(size=(20_000, 3))
    density = np.exp(scores.log_density(vicinal.neighbors(vectors, 50, "cosine"), 50))
    assert abs(density.mean() * 4 * math.pi - 1) < 0.03  # a cap of chord r has the area pi r^2, by Archimedes


def test_the_density_neither_overflows_nor_vanishes_in_a_thousand_dimensions() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 1000))
    found = scores.log_density(vicinal.neighbors(vectors, 5), 5)
    radius = vicinal.neighbors(vectors, 5).distances[:, 4].astype(np.float64)
    expected = [math.log(4 / 200) - 500 * math.log(math.pi) + math.lgamma(501) - 1000 * math.log(r) for r in radius]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("dim", [2, 5])
def test_the_intrinsic_dimension_is_found_in_a_larger_space(metric: MetricName, dim: int) -> None:
    random = np.random.default_rng(dim)
    flat = random.random((4000, dim)) @ random.normal(size=(dim, 30)) + 5 * random.normal(size=30)
    found = scores.local_intrinsic_dimension(vicinal.neighbors(flat, 40, metric), 40)
    assert abs(np.median(found) - dim) < 0.12 * dim


def test_copies_take_no_part_in_the_intrinsic_dimension() -> None:
    vectors = hard_data("plain", 200, 4)
    twice = np.concatenate([vectors, vectors[:50]])
    plain, with_copies = (scores.local_intrinsic_dimension(vicinal.neighbors(v, 20), 20) for v in (vectors, twice))
    assert np.isfinite(with_copies).all() and abs(np.median(with_copies) / np.median(plain) - 1) < 0.15


def test_hubness_counts_every_mention_once() -> None:
    graph = vicinal.neighbors(hard_data("plain", 300, 20), 7)
    found = scores.hubness(graph, 5)
    assert found.sum() == 300 * 5
    assert found.tolist() == [(graph.indices[:, :5] == row).sum() for row in range(300)]


def copies(n: int, groups: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal(size=(groups, 3))[random.integers(groups, size=n)]


@settings(max_examples=60)
@given(st.integers(2, 60), st.integers(1, 12), st.integers(1, 6), st.integers(0, 1000))
def test_copies_and_distinct_neighbours_against_brute_force(n: int, groups: int, k: int, seed: int) -> None:
    vectors = copies(n, groups, seed)
    truth = [int(np.flatnonzero((vectors == row).all(axis=1))[0]) for row in vectors]
    for k_pass in (1, n - 1):
        graph = vicinal.neighbors(vectors, k_pass)
        assert copy_groups(graph).tolist() == truth
        assert multiplicity(graph).tolist() == [truth.count(one) for one in truth]
    found = nearest_distinct(graph, k)
    representatives = sorted(set(truth))
    far = find("euclidean").pairwise(vectors, vectors[representatives]).astype(np.float32)
    for row in range(n):
        order = [j for j in np.lexsort((representatives, far[row])) if representatives[j] != truth[row]][:k]
        missing = k - len(order)
        assert found.indices[row].tolist() == [representatives[j] for j in order] + [-1] * missing
        assert found.distances[row].tolist() == far[row][order].tolist() + [np.inf] * missing


def test_50_copies_do_not_tie_at_0() -> None:
    vectors = hard_data("plain", 200, 5)
    vectors[:50] = vectors[0]
    graph = vicinal.neighbors(vectors, 60)
    assert (scores.mean_distance(graph, 5)[:50] == 0).all()
    alone = vicinal.neighbors(vectors[49:], 5)
    np.testing.assert_array_equal(scores.mean_distinct_distance(graph, 5)[49:], scores.mean_distance(alone, 5))
    assert multiplicity(graph).tolist() == [50] * 50 + [1] * 150


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39)), max_size=60))
def test_components_against_a_walk(n: int, edges: list[tuple[int, int]]) -> None:
    edges = [(a % n, b % n) for a, b in edges]
    expected = list(range(n))
    for _ in range(n):
        for a, b in edges:
            expected[a] = expected[b] = min(expected[a], expected[b])
    ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
    assert components(n, ends[:, 0], ends[:, 1]).tolist() == expected


def test_a_long_chain_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(100_000)
    assert not components(100_000, order[:-1], order[1:]).any()


def test_percentiles_by_counting() -> None:
    values = np.random.default_rng(0).integers(0, 20, 101).astype(np.float32)
    expected = [100 * ((values < v).sum() + (values == v).sum() / 2) / 101 for v in values]
    np.testing.assert_allclose(forms.percentile(values), expected)
    values[3] = np.nan
    assert np.isnan(forms.percentile(values)[3])
    np.testing.assert_allclose(np.delete(forms.percentile(values), 3), forms.percentile(np.delete(values, 3)))


def test_percentiles_and_ratios_do_not_change_with_the_unit() -> None:
    vectors = hard_data("plain", 150, 6)
    near, far = (scores.mean_distance(vicinal.neighbors(v, 5), 5) for v in (vectors, vectors * 1024))
    np.testing.assert_array_equal(forms.percentile(near), forms.percentile(far))
    np.testing.assert_allclose(forms.ratio_to_median(near), forms.ratio_to_median(far), rtol=1e-6)
    assert np.median(forms.ratio_to_median(near)) == 1
    assert forms.ratio_to_median(np.array([1.0, np.nan, 3.0])).tolist()[::2] == [0.5, 1.5]


def test_rows_without_neighbours_have_no_score_and_change_nobodys() -> None:
    vectors = hard_data("plain", 80, 4)
    broken = np.insert(vectors, [10, 50], np.nan, axis=0)
    whole, holed = vicinal.neighbors(vectors, 6), Exact().fit(broken, "null").neighbors(6)
    valid = np.isfinite(broken).all(axis=1)
    for score in score_table.SCORES:
        expected, found = score.compute(whole, 6), score.compute(holed, 6)
        np.testing.assert_array_equal(found[valid], expected, err_msg=score.name)
        if score.by != "hubness":  # which is 0 there, and that is so
            assert not np.isfinite(found[~valid]).any(), score.name


def test_neighbours_of_other_groups_only_are_enough_for_an_outlier_factor() -> None:
    # Row 0 is alone in its group's complement: it has fewer neighbours than k, and its radius is that of the last.
    graph = Exact().fit([[0.0], [1.0], [3.0], [7.0]]).neighbors(2, groups=[0, 0, 0, 1])
    assert graph.indices.tolist() == [[3, -1], [3, -1], [3, -1], [2, 1]]
    found = scores.local_outlier_factor(graph, 2)
    # Mean reachabilities: max(7, 6), max(6, 6), max(4, 6), and of the last two the mean of max(4, 4) and max(6, 6).
    density = [1 / 7, 1 / 6, 1 / 6, 1 / 5]
    expected = [density[3] / density[0], density[3] / density[1], density[3] / density[2],
                (density[2] + density[1]) / 2 / density[3]]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:local outlier factor")
def test_every_score_works_for_any_smaller_k_of_one_pass() -> None:
    vectors = hard_data("40 % copies of one row", 120, 4)
    wide = vicinal.neighbors(vectors, 119)
    for score in score_table.SCORES:
        if score.by == "distinct":  # alone it needs more of the pass than k
            continue
        for k in range(score.least_k, 12):
            expected = score.compute(vicinal.neighbors(vectors, k), k)
            np.testing.assert_array_equal(score.compute(wide, k), expected, err_msg=score.name)


@pytest.mark.parametrize("metric", ["hamming", "jaccard"])
def test_bits_have_every_score_but_a_density(metric: MetricName) -> None:
    graph = vicinal.neighbors(fit_for(metric, hard_data("plain", 100, 64)), 8, metric)
    for score in score_table.SCORES:
        if score.by == "density":
            with pytest.raises(
                UsageError, match=rf"expected a metric whose balls have a volume \(.*\), found neighbours by {metric}"
            ):
                score.compute(graph, 8)
        else:
            assert len(score.compute(graph, 8)) == 100


@pytest.mark.parametrize("by", ["distinct", "lof", "lid"])
def test_inner_products_are_refused_where_zero_must_mean_something(by: str) -> None:
    graph = vicinal.neighbors(hard_data("plain", 50, 4), 5, "inner_product")
    with pytest.raises(
        UsageError, match=r"in which equal vectors have distance 0, found inner_product; .* euclidean or cosine"
    ):
        score_table.BY_NAME[by].compute(graph, 5)


@pytest.mark.parametrize("by", ["lof", "hubness"])
def test_neighbours_in_another_set_are_refused_where_their_own_are_needed(by: str) -> None:
    vectors = hard_data("plain", 50, 4)
    graph = Exact().fit(vectors).search(vectors[:5], 3)
    with pytest.raises(DataError, match="neighbours in the same set of 5 rows, found row number"):
        score_table.BY_NAME[by].compute(graph, 3)


@pytest.mark.parametrize("by", ["density", "lid"])
def test_a_k_too_small_is_refused(by: str) -> None:
    with pytest.raises(UsageError, match=r"^k: expected at least 2 for the .*, got 1"):
        score_table.BY_NAME[by].compute(LINE, 1)


def test_a_density_needs_to_know_the_dim() -> None:
    with pytest.raises(UsageError, match="expected neighbours that know the number of dimensions"):
        scores.log_density(Neighbors(LINE.indices, LINE.distances), 2)


def test_an_unknown_name_suggests_the_nearest_known_one() -> None:
    with pytest.raises(UsageError, match="unknown scorer 'lfo': did you mean 'lof'"):
        score_table.find("lfo")
    with pytest.raises(UsageError, match="unknown form of kth 'percent': did you mean 'percentile'"):
        score_table.find("kth:percent")

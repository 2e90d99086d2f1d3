"""Every kernel on hard data, against the float64 oracle: the same rows in the same order, the same distances."""

import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vicinal
from oracle import HARD, brute_force, fit_for, hard_case, hard_data
from vicinal import Exact
from vicinal.errors import UsageError
from vicinal.knn import kernels
from vicinal.knn.kernels import blas, brute, native
from vicinal.knn.metrics import METRICS, find, mahalanobis
from vicinal.typing import MetricName

NAMES = [metric.name for metric in METRICS]


def agree(found: vicinal.Neighbors, indices: np.ndarray, distances: np.ndarray) -> None:
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_array_equal(found.distances, distances)


FLOAT32 = np.dtype("float32")
HERE = [kernel for kernel in kernels.KERNELS if not kernel.covers(find("euclidean"), FLOAT32)]
WAYS = [(kernel, isa) for kernel in HERE for isa in (native.isas() if kernel is native.Native else [""])]


@pytest.fixture(params=WAYS, ids=lambda way: "-".join([way[0].name, way[1]]).strip("-"))
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[kernels.Kernel]:
    """Each kernel, the native one with each instruction set; brute force serves the metrics that it lacks."""
    serves, isa = request.param
    monkeypatch.setattr(kernels, "KERNELS", (serves, brute.Brute))
    monkeypatch.setenv("VICINAL_ISA", isa)
    return serves


def test_the_native_kernel_is_built_where_a_compiler_is() -> None:
    assert (native.Native in HERE) or shutil.which("c++") is None, native.MISSING


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize(("n", "dim", "k"), [(2, 1, 1), (60, 3, 7), (300, 13, 5), (200, 65, 20)])
def test_self_join(kernel: type, kind: str, metric: MetricName, n: int, dim: int, k: int) -> None:
    vectors, indices, distances = hard_case(kind, metric, n, dim, k)
    agree(Exact(metric).fit(vectors).neighbors(k), indices, distances)


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", HARD)
def test_search(kernel: type, kind: str, metric: MetricName) -> None:
    vectors, _, _ = hard_case(kind, metric, 300, 13, 5)
    queries = np.concatenate([fit_for(metric, hard_data(kind, 20, 13, seed=1)), vectors[:20]])
    agree(Exact(metric).fit(vectors).search(queries, 11), *brute_force(vectors, queries, 11, metric))


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", [*HARD][::2])
def test_within(kernel: type, kind: str, metric: MetricName) -> None:
    vectors, _, distances = hard_case(kind, metric, 300, 13, 5)
    index, radius = Exact(metric).fit(vectors), float(np.median(distances[:, -1]))
    truth = find(metric).pairwise(vectors[:40], vectors)
    joined, asked = index.within(radius), index.within(vectors[:40], radius)
    for row in range(40):
        order = np.lexsort((np.arange(len(vectors)), truth[row]))
        order = order[truth[row][order] <= radius]
        np.testing.assert_array_equal(asked[row][0], order)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(asked[row][1], truth[row][order].astype(np.float32))
        np.testing.assert_array_equal(joined[row][0], order[order != row])
    assert len(joined) == len(vectors) and joined.indptr[-1] == len(joined.indices)


@pytest.mark.parametrize("metric", NAMES)
@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties", "all rows equal"])
def test_groups_are_not_neighbours_of_themselves(kernel: type, kind: str, metric: MetricName) -> None:
    vectors, _, _ = hard_case(kind, metric, 300, 13, 5)
    groups = np.random.default_rng(5).integers(0, 4, len(vectors)) * 1000 - 1500
    index, truth, k = Exact(metric).fit(vectors), find(metric).pairwise(vectors, vectors), 9
    joined = index.neighbors(k, groups=groups)
    asked = index.search(vectors[:30], k, groups=groups, query_groups=groups[:30])
    radius = float(np.median(joined.distances[:, -1]))
    near = index.within(radius, groups=groups)
    for row in range(0, len(vectors), 3):
        order = np.lexsort((np.arange(len(vectors)), truth[row]))
        order = order[groups[order] != groups[row]]
        np.testing.assert_array_equal(joined.indices[row], order[:k])
        np.testing.assert_array_equal(near[row][0], order[truth[row][order] <= radius])
        if row < 30:
            np.testing.assert_array_equal(asked.indices[row], order[:k])
    alone = index.neighbors(2, groups=np.zeros(len(vectors), dtype=np.int64))
    assert (alone.indices == -1).all() and np.isinf(alone.distances).all()


def grid(n: int, dim: int) -> np.ndarray:
    """Points of a grid of 0.1, whose equal distances have squares that differ in the last bit."""
    return np.random.default_rng(3).integers(-9, 10, (n, dim)) / 10


@pytest.mark.parametrize("metric", NAMES)
def test_ties_are_ordered_by_the_float64_distance(kernel: type, metric: Any) -> None:
    if metric == "euclidean":
        few = np.array([[-0.6, 0.5], [-0.8, 0.2], [-0.3, 0.3]])
        squares = find("sqeuclidean").pairwise(few[:1], few)[0]
        assert squares[2] < squares[1] and np.sqrt(squares[2]) == np.sqrt(squares[1])
        assert Exact().fit(few).neighbors(1).indices.ravel().tolist() == [1, 0, 0]
        assert Exact().fit(few[1:]).search(few[:1], 1).indices.tolist() == [[0]]
    vectors = fit_for(metric, grid(400, 2))
    indices, distances = brute_force(vectors, None, 7, metric)
    index = Exact(metric).fit(vectors)
    agree(index.neighbors(7), indices, distances)
    agree(index.grow(Exact(metric).fit(vectors[:300]).neighbors(7)), indices, distances)
    agree(index.search(vectors[:90], 7), *brute_force(vectors, vectors[:90], 7, metric))
    near, truth = index.within(vectors[:30], float(distances[0, -1])), find(metric).pairwise(vectors[:30], vectors)
    for row in range(30):
        order = np.lexsort((np.arange(len(vectors)), truth[row]))
        np.testing.assert_array_equal(near[row][0], order[truth[row][order] <= float(distances[0, -1])])


@st.composite
def data(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    n, dim = draw(st.integers(2, 40)), draw(st.integers(1, 20))
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint8, np.int32]))
    random = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    vectors = random.integers(1, 100, (n, dim)) if draw(st.booleans()) else random.normal(size=(n, dim)) * 20
    vectors = vectors[random.integers(0, draw(st.integers(1, n)), n)] + draw(st.sampled_from([0, 0, 1, 7]))
    with np.errstate(invalid="ignore"):
        vectors = vectors.astype(dtype)
    vectors[~(vectors != 0).any(axis=1)] = 1
    return vectors, draw(st.integers(1, n + 3))


@settings(max_examples=300)
@given(data(), st.sampled_from(NAMES), st.sampled_from(HERE))
def test_any_size_dtype_and_copies(drawn: tuple[np.ndarray, int], metric: str, kernel: type[kernels.Kernel]) -> None:
    vectors, k = drawn
    vectors = vectors.view(np.uint8) if find(metric).kernel == "bits" else vectors
    serves = kernel if not kernel.covers(find(metric), vectors.dtype) else brute.Brute
    found = serves(vectors, find(metric), 2)
    indices, distances = brute_force(vectors, None, k, metric)
    k = min(k, len(vectors) - 1)
    ours = found.self_join(k)
    np.testing.assert_array_equal(ours[0], indices)
    np.testing.assert_array_equal(ours[1].astype(np.float32), distances)
    indices, distances = brute_force(vectors, vectors[:3], k, metric)
    ours = found.search(vectors[:3], k)
    np.testing.assert_array_equal(ours[0], indices)
    np.testing.assert_array_equal(ours[1].astype(np.float32), distances)


@pytest.mark.parametrize("metric", NAMES)
def test_a_metric_agrees_with_scipy(metric: str) -> None:
    from scipy.spatial.distance import cdist

    a, b = (fit_for(metric, hard_data("plain", n, 17, seed=n)) for n in (40, 30))
    if metric == "inner_product":
        np.testing.assert_allclose(find(metric).pairwise(a, b), -a @ b.T, rtol=1e-10, atol=1e-12)
        return
    other = {"manhattan": "cityblock"}.get(metric, metric)
    x, y = (np.unpackbits(v, axis=1).astype(bool) if find(metric).kernel == "bits" else v for v in (a, b))
    truth = cdist(x, y, other) * (x.shape[1] if metric == "hamming" else 1)  # scipy's is the share of bits
    np.testing.assert_allclose(find(metric).pairwise(a, b), truth, rtol=1e-12)


def test_mahalanobis_agrees_with_scipy(kernel: type) -> None:
    from scipy.spatial.distance import cdist

    vectors, random = hard_data("plain", 200, 6), np.random.default_rng(3)
    root = random.normal(size=(6, 4))  # a matrix of lower rank is a metric of a subspace
    metric = mahalanobis(root @ root.T)
    truth = cdist(vectors, vectors, "mahalanobis", VI=root @ root.T)
    np.fill_diagonal(truth, np.inf)
    found = Exact(metric).fit(vectors).neighbors(5)
    np.testing.assert_array_equal(found.indices, np.argsort(truth, axis=1)[:, :5])
    np.testing.assert_allclose(found.distances, np.sort(truth, axis=1)[:, :5], rtol=1e-6)
    asked = Exact(metric).fit(vectors).search(vectors[:7] + 1e-3, 1)
    assert asked.indices.ravel().tolist() == list(range(7)) and found.metric == "mahalanobis"
    for wrong, message in [([[1.0, 2]], "square"), ([[1.0, 2], [0, 1]], "symmetric"), ([[-1.0]], "eigenvalue")]:
        with pytest.raises(UsageError, match=message):
            mahalanobis(wrong)


def test_every_metric_can_be_pickled() -> None:
    for metric in (*METRICS, mahalanobis([[2.0, 0.5], [0.5, 1.0]], origin=[1.0, 2.0])):
        again = pickle.loads(pickle.dumps(metric))
        rows = np.array([[3, 250], [7, 1]], dtype=np.uint8)
        assert again.name == metric.name and (again == metric or metric.whiten is not None)
        np.testing.assert_array_equal(again.pairwise(rows, rows), metric.pairwise(rows, rows))
        if metric.log_volume is not None and again.log_volume is not None:
            assert again.log_volume(np.array([0.3]), 5) == metric.log_volume(np.array([0.3]), 5)


@pytest.mark.parametrize("metric", NAMES)
def test_stored_rows_in_many_blocks_and_queries_in_many_blocks(
    kernel: type, metric: MetricName, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, indices, distances = hard_case("40 % copies of one row", metric, 300, 13, 9)
    for module, name, value in [
        (blas, "CACHE_BYTES", 52 * 50),
        (blas, "BLOCK_WORK", 1),
        (blas, "MEASURE_BYTES", 512),
        (blas, "RANK_BYTES", 1024),
        (brute, "MEASURE_BYTES", 512),
        (brute, "RANK_BYTES", 1024),
    ]:
        monkeypatch.setattr(module, name, value)
    agree(Exact(metric).fit(vectors).neighbors(9), indices, distances)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
def test_blas_where_no_query_is_ever_certified(metric: MetricName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas.Blas, "_certified", lambda self, kth, worst, norms: np.zeros(len(kth), dtype=bool))
    monkeypatch.setattr(kernels, "KERNELS", (blas.Blas,))
    for kind in ("plain", "offset by 1e8", "rows within 1e-7 of two centres"):
        vectors, indices, distances = hard_case(kind, metric, 300, 13, 5)
        agree(Exact(metric).fit(vectors).neighbors(5), indices, distances)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_float32_ranks_of_blas_are_within_the_proven_error(metric: str, kind: str) -> None:
    import faiss

    vectors, _, _ = hard_case(kind, metric, 300, 13, 5)
    kernel = blas.Blas(vectors, find(metric), 1)
    prepared = kernel._all.prepared(vectors, kernel._all.rows)
    queries32, norms = kernel._as_float32(prepared)
    kind_of_rank = faiss.METRIC_L1 if metric == "manhattan" else faiss.METRIC_L2
    assert kernel._cached is not None
    ranks, found = faiss.knn(queries32, kernel._cached, len(prepared), metric=kind_of_rank)
    for query, row in enumerate(prepared):
        true = find(metric).measure(row, prepared[found[query]])
        wrong = np.abs(ranks[query].astype(np.float64) - true * kernel._unit)
        assert (wrong <= kernel._error(true, norms[query])).all()


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner_product"])
def test_float64_ranks_of_brute_bound_the_true_rank(metric: str, kind: str) -> None:
    vectors, _, _ = hard_case(kind, metric, 300, 13, 5)
    kernel = brute.Brute(vectors, find(metric), 1)
    prepared = kernel.prepared(vectors, kernel.rows)
    low, high = kernel.ranks(prepared)
    for query, row in enumerate(prepared):
        true = find(metric).measure(row, prepared)
        slack = np.abs(true) * 1e-13
        assert (low[query] <= true + slack).all() and (true - slack <= high[query]).all()


@pytest.mark.parametrize("size", [1e-156, 1e-158, 1e-162, 1e-170, 1e-300, 1e-320])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "inner_product"])
def test_values_whose_products_underflow_have_the_neighbours_of_float64(
    kernel: type[kernels.Kernel], metric: str, size: float
) -> None:
    vectors, kind = np.random.default_rng(0).standard_normal((60, 4)) * size, find(metric)
    if reason := kernel.covers(kind, vectors.dtype):
        pytest.skip(reason)
    far = np.stack([kind.finish(kind.measure(row, vectors)) for row in vectors])
    np.fill_diagonal(far, np.inf)
    right = np.argsort(far, axis=1, kind="stable")[:, :3]
    indices, distances = kernel(vectors, kind, 1).self_join(3)
    assert (indices == right).all()
    assert (distances == np.take_along_axis(far, right, axis=1).astype(distances.dtype)).all()


def test_a_metric_without_a_kernel_is_an_error_with_each_kernels_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "KERNELS", (blas.Blas,))
    with pytest.raises(UsageError, match=r"no kernel supports hamming on uint8: blas: it has no bits kernel"):
        Exact("hamming").fit(np.zeros((2, 1), dtype=np.uint8))


def test_the_answer_does_not_depend_on_threads(kernel: type) -> None:
    vectors = hard_data("float32", 2000, 24)
    one, four = (Exact("euclidean", threads).fit(vectors).neighbors(6) for threads in (1, 4))
    agree(one, four.indices, four.distances)


def test_progress_reaches_the_end_and_may_stop_the_pass(kernel: type) -> None:
    seen: list[tuple[int, int]] = []
    index = Exact().fit(hard_data("40 % copies of one row", 300, 4))
    index.neighbors(3, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.neighbors(3, progress=stop)


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VICINAL_ISA", "avx9000")
    if native.Native in HERE:
        with pytest.raises(UsageError, match="VICINAL_ISA: unknown instruction set 'avx9000'"):
            Exact().fit([[1.0], [2.0]])


def test_the_native_kernel_gives_the_reason_why_it_cannot_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    if native.Native in HERE:
        assert native.Native.covers(find("euclidean"), np.dtype("int64")).startswith("it reads float16, float32")
    monkeypatch.setattr(native, "_native", None)
    monkeypatch.setattr(native, "MISSING", "it was not built here (why)")
    assert native.Native.covers(find("euclidean"), FLOAT32) == "it was not built here (why)"
    assert kernels.pick(find("euclidean"), FLOAT32) is blas.Blas
    assert kernels.pick(find("jaccard"), np.dtype("uint8")) is brute.Brute


def test_several_python_threads_may_search_one_index(kernel: type) -> None:
    vectors, indices, _ = hard_case("float32", "euclidean", 300, 13, 5)
    index = Exact().fit(vectors)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: index.neighbors(5), range(16)):
            np.testing.assert_array_equal(found.indices, indices)
        for row, found in enumerate(pool.map(lambda row: index.search(vectors[[row]], 1), range(100))):
            assert found.indices.tolist() == [[row]]

"""The contract of an index, held for every member of INDEXES with every metric that it supports."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from oracle import brute_force
from vicinal import typing
from vicinal.errors import DataError, NotFitted, UsageError
from vicinal.indexes import BY_NAME, INDEXES, Index, proposals
from vicinal.indexes import load_index as load
from vicinal.indexes.engines import graph
from vicinal.knn.kernels import native
from vicinal.knn.metrics import METRICS, find
from vicinal.storage import npy
from vicinal.typing import MetricName

EXAMPLES = Path(__file__).parent.parent / "examples" / "wordnet"
N, K, DIM = 2_000, 10, 96


def variants(kind: type[Index], metric: str) -> list[dict[str, Any]]:
    """The parameters that select each engine of an index type."""
    if kind.name in ("pq", "ivfpq"):
        return [{"n_bits": 6}]  # a quarter of the codebook's training
    if kind.name == "binary" and metric == "hamming":
        return [{"structure": "all"}, {"structure": "graph"}, {"structure": "lists"}]
    return [{}]


CASES = [
    pytest.param(kind, metric, settings, id="-".join([kind.name, metric, *map(str, settings.values())]))
    for kind in INDEXES
    for metric in (one.name for one in METRICS)
    if metric in kind.metrics
    for settings in variants(kind, metric)
]
each = pytest.mark.parametrize(("kind", "metric", "settings"), CASES)


@functools.cache
def gloss_embeddings(metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Real embeddings in their DIM principal directions, to store and others as queries; for bits, all their signs."""
    vectors = np.load(EXAMPLES / "embeddings.npy")[: N + 200].astype(np.float64)
    if find(metric).kernel == "bits":
        vectors = np.packbits(vectors > 0, axis=1)
    else:
        _, directions = np.linalg.eigh(vectors.T @ vectors)
        vectors = (vectors @ directions[:, -DIM:]).astype(np.float32)
    return vectors[:N], vectors[N:]


@functools.cache
def fitted(name: str, metric: MetricName, settings: tuple) -> Index:
    """A shared index, which tests may search but not change."""
    return BY_NAME[name](metric=metric, **dict(settings)).fit(gloss_embeddings(metric)[0])


def asked(kind: type[Index], metric: str, settings: dict) -> Index:
    return fitted(kind.name, metric, tuple(settings.items()))


def true_distances(index: Index, queries: np.ndarray, found: Any) -> np.ndarray:
    """The distances of the rows in a result, by the metric's `pairwise`."""
    metric = index.metric
    rows = np.where(found.indices < 0, 0, found.indices)
    far = np.stack([metric.pairwise(queries[i : i + 1], index.vectors[rows[i]])[0] for i in range(len(queries))])
    return np.where(found.indices < 0, np.inf, far)


def holds(index: Index, queries: np.ndarray, found: Any) -> None:
    """Check for true distances, ascending, no row twice, and missing neighbours at the end."""
    np.testing.assert_allclose(found.distances, true_distances(index, queries, found), rtol=1e-6, atol=1e-9)
    assert found.indices.dtype == np.int64 and found.distances.dtype == np.float32 and found.metric == index.metric.name
    for rows, far in zip(found.indices, found.distances, strict=True):
        there = rows >= 0
        assert not np.any(there[1:] & ~there[:-1]), "what is missing comes last"
        assert np.all(np.isinf(far[~there])) and np.all(np.isfinite(far[there]))
        assert np.all(np.diff(far[there]) >= 0) and len(set(rows[there])) == there.sum()


def recall(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, true, strict=True)]))


def share_found(distances: np.ndarray, true: np.ndarray) -> float:
    """The share of true neighbours, where a tie at the last place is as good as any."""
    return float((distances <= true[:, -1:] + np.abs(true[:, -1:]) * 1e-6 + 1e-9).mean())


@each
def test_distances_are_true_and_the_neighbours_are_found(kind: type[Index], metric: str, settings: dict) -> None:
    index, queries = asked(kind, metric, settings), gloss_embeddings(metric)[1]
    found = index.search(queries, K)
    holds(index, queries, found)
    indices, distances = brute_force(index.vectors, queries, K, metric)
    if kind.exact:
        np.testing.assert_array_equal(found.indices, indices)
    share = share_found(found.distances, distances)
    print(f"{kind.name} {metric} {settings}: recall@{K} {share:.4f}")
    assert share >= kind.recall
    assert np.all(found.distances >= distances - np.abs(distances) * 1e-6 - 1e-6)


@each
def test_fewer_than_k_is_a_normal_result(kind: type[Index], metric: MetricName, settings: dict) -> None:
    vectors, queries = gloss_embeddings(metric)
    index = kind(metric=metric, **settings).fit(vectors[:6])
    found = index.search(queries[:3], 9)
    holds(index, queries[:3], found)
    assert np.sort(found.indices).tolist() == [[0, 1, 2, 3, 4, 5]] * 3
    assert index.search(queries[:0], 3).indices.shape == (0, 3)
    alone = kind(metric=metric, **settings).fit(vectors[:1]).search(queries[:2], 2)
    assert alone.indices.tolist() == [[0], [0]] and alone.padded(2).indices.tolist() == [[0, -1], [0, -1]]
    with pytest.raises(UsageError, match="not enough memory: 1000000000000 columns of 2 rows take"):
        alone.padded(10**12)
    assert index.search(queries[:2], 10**30).k == 6 and index.search(queries[:2], 10**30, where=[1, 3]).k == 2
    index.remove([0, 2])
    assert np.sort(index.search(queries[:1], 10**9).indices).tolist() == [[1, 3, 4, 5]]


@each
def test_wrong_arguments_are_named(kind: type[Index], metric: MetricName, settings: dict) -> None:
    index, queries = asked(kind, metric, settings), gloss_embeddings(metric)[1]
    dim = index.dim
    with pytest.raises(DataError, match=f"found dim {dim - 1}, the stored vectors have dim {dim}"):
        index.search(queries[:, :-1], 3)
    for k in (0, -1, 2.5, True):
        with pytest.raises(UsageError, match="k: expected a whole number above 0"):
            index.search(queries, k)  # type: ignore[arg-type]
    if find(metric).kernel != "bits":
        wrong = queries[:4].astype(np.float32).copy()
        wrong[2, 1] = np.nan
        with pytest.raises(
            DataError, match=r"1 row cannot be used \(1 with NaN or infinite value: 2\); correct or remove them$"
        ):
            index.search(wrong, 3)
        with pytest.raises(DataError, match="1 row cannot be used"):
            kind(metric=metric, **settings).fit(wrong)
    else:
        with pytest.raises(DataError, match="needs packed bits"):
            index.search(queries.astype(np.float32), 3)
    if find(metric).nonzero:
        with pytest.raises(DataError, match="zero vector"):
            index.search(np.zeros((1, dim)), 3)
    for where, said in {
        "id =": "expected a column or a value, found the end",
        "label = 'a'": "unknown name 'label'",
        "id >": "expected a column or a value, found the end",
    }.items():
        with pytest.raises(UsageError, match=said):
            index.search(queries, 3, where)
    with pytest.raises(DataError, match=f"where: expected {N} true or false, one a row, found shape .3,."):
        index.search(queries, 3, np.array([True, False, True]))
    with pytest.raises(DataError, match=f"where: not in the index: {N + 5}"):
        index.search(queries, 3, [0, N + 5])
    with pytest.raises(NotFitted):
        kind(metric=metric, **settings).search(queries, 3)
    with pytest.raises(DataError, match="at least 1 row"):
        kind(metric=metric, **settings).fit(queries[:0])


@each
def test_a_metric_that_it_does_not_serve_is_refused_with_those_that_it_does(
    kind: type[Index], metric: MetricName, settings: dict
) -> None:
    for other in METRICS:
        if other.name not in kind.metrics:
            with pytest.raises(UsageError, match=f"found metric '{other.name}', expected one of .*{metric}") as said:
                kind(metric=other)
            for name in str(said.value).partition(f"; indexes of {other.name}: ")[2].split(", "):
                assert BY_NAME[name](metric=other).metric is other


@each
@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.97])
def test_filters_give_as_many_as_there_are(
    kind: type[Index], metric: str, settings: dict, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proposals, "SCAN_AT_MOST", 20)  # so that the engine answers the wider ones
    index, queries = asked(kind, metric, settings), gloss_embeddings(metric)[1]
    mask = np.random.default_rng(3).random(N) < share
    mask[7] = True
    for k in (1, K, 400):
        found = index.search(queries[:50], k, mask)
        holds(index, queries[:50], found)
        assert ((found.indices >= 0).sum(axis=1) == min(k, mask.sum())).all()
        assert mask[found.indices[found.indices >= 0]].all()
    rows = np.flatnonzero(mask)
    by_id = index.search(queries[:50], K, rows)
    np.testing.assert_array_equal(by_id.indices, index.search(queries[:50], K, mask).indices)
    _, distances = brute_force(index.vectors[rows], queries[:50], min(K, len(rows)), metric)
    assert share_found(by_id.distances[:, : len(rows)], distances) >= kind.recall - 0.05
    assert (index.search(queries[:2], 2, np.zeros(N, dtype=bool)).indices == -1).all()


@each
def test_copies_of_a_row_all_come_back(kind: type[Index], metric: MetricName, settings: dict) -> None:
    vectors, queries = gloss_embeddings(metric)
    rng = np.random.default_rng(1)
    copied = vectors[:600].copy()
    copied[rng.random(600) < 0.3] = copied[5]
    index = kind(metric=metric, **settings).fit(copied)
    copies = np.flatnonzero((copied == copied[5]).all(axis=1))
    found = index.search(copied[5:6], len(copies))
    np.testing.assert_array_equal(found.indices[0], copies) if not find(metric).product else None
    holds(index, queries, index.search(queries, K))
    true, _ = brute_force(copied, queries, K, metric)
    assert recall(index.search(queries, K).indices, true) >= kind.recall - 0.02
    few = index.search(copied[5:6], 4, copies[2:5])
    assert few.indices.tolist() == [[*copies[2:5]]]


@each
def test_additions_and_removals_by_id(kind: type[Index], metric: MetricName, settings: dict, tmp_path: Path) -> None:
    vectors, queries = gloss_embeddings(metric)
    names = [f"row {i}" for i in range(500)]
    payload = {"even": [i % 2 == 0 for i in range(500)]}
    index = kind(metric=metric, **settings).fit(vectors[:400], ids=names[:400], payload={"even": payload["even"][:400]})
    if not index.can_add:
        with pytest.raises(UsageError, match="cannot grow"):
            index.add(vectors[400:500], names[400:])
        index = kind(metric=metric, **settings).fit(vectors[:500], ids=names, payload=payload)
    else:
        for start in (400, 401, 450):
            stop = {400: 401, 401: 450, 450: 500}[start]
            index.add(vectors[start:stop], names[start:stop], {"even": payload["even"][start:stop]})
        with pytest.raises(DataError, match="'row 3' is given to rows 3 and 500"):
            index.add(vectors[:1], ["row 3"])
        with pytest.raises(DataError, match="this index has ids of its own such as 'row 0'"):
            index.add(vectors[:1])
        with pytest.raises(DataError, match="found dim"):
            index.add(vectors[:1, :-1], ["new"])
    assert len(index) == 500
    holds(index, queries, index.search(queries, K))
    with pytest.raises(DataError, match="remove: not in the index: 'row 999'; it holds 500 rows, whose ids are like"):
        index.remove(["row 1", "row 999"])
    assert len(index) == 500
    gone = [f"row {i}" for i in range(0, 500, 3)]
    index.remove(gone)
    assert len(index) == 500 - len(gone)
    for rows, at_least in ((gone, 1 / 2), (names, 0)):
        live = np.array([i for i in range(500) if f"row {i}" not in rows and i % 3])
        if at_least:
            found = index.search(queries, K)
            holds(index, queries, found)
            assert not set(found.indices.ravel()) & set(range(0, 500, 3))
            assert ((found.indices >= 0).sum(axis=1) == K).all()
            true, _ = brute_force(vectors[live], queries, K, metric)
            assert recall(found.indices, live[true]) >= kind.recall - 0.02
            index.save(tmp_path / "removed")
            again = load(tmp_path / "removed")
            assert len(again) == len(index) and again.ids.rows("row 7").tolist() == [7]
            np.testing.assert_array_equal(again.search(queries, K).indices, found.indices)
            even = again.search(queries, 400, "even")
            assert ((even.indices >= 0).sum(axis=1) == (live % 2 == 0).sum()).all()
            with pytest.raises(DataError, match="not in the index"):
                again.remove("row 0")
            index.remove([f"row {i}" for i in live])
        assert len(index) == 0 and (index.search(queries, 3).indices == -1).all()
    index.save(tmp_path / "empty")
    assert (load(tmp_path / "empty").search(queries, 3).indices == -1).all()
    if index.can_add:
        index.add(vectors[:5], ["row 0", "row 1", "c", "d", "e"], {"even": [True] * 5})
        assert index.ids.of(index.search(vectors[:1], 5).indices)[0].count("row 0") == 1 and len(index) == 5


@each
def test_saved_and_loaded_it_answers_the_same(kind: type[Index], metric: str, settings: dict, tmp_path: Path) -> None:
    index, queries = asked(kind, metric, settings), gloss_embeddings(metric)[1]
    index.save(tmp_path / "index")
    for again in (load(tmp_path / "index"), kind.load(tmp_path / "index")):
        assert type(again) is kind and again.settings == index.settings and again.metric == index.metric
        found, before = again.search(queries, K), index.search(queries, K)
        np.testing.assert_array_equal(found.indices, before.indices)
        np.testing.assert_array_equal(found.distances, before.distances)
        assert not again.vectors.flags.writeable
    with pytest.raises(UsageError, match="exists already"):
        index.save(tmp_path / "index")
    again.save(tmp_path / "index", overwrite=True)  # onto the files that it reads
    np.testing.assert_array_equal(load(tmp_path / "index").search(queries, K).indices, before.indices)
    other = next(one for one in INDEXES if one is not kind)
    with pytest.raises(DataError, match=f"found an index of type {kind.name}, expected {other.name}"):
        other.load(tmp_path / "index")
    if kind.can_add:
        again.add(queries[:7])
        assert recall(again.search(queries[:7], 1).indices, np.arange(N, N + 7)[:, None]) >= (
            0 if find(metric).product else 6 / 7
        )


@each
def test_within_a_radius(kind: type[Index], metric: str, settings: dict) -> None:
    index, queries = asked(kind, metric, settings), gloss_embeddings(metric)[1][:20]
    distances = find(metric).pairwise(queries, index.vectors)
    radius = float(np.quantile(distances, 0.1))
    found = index.within(queries, radius)
    wanted = [set(np.flatnonzero(row <= radius)) for row in distances]
    got = [set(found[i][0]) for i in range(20)]
    assert all(a <= b for a, b in zip(got, wanted, strict=True))
    assert sum(map(len, got)) >= (kind.recall - 0.35) * sum(map(len, wanted))
    for i in range(20):
        np.testing.assert_allclose(found[i][1], np.sort(distances[i][found[i][0]]), rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(index.within(queries=queries, radius=radius).indices, found.indices)
    with pytest.raises(UsageError, match="radius: expected a number"):
        index.within(queries, np.nan)


@pytest.mark.parametrize("kind", [kind for kind in INDEXES if not kind.exact])
def test_within_without_queries_names_what_is_missing(kind: type[Index]) -> None:
    index: Any = kind()
    for arguments, named in (((0.9,), {}), ((), {"radius": 0.9}), (([[0.0]],), {}), ((), {}), ((None, 0.9), {})):
        with pytest.raises(
            UsageError, match=rf"within: .* {kind.__name__} needs within\(queries, radius\); only Exact"
        ):
            index.within(*arguments, **named)


def test_within_of_exact_takes_a_radius_alone_in_every_form() -> None:
    vectors = np.array([[0.0], [1.0], [3.0], [3.5]])
    index = BY_NAME["exact"]().fit(vectors)
    exact: Any = index
    for found in (exact.within(1.0), exact.within(radius=1.0), exact.within(None, 1.0), exact.within(np.float32(1))):
        assert found.indptr.tolist() == [0, 1, 2, 3, 4] and found.indices.tolist() == [1, 0, 3, 2]
    for found in (
        exact.within([[0.4]], 1.0),
        exact.within([[0.4]], radius=1.0),
        exact.within(queries=[[0.4]], radius=1),
    ):
        assert found.indices.tolist() == [0, 1] and found.distances.tolist() == [np.float32(0.4), np.float32(0.6)]
    assert exact.within(1.0, where=[0, 2, 3]).indices.tolist() == [3, 2]
    for arguments in ((), (vectors,), (1.0, vectors), ("near",)):
        with pytest.raises(UsageError, match="radius: expected a number in the metric's unit, got"):
            exact.within(*arguments)


def test_an_index_itself_is_abstract() -> None:
    with pytest.raises(TypeError, match=r"Index is an abstract class; make one of Exact, KDTree, .*vicinal\.index\(\)"):
        Index("euclidean")  # type: ignore[abstract]


@pytest.mark.parametrize("kind", INDEXES)
def test_a_kind_inherits_nothing_but_the_contract(kind: type[Index]) -> None:
    ours = [one.__name__ for one in kind.__mro__ if one.__module__.startswith("vicinal.")]
    assert ours == [kind.__name__, "Index", "Described"]


@each
def test_rows_can_be_added_to_an_index_that_was_saved_empty(
    kind: type[Index], metric: MetricName, settings: dict, tmp_path: Path
) -> None:
    if not kind.can_add:
        return
    vectors = gloss_embeddings(metric)[0]
    index = kind(metric=metric, **settings).fit(vectors[:300])
    index.remove(range(300))
    index.save(tmp_path / "empty")
    again = load(tmp_path / "empty").add(vectors[300:600])
    found = again.search(vectors[300:310], 1)
    if not find(metric).product:
        assert recall(found.indices, np.arange(300, 310)[:, None]) >= 0.9
    assert len(again) == 300 and again.n_rows == 600 and (found.indices >= 300).all()


@each
def test_rows_that_cannot_be_used_are_left_out_on_request(
    kind: type[Index], metric: MetricName, settings: dict
) -> None:
    if find(metric).kernel == "bits":
        return
    vectors, queries = gloss_embeddings(metric)
    wrong = vectors[:300].astype(np.float32).copy()
    wrong[[4, 9]] = np.nan
    index = kind(metric=metric, **settings).fit(wrong, on_invalid="null")
    assert index.invalid == {4: "NaN or infinite value", 9: "NaN or infinite value"} and len(index) == 298
    found = index.search(queries, 299)
    assert found.k == 298 and not {4, 9} & set(found.indices.ravel())


def test_values_outside_a_parameters_range_are_refused() -> None:
    kinds: list[Any] = list(INDEXES)
    for kind in kinds:
        for one in kind.parameters:
            default = kind(**{one.name: one.default}) if one.name != "structure" else kind()
            assert default.settings[one.name] == one.default and one.about
            for wrong in [-1, one.high + 1, "x", 1.5, True] if not isinstance(one.default, bool | str) else [3, None]:
                with pytest.raises(UsageError, match=one.name):
                    kind(**{one.name: wrong})


def test_parameters_of_searching_can_be_changed_and_others_not() -> None:
    vectors, queries = gloss_embeddings("euclidean")
    index = BY_NAME["hnsw"](metric="euclidean", ef_search=1).fit(vectors)
    true, _ = brute_force(vectors, queries, 1, "euclidean")
    low = recall(index.search(queries, 1).indices, true)
    assert recall(index.set(ef_search=200).search(queries, 1).indices, true) > low
    with pytest.raises(UsageError, match=r"M: HNSW uses it when it is built, .* become 4 later; .*changes ef_search"):
        index.set(M=4)
    with pytest.raises(UsageError, match="speed: HNSW has no such parameter; set\\(\\) changes ef_search"):
        index.set(speed=4)


@pytest.mark.parametrize(
    ("name", "metric"), [("ivfpq", "euclidean"), ("ivfpq", "cosine"), ("pq", "cosine"), ("pq", "inner_product")]
)
def test_codes_without_vectors_state_their_error(name: str, metric: MetricName, tmp_path: Path) -> None:
    vectors, queries = gloss_embeddings(metric)
    vectors = np.concatenate([vectors, vectors[:50]])
    index: Any = BY_NAME[name](metric=metric, n_bits=6, keep_vectors=False).fit(vectors)
    index.save(tmp_path / "codes")
    assert not (tmp_path / "codes" / "vectors.npy").exists()
    size = sum(file.stat().st_size for file in (tmp_path / "codes").iterdir())
    assert size < 0.8 * vectors.nbytes  # the codebooks are most of so small a set
    again: Any = load(tmp_path / "codes")
    for one in (index, again):
        found = one.search(queries, K)
        true, _ = brute_force(vectors, queries, K, metric)
        assert recall(found.indices, true) > 0.5
        off = np.abs(
            found.distances
            - [find(metric).pairwise(queries[i : i + 1], vectors[found.indices[i]])[0] for i in range(len(queries))]
        )
        assert one.error["mean_absolute"] > 0 and off.mean() < 4 * one.error["mean_absolute"]
        mask = np.arange(len(vectors)) % 9 == 0
        assert mask[one.search(queries, 20, mask).indices].all()
        with pytest.raises(UsageError, match="without its vectors cannot grow"):
            one.add(vectors[:1])
        one.remove(list(range(0, 1_500)))
        assert (one.search(queries, K).indices >= 1_500).all()
    with pytest.raises(UsageError, match="n_subquantizers: expected a divisor of dim 96, got 7"):
        BY_NAME[name](n_subquantizers=7).fit(vectors)


def test_copies_are_collapsed_before_a_graph_is_built() -> None:
    vectors, _ = gloss_embeddings("cosine")
    copied = vectors.copy()
    copied[np.random.default_rng(2).random(N) < 0.3] = copied[11]
    index: Any = BY_NAME["hnsw"](metric="cosine").fit(copied)
    assert index.n_entries == len(np.unique(copied, axis=0)) < N


def test_an_engine_is_rebuilt_once_half_of_it_is_removed() -> None:
    vectors, queries = gloss_embeddings("euclidean")
    index: Any = BY_NAME["hnsw"](metric="euclidean").fit(vectors)
    index.remove(range(0, 900))
    assert index.n_entries == N
    index.remove(range(900, 1_100))
    assert index.n_entries == N - 1_100 and (index.search(queries, K).indices >= 1_100).all()


def test_vectors_far_from_the_origin_keep_their_precision() -> None:
    vectors, queries = (rows.astype(np.float64) + 1e6 for rows in gloss_embeddings("euclidean"))
    true, _ = brute_force(vectors, queries, K, "euclidean")
    for name in ("graph", "hnsw", "ivf", "pq"):
        index = BY_NAME[name](metric="euclidean").fit(vectors)
        assert recall(index.search(queries, K).indices, true) >= index.recall


@pytest.mark.parametrize("name", ["graph", "hnsw", "ivf", "pq", "annoy"])
@pytest.mark.parametrize("size", [1e-140, 1e-30, 1e30])
def test_values_whose_squares_leave_float32_are_found(name: str, size: float, tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(400, 8))
    for metric in [one for one in ("euclidean", "cosine", "inner_product") if one in BY_NAME[name].metrics]:
        if metric == "cosine" and size < 1e-100:
            with pytest.raises(DataError, match="zero vector"):
                BY_NAME[name](metric=metric).fit(vectors * size)
            continue
        index = BY_NAME[name](metric=metric).fit(vectors[20:] * size)
        index.save(tmp_path / metric)
        factors = np.array([1, 1e4, 1e-4])[:, None] if metric == "cosine" else 1.0  # queries of other sizes
        for one in (index, load(tmp_path / metric)):
            true, _ = brute_force(vectors[20:], vectors[:3], K, metric)
            assert recall(one.search(vectors[:3] * size * factors, K).indices, true) >= one.recall
    if name != "annoy":
        far = BY_NAME[name](metric="euclidean").fit(vectors).search(np.full((2, 8), 1e30), 3)
        assert (far.indices >= 0).all() and np.isfinite(far.distances).all()


def test_a_result_of_many_small_additions_is_that_of_one() -> None:
    vectors, queries = gloss_embeddings("cosine")
    index = BY_NAME["exact"](metric="cosine").fit(vectors[:10])
    for row in range(10, 60):
        index.add(vectors[row : row + 1])
    whole = BY_NAME["exact"](metric="cosine").fit(vectors[:60])
    np.testing.assert_array_equal(index.search(queries, K).indices, whole.search(queries, K).indices)


def test_ids_are_the_users_own_whole_numbers_or_strings() -> None:
    vectors, queries = gloss_embeddings("euclidean")
    make: Callable[..., Index] = BY_NAME["exact"]
    mixed = make().fit(vectors[:4], ids=[10, "ten", -3, "x"])
    found = mixed.search(vectors[1:2], 5).padded(5)
    assert mixed.ids.of(found.indices)[0][:1] == ["ten"] and mixed.ids.of(found.indices)[0][-1] is None
    assert mixed.search(queries[:1], 1, "id = 'ten'").indices.tolist() == [[1]]
    for ids, said in (
        ([1, 1, 2, 3], "1 is given to rows 0 and 1"),
        ([1, 2, 3], "expected 4, one a row, found 3"),
        ([1, 2, 3, 4.5], "row 3: expected a whole number or a string, found 4.5"),
        ([1, 2, 3, True], "row 3: expected a whole number or a string, found True"),
    ):
        with pytest.raises(DataError, match=said):
            make().fit(vectors[:4], ids=ids)
    large = make().fit(vectors[:3], ids=[10**30, 1, 2])
    assert large.search(vectors[:1], 1, f"id = '{10**30}'").indices.tolist() == [[0]]
    mixed.remove("x")
    with pytest.raises(DataError, match="'new' is given to rows 4 and 5"):
        mixed.add(vectors[:2], ids=["new", "new"])
    assert (len(mixed), mixed.n_rows, len(mixed.ids)) == (3, 4, 4)
    with pytest.raises(DataError, match="payload: found 3 rows, expected 4"):
        make().fit(vectors[:4], payload={"a": [1, 2, 3]})
    plain = make().fit(vectors[:4])
    assert plain.ids.of(np.array([2, -1])) == [2, None] and plain.search(queries[:1], 4, "id >= 2").k == 2


def test_columns_of_several_kinds_become_text() -> None:
    vectors, _ = gloss_embeddings("euclidean")
    with pytest.warns(UserWarning, match="payload: a: its values are of several kinds; they are kept as text"):
        index = BY_NAME["exact"]().fit(vectors[:3], payload=[{"a": 1}, {"a": "x"}, {"a": [2]}])
    for where, row in (("a = 'x'", 1), ("a = '1'", 0), ("a = '[2]'", 2)):
        assert index.rows(where).tolist() == [row]


def test_auto_says_what_it_chose_and_why() -> None:
    from vicinal import index
    from vicinal.indexes.choose import choose

    vectors, queries = gloss_embeddings("cosine")
    auto = index("auto", "cosine")
    assert isinstance(auto, Index) and repr(auto) == "AutoIndex('cosine', n=0, dim=0)"
    with pytest.raises(DataError, match="NaN or infinite value"):
        auto.fit(np.full((2, 2), np.nan))
    assert repr(auto) == "AutoIndex('cosine', n=0, dim=0)" and len(auto) == 0
    with pytest.raises(NotFitted):
        auto.search(queries, 1)
    chosen = auto.fit(vectors)
    assert chosen is auto and type(auto) is BY_NAME["exact"] and repr(auto) == "Exact('cosine', n=2000, dim=96)"
    assert chosen.name == "exact" and "2,000 x 96 is at most" in chosen.reason == auto.reason
    np.testing.assert_array_equal(auto.search(queries, 3).indices, chosen.search(queries, 3).indices)
    assert choose(10**8, 32, "hamming")[0] == "exact" and choose(10**8, 3, "euclidean")[0] == "kdtree"
    assert choose(10**7, 384, "cosine", 1 << 36)[0] == "graph" and choose(10**8, 384, "cosine", 1 << 36)[0] == "ivfpq"
    with pytest.raises(UsageError, match="unknown index 'hsnw': did you mean 'hnsw'"):
        index("hsnw")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown parameter 'm': did you mean 'M'"):
        index("hnsw", m=3)
    with pytest.raises(UsageError, match="auto chooses the parameters itself"):
        index("auto", M=3)


def test_the_names_of_indexes_in_signatures_are_those_of_the_list() -> None:
    assert get_args(typing.IndexName) == ("auto", *BY_NAME)


@pytest.mark.parametrize(
    ("kind", "metric", "settings"), [case for case in CASES if "cosine" in case.values or "hamming" in case.values]
)
def test_as_many_rows_as_there_are_come_back(kind: type[Index], metric: str, settings: dict) -> None:
    index, queries = asked(kind, metric, settings), gloss_embeddings(metric)[1][:2]
    for k in (N, N + 5):
        found = index.search(queries, k)
        assert (np.sort(found.indices[:, :N], axis=1) == np.arange(N)).all() and (found.indices[:, N:] == -1).all()


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_graph_is_the_same_for_any_threads_and_instruction_set(
    metric: MetricName, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = gloss_embeddings(metric)
    found: list[np.ndarray] = []
    for isa in native.isas():
        monkeypatch.setenv("VICINAL_ISA", isa)
        index = BY_NAME["graph"](metric=metric, threads=1 + len(found) % 2, graph_degree=8, ef_search=16)
        index.fit(vectors[:1_500]).add(vectors[1_500:])
        assert index.engine == f"native ({isa})"
        found.append(index.search(queries, K).indices)
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    monkeypatch.setenv("VICINAL_ISA", "mmx")
    with pytest.raises(UsageError, match="VICINAL_ISA: unknown instruction set 'mmx'"):
        BY_NAME["graph"](metric=metric).fit(vectors[:50])


def test_a_graph_finds_groups_of_rows_that_lie_far_from_each_other() -> None:
    random = np.random.default_rng(0)
    centres = np.repeat(100 * random.normal(size=(40, 16)), 60, axis=0)  # more than the links of a row in each group
    vectors = centres + random.normal(size=centres.shape)
    index = BY_NAME["graph"](metric="euclidean").fit(vectors)
    assert recall(index.search(vectors, 1).indices, np.arange(len(vectors))[:, None]) > 0.999


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "inner_product"])
def test_a_graph_whose_width_spans_its_vectors_is_exact(metric: MetricName) -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_cauchy(size=(400, 6)) ** 3  # codes of one scale tell most of them not apart
    vectors[300:350] = vectors[:50]
    index: Index = BY_NAME["graph"](metric=metric, ef_search=400).fit(vectors[:390])
    index.add(vectors[390:]).remove(range(100, 120))
    kept = np.r_[0:100, 120:400]
    exact = brute_force(vectors[kept], vectors[:30], 20, metric)
    found = index.search(vectors[:30], 20)
    np.testing.assert_array_equal(found.indices, kept[exact[0]])
    np.testing.assert_allclose(found.distances, exact[1], rtol=1e-6)


def test_auto_takes_hnsw_where_the_codes_of_a_graph_tell_little_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from vicinal.indexes.choose import index

    monkeypatch.setattr("vicinal.indexes.choose.choose", lambda n, dim, metric: ("graph", "a graph fits"))
    vectors = np.random.default_rng(0).normal(size=(400, 8))
    assert index("auto").fit(vectors).name == "graph"
    monkeypatch.setattr(graph, "POOR", 1.1)  # a search is never good enough, and codes are always coarse
    monkeypatch.setattr(graph, "VIEW", 12)
    ids, payload = (f"row {i}" for i in range(400)), ({"even": i % 2 == 0} for i in range(400))
    made = index("auto").fit(vectors, ids=ids, payload=payload)  # without the graph's warning, which is an error here
    assert made.name == "hnsw" and made.reason.startswith("hnsw: a graph fits, but its codes of one byte tell")
    found = made.search(vectors[:1], 2, "even")
    assert made.ids.of(found.indices)[0][0] == "row 0" and found.indices[0, 1] % 2 == 0


def test_a_graph_that_finds_few_of_the_nearest_is_searched_wider_or_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(2_000, 96))
    true, _ = brute_force(vectors, vectors[:200], K, "euclidean")
    monkeypatch.setattr(graph, "EF", 12)  # as if this were the default width
    index: Any = BY_NAME["graph"](metric="euclidean", graph_degree=12, ef_search=12).fit(vectors)
    assert index._backend.engine._wider > 1
    assert recall(index.search(vectors[:200], K).indices, true) >= 0.97
    monkeypatch.setattr(graph, "WIDEST", 1)
    monkeypatch.setattr(graph, "POOR", 0.98)
    with pytest.warns(graph.LowRecall, match=r"about 0\.\d\d of the 10 nearest .* width of 12: raise ef_search"):
        narrow = BY_NAME["graph"](metric="euclidean", graph_degree=12, ef_search=12).fit(vectors)
    assert recall(narrow.search(vectors[:200], K).indices, true) < 0.98
    assert recall(narrow.set(ef_search=400).search(vectors[:200], K).indices, true) > 0.99


def hard_rows(name: str) -> np.ndarray:
    """Rows whose regions lie far apart, or whose lengths differ greatly."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(2_100, 24))
    if name.startswith("blobs"):
        rows += 1_000 * random.normal(size=(int(name[5:]), 24))[random.integers(int(name[5:]), size=len(rows))]
    elif name == "Student":
        rows /= np.sqrt(random.chisquare(2, size=(len(rows), 1)) / 2)
    elif name == "outliers":
        rows[random.permutation(len(rows))[:10]] *= np.repeat([1e6, 1e3], 5)[:, None]
    else:
        rows *= 10.0 ** random.uniform(-3, 3, size=(len(rows), 1))
    return rows


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "inner_product"])
@pytest.mark.parametrize("name", ["blobs3", "blobs100", "Student", "outliers", "lengths"])
def test_a_graph_finds_the_nearest_of_rows_of_any_scale(name: str, metric: MetricName, tmp_path: Path) -> None:
    rows = hard_rows(name)
    vectors, queries = rows[:2_000], rows[2_000:]
    _, true = brute_force(vectors, queries, K, metric)
    index = BY_NAME["graph"](metric=metric).fit(vectors[:1_900])  # says nothing; warnings are errors here
    index.add(vectors[1_900:]).save(tmp_path / "index")
    share = share_found(load(tmp_path / "index").search(queries, K).distances, true)
    print(f"{name} {metric}: {share:.4f}")
    assert share >= index.recall


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("head", 5, 1e300),
        ("head", 4, 0),
        ("head", 2, 0.5),
        ("terms", 3, np.nan),
        ("terms", (4, 1), 0),
        ("centres", 0, np.inf),
    ],
)
def test_numbers_that_a_graph_cannot_have_are_refused(name: str, place: int, value: float, tmp_path: Path) -> None:
    index: Any = BY_NAME["graph"](metric="inner_product").fit(np.random.default_rng(0).normal(size=(50, 3)))
    engine = index._backend.engine
    engine.write(tmp_path)
    arrays = dict(graph._arrays(tmp_path / graph.FILE))
    arrays[name][place] = value
    with open(tmp_path / graph.FILE, "wb") as file:
        for array in arrays.values():
            npy.write_npy(file, array)
    with pytest.raises(DataError, match=r"engine\.graph: .*; build the index again"):
        engine.read({graph.FILE: tmp_path / graph.FILE}, index._backend.entries)


def test_links_of_a_graph_are_chosen_by_hand_on_a_line() -> None:
    index: Any = BY_NAME["graph"](metric="euclidean", graph_degree=4).fit(np.arange(6.0)[:, None])
    parts = index._backend.engine.frozen()["parts"]
    links = {
        int(row): {int(parts["rows"][node]) for node in nodes if node >= 0}
        for row, nodes in zip(parts["rows"], parts["links"], strict=True)
    }
    # Next to a row of a line lie those beside it; the first of them is nearer to every farther one.
    assert all({row - 1, row + 1} & set(range(6)) <= links[row] for row in range(6))

"""Each strategy against its definition, computed slowly in float64."""

import heapq
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

import vicinal
from oracle import hard_data
from vicinal.analysis import class_centres, clusters, score_first, selection, towards
from vicinal.analysis import novelsum as novelty
from vicinal.analysis.log_determinant import RIDGE, log_determinant
from vicinal.knn.metrics import find

COSINE, EUCLIDEAN = find("cosine"), find("euclidean")
KINDS = ["plain", "40 % copies of one row", "few integers, many ties", "rows within 1e-4"]


def fit_data(kind: str, n: int, dim: int) -> np.ndarray:
    """Awkward rows without zeros, which have no cosine."""
    return hard_data(kind, n, dim) + 0.25


def greedy(value: Any, n: int, keep: int, order: list[int]) -> list[int]:
    """Each next row of the largest value, rounded to 10 digits, the first of equal ones."""
    order = list(order)
    while len(order) < keep:
        found = np.round(np.array([-np.inf if row in order else value(order, row) for row in range(n)]), 10)
        order.append(int(np.argmax(found)))
    return order


@pytest.fixture(params=[(256, 16384), (3, 7)], ids=["pool of 256", "pool of 3"])
def pool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lazy greedy algorithm with its own pool, and with one that is renewed all the time."""
    for name, size in zip(("POOL", "MOST_RENEWED"), request.param, strict=True):
        monkeypatch.setattr(f"vicinal.analysis.lazy_greedy.{name}", size)


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("kind", KINDS)
def test_logdet_enlarges_the_determinant_most_with_every_row(kind: str) -> None:
    vectors = fit_data(kind, 40, 5)
    unit = COSINE.prepare(vectors)
    for weight in (np.ones(40), np.random.default_rng(0).uniform(0.1, 1, 40)):
        kernel = weight[:, None] * (unit @ unit.T + RIDGE * np.eye(40)) * weight

        def gain(order: list[int], row: int, kernel: np.ndarray = kernel) -> float:
            both = [*order, row]
            before = np.linalg.slogdet(kernel[np.ix_(order, order)])[1] if order else 0.0
            return float(np.exp(np.linalg.slogdet(kernel[np.ix_(both, both)])[1] - before))

        found = log_determinant(vectors, 20, weight=weight)
        chosen: list[int] = []
        for row in found.order.tolist():  # every choice is the best there was, up to the rounding of determinants
            best = max(gain(chosen, other) for other in range(40) if other not in chosen)
            assert gain(chosen, row) >= best * (1 - 1e-6) - 1e-9
            chosen.append(row)
    assert log_determinant(vectors, 20, threads=1).order.tolist() == log_determinant(vectors, 20).order.tolist()


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("near", [32, 4])
def test_novelsum_is_the_greedy_of_the_papers_code(kind: str, near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vicinal.analysis.novelsum.NEAR", near)
    monkeypatch.setattr("vicinal.analysis.novelsum.PART", 2 * near)
    vectors = fit_data(kind, 40, 5)
    unit = COSINE.prepare(vectors)
    far = 1 - unit @ unit.T
    squares = np.square(unit[:, None] - unit).sum(axis=2)
    kinds = np.unique(vectors, axis=0, return_inverse=True)[1].ravel()
    density = np.empty(40)
    for row in range(40):
        others = sorted(squares[row, np.flatnonzero(kinds == kind)[0]] for kind in set(kinds) - {kinds[row]})
        density[row] = 1 / np.sqrt(np.mean(others[:3]) + 1e-9)
    m = np.maximum(far, 0) * (density[:, None] + density)
    mean = (far * (density[:, None] + density)).mean(axis=1)
    np.testing.assert_allclose(novelty.densities(vectors, 3, COSINE), density, rtol=1e-4)
    density = novelty.densities(vectors, 3, COSINE)  # its distances are float32
    m, mean = np.maximum(far, 0) * (density[:, None] + density), (far * (density[:, None] + density)).mean(axis=1)
    for weight in (np.ones(40), np.random.default_rng(0).uniform(0.1, 1, 40)):

        def value(order: list[int], row: int, weight: np.ndarray = weight) -> float:
            ranks = 1 / np.arange(1, len(order) + 1)
            nearest = np.sort(m[row, order])[:near]
            return float(weight[row] * (nearest @ ranks[:near] + ranks[near:].sum() * mean[row]))

        found = novelty.novelsum(vectors, 25, weight=weight, first=7, k=3).order.tolist()
        assert found[0] == 7 and len(set(found)) == 25
        for place in range(1, 25):
            best = max(value(found[:place], row) for row in range(40) if row not in found[:place])
            assert value(found[:place], found[place]) >= best * (1 - 1e-9) - 1e-9


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9, 1.0])
def test_qdit_adds_quality_to_facility_location(alpha: float) -> None:
    vectors, quality = hard_data("plain", 60, 4), np.random.default_rng(3).random(60)
    graph = vicinal.neighbors(vectors, 6)
    value = np.zeros((60, 60))
    largest = float(graph.distances.max())
    for row in range(60):
        value[row, row] = 2**32
        for other, far in zip(graph.indices[row], graph.distances[row], strict=True):
            value[row, other] = np.rint((1 - float(far) / largest) * 2**32)
    most = value.sum(axis=0).max()

    def worth(order: list[int], row: int) -> float:
        best = value[:, order].max(axis=1) if order else np.zeros(60)
        adds = float(np.maximum(value[:, row] - best, 0).sum() / most)
        return alpha * float(quality[row]) + (1 - alpha) * adds

    found = selection.facility_location(graph, 20, quality=quality, alpha=alpha)
    assert found.order.tolist() == greedy(worth, 60, 20, [])


@pytest.mark.parametrize("metric", [EUCLIDEAN, COSINE], ids=lambda metric: metric.name)
def test_k_means_is_lloyds_algorithm(metric: Any) -> None:
    vectors = fit_data("plain", 70, 4)
    rows = metric.prepare(vectors)
    first = np.sort(np.random.default_rng(5).choice(70, 6, replace=False))
    centres = rows[first]
    for _ in range(clusters.ITERATIONS):
        nearest = np.square(rows[:, None] - centres).sum(axis=2).argmin(axis=1)
        centres = np.array([metric.prepare(rows[nearest == c].mean(axis=0)[None])[0] for c in range(6)])
    found, far = clusters.k_means(vectors, 6, metric, seed=5)
    assert found.tolist() == np.square(rows[:, None] - centres).sum(axis=2).argmin(axis=1).tolist()
    np.testing.assert_allclose(far, metric.pairwise(vectors, centres)[np.arange(70), found], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("metric", [EUCLIDEAN, COSINE], ids=lambda metric: metric.name)
def test_semdedup_removes_what_is_nearest_to_a_row_before_it(kind: str, metric: Any) -> None:
    vectors = fit_data(kind, 80, 5)
    far = metric.pairwise(vectors, vectors)
    for quality in (None, np.random.default_rng(1).integers(3, size=80).astype(float)):
        member, centre = clusters.k_means(vectors, 5, metric, seed=2)
        rank = [(-(0.0 if quality is None else quality[row]), -centre[row], row) for row in range(80)]
        gap = np.full(80, np.inf)
        for row in range(80):
            before = [other for other in range(80) if member[other] == member[row] and rank[other] < rank[row]]
            gap[row] = min((far[row, other] for other in before), default=np.inf)
        found = clusters.semdedup(vectors, 30, metric, quality, n_clusters=5, seed=2)
        told = np.where(found.because < 0, np.inf, found.distance)
        np.testing.assert_allclose(told, gap, rtol=1e-6, atol=1e-9)
        kept = np.isin(np.arange(80), found.order)
        assert len(found.order) == 30 and gap[kept].min() >= gap[~kept].max() - 1e-9


def test_d4_keeps_the_farthest_from_the_centres_of_what_semdedup_leaves() -> None:
    vectors = fit_data("plain", 80, 5)
    left = np.sort(clusters.semdedup(vectors, 60, COSINE, n_clusters=5, seed=2).order)
    far = clusters.k_means(vectors[left], 5, COSINE, seed=2)[1]
    found = clusters.d4(vectors, 30, COSINE, n_clusters=5, seed=2)
    assert found.order.tolist() == left[np.lexsort((left, -far))[:30]].tolist()
    removed = np.setdiff1d(np.arange(80), left)
    assert (found.because[removed] >= 0).all() and (found.because[left] == -1).all()
    groups = np.arange(80) % 4
    seats = np.array([25, 20, 2, 0]) - [5, 0, 0, 0]  # more of class 0 and 1 than semdedup leaves of them
    chosen = clusters.d4(vectors, 42, COSINE, None, groups, seats, 5, 2).order
    assert np.bincount(groups[chosen], minlength=4).tolist() == seats.tolist()


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("sizes", [(1024, 2048), (7, 5)])
def test_deita_keeps_the_best_that_is_far_from_all_kept(
    kind: str, sizes: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in zip(("BLOCK", "PART"), sizes, strict=True):
        monkeypatch.setattr(score_first, name, size)
    vectors = hard_data(kind, 90, 3)
    merit = np.random.default_rng(4).integers(40, size=90).astype(float)
    far = EUCLIDEAN.pairwise(vectors, vectors)
    threshold = float(np.quantile(far[far > 0], 0.1))
    ranked = sorted(range(90), key=lambda row: (-merit[row], row))
    apart: list[int] = []
    for row in ranked:
        if all(far[row, other] > threshold for other in apart):
            apart.append(row)
    for keep in (1, 10, len(apart), 80):
        expected = apart[:keep] + [row for row in ranked if row not in apart][: max(0, keep - len(apart))]
        found, count = score_first.score_first(vectors, merit, keep, threshold, EUCLIDEAN)
        assert found.order.tolist() == expected and count == min(keep, len(apart))


@pytest.mark.parametrize("metric", [EUCLIDEAN, COSINE], ids=lambda metric: metric.name)
@pytest.mark.parametrize("asked", [8, 1])
def test_herding_follows_the_mean(metric: Any, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_centres, "ASKED", asked)
    vectors, classes = fit_data("plain", 60, 4), np.arange(60) % 2
    rows = metric.prepare(vectors)

    def herd(members: np.ndarray, keep: int) -> list[int]:
        mean = rows[members].mean(axis=0)
        order: list[int] = []
        for t in range(keep):
            direction = (t + 1) * mean - rows[order].sum(axis=0)
            order.append(int(max((r for r in members.tolist() if r not in order), key=lambda r: rows[r] @ direction)))
        return order

    # At the end chosen rows lie in the way of each search, so that the rows are searched anew without them.
    assert class_centres.herding(vectors, 58, metric).order.tolist() == herd(np.arange(60), 58)
    found = class_centres.herding(vectors, 12, metric, classes, np.array([8, 4])).order
    for label, seats in enumerate((8, 4)):
        assert found[classes[found] == label].tolist() == herd(np.flatnonzero(classes == label), seats)
    assert classes[found[:6]].tolist().count(0) == 4  # in every beginning each class has its share


@pytest.mark.parametrize("metric", [EUCLIDEAN, COSINE], ids=lambda metric: metric.name)
def test_moderate_is_the_median_distance_from_the_centre(metric: Any) -> None:
    vectors, classes = fit_data("plain", 60, 4), np.arange(60) % 3
    rows, expected = metric.prepare(vectors), []
    for label in range(3):
        members = np.flatnonzero(classes == label)
        far = np.linalg.norm(rows[members] - rows[members].mean(axis=0), axis=1)
        expected += members[np.lexsort((members, np.round(abs(far - np.median(far)), 12)))[: 4 + label]].tolist()
    found = class_centres.moderate(vectors, 15, metric, None, classes, np.array([4, 5, 6])).order
    assert sorted(found.tolist()) == sorted(expected)


@pytest.mark.parametrize("alpha", [0.4, 0.6, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("bandwidth", [None, 2.0])
def test_tsds_solves_its_transport_problem(alpha: float, bandwidth: float | None) -> None:
    random = np.random.default_rng(8)
    vectors, target = 3 * random.normal(size=(40, 2)), 3 * random.normal(size=(3, 2))
    vectors[5:9] = vectors[4] + 0.01 * random.normal(size=(4, 2))  # near-duplicates
    m, n = len(target), len(vectors)
    far = EUCLIDEAN.pairwise(target, vectors)
    density = np.ones(n)
    if bandwidth is not None:
        density = np.maximum(1 - (EUCLIDEAN.pairwise(vectors, vectors) / bandwidth) ** 2, 0).sum(axis=1)
    ideal = np.tile(1 / density / (m * (1 / density).sum()), (m, 1)).ravel()
    # Variables: what each target row hands to each row, and the largest deviation from the ideal, times the density.
    cost = np.append(alpha / towards.SCALE * far.ravel(), (1 - alpha) * m)
    scale = np.tile(density, m)
    above = np.hstack([np.diag(scale), -np.ones((m * n, 1))])
    limits = np.concatenate([scale * ideal, -scale * ideal])
    sums = np.hstack([np.kron(np.eye(m), np.ones(n)), np.zeros((m, 1))])
    below = np.hstack([-np.diag(scale), -np.ones((m * n, 1))])
    best = linprog(cost, np.vstack([above, below]), limits, sums, np.full(m, 1 / m))
    share = towards.probabilities(vectors, target, EUCLIDEAN, alpha, bandwidth)
    assert share.sum() == pytest.approx(1) and (share >= 0).all()
    np.testing.assert_allclose(share, best.x[:-1].reshape(m, n).sum(axis=0), atol=1e-5)


def test_tsds_fetches_as_many_neighbours_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, target = hard_data("plain", 300, 4), hard_data("plain", 8, 4) + 0.1
    whole = towards.probabilities(vectors, target, EUCLIDEAN, 0.4, 0.5)
    monkeypatch.setattr(towards, "FETCHED", 2)
    np.testing.assert_array_equal(towards.probabilities(vectors, target, EUCLIDEAN, 0.4, 0.5), whole)
    all_near = towards.probabilities(vectors, target, EUCLIDEAN, 0.4, 1e100)
    np.testing.assert_array_equal(towards.probabilities(vectors, target, EUCLIDEAN, 0.4, 1e200), all_near)
    few = np.flatnonzero(towards.probabilities(vectors, target, EUCLIDEAN, 0.999, None) > 0)
    found = towards.towards(vectors, target, len(few) + 5, alpha=0.999)
    near = EUCLIDEAN.pairwise(vectors, target).min(axis=1)
    others = np.setdiff1d(np.arange(300), few)
    assert found.order[len(few) :].tolist() == others[np.lexsort((others, near[others]))[:5]].tolist()


def test_rows_are_drawn_by_weight_without_replacement() -> None:
    weight, first = np.array([4.0, 3.0, 2.0, 1.0]), np.zeros(4)
    for seed in range(3000):
        order = selection.at_random(weight, 3, seed=seed).order
        assert len(set(order.tolist())) == 3
        first[order[0]] += 1
    expected = 3000 * weight / weight.sum()
    assert ((first - expected) ** 2 / expected).sum() < 16.3  # chi-squared of 3 degrees of freedom, 0.1 %


def test_a_weighted_draw_is_the_reservoirs() -> None:
    """The keys of Efraimidis & Spirakis, u^(1/w), in their plain form."""
    weight = np.random.default_rng(2).uniform(0.1, 1, 50)
    keys = np.random.default_rng(9).random(50) ** (1 / weight)
    expected = heapq.nlargest(10, range(50), key=lambda row: keys[row])
    assert selection.at_random(weight, 10, seed=9).order.tolist() == expected


@pytest.mark.parametrize("strategy", ["k-center", "facility", "qdit"])
def test_progress_tells_how_many_rows_are_chosen(strategy: str) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    rows = np.random.default_rng(0).normal(size=(600, 4))
    more: dict[str, Any] = {"quality": np.arange(600.0)} if strategy == "qdit" else {}
    vicinal.select(
        rows,
        keep=300,
        strategy=strategy,  # type: ignore[arg-type]
        progress=lambda name: lambda done, total: told.setdefault(name, []).append((done, total)),
        **more,
    )
    calls = told[f"300 rows by {strategy}"]
    assert calls == sorted(calls) and calls[-1] == (300, 300) and len(calls) > 1

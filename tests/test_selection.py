"""The strategies against slow greedy ones, and the shares of groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vicinal
from oracle import fit_for, hard_data
from vicinal.analysis import selection
from vicinal.errors import UsageError
from vicinal.knn.metrics import METRICS, find
from vicinal.typing import MetricName

METRIC_NAMES = [metric.name for metric in METRICS]


def slow_k_center(far: np.ndarray, keep: int, weight: np.ndarray, first: int) -> list[int]:
    order = [first]
    while len(order) < keep:
        nearest = far[:, order].min(axis=1) * weight
        nearest[order] = -1
        order.append(int(np.argmax(nearest)))
    return order


@pytest.mark.parametrize(
    "kind",
    ["plain", "40 % copies of one row", "few integers, many ties", "offset by 1e8", "rows within 1e-4", "very small"],
)
@pytest.mark.parametrize(
    ("metric", "pool"),
    [
        *((name, (1, 2, 1)) for name in ("euclidean", "cosine")),  # the smallest parts ask a thousand times
        *((name, pool) for name in METRIC_NAMES if name != "inner_product" for pool in ((4, 10, 7), (512, 4096, 2048))),
    ],
)
def test_k_center_is_the_farthest_point_greedy(
    metric: str, kind: str, pool: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in zip(("POOL", "RENEWED", "PART"), pool, strict=True):
        monkeypatch.setattr(f"vicinal.analysis.k_center.{name}", size)
    vectors = fit_for(metric, hard_data(kind, 90, 9))
    n = len(vectors)
    far = find(metric).pairwise(vectors, vectors).astype(np.float32).astype(np.float64)
    for weight in (np.ones(n), np.random.default_rng(0).random(n)):
        for keep in (2, 20) if pool[0] == 1 else (1, 2, 30, n):
            found = selection.k_center(vectors, keep, metric, weight, first=3)
            assert found.order.tolist() == slow_k_center(far, keep, weight, 3)
            for row in range(n):
                before = found.order.tolist()
                if row in before:
                    before = before[: before.index(row)]
                if before:
                    assert far[row, found.because[row]] == far[row, before].min() == found.distance[row]


def slow_facility(graph: vicinal.Neighbors, keep: int, weight: np.ndarray) -> list[int]:
    n = len(graph)
    value = np.zeros((n, n))
    largest = float(graph.distances.max())
    for row in range(n):
        value[row, row] = 2**32
        for other, far in zip(graph.indices[row], graph.distances[row], strict=True):
            value[row, other] = np.rint((1 - float(far) / largest) * 2**32)
    order: list[int] = []
    best = np.zeros(n)
    for _ in range(keep):
        gain = np.maximum(value - best[:, None], 0).sum(axis=0) * weight
        gain[order] = -1
        order.append(int(np.argmax(gain)))
        best = np.maximum(best, value[:, order[-1]])
    return order


@pytest.mark.parametrize("kind", ["plain", "40 % copies of one row", "few integers, many ties"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_facility_location_is_the_plain_greedy(kind: str, metric: MetricName) -> None:
    vectors = fit_for(metric, hard_data(kind, 80, 5))
    graph = vicinal.neighbors(vectors, 6, metric)
    for weight in (np.ones(80), np.random.default_rng(0).random(80)):
        for keep in (1, 10, 80):
            found = selection.facility_location(graph, keep, weight)
            assert found.order.tolist() == slow_facility(graph, keep, weight)
    assert (found.because[found.order] == found.order).all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.data())
def test_shares_are_within_one_of_their_part_and_exact_in_all(raw: list[int], data: st.DataObject) -> None:
    groups = np.unique(raw, return_inverse=True)[1]
    keep = data.draw(st.integers(1, len(groups)))
    seats = selection.shares(groups, keep)
    sizes = np.bincount(groups)
    assert seats.sum() == keep and (seats <= sizes).all()
    assert (np.abs(seats - keep * sizes / len(groups)) < 1).all()
    most = np.array([data.draw(st.integers(0, int(size))) for size in sizes])
    if most.sum() >= keep:
        capped = selection.shares(groups, keep, most)
        assert capped.sum() == keep and (capped <= most).all()
    else:
        with pytest.raises(UsageError, match="keep: expected at most"):
            selection.shares(groups, keep, most)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(0, 99), st.data())
def test_quotas_hold_for_the_greedy_strategies(n: int, seed: int, data: st.DataObject) -> None:
    random = np.random.default_rng(seed)
    vectors, groups = random.normal(size=(n, 3)), random.integers(3, size=n)
    groups = np.unique(groups, return_inverse=True)[1]
    keep = data.draw(st.integers(1, n))
    seats = selection.shares(groups, keep)
    graph = vicinal.neighbors(vectors, min(4, n - 1))
    for found in (
        selection.k_center(vectors, keep, groups=groups, seats=seats),
        selection.facility_location(graph, keep, groups=groups, seats=seats),
        selection.by_merit(random.normal(size=n), keep, groups, seats),
    ):
        assert len(set(found.order.tolist())) == keep
        assert np.bincount(groups[found.order], minlength=len(seats)).tolist() == seats.tolist()

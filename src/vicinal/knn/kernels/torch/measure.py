"""Distances of pairs of rows in float64, on a device, with the bits of every other kernel.

`lane_sum` adds in the order of `metrics.lane_sum`. Each operation below is one call of torch, which rounds its result
before the next one reads it, so no product is fused with a sum. `probe` compares the bits of a device with NumPy's
before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import need
from vicinal.knn import metrics
from vicinal.knn.metrics import LANES, Metric

if TYPE_CHECKING:
    from torch import Tensor


def lane_sum(values: Tensor) -> Tensor:
    """The sums of the last axis of float64 (n, dim), in the order of `metrics.lane_sum`."""
    dim = values.shape[1]
    lanes = values.new_zeros((len(values), LANES))
    for start in range(0, dim - dim % LANES, LANES):
        lanes += values[:, start : start + LANES]
    if dim % LANES:
        lanes[:, : dim % LANES] += values[:, dim - dim % LANES :]
    pairs = lanes[:, :4] + lanes[:, 4:]
    return (pairs[:, 0] + pairs[:, 2]) + (pairs[:, 1] + pairs[:, 3])


def inverse_length(rows: Tensor) -> Tensor:
    """1 / Euclidean length of every float64 row."""
    return 1.0 / square_root(lane_sum(rows * rows))


def square_root(values: Tensor) -> Tensor:
    """The square roots, correctly rounded, which those of torch on a processor are not: there they are NumPy's."""
    torch = need("torch")
    return torch.from_numpy(np.sqrt(values.numpy())) if values.device.type == "cpu" else values.sqrt()


def prepared(raw: Tensor, inverse: Tensor | None) -> Tensor:
    """Given rows as float64, scaled to length 1 where the metric is one of directions."""
    rows = raw.double()
    return rows if inverse is None else rows * inverse[:, None]


def finish(metric: Metric, rank: Tensor) -> Tensor:
    """The distances of ranks, as `Metric.finish`."""
    name = "euclidean" if metric.whiten is not None else metric.name
    if name == "euclidean":
        return square_root(rank)
    return rank / 2 if name == "cosine" else rank


def distances(metric: Metric, a: Tensor, b: Tensor) -> Tensor:
    """The distances of prepared rows a and b, pair by pair, float64 (n,)."""
    if metric.product:
        rank = -lane_sum(a * b)
    else:
        difference = a - b
        difference *= difference
        rank = lane_sum(difference)
    return finish(metric, rank)


def radius_of(metric: Metric, distance: Tensor, factor: float) -> Tensor:
    """The Euclidean radius, in the unit of the codes, within which every pair of such a measured distance lies.

    For inner products, the rank in that unit. The float64 rounding of a distance is far below the 1e-9 added here.
    """
    torch = need("torch")
    if metric.product:
        return distance * factor * factor
    name = "euclidean" if metric.whiten is not None else metric.name
    length = distance
    if name == "sqeuclidean":
        length = distance.clamp(min=0).sqrt()
    elif name == "cosine":
        length = (2 * distance).clamp(min=0).sqrt()
    radius = (length * (1 + 1e-9) + 1e-150) * factor
    return torch.where(distance < 0, -torch.inf, radius)


def probe(device: Any) -> str:
    """Why distances cannot be measured on a device; empty where its float64 gives the bits of NumPy's."""
    torch = need("torch")
    rows = np.random.default_rng(11).standard_normal((512, 29)) * np.logspace(-20, 20, 512)[:, None]
    there = torch.from_numpy(rows).to(device)
    difference = there - there.flip(0)
    sums = (lane_sum(difference * difference), lane_sum(there * there), inverse_length(there))
    squares = (metrics.squared_difference(rows, rows[::-1]), metrics.lane_sum(rows * rows))
    truth = (*squares, 1.0 / np.sqrt(squares[1]), np.sqrt(squares[0]))
    found = [one.cpu().numpy() for one in (*sums, square_root(sums[0]))]
    if all(np.array_equal(one, other) for one, other in zip(found, truth, strict=True)):
        return ""
    return f"float64 on {device} does not give the bits that IEEE 754 asks for"

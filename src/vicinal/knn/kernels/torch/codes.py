"""Codes of rows on a device, and the bounds that make a comparison of codes a proof.

A row x, centred by c and scaled by a power of two f, is f (x - c) = a + e: its code a, and a remainder e of a length of
at most `slack`, measured in float64. An int8 code is a = s q with whole numbers q in [-127, 127] and a scale s of the
row's own; a bf16 code is the row rounded to bfloat16, with s = 1.

Euclidean. |f (x - y)| >= |a - b| - slack - slack'. A row that keeps neighbours within the radius w needs a pair only
where |a - b|^2 <= (w + slack + slack')^2. With the products G of codes, the device computes for every pair

    score = 2 s s' G - A - A'            A = |a|^2 (1 - 2^-20 - error)

in float32 and keeps those with score >= limit, limit = -(w + slack + S)^2 for the largest slack S of the block of
columns. 2 s s' G - |a|^2 - |b|^2 is -|a - b|^2. The float32 operations (G to float32, two factors, A and A' to float32,
two differences) are wrong by at most 8 2^-24 (|a|^2 + |b|^2), and products of bf16 by error 2 |a| |b| <= error (|a|^2 +
|b|^2); A is smaller than |a|^2 by more than this, so the computed score is never below -|a - b|^2.

Inner product. There is no centre, f^2 <x, y> is at most s s' G + |a| slack' + slack (|b| + slack'), and A = 0. The
limit has the same errors, of 2 |a| |b|, and the float64 errors of two measured products: below (dim + 64) 2^-50 |x|
|y|, and dim 2^-1074 where they underflow, so that pairs measure as equal.

Scales are at least 2^-40 and values beyond 2^40 (in a unit in which sampled values reach 1) get no code and an infinite
slack, so nothing in these formulas overflows or underflows; limits are lowered by 2^-100 all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import need
from vicinal.knn.kernels.torch import measure, products
from vicinal.knn.metrics import Metric

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE = 1 << 14  # rows from which the centre, the factor and the kind of codes are chosen: any choice is valid
LEAST_SCALE = 2.0**-40
FARTHEST = 2.0**40
FLOAT32 = 2.0**-20
LARGEST = float(np.finfo(np.float32).max)
COARSE = 0.02  # int8 codes that lose a larger share of a typical row's length give way to bf16


@dataclass(frozen=True)
class Codes:
    """Coded rows, ascending by length, so that rows of a block are alike.

    codes   : int8 or bfloat16 (m padded, dim padded), where products are computed
    scale   : float32 (m,), beside them
    square  : float32 (m,), the A of the score, beside them
    slack   : float64 (m,), where distances are measured; and so are
    length  : float64 (m,), of the code, rounded up
    row     : int64 (m,), which row of the tile each one is
    """

    codes: Tensor
    scale: Tensor
    square: Tensor
    slack: Tensor
    length: Tensor
    row: Tensor

    def __len__(self) -> int:
        return len(self.row)

    @property
    def n_bytes(self) -> int:
        """What they take on the device."""
        return sum(one.numel() * one.element_size() for one in vars(self).values())


@dataclass(frozen=True)
class Coder:
    """How rows become codes: the same for all rows of a search, so that codes of any two can be compared.

    kind    : "int8" or "bf16"
    centre  : float64 (dim,)
    factor  : a power of two
    """

    metric: Metric
    kind: str
    centre: np.ndarray
    factor: float

    @classmethod
    def of(cls, sample: np.ndarray, metric: Metric, kind: str = "auto") -> Coder:
        """The coder for rows of which some are given, prepared, as float64."""
        centre = np.zeros(sample.shape[1]) if metric.product else sample.mean(axis=0)
        with np.errstate(over="ignore"):
            largest = float(np.abs(sample - centre).max(initial=0))
        factor = float(2.0 ** -np.clip(np.ceil(np.log2(largest)), -1000, 1000)) if 0 < largest < np.inf else 1.0
        if kind == "auto":
            moved = (sample - centre) * factor
            scale = np.maximum(np.abs(moved).max(axis=1, keepdims=True) / products.HIGHEST, LEAST_SCALE)
            lost = np.sqrt(((moved - scale * np.round(moved / scale)) ** 2).sum(axis=1))
            length = np.sqrt((moved**2).sum(axis=1))
            kind = "bf16" if np.median(lost) > COARSE * np.median(length) else "int8"
        return cls(metric, kind, centre, factor)

    def encode(self, rows: Tensor, out: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Write the codes of prepared float64 rows into `out`; return their scales, squares, slacks and lengths."""
        torch = need("torch")
        dim = rows.shape[1]
        moved = (rows - torch.from_numpy(self.centre).to(rows.device)) * self.factor
        peak = moved.abs().amax(dim=1)
        fits = peak <= FARTHEST
        moved = torch.where(fits[:, None], moved, 0.0)
        if self.kind == "int8":
            scale = (torch.where(fits, peak, 0.0) / products.HIGHEST * (1 + 2.0**-20)).clamp(min=LEAST_SCALE).float()
            exact = scale.double()[:, None]
            codes = (moved / exact).round().clamp(-products.HIGHEST, products.HIGHEST)
            coded = codes * exact
        else:
            scale = torch.ones(len(rows), dtype=torch.float32, device=rows.device)
            codes = torch.where(moved.abs() < LEAST_SCALE, 0.0, moved).to(torch.bfloat16)
            coded = codes.double()
        out[: len(rows), :dim].copy_(codes.to(out.dtype))
        square = (coded * coded).sum(dim=1)
        lost = moved - coded
        whole = (moved * moved).sum(dim=1).sqrt()
        slack = (lost * lost).sum(dim=1).sqrt() * (1 + 2.0**-30) + whole * 2.0**-50 + 1e-140
        slack = torch.where(fits, slack, torch.inf)
        lowered = square * (0.0 if self.metric.product else 1 - FLOAT32 - products.error(self.kind, dim))
        return scale, lowered.float(), slack, square.sqrt() * (1 + 2.0**-30)

    def limits(self, rows: Codes, block: slice, columns: Codes, other: slice, radius: Tensor) -> Tensor:
        """The least score, float32, with which each row of a block needs a column of the other block.

        radius : float64, of each row of the block, as `measure.radius_of` gives it
        """
        torch = need("torch")
        slack, most = rows.slack[block], columns.slack[other].max()
        if self.metric.product:
            length, longest = rows.length[block], columns.length[other].max()
            dim = len(self.centre)
            allowed = length * most + slack * (longest + most)
            allowed += (FLOAT32 + products.error(self.kind, dim)) * length * longest
            allowed += (dim + 64) * 2.0**-50 * (length + slack) * (longest + most)
            allowed += dim * 2.0**-1072 * self.factor * self.factor
            limit = 2 * (-radius - allowed)
        else:
            reach = radius + slack + most
            limit = torch.where(radius < 0, torch.inf, -reach * reach)
        limit = limit - limit.abs() * FLOAT32 - 2.0**-100
        # Infinity times 0 proves nothing. The least limit is finite: a score of -inf marks a pair that is left out.
        limit = torch.where(limit.isnan(), -LARGEST, limit).clamp(min=-LARGEST)
        return torch.where(radius == -torch.inf, torch.inf, limit).float()


def blank(n: int, dim: int, kind: str, device: Any) -> Tensor:
    """Codes of zeros for n rows, padded as products ask for."""
    torch = need("torch")
    shape = (-(-n // products.ROWS) * products.ROWS, -(-dim // products.LANES) * products.LANES)
    return torch.zeros(shape, dtype=torch.int8 if kind == "int8" else torch.bfloat16, device=device)


def coded(coder: Coder, raw: Tensor, inverse: Tensor | None, device: Any, step: int) -> Codes:
    """The codes of the rows of a tile, made `step` rows at a time.

    raw     : given rows, where distances are measured
    inverse : float64 (m,), or None
    device  : where products are computed
    """
    torch = need("torch")
    codes = blank(len(raw), raw.shape[1], coder.kind, device)
    parts = []
    for start in range(0, len(raw), step):
        part = slice(start, start + step)
        rows = measure.prepared(raw[part], None if inverse is None else inverse[part])
        parts.append(coder.encode(rows, codes[part]))
    scale, square, slack, length = (torch.cat(each) for each in zip(*parts, strict=True))
    order = (length + torch.where(slack.isinf(), slack, 0.0)).argsort(stable=True)
    there = order.to(device)
    codes[: len(raw)] = codes[: len(raw)][there]
    scale, square = (one[order].to(device) for one in (scale, square))
    return Codes(codes, scale, square, slack[order], length[order], order)

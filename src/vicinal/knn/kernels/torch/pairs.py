"""All pairs of rows of two tiles, block by block: products, scores, the pairs that pass, their distances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vicinal.errors import need
from vicinal.knn.blocks import blocks
from vicinal.knn.kernels.torch import measure
from vicinal.knn.kernels.torch.codes import Coder, Codes
from vicinal.knn.kernels.torch.fused import Passing
from vicinal.knn.kernels.torch.lists import Lists
from vicinal.knn.kernels.torch.products import Multiply
from vicinal.knn.kernels.torch.tiles import Sizes, Tile

if TYPE_CHECKING:
    from torch import Tensor


MANY = 1 << 28  # after so many pairs, codes that leave a larger share than MOST_LEFT to be measured are given up
MOST_LEFT = 0.05


class Indistinct(RuntimeError):
    """The codes of these rows tell too few of them apart, so that the device would measure most pairs."""


@dataclass
class Side:
    """A tile in a comparison.

    lists  : of its rows, where they look for their nearest
    groups : int64, of its rows
    seeded : the blocks whose lists hold what one whole block offered
    """

    tile: Tile
    lists: Lists | None = None
    groups: Tensor | None = None
    seeded: set[int] = field(default_factory=set)

    def rows(self, block: slice) -> Tensor:
        """The rows of a block of codes."""
        return self.tile.codes.row[block]


@dataclass
class Counts:
    """What was done: pairs compared by their codes, and pairs measured."""

    compared: int = 0
    measured: int = 0


class Target(Protocol):
    """What a comparison looks for."""

    @property
    def seeds(self) -> int:
        """How many of its best pairs a row without a full list measures before there is a limit; 0 for none."""
        ...

    def radius(self, side: Side, block: slice) -> Tensor | None:
        """The greatest distance that each row of a block still needs, float64; None where the side looks for none."""
        ...

    def take(self, left: Side, right: Side, i: Tensor, j: Tensor, distance: Tensor) -> None:
        """Keep measured pairs of rows i of the left tile and j of the right one."""
        ...


@dataclass
class Nearest:
    """The k nearest of each row of the sides that have lists."""

    k: int

    @property
    def seeds(self) -> int:
        """As many as its list holds."""
        return self.k

    def radius(self, side: Side, block: slice) -> Tensor | None:
        """The worst distance of each row's list."""
        return None if side.lists is None else side.lists.worst[side.rows(block)]

    def take(self, left: Side, right: Side, i: Tensor, j: Tensor, distance: Tensor) -> None:
        """Enter each pair in the lists of both its rows."""
        torch = need("torch")
        if left is right:
            assert left.lists is not None
            rows, entries = torch.cat([i, j]), torch.cat([j, i]) + left.tile.first
            left.lists.offer(rows, torch.cat([distance, distance]), entries)
            return
        if left.lists is not None:
            left.lists.offer(i, distance, j + right.tile.first)
        if right.lists is not None:
            right.lists.offer(j, distance, i + left.tile.first)


@dataclass
class Within:
    """All pairs within a radius, kept on the host as arrays of left rows, right rows and distances."""

    limit: float
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    seeds: int = 0

    def radius(self, side: Side, block: slice) -> Tensor | None:
        """The radius, for every row."""
        slack = side.tile.codes.slack[block]
        return slack.new_full(slack.shape, self.limit)

    def take(self, left: Side, right: Side, i: Tensor, j: Tensor, distance: Tensor) -> None:
        """Keep those within the radius."""
        inside = distance <= self.limit
        parts = (i[inside] + left.tile.first, j[inside] + right.tile.first, distance[inside])
        a, b, far = (one.cpu().numpy() for one in parts)
        self.found.append((a, b, far))


class Comparison:
    """Compares tiles on one device.

    multiply : the products of codes
    passing  : which pairs of a block pass, in one step; None where products, scores and limits are steps of torch
    """

    def __init__(
        self, coder: Coder, multiply: Multiply, sizes: Sizes, target: Target, passing: Passing | None = None
    ) -> None:
        self._coder, self._multiply, self._sizes, self._target = coder, multiply, sizes, target
        self._passing = passing
        self.counts, self.stopped = Counts(), False

    def run(self, left: Side, right: Side) -> None:
        """Compare each pair of rows of two tiles once; of one tile with itself where both sides are one object."""
        for a, b in self._blocks(len(left.tile), len(right.tile), left is right):
            if self.stopped:
                raise RuntimeError("the call was stopped")
            self._block(left, a, right, b)

    def _blocks(self, n: int, m: int, same: bool) -> Iterator[tuple[slice, slice]]:
        """The blocks of two tiles; those on the diagonal of one tile come first."""
        rows = list(blocks(n, self._sizes.side))
        if same:
            yield from ((a, a) for a in rows)
            yield from ((a, b) for number, a in enumerate(rows) for b in rows[number + 1 :])
        else:
            yield from ((a, b) for a in rows for b in blocks(m, self._sizes.side))

    def _block(self, left: Side, a: slice, right: Side, b: slice) -> None:
        counts, diagonal = self.counts, left is right and a == b
        if counts.compared > MANY and counts.measured > MOST_LEFT * counts.compared:
            raise Indistinct(f"its codes leave {counts.measured / counts.compared:.0%} of the pairs to be measured")
        counts.compared += (a.stop - a.start) * (b.stop - b.start)
        if self._passing is not None and not self._unseeded(left, a, right, b):
            i, j = self._fused(self._passing, left, a, right, b, diagonal).nonzero(as_tuple=True)
            if len(i) <= self._sizes.measured:
                self._measure(left, a, right, b, i, j)
                return
        self._block_by_scores(left, a, right, b, diagonal)

    def _block_by_scores(self, left: Side, a: slice, right: Side, b: slice, diagonal: bool) -> None:
        """Compare a block with all scores at hand: to begin lists, and where many pairs pass."""
        torch = need("torch")
        score = self._scores(left.tile.codes, a, right.tile.codes, b)
        groups = self._groups(left, a, right, b)
        if groups is not None:
            score.masked_fill_(groups[0][:, None] == groups[1][None, :], -torch.inf)
        if diagonal:
            score.fill_diagonal_(-torch.inf)
        self._seed(left, a, right, b, score)
        passed = self._passed(left, a, right, b, score)
        if diagonal:
            passed = passed.triu(1)
        i, j = passed.nonzero(as_tuple=True)
        if len(i) > self._sizes.measured:
            order = score[i, j].argsort(descending=True)
            i, j = i[order], j[order]
        for start in range(0, len(i), self._sizes.measured):
            p, q = (one[start : start + self._sizes.measured] for one in (i, j))
            if start:  # the first ones, which are the nearest, have lowered the limits
                still = self._still(left, a, right, b, score, p, q)
                p, q = p[still], q[still]
            self._measure(left, a, right, b, p, q)

    def _fused(self, passing: Passing, left: Side, a: slice, right: Side, b: slice, diagonal: bool) -> Tensor:
        """Which pairs of a block pass, in one step. A side that looks for none has no limit, and rows always have."""
        own, other = self._limits(left, a, right, b)
        assert own is not None
        rows, columns = left.tile.codes, right.tile.codes
        return passing(
            (rows.codes[a], columns.codes[b]),
            (rows.scale[a], columns.scale[b]),
            (rows.square[a], columns.square[b]),
            (own, other),
            self._groups(left, a, right, b),
            diagonal,
        )

    def _groups(self, left: Side, a: slice, right: Side, b: slice) -> tuple[Tensor, Tensor] | None:
        """The groups of the rows and columns of a block, where products are computed."""
        if left.groups is None or right.groups is None:
            return None
        place = left.tile.codes.codes.device
        return left.groups[left.rows(a)].to(place), right.groups[right.rows(b)].to(place)

    def _unseeded(self, left: Side, a: slice, right: Side, b: slice) -> bool:
        """Whether rows of a block have no full list yet, so that they would have no limit."""
        return bool(self._target.seeds) and any(
            side.lists is not None and block.start not in side.seeded for side, block in ((left, a), (right, b))
        )

    def _scores(self, rows: Codes, a: slice, columns: Codes, b: slice) -> Tensor:
        """2 s s' G - A - A' of every pair of a block, float32."""
        torch = need("torch")
        own, other = (_padded(one, len(codes.codes)) for one, codes in ((a, rows), (b, columns)))
        product = self._multiply(rows.codes[own], columns.codes[other])[: a.stop - a.start, : b.stop - b.start]
        score = torch.mul(product, (2 * columns.scale[b])[None, :])
        score *= rows.scale[a][:, None]
        if not self._coder.metric.product:
            score -= columns.square[b][None, :]
            score -= rows.square[a][:, None]
        return score

    def _limits(self, left: Side, a: slice, right: Side, b: slice) -> tuple[Tensor | None, Tensor | None]:
        """The least scores that rows of both sides need; None for a side that looks for none."""
        found: list[Tensor | None] = []
        for side, block, other, columns in ((left, a, right, b), (right, b, left, a)):
            far = self._target.radius(side, block)
            if far is None:
                found.append(None)
                continue
            radius = measure.radius_of(self._coder.metric, far, self._coder.factor)
            limit = self._coder.limits(side.tile.codes, block, other.tile.codes, columns, radius)
            found.append(limit.to(side.tile.codes.codes.device))
        return found[0], found[1]

    def _passed(self, left: Side, a: slice, right: Side, b: slice, score: Tensor) -> Tensor:
        """The pairs that a row of either side needs; a score of -inf is never one."""
        own, other = self._limits(left, a, right, b)
        if own is None:
            assert other is not None
            return score >= other[None, :]
        passed = score >= own[:, None]
        if other is not None:
            passed |= score >= other[None, :]
        return passed

    def _still(self, left: Side, a: slice, right: Side, b: slice, score: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """Which pairs that passed pass still."""
        own, other = self._limits(left, a, right, b)
        found = score[p, q]
        if own is None:
            assert other is not None
            return found >= other[q]
        return found >= own[p] if other is None else (found >= own[p]) | (found >= other[q])

    def _seed(self, left: Side, a: slice, right: Side, b: slice, score: Tensor) -> None:
        """Measure the best columns of rows, and rows of columns, that have no full list yet, so that limits exist."""
        torch = need("torch")
        keys, width = [], score.shape[1]
        for side, block, axis in ((left, a, 1), (right, b, 0)):
            if not self._target.seeds or side.lists is None or block.start in side.seeded:
                continue
            best = score.topk(min(self._target.seeds, score.shape[axis]), dim=axis)
            own = torch.arange(score.shape[1 - axis], device=score.device).unsqueeze(axis)
            i, j = (own, best.indices) if axis == 1 else (best.indices, own)
            if left is right and a == b:
                i, j = torch.minimum(i, j), torch.maximum(i, j)
            keys.append((i * width + j)[best.values > -torch.inf])
            if score.shape[axis] > self._target.seeds:
                side.seeded.add(block.start)
        if not keys:
            return
        key = torch.cat(keys).unique()
        i, j = key // width, key % width
        score[i, j] = -torch.inf
        for start in range(0, len(i), self._sizes.measured):
            part = slice(start, start + self._sizes.measured)
            self._measure(left, a, right, b, i[part], j[part])

    def _measure(self, left: Side, a: slice, right: Side, b: slice, p: Tensor, q: Tensor) -> None:
        """Measure pairs of a block, named by their places in it, and hand them to the target."""
        if not len(p):
            return
        self.counts.measured += len(p)
        exact = left.tile.raw.device
        i, j = left.rows(a)[p.to(exact)], right.rows(b)[q.to(exact)]
        distance = measure.distances(self._coder.metric, left.tile.prepared(i), right.tile.prepared(j))
        self._target.take(left, right, i, j, distance)


def _padded(block: slice, n: int) -> slice:
    """A block of codes with the rows of zeros that follow the last one: products ask for a multiple of ROWS."""
    from vicinal.knn.kernels.torch.products import ROWS

    return slice(block.start, min(n, block.start + -(-(block.stop - block.start) // ROWS) * ROWS))

"""What a batch is made of: miners find pairs and triplets in a batch, `MPerClass` samples batches by class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from vicinal.errors import DataError, UsageError, need, some

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

MinerName = Literal["semi-hard", "hardest", "all"]


def all_pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return every pair i < j of a batch: i, j, and whether both are of one class; each (n (n - 1) / 2,)."""
    torch = need("torch", extra="learn")
    i, j = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    return i, j, labels[i] == labels[j]


def all_triplets(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return every triplet of a batch; parameters and returns as in `semi_hard`."""
    torch = need("torch", extra="learn")
    same, other = _same_and_other(labels)
    anchor, positive, negative = torch.nonzero(same[:, :, None] & other[:, None, :], as_tuple=True)
    return anchor, positive, negative


def semi_hard(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each anchor and positive, the nearest negative that is farther than the positive.

    Pairs of an anchor and a positive without such a negative are left out.

    Parameters
    ----------
    distances : Tensor, shape (n, n)
        Such as those between the embeddings of a batch.
    labels : Tensor, shape (n,)

    Returns
    -------
    anchor, positive, negative : Tensor, int64, shape (n_triplets,)

    References
    ----------
    Schroff, Kalenichenko & Philbin 2015, section 3.2.
    """
    torch = need("torch", extra="learn")
    same, other = _same_and_other(labels)
    anchor, positive = torch.nonzero(same, as_tuple=True)
    far = distances[anchor]
    beyond = other[anchor] & (far > distances[anchor, positive][:, None])
    near, negative = far.masked_fill(~beyond, torch.inf).min(dim=1)
    kept = near < torch.inf
    return anchor[kept], positive[kept], negative[kept]


def hardest(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, for each anchor, its farthest positive and its nearest negative.

    Parameters and returns as in `semi_hard`.

    References
    ----------
    Hermans, Beyer & Leibe 2017, "batch hard".
    """
    torch = need("torch", extra="learn")
    same, other = _same_and_other(labels)
    usable = same.any(dim=1) & other.any(dim=1)
    anchor = torch.nonzero(usable, as_tuple=True)[0]
    positive = distances.masked_fill(~same, -torch.inf).argmax(dim=1)
    negative = distances.masked_fill(~other, torch.inf).argmin(dim=1)
    return anchor, positive[anchor], negative[anchor]


MINERS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "semi-hard": semi_hard,
    "hardest": hardest,
    "all": all_triplets,
}


def _same_and_other(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Two masks (n, n): two different rows of one class, and rows of different classes."""
    equal = labels[:, None] == labels[None]
    same = equal.clone()
    same.fill_diagonal_(False)
    return same, ~equal


def n_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first two rows of each class that has two rows in a batch: an anchor and a positive a class.

    Raises
    ------
    DataError
        Where no class has two rows in the batch.
    """
    torch = need("torch", extra="learn")
    first, second = [], []
    for label in torch.unique(labels):
        rows = torch.nonzero(labels == label, as_tuple=True)[0]
        if len(rows) > 1:
            first.append(rows[0])
            second.append(rows[1])
    if not first:
        raise DataError(f"a batch of {len(labels)} rows has no class of two rows; sample m = 2 or more a class")
    return torch.stack(first), torch.stack(second)


class MPerClass:
    """Batches with m rows of each class that they contain, or all rows of a class that has fewer.

    The rows of a class are shuffled and cut into groups of m; the groups are shuffled and dealt into batches of about
    equal size. Each row comes once an epoch; the last group of a class is filled up with rows that come twice.

    Iteration gives lists of row numbers, one epoch after the other, as the `batch_sampler` of torch's DataLoader.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
    m : int
        Rows of a class in a group, at least 2.
    batch_size : int
        Rows in a batch, at least 2 m.
    seed : int
        The same seed and epoch give the same batches.
    allow_small_classes : bool
        Whether rows of classes with a single row are sampled too, as negatives. Otherwise such classes are an error.

    Raises
    ------
    UsageError
        For an m or a batch_size out of range.
    DataError
        Where there is one class only, or a class has a single row.

    Examples
    --------
    >>> [sorted(batch) for batch in MPerClass([0, 0, 1, 1], m=2, batch_size=4, seed=0)]
    [[0, 1, 2, 3]]
    """

    def __init__(
        self, labels: ArrayLike, m: int = 4, batch_size: int = 128, seed: int = 0, allow_small_classes: bool = False
    ) -> None:
        codes = np.asarray(labels)
        if not 2 <= m <= batch_size // 2:
            raise UsageError(
                f"m = {m} rows a class in batches of {batch_size}: expected an m from 2 to half of the batch size"
            )
        classes, sizes = np.unique(codes, return_counts=True)
        if len(classes) < 2:
            raise DataError(f"labels: all {len(codes)} rows are of one class, expected at least 2 classes")
        if (sizes == 1).any() and not allow_small_classes:
            raise DataError(
                f"labels: {np.count_nonzero(sizes == 1)} of {len(classes)} classes have a single row "
                f"({some(classes[sizes == 1].tolist())}), which forms no similar pair; leave them out, or use them as "
                "negatives with allow_small_classes=True"
            )
        self.m, self.batch_size, self._seed, self._next = m, batch_size, seed, 0
        self._members = [np.flatnonzero(codes == code) for code in classes]

    def __len__(self) -> int:
        groups = sum(-(-len(rows) // self.m) for rows in self._members)
        return -(-groups // (self.batch_size // self.m))

    def __iter__(self) -> Iterator[list[int]]:
        self._next += 1
        return iter([batch.tolist() for batch in self.epoch(self._next - 1)])

    def epoch(self, number: int) -> Iterator[NDArray[np.int64]]:
        """Yield the batches of one epoch, int64 arrays of row numbers."""
        random = np.random.default_rng([self._seed, number])
        groups = []
        for rows in self._members:
            shuffled = random.permutation(rows)
            if len(shuffled) > self.m:
                shuffled = np.concatenate([shuffled, shuffled[: -len(shuffled) % self.m]])
            groups += [shuffled[at : at + self.m] for at in range(0, len(shuffled), self.m)]
        for dealt in np.array_split(random.permutation(len(groups)), len(self)):
            yield np.concatenate([groups[at] for at in dealt])

"""Which items a batch makes: miners find pairs and triplets in it, the sampler fills it with m rows a class."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, need, some

Tensor = Any  # torch is an extra


def all_pairs(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every pair i < j of a batch: i, j, and whether they are of one class; each (n (n - 1) / 2,)."""
    torch = need("torch", extra="learn")
    i, j = torch.triu_indices(len(labels), len(labels), 1, device=labels.device)
    return i, j, labels[i] == labels[j]


def all_triplets(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Every anchor, positive and negative of a batch."""
    torch = need("torch", extra="learn")
    same, other = _kinds(labels)
    return torch.nonzero(same[:, :, None] & other[:, None, :], as_tuple=True)


def semi_hard(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor and positive the nearest negative that is farther than the positive; pairs without one are out.

    distances : (n, n), such as those of the batch's embeddings; labels: (n,)
    Returns     anchor, positive, negative: int64 (n_triplets,)
    Source      Schroff, Kalenichenko & Philbin 2015, section 3.2
    """
    torch = need("torch", extra="learn")
    same, other = _kinds(labels)
    anchor, positive = torch.nonzero(same, as_tuple=True)
    far = distances[anchor]
    beyond = other[anchor] & (far > distances[anchor, positive][:, None])
    near, negative = far.masked_fill(~beyond, torch.inf).min(dim=1)
    kept = near < torch.inf
    return anchor[kept], positive[kept], negative[kept]


def hardest(distances: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For each anchor its farthest positive and its nearest negative.

    distances, labels, Returns   as `semi_hard`
    Source                       Hermans, Beyer & Leibe 2017, "batch hard"
    """
    torch = need("torch", extra="learn")
    same, other = _kinds(labels)
    usable = same.any(dim=1) & other.any(dim=1)
    anchor = torch.nonzero(usable, as_tuple=True)[0]
    positive = distances.masked_fill(~same, -torch.inf).argmax(dim=1)
    negative = distances.masked_fill(~other, torch.inf).argmin(dim=1)
    return anchor, positive[anchor], negative[anchor]


MINERS = {"semi-hard": semi_hard, "hardest": hardest, "all": all_triplets}


def _kinds(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Whether two rows of a batch are two of one class, and whether they are of different ones."""
    equal = labels[:, None] == labels[None]
    same = equal.clone()
    same.fill_diagonal_(False)
    return same, ~equal


def n_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """One anchor and one positive of each class that has two rows in a batch: its first two."""
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
    """Batches with m rows of each class that is in them, as far as the classes have so many.

    A class's rows are walked in random order, m at a time, and these handfuls are mixed and dealt into batches of like
    size, so that each row comes once an epoch (a few twice, where the last handful is filled up).

    labels     : int (n,), codes from 0
    m          : rows of a class in a handful
    batch_size : rows of a batch, at least 2 m
    alone      : rows of classes with a single row: whether they come along, as negatives; else they are an error
    seed       : the same batches for the same seed and epoch
    Iterating gives lists of row numbers, as a batch_sampler of torch's DataLoader, one epoch after the other;
    `epoch(number)` gives a certain one.

    >>> [sorted(batch) for batch in MPerClass(np.array([0, 0, 1, 1]), m=2, batch_size=4, seed=0)]
    [[0, 1, 2, 3]]
    """

    def __init__(
        self, labels: np.ndarray, m: int = 4, batch_size: int = 128, seed: int = 0, alone: bool = False
    ) -> None:
        codes = np.asarray(labels)
        if not 2 <= m <= batch_size // 2:
            raise UsageError(f"m = {m} rows a class in batches of {batch_size}: expected 2 or more, twice in a batch")
        found, sizes = np.unique(codes, return_counts=True)
        if len(found) < 2:
            raise DataError(f"labels: all {len(codes)} rows are of one class; to tell classes apart takes two")
        if (sizes == 1).any() and not alone:
            raise DataError(
                f"labels: {np.count_nonzero(sizes == 1)} of {len(found)} classes have a single row "
                f"({some(found[sizes == 1].tolist())}); a similar pair needs two"
            )
        self.m, self.batch_size, self._seed, self._next = m, batch_size, seed, 0
        self._members = [np.flatnonzero(codes == code) for code in found]

    def __len__(self) -> int:
        handfuls = sum(-(-len(rows) // self.m) for rows in self._members)
        return -(-handfuls // (self.batch_size // self.m))

    def __iter__(self) -> Iterator[list[int]]:
        self._next += 1
        return iter([batch.tolist() for batch in self.epoch(self._next - 1)])

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch, int64 arrays of row numbers."""
        random = np.random.default_rng([self._seed, number])
        handfuls = []
        for rows in self._members:
            walk = random.permutation(rows)
            if len(walk) > self.m:
                walk = np.concatenate([walk, walk[: -len(walk) % self.m]])
            handfuls += [walk[at : at + self.m] for at in range(0, len(walk), self.m)]
        for dealt in np.array_split(random.permutation(len(handfuls)), len(self)):
            yield np.concatenate([handfuls[at] for at in dealt])

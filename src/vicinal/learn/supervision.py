"""Three sources of supervision: labels, pairs, or two arrays whose rows belong together.

Each of them becomes a `Problem`: the weights to train, the batches of an epoch, the loss of a batch, and what is
measured on held-out rows. `training.py` solves a problem in the same way whatever its source.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.analysis.components import components
from vicinal.errors import DataError, some
from vicinal.knn.checkpoint import sha256_of
from vicinal.learn.batch_losses import label_loss, pair_loss
from vicinal.learn.evaluation import (
    MAX_ROWS,
    MAX_WATCHED,
    MIN_CLASSES,
    SHARE,
    HeldOut,
    Quality,
    before_and_after,
    partner_ranks,
    quality,
    split,
)
from vicinal.learn.losses import LARGEST_SCALE, LOGIT_SCALE, clip, find
from vicinal.learn.mining import MPerClass
from vicinal.learn.plan import Plan
from vicinal.learn.tower import Tower

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Rows = NDArray[np.int64]

BOTH_WAYS = ("recall@1 ->", "recall@10 ->", "recall@1 <-", "recall@10 <-")
MIN_BATCHES = 25  # of an epoch: small sets are passed over several times before the quality is measured again


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be learned.

    Attributes
    ----------
    towers : tuple of Tower
    weights : dict of str to Tensor
        Of all towers, and what else is trained.
    batches : callable
        The number of an epoch -> its batches, arrays of row numbers or of numbers of pairs.
    loss_of : callable
        A batch -> a tensor of one number.
    judge : callable or None
        Returns the quality of the present weights on the watched rows; None where none are watched.
    measure : callable
        Returns the table of figures before and after.
    n_rows : int
        The rows (pairs) of an epoch.
    inputs : dict of str to str
        The checksums of the inputs, for the checkpoint.
    """

    towers: tuple[Tower, ...]
    weights: dict[str, Tensor]
    batches: Callable[[int], Iterable[Rows]]
    loss_of: Callable[[Rows], Tensor]
    judge: Callable[[], Quality] | None
    measure: Callable[[], list[HeldOut]]
    n_rows: int
    inputs: dict[str, str]


def from_labels(vectors: NDArray[Any], codes: Rows, classes: list[Any], plan: Plan) -> Problem:
    """Return the problem of one head that brings the rows of a class together.

    Rows of classes with a single row form no similar pair. They are left out with a warning, or with
    `plan.allow_small_classes` used as negatives.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim), finite
    codes : ndarray of int, shape (n,)
        The class of each row, as its place in `classes`.
    classes : list
    plan : Plan

    Raises
    ------
    DataError
        Where fewer than two classes can be learned from.
    """
    find(plan.loss, "labels")
    parts = split(codes, plan.schedule.seed)
    train = parts.train[_usable(codes, classes, plan)[parts.train]]
    if not len(parts.classes):
        several = int(np.count_nonzero(np.bincount(codes) > 1))
        warnings.warn(
            f"{several} classes with two rows or more are too few to hold any out whole: only rows are held out",
            stacklevel=2,
        )
    sampler = MPerClass(codes[train], plan.per_class, plan.batch_size, plan.schedule.seed, plan.allow_small_classes)
    tower = Tower(vectors, train, plan, "head", plan.dim or vectors.shape[1])
    labels = tower.to_device(codes.astype(np.int64))

    def loss_of(rows: Rows) -> Tensor:
        return label_loss(plan.loss, tower(rows), labels[rows], plan.miner, **plan.options)

    def batches(number: int) -> Iterator[Rows]:
        for batch in _passes(sampler.epoch, number):
            rows = train[batch]
            if not plan.allow_small_classes or len(np.unique(codes[rows])) < len(rows):  # two rows are of one class
                yield rows

    def judge() -> Quality:
        return quality(tower.head().apply(vectors[parts.watched]), codes[parts.watched], plan.threads)

    def measure() -> list[HeldOut]:
        table = [("held-out rows", parts.rows), ("held-out classes", parts.classes)]
        return before_and_after(tower.head(), vectors, codes, table, plan.threads)

    inputs = {"vectors": sha256_of(vectors), "labels": sha256_of(codes)}
    watching = judge if len(parts.watched) > 1 else None
    return Problem((tower,), tower.weights, batches, loss_of, watching, measure, len(train), inputs)


def _usable(codes: Rows, classes: list[Any], plan: Plan) -> NDArray[np.bool_]:
    """Which rows can be learned from; a warning says what is left out."""
    sizes = np.bincount(codes, minlength=len(classes))
    if np.count_nonzero(sizes) < 2:
        raise DataError(f"labels: all {len(codes)} rows are of the class {classes[int(codes[0])]!r}; two are needed")
    single = [classes[code] for code in np.flatnonzero(sizes == 1)]
    several = int(np.count_nonzero(sizes > 1))
    if several < (1 if plan.allow_small_classes else 2):
        raise DataError(
            f"labels: {len(single)} of {len(single) + several} classes have a single row ({some(single)}), but "
            f"{plan.loss} needs two rows of a class, and rows of another class; label more rows"
            + ("" if plan.allow_small_classes or not several else _AS_NEGATIVES)
        )
    if plan.allow_small_classes:
        return np.ones(len(codes), dtype=bool)
    if single:
        warnings.warn(
            f"labels: {len(single)} of {len(single) + several} classes have a single row ({some(single)}); nothing is "
            f"learned from these rows{_AS_NEGATIVES}",
            stacklevel=3,
        )
    return sizes[codes] > 1


_AS_NEGATIVES = "; to use them as negatives, add --allow-small-classes (in Python: allow_small_classes=True)"


def from_pairs(vectors: NDArray[Any], pairs: Rows, same: NDArray[np.bool_], plan: Plan) -> Problem:
    """Return the problem of one head that brings similar pairs together and moves dissimilar pairs apart.

    Rows that similar pairs connect form a group. A tenth of the groups is held out for the table and a tenth to watch,
    with every pair that touches them; in the table, groups take the place of classes.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim), finite
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers.
    same : ndarray of bool, shape (n_pairs,)
    plan : Plan

    Raises
    ------
    DataError
        Where the pairs to learn from are all similar or all dissimilar.
    """
    find(plan.loss, "pairs")
    codes, held_out, watched = _groups(len(vectors), pairs[same], plan.schedule.seed)
    outside = np.ones(len(vectors), dtype=bool)
    outside[held_out] = outside[watched] = False
    kept = np.flatnonzero(outside[pairs].all(axis=1))
    if same[kept].all() or not same[kept].any():
        raise DataError(
            f"pairs: of {len(pairs)} pairs, {len(kept)} touch no held-out group, all of one kind; add pairs"
        )
    tower = Tower(vectors, np.unique(pairs[kept]), plan, "head", plan.dim or vectors.shape[1])

    def shuffled(number: int) -> Iterator[Rows]:
        order = np.random.default_rng([plan.schedule.seed, number]).permutation(kept)
        return (order[at : at + plan.batch_size] for at in range(0, len(order), plan.batch_size))

    def loss_of(chosen: Rows) -> Tensor:
        similar = tower.to_device(same[chosen])
        return pair_loss(tower(pairs[chosen, 0]), tower(pairs[chosen, 1]), similar, **plan.options)

    def judge() -> Quality:
        return quality(tower.head().apply(vectors[watched]), codes[watched], plan.threads)

    def measure() -> list[HeldOut]:
        return before_and_after(tower.head(), vectors, codes, [("held-out groups", held_out)], plan.threads)

    inputs = {"vectors": sha256_of(vectors), "labels": sha256_of(np.column_stack([pairs, same]))}
    watching = judge if len(watched) else None
    return Problem(
        (tower,), tower.weights, lambda number: _passes(shuffled, number), loss_of, watching, measure, len(kept), inputs
    )


def _groups(n: int, similar: Rows, seed: int) -> tuple[Rows, Rows, Rows]:
    """The group of each row, the rows held out for the table, and the rows to watch."""
    codes = np.unique(components(n, similar[:, 0], similar[:, 1]), return_inverse=True)[1]
    sizes = np.bincount(codes)
    several = np.random.default_rng(seed).permutation(np.flatnonzero(sizes > 1))
    count = max(2, round(SHARE * len(several))) if len(several) >= MIN_CLASSES else 0
    if not count:
        warnings.warn(
            f"similar pairs connect the rows into {len(several)} groups, too few to hold any out: nothing is measured, "
            "and training does not stop early",
            stacklevel=3,
        )
    part = np.zeros(len(sizes), dtype=np.int64)
    part[several[:count]], part[several[count : 2 * count]] = 1, 2
    return codes, np.flatnonzero(part[codes] == 1), np.flatnonzero(part[codes] == 2)


def from_joint(sides: tuple[NDArray[Any], NDArray[Any]], names: tuple[str, str], plan: Plan) -> Problem:
    """Return the problem of two heads into one space, in which row i of one side is near row i of the other.

    Parameters
    ----------
    sides : two ndarrays, shape (n, dim) and (n, other dim), finite
    names : two str
        What the heads are called.
    plan : Plan

    Raises
    ------
    DataError
        Where the sides have different numbers of rows, or fewer than 4.
    """
    find(plan.loss, "joint")
    first, second = sides
    held_out, watched, train = _split_joint(sides, names, plan.schedule.seed)
    dim = plan.dim or min(first.shape[1], second.shape[1])
    towers = (Tower(first, train, plan, names[0], dim), Tower(second, train, plan, names[1], dim))
    torch = towers[0].torch
    scale = torch.tensor([LOGIT_SCALE], device=towers[0].device, requires_grad=True)
    weights = {f"{side}{name}": one for side, tower in enumerate(towers) for name, one in tower.weights.items()}
    weights["scale"] = scale

    def shuffled(number: int) -> Iterator[Rows]:
        mixed = np.random.default_rng([plan.schedule.seed, number]).permutation(train)
        return iter(np.array_split(mixed, max(1, round(len(mixed) / plan.batch_size))))

    def loss_of(rows: Rows) -> Tensor:
        with torch.no_grad():
            scale.clamp_(max=float(np.log(LARGEST_SCALE)))
        return clip(towers[0](rows), towers[1](rows), scale, reduction="mean", **plan.options)

    def judge() -> Quality:
        (first_recall, _, first_rank), (second_recall, _, second_rank) = _both_ways(towers, watched, True, plan)
        return Quality((first_recall + second_recall) / 2, (first_rank + second_rank) / 2)

    def measure() -> list[HeldOut]:
        comparable = first.shape[1] == second.shape[1]
        before = _recalls(towers, held_out, False, plan) if comparable else [None] * 4
        after = _recalls(towers, held_out, True, plan)
        figures = dict(zip(BOTH_WAYS, zip(before, after, strict=True), strict=True))
        chance = {name: min(1.0, int(name.split()[0].partition("@")[2]) / len(held_out)) for name in BOTH_WAYS}
        return [HeldOut("held-out pairs", len(held_out), None, figures, chance)]

    inputs = {"vectors": sha256_of(first), "labels": sha256_of(second)}
    return Problem(
        towers, weights, lambda number: _passes(shuffled, number), loss_of, judge, measure, len(train), inputs
    )


def _split_joint(
    sides: tuple[NDArray[Any], NDArray[Any]], names: tuple[str, str], seed: int
) -> tuple[Rows, Rows, Rows]:
    """The rows held out for the table, the rows to watch, and the rows to learn from."""
    n, other = len(sides[0]), len(sides[1])
    if n != other:
        raise DataError(
            f"{names[0]} has {n} rows, but {names[1]} has {other}; row i of one belongs to row i of the other"
        )
    if n < 4:
        raise DataError(f"{names[0]} and {names[1]}: found {n} rows, expected at least 4")
    count = max(1, min(MAX_ROWS, round(SHARE * n)))
    order = np.random.default_rng(seed).permutation(n)
    held_out, watched, train = (np.sort(part) for part in np.split(order, [count, 2 * count]))
    return held_out, watched[:MAX_WATCHED], train


def _both_ways(towers: tuple[Tower, ...], rows: Rows, learned: bool, plan: Plan) -> list[tuple[float, float, float]]:
    """`partner_ranks` from the first side to the second and back, by learned or by given embeddings."""
    ends = [tower.head().apply(tower.vectors[rows]) if learned else tower.vectors[rows] for tower in towers]
    return [partner_ranks(one, other, plan.threads) for one, other in (ends, ends[::-1])]


def _recalls(towers: tuple[Tower, ...], rows: Rows, learned: bool, plan: Plan) -> list[float]:
    """The figures of BOTH_WAYS."""
    return [figure for way in _both_ways(towers, rows, learned, plan) for figure in way[:2]]


def _passes(batches_of: Callable[[int], Iterable[Rows]], number: int) -> Iterator[Rows]:
    """The batches of an epoch: of as many passes over the rows as make MIN_BATCHES."""
    batches, at = 0, 0
    while batches < MIN_BATCHES:
        for batch in batches_of((number << 10) + at):
            batches += 1
            yield batch
        at += 1

"""The job: embeddings and what is known of them in, heads and a table of before and after out.

Rows are held out three times before learning: for stopping early, and for the table, which shows rows of classes that
were learned from and rows of classes that were not. All of the table comes from exact Euclidean neighbours.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.components import components
from vicinal.errors import DataError, some
from vicinal.knn.checkpoint import Checkpoint, sha256_of
from vicinal.learn.descent import (
    SILENT,
    Course,
    Seen,
    Watch,
    descend,
    look,
    loss_of_labels,
    loss_of_pairs,
    state_arrays,
)
from vicinal.learn.heads import Head, Heads
from vicinal.learn.losses import LOGIT_SCALE, MOST_SCALE, clip, find
from vicinal.learn.measuring import FEWEST_CLASSES, MOST_ROWS, MOST_WATCHED, SHARE, Part, measured, met, split
from vicinal.learn.mining import MPerClass
from vicinal.learn.tower import Plan, Tower

Tensor = Any  # torch is an extra
BOTH_WAYS = ("recall@1 ->", "recall@10 ->", "recall@1 <-", "recall@10 <-")
FEWEST_BATCHES = 25  # of an epoch: small sets are walked over several times before recall is looked at again
WORSE = 1e-9


@dataclass(frozen=True, eq=False)
class Learned:
    """Heads, how the learning went, and the table."""

    heads: Heads
    course: Course
    table: list[Part]


def learn_from_labels(
    vectors: np.ndarray,
    codes: np.ndarray,
    names: list[Any],
    plan: Plan,
    checkpoint: str | Path | None = None,
    watch: Watch = SILENT,
) -> Learned:
    """A head that brings rows of one class together.

    vectors : (n, dim), all finite; codes: int (n,), of the classes that `names` lists
    Raises    DataError where a class has a single row, or a loss is not finite; UsageError
    """
    find(plan.loss, "labels")
    sizes = np.bincount(codes, minlength=len(names))
    if np.count_nonzero(sizes) < 2:
        raise DataError(f"labels: all {len(codes)} rows are of the class {names[int(codes[0])]!r}; two are needed")
    single = [names[code] for code in np.flatnonzero(sizes == 1)]
    if single and not plan.alone:
        raise DataError(
            f"labels: {len(single)} of {np.count_nonzero(sizes)} classes have a single row ({some(single)}), but "
            f"{plan.loss} needs two rows of a class; leave them out, or let them in as negatives with "
            "--allow-small-classes (in Python: alone=True)"
        )
    parts = split(codes, plan.schedule.seed)
    if not len(parts.classes):
        few = int(np.count_nonzero(sizes > 1))
        warnings.warn(f"{few} classes are too few to hold any out whole: only rows are held out", stacklevel=2)
    sampler = MPerClass(codes[parts.train], plan.m, plan.batch_size, plan.schedule.seed, alone=plan.alone)
    tower = Tower(vectors, parts.train, plan, "head", plan.dim or vectors.shape[1])
    known = tower.torch.from_numpy(codes.astype(np.int64)).to(tower.device)

    def loss_of(rows: np.ndarray) -> Tensor:
        return loss_of_labels(plan.loss, tower(rows), known[rows], plan.miner, **plan.options)

    def batches(number: int) -> Iterator[np.ndarray]:
        for batch in _walks(sampler.epoch, number):
            rows = parts.train[batch]
            if not plan.alone or len(np.unique(codes[rows])) < len(rows):  # a mate is in it
                yield rows

    def judge() -> Seen:
        return look(tower.head().apply(vectors[parts.watched]), codes[parts.watched], plan.threads)

    asked = {"vectors": sha256_of(vectors), "labels": sha256_of(codes), **_asked(plan)}
    course = descend(
        tower.weights,
        batches,
        loss_of,
        judge if len(parts.watched) > 1 else None,
        plan.schedule,
        None if checkpoint is None else Checkpoint(checkpoint, asked, state_arrays(tower.weights)),
        watch,
        len(parts.train),
    )
    head = tower.head()
    table = [("held-out rows", parts.rows), ("held-out classes", parts.classes)]
    return _finish((head,), course, plan, measured(head, vectors, codes, table, plan.threads))


def learn_from_pairs(
    vectors: np.ndarray,
    pairs: np.ndarray,
    same: np.ndarray,
    plan: Plan,
    checkpoint: str | Path | None = None,
    watch: Watch = SILENT,
) -> Learned:
    """A head that brings the rows of similar pairs together and those of dissimilar pairs apart.

    What similar pairs connect is a group. A tenth of the groups is held out for the table and a tenth to watch, with
    every pair that touches them; the table tells of the groups as of classes.

    vectors : (n, dim), all finite; pairs: row numbers (n_pairs, 2); same: truth values (n_pairs,)
    """
    find(plan.loss, "pairs")
    groups = components(len(vectors), pairs[same, 0], pairs[same, 1])
    codes = np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(codes)
    several = np.random.default_rng(plan.schedule.seed).permutation(np.flatnonzero(sizes > 1))
    count = max(2, round(SHARE * len(several))) if len(several) >= FEWEST_CLASSES else 0
    if not count:
        warnings.warn(
            f"similar pairs connect the rows into {len(several)} groups, too few to hold any out: nothing is measured, "
            "and learning does not stop early",
            stacklevel=2,
        )
    part = np.zeros(len(sizes), dtype=np.int64)
    part[several[:count]], part[several[count : 2 * count]] = 1, 2
    held, watched = (np.flatnonzero(part[codes] == one) for one in (1, 2))
    kept = np.flatnonzero((part[codes[pairs]] == 0).all(axis=1))
    if same[kept].all() or not same[kept].any():
        raise DataError(
            f"pairs: of {len(pairs)} pairs, {len(kept)} touch no held-out group, all of one kind; add pairs"
        )
    train = np.unique(pairs[kept])
    tower = Tower(vectors, train, plan, "head", plan.dim or vectors.shape[1])

    def walk(number: int) -> Iterator[np.ndarray]:
        order = np.random.default_rng([plan.schedule.seed, number]).permutation(kept)
        return (order[at : at + plan.batch_size] for at in range(0, len(order), plan.batch_size))

    def loss_of(chosen: np.ndarray) -> Tensor:
        alike = tower.torch.from_numpy(same[chosen]).to(tower.device)
        return loss_of_pairs(tower(pairs[chosen, 0]), tower(pairs[chosen, 1]), alike, **plan.options)

    def judge() -> Seen:
        return look(tower.head().apply(vectors[watched]), codes[watched], plan.threads)

    asked = {"vectors": sha256_of(vectors), "labels": sha256_of(np.column_stack([pairs, same])), **_asked(plan)}
    course = descend(
        tower.weights,
        lambda number: _walks(walk, number),
        loss_of,
        judge if count else None,
        plan.schedule,
        None if checkpoint is None else Checkpoint(checkpoint, asked, state_arrays(tower.weights)),
        watch,
        len(kept),
    )
    head = tower.head()
    return _finish((head,), course, plan, measured(head, vectors, codes, [("held-out groups", held)], plan.threads))


def learn_joint(
    sides: tuple[np.ndarray, np.ndarray],
    names: tuple[str, str],
    plan: Plan,
    checkpoint: str | Path | None = None,
    watch: Watch = SILENT,
) -> Learned:
    """Two heads into one space, in which row i of one side is near row i of the other.

    sides  : (n, dim) and (n, other dim), all finite; row i of one belongs to row i of the other
    names  : what the towers are called
    Raises   DataError where the sides have different numbers of rows, or fewer than 4
    """
    find(plan.loss, "joint")
    first, second = sides
    if len(first) != len(second):
        raise DataError(
            f"{names[0]} has {len(first)} rows, but {names[1]} has {len(second)}; row i of one belongs to row i of the "
            "other"
        )
    if len(first) < 4:
        raise DataError(f"{names[0]} and {names[1]}: found {len(first)} rows, expected at least 4")
    count = max(1, min(MOST_ROWS, round(SHARE * len(first))))
    order = np.random.default_rng(plan.schedule.seed).permutation(len(first))
    held, watched, train = (np.sort(part) for part in np.split(order, [count, 2 * count]))
    watched = watched[:MOST_WATCHED]
    dim = plan.dim or min(first.shape[1], second.shape[1])
    towers = [Tower(one, train, plan, name, dim) for one, name in zip(sides, names, strict=True)]
    torch = towers[0].torch
    scale = torch.tensor([LOGIT_SCALE], device=towers[0].device, requires_grad=True)
    weights = {f"{side}{name}": one for side, tower in enumerate(towers) for name, one in tower.weights.items()}
    weights["scale"] = scale

    def walk(number: int) -> Iterator[np.ndarray]:
        mixed = np.random.default_rng([plan.schedule.seed, number]).permutation(train)
        return iter(np.array_split(mixed, max(1, round(len(mixed) / plan.batch_size))))

    def loss_of(rows: np.ndarray) -> Tensor:
        with torch.no_grad():
            scale.clamp_(max=float(np.log(MOST_SCALE)))
        return clip(towers[0](rows), towers[1](rows), scale, reduction="mean", **plan.options)

    def both_ways(rows: np.ndarray, learned: bool) -> list[tuple[float, ...]]:
        ends = [tower.head().apply(tower.vectors[rows]) if learned else tower.vectors[rows] for tower in towers]
        return [met(one, other, plan.threads) for one, other in (ends, ends[::-1])]

    def judge() -> Seen:
        (first_one, _, first_rank), (second_one, _, second_rank) = both_ways(watched, True)
        return Seen((first_one + second_one) / 2, (first_rank + second_rank) / 2)

    def told(learned: bool) -> list[float]:
        return [figure for way in both_ways(held, learned) for figure in way[:2]]

    asked = {"vectors": sha256_of(first), "labels": sha256_of(second), **_asked(plan)}
    course = descend(
        weights,
        lambda number: _walks(walk, number),
        loss_of,
        judge,
        plan.schedule,
        None if checkpoint is None else Checkpoint(checkpoint, asked, state_arrays(weights)),
        watch,
        len(train),
    )
    alike = first.shape[1] == second.shape[1]
    before = told(False) if alike else [None] * 4
    figures = dict(zip(BOTH_WAYS, zip(before, told(True), strict=True), strict=True))
    chance = {name: min(1.0, int(name.split()[0].partition("@")[2]) / count) for name in BOTH_WAYS}
    heads = tuple(tower.head() for tower in towers)
    return _finish(heads, course, plan, [Part("held-out pairs", count, None, figures, chance)])


def _walks(walk: Callable[[int], Iterable[np.ndarray]], number: int) -> Iterator[np.ndarray]:
    """The batches of an epoch: of as many walks over the rows as make FEWEST_BATCHES."""
    batches, at = 0, 0
    while batches < FEWEST_BATCHES:
        for batch in walk((number << 10) + at):
            batches += 1
            yield batch
        at += 1


def _asked(plan: Plan) -> dict[str, Any]:
    """What a checkpoint is of, besides the values."""
    settings = asdict(plan)
    return {
        **{name: settings[name] for name in settings if name not in ("schedule", "device", "threads")},
        **settings["schedule"],
        "decided_by": "mean reciprocal rank" if plan.loss == "clip" else "MAP@R",
    }


def _finish(towers: tuple[Head, ...], course: Course, plan: Plan, table: list[Part]) -> Learned:
    """The result, with a warning for each part where learning made something worse."""
    for part in table:
        worse = [
            f"{name} {before:.3f} -> {after:.3f}"
            for name, (before, after) in part.figures.items()
            if before is not None and after < before - WORSE
        ]
        if worse:
            warnings.warn(f"learning made {part.name} worse: {', '.join(worse)}", stacklevel=3)
    if course.best == 0:
        warnings.warn("no epoch was better on the watched rows than the start: the head is the start", stacklevel=3)
    about = {
        **_asked(plan),
        "epochs_run": len(course.losses) - 1,
        "best_epoch": course.best,
        "table": [asdict(part) for part in table],
    }
    return Learned(Heads(towers, about), course, table)

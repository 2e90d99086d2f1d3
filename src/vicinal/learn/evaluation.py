"""Held-out rows, and what their nearest neighbours say before and after learning."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicinal.analysis.diagnostics import map_at_r, recall_at
from vicinal.indexes.exact import Exact
from vicinal.learn.heads import Head, unit
from vicinal.storage import space

MEASURES = ("1-NN accuracy", "recall@1", "recall@10", "MAP@R")
SHARE = 0.1  # of the rows, and of the classes, that each held-out part takes
MIN_CLASSES = 8  # with fewer classes, no whole class is held out
MAX_ROWS, MAX_WATCHED = 5_000, 2_000  # of a part of the table, and of the rows that are watched while learning
ROUNDING = 1e-9  # a figure that falls by less did not fall

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """How good the present weights are on held-out rows.

    Attributes
    ----------
    recall : float
        recall@1, which is reported. It takes few values and is soon near 1, where it tells little.
    score : float
        What decides which epoch is the best: MAP@R, or for two towers the mean reciprocal rank.
    """

    recall: float
    score: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One part of the table: the figures of some held-out rows before and after learning.

    Attributes
    ----------
    name : str
        "held-out rows", "held-out classes", "held-out groups" or "held-out pairs".
    rows : int
        How many rows were measured.
    classes : int or None
        How many classes these rows have.
    figures : dict of str to (float or None, float)
        Measure -> (before, after); before is None where there is nothing to compare with.
    chance : dict of str to float
        Measure -> what a random order gives, where that is known.
    """

    name: str
    rows: int
    classes: int | None
    figures: dict[str, tuple[float | None, float]]
    chance: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers, int64 and ascending: to learn from, to watch, and the rows and whole classes of the table."""

    train: Rows
    watched: Rows
    rows: Rows
    classes: Rows


def split(codes: Rows, seed: int) -> Split:
    """Split rows into those to learn from and those that are held out.

    A tenth of the classes is held out whole, where there are 8 or more. Of each other class, a tenth of the rows is
    held out for the table and a tenth to watch. A class gives at least two rows to a part, or none, so that each row
    has a mate there, and keeps at least two to learn from.

    Parameters
    ----------
    codes : ndarray of int, shape (n,)
        The class of each row, from 0.
    seed : int
        The same seed gives the same split.
    """
    random = np.random.default_rng(seed)
    sizes = np.bincount(codes)
    several = np.flatnonzero(sizes > 1)
    whole = np.zeros(len(sizes), dtype=bool)
    if len(several) >= MIN_CLASSES:
        whole[random.choice(several, max(2, round(SHARE * len(several))), replace=False)] = True
    place = np.full(len(codes), -1)  # 0 watched, 1 held-out row, 2 row of a held-out class, -1 to learn from
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    for code in np.flatnonzero(~whole & (sizes >= 4)):
        rows = order[starts[code] : starts[code] + sizes[code]]
        for part in (1, 0):
            share = SHARE * sizes[code]
            count = round(share) if share >= 1.5 else 2 * int(random.random() < share / 2)
            count = min(count, len(rows) - 2)
            if count >= 2:
                place[rows[:count]] = part
                rows = rows[count:]
    place[np.flatnonzero(whole[codes])] = 2
    parts = [np.flatnonzero(place == part) for part in (-1, 0, 1, 2)]
    for at, largest in ((1, MAX_WATCHED), (2, MAX_ROWS), (3, MAX_ROWS)):
        if len(parts[at]) > largest:
            parts[at] = np.sort(random.choice(parts[at], largest, replace=False))
    return Split(*parts)


def quality(vectors: NDArray[Any], codes: Rows, threads: int | None = None) -> Quality:
    """Return recall@1 and MAP@R of rows among themselves; `codes` are their classes, from 0."""
    k = min(len(codes) - 1, max(1, int(np.bincount(codes).max()) - 1))
    neighbors = Exact(threads=threads).fit(vectors).neighbors(k)
    return Quality(recall_at(neighbors, codes, 1), map_at_r(neighbors, codes))


def measure(vectors: NDArray[Any], rows: Rows, codes: Rows, threads: int | None = None) -> dict[str, float]:
    """Return the figures of some rows of a set, by Euclidean distance.

    Returns
    -------
    dict of str to float
        "1-NN accuracy": the share of the rows whose nearest other row of the whole set is of their class. "recall@1",
        "recall@10" and "MAP@R": among the rows themselves.
    """
    own = codes[rows]
    part = np.ascontiguousarray(vectors[rows])
    indices = Exact(threads=threads).fit(vectors).search(part, 2).indices
    nearest = np.where(indices[:, 0] == rows, indices[:, 1], indices[:, 0])
    k = min(len(rows) - 1, max(10, int(np.bincount(own).max()) - 1))
    among = Exact(threads=threads).fit(part).neighbors(k)
    values = (recall_at(among, own, 1), recall_at(among, own, 10), map_at_r(among, own))
    return dict(zip(MEASURES, (float((codes[nearest] == own).mean()), *values), strict=True))


def before_and_after(
    head: Head, vectors: NDArray[Any], codes: Rows, parts: Sequence[tuple[str, Rows]], threads: int | None
) -> list[HeldOut]:
    """Measure each part, given as name and rows, before and after the head.

    The learned rows are written to a temporary file instead of memory.
    """
    table = []
    with TemporaryFile() as file:
        shape, place = (len(vectors), head.dim_out), Path(gettempdir())
        needed = 4 * shape[0] * shape[1]
        space.require(place, needed)
        with space.naming(place, needed):
            for _, block in head.blocks(vectors):
                file.write(np.ascontiguousarray(block, dtype=np.float32).tobytes())
            file.flush()
        learned = np.memmap(file, np.float32, "r", shape=shape)
        for name, rows in parts:
            if len(rows) > 1:
                before, after = (measure(one, rows, codes, threads) for one in (vectors, learned))
                figures: dict[str, tuple[float | None, float]] = {one: (before[one], after[one]) for one in MEASURES}
                table.append(HeldOut(name, len(rows), len(np.unique(codes[rows])), figures))
    if not table:
        warnings.warn("too few rows to hold any out, so the result is not measured", stacklevel=2)
    return table


def partner_ranks(queries: NDArray[Any], stored: NDArray[Any], threads: int | None) -> tuple[float, float, float]:
    """Return how often row i of `queries` finds row i of `stored`, by cosine: recall@1, recall@10, and the mean
    reciprocal rank, with 0 beyond the first 10."""
    indices = Exact(threads=threads).fit(unit(stored)).search(unit(queries), min(10, len(stored))).indices
    own = indices == np.arange(len(queries))[:, None]
    reciprocal = own / np.arange(1, own.shape[1] + 1)
    return float(own[:, 0].mean()), float(own.any(axis=1).mean()), float(reciprocal.sum(axis=1).mean())


def figures_that_fell(part: HeldOut) -> list[str]:
    """Return each figure that fell, as "name before -> after"."""
    return [
        f"{name} {before:.3f} -> {after:.3f}"
        for name, (before, after) in part.figures.items()
        if before is not None and after < before - ROUNDING
    ]


def lines(table: Sequence[HeldOut]) -> Iterator[str]:
    """Yield the lines of the table as text: one a measure, with the figures before and after."""
    width = max((len(part.name) for part in table), default=0)
    for part in table:
        yield f"{part.name:<{width}}  {'':14} {'before':>8} {'after':>8}{'    chance' if part.chance else ''}"
        size = f"{part.rows:,} rows" + ("" if part.classes is None else f" of {part.classes:,}")
        for at, (name, (before, after)) in enumerate(part.figures.items()):
            first = "-" if before is None else f"{before:.3f}"
            chance = f"  {part.chance[name]:>8.4f}" if part.chance else ""
            yield f"{size if at == 0 else '':<{width}}  {name:14} {first:>8} {after:>8.3f}{chance}"

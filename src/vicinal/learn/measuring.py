"""What is held out, and what its neighbours say before and after: the table of `vicinal learn`."""

import warnings
from dataclasses import dataclass, field
from tempfile import TemporaryFile

import numpy as np

from vicinal.analysis.diagnostics import map_at_r, recall_at
from vicinal.indexes.exact import Exact
from vicinal.learn.heads import Head, unit

MEASURES = ("1-NN accuracy", "recall@1", "recall@10", "MAP@R")
SHARE = 0.1  # of rows, and of classes, that each held-out part takes
FEWEST_CLASSES = 8  # of which any are held out whole
MOST_ROWS, MOST_WATCHED = 5_000, 2_000  # of a part of the table, and of what is watched while learning


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the table: which rows were held out and what was measured on them, measure -> (before, after)."""

    name: str
    rows: int
    classes: int | None
    figures: dict[str, tuple[float | None, float]]
    chance: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Split:
    """Row numbers, int64, ascending: to learn from, to watch, and the table's rows and whole classes."""

    train: np.ndarray
    watched: np.ndarray
    rows: np.ndarray
    classes: np.ndarray


def split(codes: np.ndarray, seed: int) -> Split:
    """A tenth of the classes, where there are 8 or more, and of the other classes a tenth of the rows, twice.

    A class gives two rows or more to a part, or none, so that rows have mates there, and keeps two to learn from.
    Classes are told apart by their codes alone; the same seed gives the same parts.
    """
    random = np.random.default_rng(seed)
    sizes = np.bincount(codes)
    several = np.flatnonzero(sizes > 1)
    out = np.zeros(len(sizes), dtype=bool)
    if len(several) >= FEWEST_CLASSES:
        out[random.choice(several, max(2, round(SHARE * len(several))), replace=False)] = True
    place = np.full(len(codes), -1)  # 0 watched, 1 held out, -1 learned from
    order = random.permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    for code in np.flatnonzero(~out & (sizes >= 4)):
        rows = order[starts[code] : starts[code] + sizes[code]]
        for part in (1, 0):
            share = SHARE * sizes[code]
            count = round(share) if share >= 1.5 else 2 * int(random.random() < share / 2)
            count = min(count, len(rows) - 2)
            if count >= 2:
                place[rows[:count]] = part
                rows = rows[count:]
    whole = np.flatnonzero(out[codes])
    place[whole] = 2
    parts = [np.flatnonzero(place == part) for part in (-1, 0, 1, 2)]
    for at, most in ((1, MOST_WATCHED), (2, MOST_ROWS), (3, MOST_ROWS)):
        if len(parts[at]) > most:
            parts[at] = np.sort(random.choice(parts[at], most, replace=False))
    return Split(*parts)


def measure(vectors: np.ndarray, rows: np.ndarray, codes: np.ndarray, threads: int | None = None) -> dict[str, float]:
    """What the neighbours of some rows of a set say, by Euclidean distance.

    Returns   1-NN accuracy: the nearest of all other rows of the set is of the row's class; recall@1, recall@10, MAP@R:
              among the rows themselves
    """
    own = codes[rows]
    part = np.ascontiguousarray(vectors[rows])
    found = Exact(threads=threads).fit(vectors).search(part, 2).indices
    nearest = np.where(found[:, 0] == rows, found[:, 1], found[:, 0])
    k = min(len(rows) - 1, max(10, int(np.bincount(own).max()) - 1))
    among = Exact(threads=threads).fit(part).neighbors(k)
    values = (recall_at(among, own, 1), recall_at(among, own, 10), map_at_r(among, own))
    return dict(zip(MEASURES, (float((codes[nearest] == own).mean()), *values), strict=True))


def measured(
    head: Head, vectors: np.ndarray, codes: np.ndarray, table: list[tuple[str, np.ndarray]], threads: int | None
) -> list[Part]:
    """The table's parts: names and rows, before and after. The learned rows lie in a file, not in memory."""
    found = []
    with TemporaryFile() as file:
        learned = np.memmap(file, np.float32, "w+", shape=(len(vectors), head.dim_out))
        for start in range(0, len(vectors), head.step):
            learned[start : start + head.step] = head.block(vectors[start : start + head.step])
        for name, rows in table:
            if len(rows) > 1:
                before, after = (measure(one, rows, codes, threads) for one in (vectors, learned))
                figures: dict[str, tuple[float | None, float]] = {one: (before[one], after[one]) for one in MEASURES}
                found.append(Part(name, len(rows), len(np.unique(codes[rows])), figures))
    if not found:
        warnings.warn("too few rows to hold any out: what was learned is not measured", stacklevel=3)
    return found


def met(queries: np.ndarray, stored: np.ndarray, threads: int | None) -> tuple[float, float, float]:
    """How many rows meet their own row of the other side first, and among the first 10, by cosine; and the mean of
    1 / its place, 0 beyond 10."""
    found = Exact(threads=threads).fit(unit(stored)).search(unit(queries), min(10, len(stored))).indices
    own = found == np.arange(len(queries))[:, None]
    rank = own / np.arange(1, own.shape[1] + 1)
    return float(own[:, 0].mean()), float(own.any(axis=1).mean()), float(rank.sum(axis=1).mean())


def lines(table: list[Part]) -> list[str]:
    """The table as text: a line a measure, before and after."""
    width = max((len(part.name) for part in table), default=0)
    told = []
    for part in table:
        chances = "    chance" if part.chance else ""
        told.append(f"{part.name:<{width}}  {'':14} {'before':>8} {'after':>8}{chances}")
        of = f"{part.rows:,} rows" + ("" if part.classes is None else f" of {part.classes:,}")
        for at, (name, (before, after)) in enumerate(part.figures.items()):
            first = "-" if before is None else f"{before:.3f}"
            chance = f"  {part.chance[name]:>8.4f}" if part.chance else ""
            told.append(f"{of if at == 0 else '':<{width}}  {name:14} {first:>8} {after:>8.3f}{chance}")
    return told

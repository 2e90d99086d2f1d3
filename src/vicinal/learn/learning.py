"""The job: embeddings and what is known of them in, heads and a table of before and after out.

Rows are held out three times before learning: for stopping early, and for the table, which shows rows of classes that
were learned from and rows of classes that were not. All of the table comes from exact Euclidean neighbours.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.checkpoint import Checkpoint, sha256_of
from vicinal.datasets import Id, read_rows, suffix
from vicinal.diagnostics import map_at_r, recall_at
from vicinal.errors import DataError, UsageError, need, some, unknown
from vicinal.graph import components
from vicinal.indexes.exact import Exact
from vicinal.learn.descent import SILENT, Course, Schedule, Watch, descend, loss_of_labels, loss_of_pairs, state_arrays
from vicinal.learn.heads import KINDS, Head, Heads
from vicinal.learn.losses import LOGIT_SCALE, MOST_SCALE, clip, find
from vicinal.learn.mining import MINERS, MPerClass

Tensor = Any  # torch is an extra
MEASURES = ("1-NN accuracy", "recall@1", "recall@10", "MAP@R")
BOTH_WAYS = ("recall@1 ->", "recall@10 ->", "recall@1 <-", "recall@10 <-")
SHARE = 0.1  # of rows, and of classes, that each held-out part takes
FEWEST_CLASSES = 8  # of which any are held out whole
MOST_ROWS, MOST_WATCHED = 5_000, 2_000  # of a part of the table, and of what is watched while learning
FEWEST_BATCHES = 25  # of an epoch: small sets are walked over several times before recall is looked at again
LOOKED_AT = 20_000  # rows from which a head's start is made
WORSE = 1e-9


@dataclass(frozen=True)
class Plan:
    """What is learned and how.

    loss      : a name of LOSSES; options: its arguments
    kind      : linear or mlp
    dim       : of what comes out; None for as many as come in (of two towers: the smaller)
    hidden    : of a small network; None for as many as come in
    normalize : whether what comes out has length 1
    miner     : of triplets
    m, batch_size : rows of a class in a batch, rows (pairs) of a batch
    alone     : whether classes of a single row are let in, as negatives
    """

    loss: str
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = "linear"
    dim: int | None = None
    hidden: int | None = None
    normalize: bool = True
    miner: str = "semi-hard"
    m: int = 4
    batch_size: int = 128
    alone: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    device: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(unknown("head", self.kind, KINDS))
        if self.miner not in MINERS:
            raise UsageError(unknown("miner", self.miner, MINERS))


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the table: which rows were held out and what was measured on them, measure -> (before, after)."""

    name: str
    rows: int
    classes: int | None
    figures: dict[str, tuple[float | None, float]]
    chance: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Learned:
    """Heads, how the learning went, and the table."""

    heads: Heads
    course: Course
    table: list[Part]


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
    tower = _Tower(vectors, parts.train, plan, "head", plan.dim or vectors.shape[1])
    known = tower.torch.from_numpy(codes.astype(np.int64)).to(tower.device)

    def loss_of(rows: np.ndarray) -> Tensor:
        return loss_of_labels(plan.loss, tower(rows), known[rows], plan.miner, **plan.options)

    def recall() -> float:
        index = Exact(threads=plan.threads).fit(tower.head().apply(vectors[parts.watched]))
        return recall_at(index.neighbors(1), codes[parts.watched], 1)

    asked = {"vectors": sha256_of(vectors), "labels": sha256_of(codes), **_asked(plan)}
    course = descend(
        tower.weights,
        lambda number: (parts.train[batch] for batch in _walks(sampler.epoch, number)),
        loss_of,
        recall if len(parts.watched) > 1 else None,
        plan.schedule,
        None if checkpoint is None else Checkpoint(checkpoint, asked, state_arrays(tower.weights)),
        watch,
        len(parts.train),
    )
    head = tower.head()
    table = [("held-out rows", parts.rows), ("held-out classes", parts.classes)]
    return _finish((head,), course, plan, _parts(head, vectors, codes, table, plan.threads))


def _parts(
    head: Head, vectors: np.ndarray, codes: np.ndarray, table: list[tuple[str, np.ndarray]], threads: int | None
) -> list[Part]:
    learned, found = head.apply(vectors), []
    for name, rows in table:
        if len(rows) > 1:
            before, after = (measure(one, rows, codes, threads) for one in (vectors, learned))
            figures: dict[str, tuple[float | None, float]] = {name: (before[name], after[name]) for name in MEASURES}
            found.append(Part(name, len(rows), len(np.unique(codes[rows])), figures))
    if not found:
        warnings.warn("too few rows to hold any out: what was learned is not measured", stacklevel=3)
    return found


def read_pairs(path: str | Path, ids: list[Id], source: str) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a file with the fields a, b (ids) and same (true or false).

    ids, source : the id of each row, and what they are the ids of, for messages
    Returns       row numbers int64 (n_pairs, 2), and whether each is similar
    Raises        DataError with file and line where a field is missing or an id unknown; UsageError for the suffix
    """
    text = suffix(path) == ".csv"
    number = {(str(one) if text else one): row for row, one in enumerate(ids)}
    truths = {"true": True, "false": False, "1": True, "0": False}
    pairs, same = [], []
    for line, row in read_rows(path):
        named = []
        for side in ("a", "b"):
            found = row.get(side)
            if isinstance(found, list | dict | bool) or found not in number:
                what = f"no id {found!r}" if side in row else f"no field {side!r}"
                raise DataError(
                    f"{path}:{line}: {what}: expected one of the {len(ids)} ids of {source}: {some(ids, 3)}; "
                    "--ids FILE names the data set whose ids pairs speak of"
                )
            named.append(number[found])
        truth = truths.get(str(row.get("same")).lower())
        if truth is None:
            raise DataError(f"{path}:{line}: same: expected true or false, found {row.get('same')!r}")
        if named[0] == named[1]:
            raise DataError(f"{path}:{line}: a and b are the same row ({row['a']!r}); a pair needs two")
        pairs.append(named)
        same.append(truth)
    if not pairs or all(same) or not any(same):
        kind = "there are none" if not pairs else f"all {len(same)} are {'similar' if same[0] else 'dissimilar'}"
        raise DataError(f"{path}: both similar and dissimilar pairs are needed, but {kind}")
    return np.array(pairs, dtype=np.int64), np.array(same)


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
    tower = _Tower(vectors, train, plan, "head", plan.dim or vectors.shape[1])

    def walk(number: int) -> Iterator[np.ndarray]:
        order = np.random.default_rng([plan.schedule.seed, number]).permutation(kept)
        return (order[at : at + plan.batch_size] for at in range(0, len(order), plan.batch_size))

    def loss_of(chosen: np.ndarray) -> Tensor:
        alike = tower.torch.from_numpy(same[chosen]).to(tower.device)
        return loss_of_pairs(tower(pairs[chosen, 0]), tower(pairs[chosen, 1]), alike, **plan.options)

    def recall() -> float:
        index = Exact(threads=plan.threads).fit(tower.head().apply(vectors[watched]))
        return recall_at(index.neighbors(1), codes[watched], 1)

    asked = {"vectors": sha256_of(vectors), "labels": sha256_of(np.column_stack([pairs, same])), **_asked(plan)}
    course = descend(
        tower.weights,
        lambda number: _walks(walk, number),
        loss_of,
        recall if count else None,
        plan.schedule,
        None if checkpoint is None else Checkpoint(checkpoint, asked, state_arrays(tower.weights)),
        watch,
        len(kept),
    )
    head = tower.head()
    return _finish((head,), course, plan, _parts(head, vectors, codes, [("held-out groups", held)], plan.threads))


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
    towers = [_Tower(one, train, plan, name, dim) for one, name in zip(sides, names, strict=True)]
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

    def both_ways(rows: np.ndarray, learned: bool) -> list[float]:
        ends = [tower.head().apply(tower.vectors[rows]) if learned else tower.vectors[rows] for tower in towers]
        return [recall for one, other in (ends, ends[::-1]) for recall in _met(one, other, plan.threads)]

    asked = {"vectors": sha256_of(first), "labels": sha256_of(second), **_asked(plan)}
    course = descend(
        weights,
        lambda number: _walks(walk, number),
        loss_of,
        lambda: float(np.mean(both_ways(watched, True)[::2])),
        plan.schedule,
        None if checkpoint is None else Checkpoint(checkpoint, asked, state_arrays(weights)),
        watch,
        len(train),
    )
    alike = first.shape[1] == second.shape[1]
    before = both_ways(held, False) if alike else [None] * 4
    figures = dict(zip(BOTH_WAYS, zip(before, both_ways(held, True), strict=True), strict=True))
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


def _met(queries: np.ndarray, stored: np.ndarray, threads: int | None) -> tuple[float, float]:
    """How many rows meet their own row of the other side first, and among the first 10, by cosine."""
    found = Exact("cosine", threads).fit(stored, on_invalid="null").search(queries, min(10, len(stored))).indices
    own = found == np.arange(len(queries))[:, None]
    return float(own[:, 0].mean()), float(own.any(axis=1).mean())


def _asked(plan: Plan) -> dict[str, Any]:
    """What a checkpoint is of, besides the values."""
    settings = asdict(plan)
    return {
        **{name: settings[name] for name in settings if name not in ("schedule", "device", "threads")},
        **settings["schedule"],
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


class _Tower:
    """A head in torch while it is learned, over rows that stay where they are."""

    def __init__(self, vectors: np.ndarray, train: np.ndarray, plan: Plan, name: str, dim: int) -> None:
        self.torch = need("torch", extra="learn")
        self.vectors, self._plan, self._name = vectors, plan, name
        try:
            self.device = self.torch.device(plan.device or ("cuda" if self.torch.cuda.is_available() else "cpu"))
        except RuntimeError as error:
            raise UsageError(f"device: {str(error).partition(chr(10))[0]}") from None
        arrays = start(vectors, train, plan, dim)
        self.weights = {
            key: self.torch.from_numpy(one.copy()).to(self.device).requires_grad_() for key, one in arrays.items()
        }

    def __call__(self, rows: np.ndarray) -> Tensor:
        x = self.torch.from_numpy(np.asarray(self.vectors[rows], dtype=np.float32)).to(self.device)
        w = self.weights
        z = x @ w["A"].T + w["b"]
        if "H" in w:
            z = z + (x @ w["H"].T + w["h"]).relu() @ w["C"].T
        return self.torch.nn.functional.normalize(z, dim=-1) if self._plan.normalize else z

    def head(self) -> Head:
        """The present weights."""
        arrays = {name: one.detach().cpu().numpy().copy() for name, one in self.weights.items()}
        return Head(arrays, self._plan.normalize, self._name)


def start(vectors: np.ndarray, train: np.ndarray, plan: Plan, dim: int) -> dict[str, np.ndarray]:
    """A head's first weights: what it gives is the embedding itself, scaled, or its first principal components.

    A small network's second part starts at 0, so that both kinds start from what is there.
    """
    random = np.random.default_rng([plan.schedule.seed, 1])
    width = vectors.shape[1]
    if not 1 <= dim <= width:
        raise UsageError(f"dim: expected 1 to {width}, the embeddings' own, got {dim}")
    some_rows = train if len(train) <= LOOKED_AT else np.sort(random.choice(train, LOOKED_AT, replace=False))
    x = np.asarray(vectors[some_rows], dtype=np.float64)
    size = float(np.sqrt((x * x).sum(axis=1).mean())) or 1.0
    axes = np.eye(width)
    if dim < width:
        centred = x - x.mean(axis=0)
        axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :dim].T
    arrays = {"A": axes / size, "b": np.zeros(dim)}
    if plan.kind == "mlp":
        hidden = plan.hidden or width
        arrays["H"] = random.normal(size=(hidden, width)) * np.sqrt(2.0) / size
        arrays |= {"h": np.zeros(hidden), "C": np.zeros((dim, hidden))}
    return {name: np.ascontiguousarray(one, dtype=np.float32) for name, one in arrays.items()}


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

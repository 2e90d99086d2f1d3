"""What a task computes, as functions without Ray: a tile of a self-join, of a search, or of a radius.

A process keeps the blocks that it coded last, so that the next tile of the same block codes nothing.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.distributed.plan import QUERY_STEP
from vicinal.distributed.rows import Block
from vicinal.errors import DataError
from vicinal.knn.block_join import BlockJoin, Found
from vicinal.knn.checkpoint import sha256_of
from vicinal.knn.metrics import Metric
from vicinal.knn.vectors import as_rows, invalid_rows
from vicinal.storage import guard

LEFT_OUT = "left out"
KEPT = 1  # coded blocks in a process
_coded: "OrderedDict[tuple[str, int], tuple[BlockJoin, np.ndarray | None]]" = OrderedDict()
_prepared: dict[tuple[str, int], tuple[float, float]] = {}  # of a block: seconds and processor's that no task reported
_checked: dict[tuple[str, int], dict[str, Any]] = {}  # of a block that is coded: what its first task says of the rows


@dataclass(frozen=True)
class Question:
    """What all tasks of a pass have in common.

    Attributes
    ----------
    run : str
        The name of the pass, by which a process knows its coded blocks.
    metric : Metric
    k : int
        Neighbours of a row; 0 for all within the radius.
    radius : float
    threads : int
    digest : bool
        Whether a block's first task gives the checksum of its rows.
    """

    run: str
    metric: Metric
    k: int = 0
    radius: float = 0.0
    threads: int = 1
    digest: bool = False


@dataclass(frozen=True)
class Rows:
    """A block as a task gets it.

    Attributes
    ----------
    number : int
        Its number among the blocks.
    block : Block
    invalid : ndarray of int64
        Rows, within the block, that have no distances.
    groups : ndarray of int64, or None
        Of all rows of the block.
    limits : ndarray of float64, or None
        Of all rows of the block, the distance beyond which no neighbour is needed.
    """

    number: int
    block: Block
    invalid: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    groups: np.ndarray | None = None
    limits: np.ndarray | None = None


@dataclass(frozen=True)
class Result:
    """What a task gives back.

    Attributes
    ----------
    stored, queries : Found or None
        Neighbours of the rows of either block: rows by number in their own block, neighbours in the other one.
    invalid : dict of int to str
        Of a block's first task: the rows without distances, and why.
    digest : str
        Of a block's first task: the SHA-256 of its rows.
    engine : str
    seconds, coding : float
        How long it took, and how long of that until the first pair could be compared.
    processor : float
        The seconds of the processor, of all threads together.
    node : str
        Where it ran.
    shape : tuple
        Of the block's rows, and their dtype.
    layout : int
        Of a share: what identifies the tasks that it is a part of; 0 where this node makes no shares.
    """

    stored: Found | None = None
    queries: Found | None = None
    invalid: Mapping[int, str] = field(default_factory=dict)
    digest: str = ""
    engine: str = ""
    seconds: float = 0.0
    coding: float = 0.0
    processor: float = 0.0
    node: str = ""
    shape: tuple[Any, ...] = ()
    layout: int = 0


def own_tile(question: Question, rows: Rows, refuse: bool) -> Result:
    """A block with itself, after the check of its rows.

    refuse : whether a block with invalid rows is not computed, since the pass ends there
    """
    begun = time.perf_counter()
    vectors, about, refused = _first_look(question, rows, refuse)
    wrong = about["invalid"]
    if refused or len(wrong) == len(vectors):
        return Result(seconds=time.perf_counter() - begun, **about)
    given = Rows(rows.number, rows.block, np.array(list(wrong), np.int64), rows.groups)
    block, valid = coded(question, given, vectors)
    coding = time.perf_counter() - begun
    found = block.within(question.radius) if question.k == 0 else block.self_join(question.k)
    guard.refuse_shrunk()
    found = found.renumbered(valid, valid)
    return Result(found, engine=block.engine, seconds=time.perf_counter() - begun, coding=coding, **about)


def share_tile(
    question: Question, rows: Rows, refuse: bool, share: tuple[int, bool, int, int, int], layout: int
) -> Result:
    """A share of a block's self-join, by whichever process.

    layout : that of the other shares; 0 where none is known. A process whose tasks are others computes nothing.
    """
    begun = time.perf_counter()
    key = question.run, rows.number
    if key not in _coded:
        vectors, about, refused = _first_look(question, rows, refuse)
        if refused or len(about["invalid"]) == len(vectors):
            return Result(seconds=time.perf_counter() - begun, **about)
        given = Rows(rows.number, rows.block, np.array(list(about["invalid"]), np.int64), rows.groups)
        coded(question, given, vectors)
        _checked.clear()
        _checked[key] = about
    block, valid = coded(question, rows)
    before = _prepared.pop(key, (0.0, 0.0))
    coding = time.perf_counter() - begun + before[0]
    limits = None if rows.limits is None else np.asarray(rows.limits if valid is None else rows.limits[valid], float)
    made = block.share(question.k, share, limits)
    guard.refuse_shrunk()
    if made is None or (layout and made[1] != layout):
        return Result(seconds=time.perf_counter() - begun, coding=coding, **_checked[key])
    return Result(
        made[0].renumbered(valid, valid),
        engine=block.engine,
        seconds=time.perf_counter() - begun + before[0],
        coding=coding,
        processor=before[1],
        layout=made[1],
        **_checked[key],
    )


def prepare_tile(question: Question, rows: Rows) -> Result:
    """Do what further shares have in common, while the driver waits for the first ones; nothing without codes here.

    The next share of this process reports the time.
    """
    begun, busy = time.perf_counter(), time.process_time()
    if (question.run, rows.number) in _coded:
        block, _ = coded(question, rows)
        block.prepare_shares(question.k)
        _prepared[question.run, rows.number] = time.perf_counter() - begun, time.process_time() - busy
    return Result()


def _first_look(question: Question, rows: Rows, refuse: bool) -> tuple[np.ndarray, dict[str, Any], bool]:
    """The rows of a block, what its first task says of them, and whether the pass ends there."""
    vectors = as_rows(rows.block.read(), question.metric)
    wrong = invalid_rows(vectors, question.metric)
    refused = refuse and any(row not in rows.invalid for row in wrong)
    wrong = dict(sorted(({int(row): LEFT_OUT for row in rows.invalid} | wrong).items()))
    digest = digest_of(rows.block) if question.digest else ""
    return vectors, {"invalid": wrong, "digest": digest, "shape": (*vectors.shape, vectors.dtype.name)}, refused


def cross_tile(question: Question, stored: Rows, queries: Rows, part: slice) -> Result:
    """Some rows of a block with all rows of another one: neighbours of both."""
    begun = time.perf_counter()
    given, taken = _valid(question, queries, part)
    if not len(given) or len(stored.invalid) == stored_rows(stored):
        return Result(seconds=time.perf_counter() - begun)
    block, valid = coded(question, stored)
    coding = time.perf_counter() - begun
    groups = None if queries.groups is None else queries.groups[taken]
    if question.k == 0:
        there = block.within(question.radius, given, groups)
        back = transposed(there, len(block.vectors))
    else:
        limits = [_limits(queries)[taken], _limits(stored) if valid is None else _limits(stored)[valid]]
        there, back = block.cross_join(given, question.k, limits[0], limits[1], groups, _step(len(block.vectors)))
    guard.refuse_shrunk()
    return Result(
        back.renumbered(valid, taken),
        there.renumbered(taken, valid),
        engine=block.engine,
        seconds=time.perf_counter() - begun,
        coding=coding,
    )


def search_tile(question: Question, stored: Rows, queries: Rows, part: slice) -> Result:
    """The nearest rows of a block of some queries, or those within the radius."""
    begun = time.perf_counter()
    given, taken = _valid(question, queries, part)
    if not len(given) or len(stored.invalid) == stored_rows(stored):
        return Result(seconds=time.perf_counter() - begun)
    block, valid = coded(question, stored)
    coding = time.perf_counter() - begun
    groups = None if queries.groups is None else queries.groups[taken]
    within = question.k == 0
    there = block.within(question.radius, given, groups) if within else block.search(given, question.k, groups)
    guard.refuse_shrunk()
    found = there.renumbered(taken, valid)
    return Result(queries=found, engine=block.engine, seconds=time.perf_counter() - begun, coding=coding)


def check_tile(question: Question, rows: Rows) -> Result:
    """The invalid rows of a block and its checksum; nothing is compared."""
    vectors = as_rows(rows.block.read(), question.metric)
    digest = digest_of(rows.block) if question.digest else ""
    wrong = invalid_rows(vectors, question.metric)
    guard.refuse_shrunk()
    return Result(invalid=wrong, digest=digest, shape=(*vectors.shape, vectors.dtype.name))


def coded(question: Question, rows: Rows, vectors: np.ndarray | None = None) -> tuple[BlockJoin, np.ndarray | None]:
    """A block's valid rows, coded, and their numbers in the block; None where all are valid."""
    key = question.run, rows.number
    if key in _coded:
        _coded.move_to_end(key)
        return _coded[key]
    while len(_coded) >= KEPT:
        _coded.popitem(last=False)
    if vectors is None:
        vectors = as_rows(rows.block.read(), question.metric)
    valid = np.delete(np.arange(len(vectors)), rows.invalid) if len(rows.invalid) else None
    used = vectors if valid is None else vectors[valid]
    groups = rows.groups if rows.groups is None or valid is None else rows.groups[valid]
    groups = None if groups is None else np.ascontiguousarray(groups)
    _coded[key] = BlockJoin(used, question.metric, groups, question.threads), valid
    return _coded[key]


def forget() -> None:
    """Drop the coded blocks of this process."""
    _coded.clear()


def digest_of(block: Block) -> str:
    """The SHA-256 of a block's rows and their type."""
    rows = block.read()
    return hashlib.sha256(f"{rows.dtype.str} {rows.shape} {sha256_of(rows)}".encode()).hexdigest()


def transposed(found: Found, n: int) -> Found:
    """The same pairs from the side of the neighbours, which have numbers below n."""
    rows = np.repeat(found.rows, found.counts)
    order = np.argsort(found.others, kind="stable")
    counts = np.bincount(found.others, minlength=n)
    named = np.flatnonzero(counts)
    return Found(named, counts[named], rows[order].astype(np.uint32), found.distances[order])


def stored_rows(rows: Rows) -> int:
    """The number of rows of a block."""
    return sum(part.shape[0] for part in rows.block.parts)


def _valid(question: Question, queries: Rows, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """The valid rows of a part of a block, and their numbers in the block."""
    start, stop, _ = part.indices(stored_rows(queries))
    taken = np.arange(start, stop)
    vectors = queries.block.read()[start:stop]
    if len(queries.invalid):
        kept = ~np.isin(taken, queries.invalid)
        taken, vectors = taken[kept], vectors[kept]
    return as_rows(vectors, question.metric, at_least=0), taken


def _limits(rows: Rows) -> np.ndarray:
    if rows.limits is None:
        raise DataError(f"block {rows.number}: has no limits; join it with itself first")
    return rows.limits


def _step(stored: int) -> int:
    """How many queries are coded at a time: a sixteenth of the stored rows, and enough to be worth it."""
    return max(QUERY_STEP, stored // 16)

"""Exact passes on a Ray cluster: `neighbors`, `search` and `within`, to the bit those of one machine."""

import itertools
import time
import uuid
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.distributed import cluster
from vicinal.distributed.checkpoint import Tiles, held
from vicinal.distributed.lists import Lists
from vicinal.distributed.plan import Plan, Tile, plan
from vicinal.distributed.remote import Sender, Store
from vicinal.distributed.rows import Block, Piece, cut
from vicinal.distributed.source import Rows as Source
from vicinal.distributed.tiles import Question, Result, Rows
from vicinal.errors import DataError, UsageError, kept_in, unknown
from vicinal.knn.arguments import as_groups, at_most
from vicinal.knn.block_join import Found
from vicinal.knn.checkpoint import sha256_of
from vicinal.knn.kernels.native import Native
from vicinal.knn.vectors import as_rows, refuse_invalid
from vicinal.typing import PathLike, Progress

ON_INVALID = ("error", "null")


@dataclass(frozen=True)
class Options:
    """How a pass runs; see `vicinal.distributed.neighbors`."""

    address: str | None = None
    num_cpus: int | None = None
    block_rows: int | None = None
    on_invalid: str = "error"
    progress: Progress | None = None
    checkpoint: PathLike | None = None
    left_out: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.on_invalid not in ON_INVALID:
            raise UsageError(f"on_invalid: {unknown('choice', self.on_invalid, ON_INVALID)}")
        for name in ("num_cpus", "block_rows"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name}: expected a whole number above 0, got {value!r}")


class FoundInvalid(Exception):
    """A block has rows without distances, and the pass refuses them."""


class OtherTasks(Exception):
    """A node cuts a self-join into other tasks than another one, so that their shares do not fit together."""


@dataclass
class SelfJoin:
    """A self-join of the rows of a source, while it runs.

    Attributes
    ----------
    found : dict of int to list
        Of a radius: the results of each block.
    """

    source: Source
    question: Question
    groups: np.ndarray | None
    options: Options
    ran: tuple[cluster.Ran, ...] = ()
    engine: str = ""
    plan: Plan | None = None
    invalid: dict[int, str] = field(default_factory=dict)
    found: dict[int, list[tuple[Found, int]]] = field(default_factory=dict)
    _known: dict[int, np.ndarray] = field(default_factory=dict)
    _done: int = 0

    def run(self) -> None:
        """Join all blocks.

        Raises
        ------
        DataError
            Rows are invalid and are refused.
        UsageError
            No cluster answers, or the checkpoint belongs to another question.
        """
        with cluster.connected(self.options.address) as ray:
            nodes, _ = cluster.nodes_of(ray, self.options.num_cpus)
            slots = sum(node.slots for node in nodes)
            size = len(self.source), self.source.dim, slots, self.options.block_rows
            folder = None if self.options.checkpoint is None else Path(self.options.checkpoint)
            with nullcontext() if folder is None else held(folder), kept_in(folder):
                self._prepare(plan(*size, shared=self._shares()))
                try:
                    self._join_again(ray, plan(*size))
                except FoundInvalid:
                    self._check_all(ray)

    def _join_again(self, ray: Any, apart: Plan) -> None:
        """Join, and where nodes differ in their tasks, join again in blocks that each node has to itself."""
        try:
            self._join(ray)
        except OtherTasks:
            if self._tiles is not None:
                self._tiles.clear()
            self.question = replace(self.question, run=uuid.uuid4().hex)  # what nodes have coded are other blocks
            self._prepare(apart)
            self._join(ray)

    def _shares(self) -> bool:
        """Whether the kernel of this machine, and so that of nodes like it, makes shares of a self-join."""
        part, metric = self.source.parts[0], self.question.metric
        few = part.rows(0, 1).read() if isinstance(part, Piece) else part[:1]
        return self.question.k > 0 and Native.shares(metric, as_rows(few, metric).dtype)

    def _prepare(self, made: Plan) -> None:
        self._tiles: Tiles | None = None
        self._known, self._done, self._layout, self.invalid, self.found = {}, 0, 0, {}, {}
        self._first: set[Tile] = set()
        self._beside: list[Any] = []  # tasks whose end is not waited for
        if self.options.checkpoint is not None:
            self._tiles = Tiles(self.options.checkpoint, self._asked(), made)
            made = self._tiles.plan
        self.plan, self._starts = made, np.array(made.starts)
        self._blocks: list[Block] = cut(self.source.parts, made.starts)
        self.lists = Lists(self._starts, max(1, self.question.k), len(self.source))
        left_out = np.array(sorted(self.options.left_out), dtype=np.int64)
        cuts = np.searchsorted(left_out, self._starts)
        parts = enumerate(itertools.pairwise(cuts))
        self._left_out = {block: left_out[low:high] - self._starts[block] for block, (low, high) in parts if low < high}
        self._pairs = sum(made.pairs(tile) for tile in made.tiles())
        self._first = {tile for tile in made.tiles() if made.first_share(tile)}

    @property
    def starts(self) -> np.ndarray:
        """The first row of each block, and the number of rows."""
        return self._starts

    def _asked(self) -> dict[str, Any]:
        groups = None if self.groups is None else sha256_of(self.groups)
        asked: dict[str, Any] = {
            "n": len(self.source),
            "dim": self.source.dim,
            "metric": self.question.metric.name,
            "groups": groups,
        }
        if self.options.left_out:
            asked["left_out"] = sha256_of(np.array(sorted(self.options.left_out)))
        return {**asked, "k": self.question.k, "radius": self.question.radius}

    def _join(self, ray: Any) -> None:
        """Run the tiles that are not finished yet."""
        assert self.plan is not None
        question = replace(self.question, digest=self._tiles is not None)
        left = list(self.plan.tiles())
        store = Store(ray, self._blocks)
        work = cluster.Pass(ray, self.options.num_cpus, self._send, self._finish, self._ready, self.plan.pairs)
        self._sender = Sender(ray, replace(question, threads=work.cores))
        self._store = store
        if self._tiles is not None:
            left = self._resumed(ray, work, left, self._tiles)
        try:
            work.run(left)
        finally:
            cluster.cancel(ray, self._beside)
        self.ran = tuple(work.ran)
        self.engine = f"{self.engine} on Ray"
        if self._tiles is not None:
            self._tiles.remove()

    def _resumed(self, ray: Any, work: cluster.Pass, tiles: list[Tile], folder: Tiles) -> list[Tile]:
        """Take up the tiles that are finished; their blocks must be what they were."""
        kept = {tile: folder.load(tile) for tile in tiles}
        own = {tile.stored: result for tile, result in kept.items() if tile.own and result is not None}
        if own:
            digests: dict[int, str] = {}

            def taken(tile: Tile, result: Result) -> None:
                digests[tile.stored] = result.digest

            def send(tile: Tile, options: dict[str, Any]) -> Any:
                return self._sender.send("check_tile", options, [self._rows(tile.stored, False)], [self._store])

            cluster.Pass(ray, self.options.num_cpus, send, taken, lambda tile: True).run(
                Tile(block, block) for block in own
            )
            if any(result.digest != digests[block] for block, result in own.items()):
                raise folder.of_another("the vectors' values")
        left = []
        for tile, result in kept.items():
            if result is None or tile.queries not in own or tile.stored not in own:
                left.append(tile)
            else:
                self._take(tile, result)
        return left

    def _send(self, tile: Tile, options: dict[str, Any]) -> Any:
        assert self.plan is not None
        refuse = self.options.on_invalid == "error"
        if tile.shared:
            rows = self._rows(tile.stored, not self.plan.first_share(tile))
            rows = replace(rows, limits=_rounded_up(rows.limits))
            given = [rows, refuse, self.plan.share(tile), self._layout]
            sent = self._sender.send("share_tile", options, given, [self._store])
            if tile in self._first:
                self._beside.append(self._sender.send("prepare_tile", options, [Rows(tile.stored, Block(()))], []))
            return sent
        if tile.own:
            return self._sender.send("own_tile", options, [self._rows(tile.stored, False), refuse], [self._store])
        limited = self.question.k > 0
        given = [self._rows(tile.stored, limited), self._rows(tile.queries, limited), self.plan.queries(tile)]
        return self._sender.send("cross_tile", options, given, [self._store, self._store])

    def _rows(self, block: int, limited: bool) -> Rows:
        groups = None if self.groups is None else self.groups[self._starts[block] : self._starts[block + 1]]
        invalid = self._known.get(block, self._left_out.get(block, np.zeros(0, np.int64)))
        return Rows(block, Block(()), invalid, groups, self.lists.limits(block) if limited else None)

    def _ready(self, tile: Tile) -> bool:
        if tile.shared:
            return tile in self._first or not self._first
        return tile.own or (tile.stored in self._known and tile.queries in self._known)

    def _finish(self, tile: Tile, result: Result) -> None:
        self._refuse_invalid(tile, result)
        self._same_tasks(tile, result)
        if self._tiles is not None:
            self._tiles.save(tile, result)
        self._take(tile, result)

    def _refuse_invalid(self, tile: Tile, result: Result) -> None:
        """Raise FoundInvalid where the pass refuses rows of a block."""
        if tile.own and self.options.on_invalid == "error":
            first = int(self._starts[tile.stored])
            if any(first + row not in self.options.left_out for row in result.invalid):
                raise FoundInvalid

    def _same_tasks(self, tile: Tile, result: Result) -> None:
        """Raise OtherTasks where a share is of other tasks than those before."""
        if not tile.shared or len(result.invalid) == len(self.source):
            return
        self._layout = self._layout or result.layout
        if not result.layout or result.layout != self._layout:
            raise OtherTasks

    def _take(self, tile: Tile, result: Result) -> None:
        """Take up the result of a tile."""
        assert self.plan is not None
        self._refuse_invalid(tile, result)  # a pass that did not refuse them may have left the checkpoint
        self._same_tasks(tile, result)
        self._first.discard(tile)
        first = int(self._starts[tile.stored])
        if tile.own:
            self._known[tile.stored] = np.array(list(result.invalid), dtype=np.int64)
            found_here = {first + row: why for row, why in result.invalid.items()}
            self.invalid |= {row: self.options.left_out.get(row, why) for row, why in found_here.items()}
        self.engine = result.engine or self.engine
        for block, other, found in (
            (tile.stored, tile.queries, result.stored),
            (tile.queries, tile.stored, result.queries),
        ):
            if found is None:
                continue
            if self.question.k:
                self.lists.merge(block, found, int(self._starts[other]))
            else:
                self.found.setdefault(block, []).append((found, int(self._starts[other])))
        self._done += self.plan.pairs(tile)
        if self.options.progress is not None:
            n = len(self.source)
            self.options.progress(self._done * n // max(1, self._pairs), n)

    def _check_all(self, ray: Any) -> None:
        """Raise the error that names the invalid rows of all blocks."""
        assert self.plan is not None
        wrong: dict[int, str] = {}

        def send(tile: Tile, options: dict[str, Any]) -> Any:
            return self._sender.send("check_tile", options, [self._rows(tile.stored, False)], [self._store])

        def taken(tile: Tile, result: Result) -> None:
            first = int(self._starts[tile.stored])
            found = {first + row: why for row, why in result.invalid.items()}
            wrong.update({row: why for row, why in found.items() if row not in self.options.left_out})

        blocks = (Tile(block, block) for block in range(self.plan.blocks))
        cluster.Pass(ray, self.options.num_cpus, send, taken, lambda tile: True).run(blocks)
        refuse_invalid(dict(sorted(wrong.items())), range(len(self.source)), self.source.name)
        raise DataError(f"{self.source.name}: a node found invalid rows that another one did not; see `ray logs`")


def _rounded_up(limits: np.ndarray | None) -> np.ndarray | None:
    """Limits in half the bytes, none of them lower."""
    if limits is None:
        return None
    with np.errstate(over="ignore"):
        short = limits.astype(np.float32)
    return np.where(short < limits, np.nextafter(short, np.float32(np.inf)), short)


def self_join(
    source: Source, question: Question, groups: object, options: Options, k: int
) -> tuple[SelfJoin, int, float]:
    """Run a self-join; also the number of neighbours that a row can have, and the seconds.

    Of a radius one row is enough, and has none.
    """
    begun = time.perf_counter()
    if question.k and len(source) < 2:
        raise DataError(f"found {len(source)} usable row, expected at least 2: a single row has no neighbours")
    work = SelfJoin(source, replace(question, run=uuid.uuid4().hex), as_groups(groups, len(source)), options)
    work.run()
    if not question.k:
        return work, 0, time.perf_counter() - begun
    valid = len(source) - len(work.invalid)
    if valid == 0:
        raise DataError(f"none of the {len(source)} rows can be used: {next(iter(work.invalid.values()))}")
    if valid < 2:
        raise DataError(f"found {valid} usable row, expected at least 2: a single row has no neighbours")
    return work, at_most(k, valid - 1), time.perf_counter() - begun

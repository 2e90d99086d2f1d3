"""One call on one or several devices: pairs of tiles in a fixed order, each compared once by whichever device is free.

Every device has its own lists of every tile. They are merged at the end, and before that whenever a checkpoint is
saved, or a copy is kept in case the device fails. The state of a call is therefore two arrays and the pairs of tiles
that are in them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import need
from vicinal.knn.kernels.torch import fused, measure, products
from vicinal.knn.kernels.torch.codes import Coder
from vicinal.knn.kernels.torch.lists import Lists, merged, nothing
from vicinal.knn.kernels.torch.pairs import Comparison, Side
from vicinal.knn.kernels.torch.tiles import Loader, Resident, Sizes, Source, Tile

if TYPE_CHECKING:
    from torch import Tensor

KEEP_SECONDS = 20.0  # between two copies of the lists on the host

Pair = tuple[int, int]
State = tuple[np.ndarray, np.ndarray]  # distances and entries, (n, k)


class Failed(Exception):
    """A device failed in the middle of a call.

    pairs   : the pairs of tiles that are done
    state   : their lists, merged; None where there are none
    order   : all pairs of the call
    rows_of : the rows of a tile of the left side
    """

    def __init__(
        self,
        why: BaseException,
        pairs: set[Pair],
        state: State | None,
        order: list[Pair] | None = None,
        rows_of: Callable[[int], slice] | None = None,
    ) -> None:
        super().__init__(str(why).partition("\n")[0] or type(why).__name__)
        self.pairs, self._state, self._order, self._rows_of = pairs, state, order or [], rows_of

    def state_of(self, n: int, k: int) -> State:
        """The lists of n rows."""
        return nothing(n, k) if self._state is None else self._state

    def finished_rows(self, n: int) -> np.ndarray:
        """Which rows of the left side have been compared with everything, bool (n,)."""
        done = np.zeros(n, dtype=bool)
        if self._rows_of is not None and self._order:
            for tile in {pair[0] for pair in self._order} - {pair[0] for pair in self._order if pair not in self.pairs}:
                done[self._rows_of(tile)] = True
        return done

    def first_left(self) -> tuple[slice, slice]:
        """The rows of the first pair of tiles that is not done; the first rows of all where nothing was begun."""
        if self._rows_of is None:
            return slice(0, 0), slice(0, 0)
        first, second = next(pair for pair in self._order if pair not in self.pairs)
        return self._rows_of(first), self._rows_of(second)


FAULTS = (RuntimeError, MemoryError)  # what torch raises where memory or a device fails


@dataclass
class Stored:
    """The rows that are searched, and where."""

    source: Source
    sizes: Sizes
    resident: list[Resident]  # one a device

    @property
    def tiles(self) -> int:
        """How many tiles they make."""
        return -(-len(self.source) // self.sizes.tile)

    def rows_of(self, tile: int) -> slice:
        """The rows of a tile."""
        return slice(tile * self.sizes.tile, min(len(self.source), (tile + 1) * self.sizes.tile))

    def close(self) -> None:
        """Take them off the devices."""
        for one in self.resident:
            one.close()


class Device:
    """A device with its thread, in which all of its work is done."""

    def __init__(self, name: Any, exact: Any, coder: Coder) -> None:
        self.name, self.exact = name, exact
        self.thread = ThreadPoolExecutor(1, f"vicinal-{name.type}")
        if wrong := self._do(measure.probe, exact):
            raise RuntimeError(wrong)
        self.loader: Loader = self._do(Loader, name, exact, coder)
        self.passing: fused.Passing | None = self._do(fused.choose, coder.kind, len(coder.centre), name)
        self.multiply: products.Multiply = self._do(products.choose, coder.kind, len(coder.centre), name)

    def _do(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return self.start(call, *arguments).result()

    def start(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin a call in the device's thread."""
        return self.thread.submit(self._within, call, *arguments)

    def _within(self, call: Callable[..., Any], *arguments: Any) -> Any:
        torch = need("torch")
        with torch.cuda.device(self.name) if self.name.type == "cuda" else nullcontext():
            result = call(*arguments)
            if self.name.type == "cuda":
                torch.cuda.synchronize(self.name)  # a fault shows here, in the pair that it belongs to
            return result


@dataclass
class Memory:
    """What stays of the side of a tile from one pair to the next, wherever its rows are meanwhile."""

    part: slice
    lists: Lists | None
    groups: Tensor | None
    seeded: set[int] = field(default_factory=set)


@dataclass
class Work:
    """What one device does in one call.

    left, right : where the tiles of both sides lie; the same object for the rows among themselves
    k           : of the lists; 0 for none
    start       : what the lists hold at the beginning
    groups      : of the rows of both sides
    park        : whether lists wait on the host while their tile is not compared
    """

    device: Device
    left: Resident
    right: Resident
    comparison: Comparison
    k: int
    start: State | None
    groups: tuple[np.ndarray | None, np.ndarray | None]
    park: bool
    kept: dict[tuple[bool, int], Memory] = field(default_factory=dict)

    def run(self, pair: Pair, following: Pair | None) -> None:
        """Compare one pair of tiles."""
        same = self.left is self.right
        left = self._side(True, pair[0])
        right = left if same and pair[0] == pair[1] else self._side(same, pair[1])
        if following is not None:
            self.right.ahead(following[1])
        self.comparison.run(left, right)
        if self.park:
            for key, memory in self.kept.items():
                if memory.lists is not None and key != (True, pair[0]):
                    memory.lists = memory.lists.to("cpu")

    def _side(self, is_left: bool, number: int) -> Side:
        """A tile, and what stays of it."""
        tile = (self.left if is_left else self.right).get(number)
        memory = self.kept.get((is_left, number))
        if memory is None:
            memory = self.kept[is_left, number] = self._memory(is_left, tile)
        if memory.lists is not None:
            memory.lists = memory.lists.to(self.device.exact)
        return Side(tile, memory.lists, memory.groups, memory.seeded)

    def _memory(self, is_left: bool, tile: Tile) -> Memory:
        part = slice(tile.first, tile.first + len(tile))
        groups, lists = self.groups[0 if is_left else 1], None
        if self.k and is_left:
            lists = Lists.empty(len(tile), self.k, self.device.exact)
            if self.start is not None:
                lists = Lists.of(self.start[0][part], self.start[1][part], self.device.exact)
        moved = None if groups is None else need("torch").tensor(groups[part], device=self.device.exact)
        return Memory(part, lists, moved)

    def lists(self) -> list[tuple[slice, np.ndarray, np.ndarray]]:
        """What the lists hold, on the host; called in the device's thread."""
        return [(one.part, *one.lists.numpy()) for one in self.kept.values() if one.lists is not None]


class Call:
    """Runs pairs of tiles on devices, and keeps what is done.

    order   : the pairs, in their order
    sides   : the tiles of both sides
    n, k    : of the lists; k is 0 for none
    save    : called with the pairs that are done and their lists every `every` seconds
    start, done : what is done already
    """

    def __init__(
        self,
        works: list[Work],
        order: Iterable[Pair],
        sides: tuple[Stored, Stored],
        n: int,
        k: int,
        progress: Callable[[float], None],
        save: Callable[[set[Pair], State], None] | None = None,
        every: float = KEEP_SECONDS,
        start: State | None = None,
        done: set[Pair] | None = None,
    ) -> None:
        self._works, self._order, self._sides, self._n, self._k = works, list(order), sides, n, k
        self._progress, self._save, self._every = progress, save, every
        self._start, self._done = start, set(done or ())
        self._all, self._before = (sum(map(self._size, each)) for each in (self._order, self._done))
        self._kept: tuple[set[Pair], State | None] = set(self._done), start

    def run(self) -> State:
        """The lists of all rows, once every pair is done.

        Raises
        ------
        Failed
            Where a device failed.
        """
        left = [pair for pair in self._order if pair not in self._done]
        running: dict[Future[Any], tuple[Work, Pair]] = {}
        free, began, position, kept = list(self._works), time.monotonic(), 0, len(self._done)
        try:
            while position < len(left) or running:
                due = bool(self._k) and len(self._done) > kept and time.monotonic() - began >= self._every
                while free and position < len(left) and not due:
                    work, pair = free.pop(), left[position]
                    position += 1
                    following = left[position] if position < len(left) else None
                    running[work.device.start(work.run, pair, following)] = work, pair
                if running:
                    self._wait(running, free)
                if due and not running:
                    self._keep()
                    began, kept = time.monotonic(), len(self._done)
            self._report(1.0)
            return self._merged()
        except FAULTS as fault:
            self._drain(running)
            raise self._failed(fault) from None
        except BaseException:
            self._drain(running)
            if self._save is not None and len(self._done) > kept:
                with suppress(Exception):  # what stopped the pass is what the caller has to know
                    self._keep()
            raise

    def _wait(self, running: dict[Future[Any], tuple[Work, Pair]], free: list[Work]) -> None:
        """Until at least one pair is done."""
        finished: set[Future[Any]] = set()
        while not finished:  # in steps, so that Ctrl-C is seen
            finished, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            compared = sum(work.comparison.counts.compared for work in self._works)
            self._report(min(0.99, (self._before + compared) / self._all))
        for future in finished:
            work, pair = running.pop(future)
            future.result()
            self._done.add(pair)
            free.append(work)

    def _size(self, pair: Pair) -> float:
        """About how many pairs of rows a pair of tiles has to compare."""
        own, other = (side.rows_of(tile) for side, tile in zip(self._sides, pair, strict=True))
        whole = float((own.stop - own.start) * (other.stop - other.start))
        return whole / 2 if self._sides[0] is self._sides[1] and pair[0] == pair[1] else whole

    def _report(self, share: float) -> None:
        """Report progress. What that raises is the caller's, never a fault of a device."""
        try:
            self._progress(share)
        except FAULTS as stop:
            raise Stopped(stop) from None

    def _drain(self, running: dict[Future[Any], tuple[Work, Pair]]) -> None:
        """Wait for the devices, which leave their pairs at the next block."""
        for work in self._works:
            work.comparison.stopped = True
        for future in list(running):
            future.exception()

    def _merged(self) -> State:
        """The lists of all devices."""
        whole = nothing(self._n, self._k) if self._start is None else (self._start[0].copy(), self._start[1].copy())
        for work in self._works:
            alone = work is self._works[0]  # whose lists began with `start`
            for part, distance, entry in work.device.start(work.lists).result():
                own = distance, entry
                if not alone:
                    own = merged((whole[0][part], whole[1][part]), own, work.device.exact)
                whole[0][part], whole[1][part] = own
        return whole

    def _keep(self) -> None:
        """Copy what is done to the host, and to the checkpoint."""
        state = self._merged()
        self._kept = set(self._done), state
        if self._save is not None:
            try:
                self._save(set(self._done), state)
            except FAULTS as stop:
                raise Stopped(stop) from None

    def _failed(self, fault: BaseException) -> Failed:
        """What is done by now, or where the device does not give it back, what was last kept."""
        pairs, state = self._kept
        if self._k:
            with suppress(*FAULTS):
                pairs, state = set(self._done), self._merged()
        return Failed(fault, pairs, state, self._order, self._sides[0].rows_of)


class Stopped(Exception):
    """Carries what a callback raised past the handling of faults of a device."""

    def __init__(self, why: BaseException) -> None:
        super().__init__(str(why))
        self.why = why


def triangle(tiles: int) -> Iterator[Pair]:
    """Each pair of tiles once."""
    return ((i, j) for i in range(tiles) for j in range(i, tiles))


def rectangle(rows: int, columns: int) -> Iterator[Pair]:
    """Each tile of queries with each stored one."""
    return ((i, j) for i in range(rows) for j in range(columns))

"""The kernel's class: self-joins, searches and radii on torch's devices."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np

from vicinal import devices
from vicinal.errors import kept_in, need
from vicinal.knn.checkpoint import Checkpoint
from vicinal.knn.copies import Copies
from vicinal.knn.kernels.torch import kept, rest, results
from vicinal.knn.kernels.torch.driver import (
    FAULTS,
    KEEP_SECONDS,
    Call,
    Failed,
    State,
    Stopped,
    Stored,
    Work,
    rectangle,
    triangle,
)
from vicinal.knn.kernels.torch.pairs import Nearest, Within
from vicinal.knn.kernels.torch.products import full_sums
from vicinal.knn.kernels.torch.setting import Groups, Setting
from vicinal.knn.kernels.torch.tiles import Sizes
from vicinal.knn.metrics import Metric
from vicinal.locks import Mutex
from vicinal.typing import Progress

METRICS = ("euclidean", "sqeuclidean", "cosine", "inner_product")
EXTRA = "torch"

Found = tuple[np.ndarray, np.ndarray]


class Torch:
    """Exact neighbours on torch's devices.

    device : "cuda", "cuda:1", "mps", "cpu", or several with commas between; None for the processor
    codes  : "int8", "bf16", or "auto" for the better one for the rows
    sizes  : how the work is cut; None for what fits the devices
    least  : products of coordinates of queries and rows, below which queries are answered on the processor
    """

    name = "torch"
    resumable = True

    def __init__(
        self,
        vectors: np.ndarray,
        metric: Metric,
        threads: int,
        device: str | None = None,
        codes: str = "auto",
        sizes: Sizes | None = None,
        least: float = 0,
    ) -> None:
        torch = need("torch", EXTRA)
        self._vectors, self._metric, self._threads = vectors, metric, threads
        names = devices.several(device or "cpu", EXTRA)
        self.version = f"{torch.__version__} on {', '.join(str(name) for name in names)}"
        self._setting = Setting(vectors, metric, names, codes, sizes)
        self._least = least
        self._few: rest.AnyKernel | None = None
        self._turn = Mutex()
        self._stats: dict[str, int] = {}

    @staticmethod
    def covers(metric: Metric, dtype: np.dtype) -> str:
        """Empty for the metrics that are products of matrices, where torch is installed."""
        if importlib.util.find_spec("torch") is None:
            return f"torch is not installed: pip install 'vicinal[{EXTRA}]'"
        if metric.kernel == "absolute":
            return "products give no bound of a sum of absolute differences"
        if metric.kernel == "bits":
            return "it would take eight bytes for each byte whose bits the native kernel counts"
        return "" if metric.whiten is not None or metric.name in METRICS else f"it has no {metric.name}"

    def stats(self) -> dict[str, int]:
        """What the last call did: pairs compared by their codes, and pairs measured."""
        return dict(self._stats)

    def self_join(
        self,
        k: int,
        groups: Groups = None,
        progress: Progress | None = None,
        checkpoint: Checkpoint | None = None,
        every: float = KEEP_SECONDS,
    ) -> Found:
        """Each stored row's k nearest others, of other groups where groups are given.

        checkpoint : where finished work is saved every `every` seconds, and resumed from
        """
        with self._turn, kept_in(None if checkpoint is None else checkpoint.folder):
            copies, report = self._setting.copies(groups), _rows(progress, len(self._vectors))
            try:
                state = self._joined(copies, k, groups, report, checkpoint, every)
            except Failed as failed:
                state = self._finished(failed, copies, k, groups)
                report(1.0)
            own = None
            if copies.any and groups is None:
                own = results.own_distances(self._vectors, copies.first, self._metric)
            found = results.of_rows(state, copies, own, k)
            if checkpoint is not None:
                checkpoint.remove()
            return found

    def search(
        self,
        queries: np.ndarray,
        k: int,
        groups: Groups = None,
        query_groups: Groups = None,
        progress: Progress | None = None,
    ) -> Found:
        """Each query's k nearest stored rows, of other groups where groups are given."""
        if (few := self._for_few(len(queries))) is not None:
            return few.search(queries, k, groups, query_groups, progress)
        with self._turn:
            copies, report = self._setting.copies(groups), _rows(progress, len(queries))
            done, own = np.ones(len(queries), dtype=bool), (query_groups, _of_entries(groups, copies))
            try:
                with self._on_devices(copies, k, queries) as (asked, stored):
                    works = self._setting.works(asked, stored, lambda: Nearest(k), k, own)
                    order = rectangle(asked.tiles, stored.tiles)
                    state = self._run(Call(works, order, (asked, stored), len(queries), k, report), works)
            except Failed as failed:
                done, state = failed.finished_rows(len(queries)), failed.state_of(len(queries), k)
                rest.say(failed, self._processor(), f"{int((~done).sum())} of {len(queries)} queries")
            found = results.of_queries(state, copies, k)
            if not done.all():
                asked_groups = None if query_groups is None else query_groups[~done]
                found[0][~done], found[1][~done] = self._processor().search(queries[~done], k, groups, asked_groups)
                report(1.0)
            return found

    def within(
        self,
        radius: float,
        queries: np.ndarray | None = None,
        groups: Groups = None,
        query_groups: Groups = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All stored rows at a distance of at most `radius`: of each query, or of each stored row without itself."""
        itself, n = queries is None, len(self._vectors if queries is None else queries)
        if queries is not None and (few := self._for_few(n)) is not None:
            return few.within(radius, queries, groups, query_groups, progress)
        with self._turn:
            copies, report = self._setting.copies(groups), _rows(progress, n)
            entry_groups, targets = _of_entries(groups, copies), list[Within]()

            def target() -> Within:
                targets.append(Within(radius))
                return targets[-1]

            try:
                with self._on_devices(copies, 1, queries) as (asked, stored):
                    own = entry_groups if itself else query_groups, entry_groups
                    works = self._setting.works(asked, stored, target, 0, own)
                    order = triangle(stored.tiles) if itself else rectangle(asked.tiles, stored.tiles)
                    self._run(Call(works, order, (asked, stored), 0, 0, report), works)
            except Failed as failed:
                rest.say(failed, self._processor(), f"all {n} rows")
                return self._processor().within(radius, queries, groups, query_groups, progress)
            alone = None
            if itself and groups is None and copies.any:
                alone = results.own_distances(self._vectors, copies.first, self._metric)
            pairs = [pair for one in targets for pair in one.found]
            return results.within(n, pairs, itself, copies, alone, radius)

    def _joined(
        self,
        copies: Copies,
        k: int,
        groups: Groups,
        report: Callable[[float], None],
        checkpoint: Checkpoint | None,
        every: float,
    ) -> State:
        """The lists of the distinct rows.

        Raises
        ------
        Failed
            Where a device failed.
        """
        n, own = len(copies.first), _of_entries(groups, copies)
        before = None if checkpoint is None else kept.load(checkpoint, n, k)
        with self._on_devices(copies, k, None, before) as (_, stored):
            save = None if checkpoint is None else partial(kept.save, checkpoint, stored.sizes.tile)
            start, done = (None, None) if before is None else (before.state, before.pairs)
            works = self._setting.works(stored, stored, lambda: Nearest(k), k, (own, own), start)
            order = triangle(stored.tiles)
            return self._run(Call(works, order, (stored, stored), n, k, report, save, every, start, done), works)

    def _finished(self, failed: Failed, copies: Copies, k: int, groups: Groups) -> State:
        """The lists of the distinct rows, from what a device left and the kernel of the processor."""
        rows = self._vectors[copies.first] if copies.any else self._vectors
        begin, _ = failed.first_left()
        rest.say(failed, self._processor(), f"{len(rows) - begin.start} of {len(rows)} rows")
        left = rest.Rest(rows, self._metric, self._threads, _of_entries(groups, copies))
        return left.self_join(failed, k)

    def _run(self, call: Call, works: list[Work]) -> State:
        """The result of a call, once its counts are noted."""
        state = call.run()
        each = [work.comparison.counts for work in works]
        self._stats = {
            "pairs_compared": sum(one.compared for one in each),
            "candidates": sum(one.measured for one in each),
        }
        return state

    @contextmanager
    def _on_devices(
        self, copies: Copies, k: int, queries: np.ndarray | None, before: kept.Kept | None = None
    ) -> Iterator[tuple[Stored, Stored]]:
        """The tiles of queries, or of the stored rows, and of the stored rows; whatever fails is raised as Failed."""
        asked = stored = None
        try:
            with full_sums():
                stored = self._setting.stored(copies, k, None if before is None else before.tile)
                asked = stored if queries is None else self._setting.queries(queries, stored.sizes)
                yield asked, stored
        except Failed:
            self._setting.forget()
            raise
        except Stopped as stopped:
            raise stopped.why from None
        except FAULTS as fault:  # before the first pair of tiles
            self._setting.forget()
            raise Failed(fault, before.pairs if before else set(), before.state if before else None) from None
        finally:
            for one in (asked, stored):
                if one is not None:
                    self._setting.release(one)

    def _for_few(self, queries: int) -> rest.AnyKernel | None:
        """The processor's kernel, where so few queries do not pay for the way of all rows to a device."""
        if queries * float(self._vectors.size) >= self._least:
            return None
        with self._turn:
            if self._few is None:
                self._few = self._processor()
            return self._few

    def _processor(self) -> rest.AnyKernel:
        """The kernel that does what a device did not, over all rows."""
        return rest.kernel_over(self._vectors, self._metric, self._threads)


def _rows(progress: Progress | None, n: int) -> Callable[[float], None]:
    """Progress in rows, of a share of the work."""

    def report(share: float) -> None:
        if progress is not None:
            progress(int(share * n), n)

    return report


def _of_entries(groups: Groups, copies: Copies) -> Groups:
    """The groups of the distinct rows."""
    return None if groups is None else groups[copies.first]

"""A search on a cluster: blocks of stored rows, and the queries that stream past each of them."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vicinal.distributed import cluster
from vicinal.distributed.lists import Lists
from vicinal.distributed.passes import Options
from vicinal.distributed.plan import Plan, Tile, plan, query_blocks
from vicinal.distributed.remote import Sender, Store
from vicinal.distributed.rows import Block, cut
from vicinal.distributed.source import Rows as Source
from vicinal.distributed.tiles import Question, Result, Rows
from vicinal.knn.block_join import Found
from vicinal.knn.vectors import refuse_invalid


@dataclass
class Side:
    """The stored rows or the queries: where their blocks begin, and what is known of them."""

    source: Source
    groups: np.ndarray | None
    starts: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    blocks: list[Block] = field(default_factory=list)
    invalid: dict[int, dict[int, str]] = field(default_factory=dict)

    def cut(self, starts: list[int]) -> None:
        """Cut the rows into blocks."""
        self.starts, self.blocks = np.array(starts), cut(self.source.parts, starts)

    def rows(self, block: int) -> Rows:
        """A block as a task gets it, without its values."""
        groups = None if self.groups is None else self.groups[self.starts[block] : self.starts[block + 1]]
        return Rows(block, Block(()), np.array(list(self.invalid.get(block, {})), dtype=np.int64), groups)

    def wrong(self) -> dict[int, str]:
        """The invalid rows of all blocks, by number."""
        return {
            int(self.starts[block]) + row: why
            for block, rows in sorted(self.invalid.items())
            for row, why in sorted(rows.items())
        }


class Search:
    """A search of queries among the rows of a source.

    question : its k, or its radius where k is 0
    """

    def __init__(self, stored: Side, queries: Side, question: Question, options: Options) -> None:
        self.stored, self.queries, self._options = stored, queries, options
        self._question = replace(question, run=uuid.uuid4().hex)
        self.found: dict[int, list[tuple[Found, int]]] = {}
        self.ran: tuple[cluster.Ran, ...] = ()
        self.engine = ""
        self.plan: Plan | None = None

    def run(self) -> None:
        """Search all blocks.

        Raises
        ------
        DataError
            Queries are invalid, or rows are and are refused.
        """
        with cluster.connected(self._options.address) as ray:
            nodes, cores = cluster.nodes_of(ray, self._options.num_cpus)
            slots = sum(node.slots for node in nodes)
            self.plan = plan(len(self.stored.source), self.stored.source.dim, slots, self._options.block_rows)
            self.stored.cut(self.plan.starts)
            self.queries.cut(query_blocks(len(self.queries.source), self.plan.blocks, slots))
            self.lists = Lists(self.queries.starts, max(1, self._question.k), len(self.stored.source))
            self._sender = Sender(ray, replace(self._question, threads=cores))
            self._stores = [Store(ray, side.blocks) for side in (self.stored, self.queries)]
            self._check(ray)
            self._search(ray)

    def _check(self, ray: Any) -> None:
        """Find the invalid rows of both sides."""
        for side, store in zip((self.stored, self.queries), self._stores, strict=True):
            self._check_side(ray, side, store)
        wrong = self.queries.wrong()
        refuse_invalid(wrong, range(len(self.queries.source)), self.queries.source.name, remedy="")
        if self._options.on_invalid == "error":
            wrong = {row: why for row, why in self.stored.wrong().items() if row not in self._options.left_out}
            refuse_invalid(wrong, range(len(self.stored.source)), self.stored.source.name)

    def _check_side(self, ray: Any, side: Side, store: Store) -> None:
        def send(tile: Tile, options: dict[str, Any]) -> Any:
            return self._sender.send("check_tile", options, [side.rows(tile.stored)], [store])

        left_out = self._options.left_out if side is self.stored else {}

        def finish(tile: Tile, result: Result) -> None:
            first, last = (int(row) for row in side.starts[tile.stored : tile.stored + 2])
            given = {row - first: why for row, why in left_out.items() if first <= row < last}
            side.invalid[tile.stored] = {**result.invalid, **given}

        self._pass(ray, [Tile(block, block) for block in range(len(side.blocks))], send, finish)

    def _search(self, ray: Any) -> None:
        tiles = [
            Tile(stored, queries)
            for queries in range(len(self.queries.blocks))
            for stored in range(len(self.stored.blocks))
        ]
        done = 0

        def send(tile: Tile, options: dict[str, Any]) -> Any:
            given = [self.stored.rows(tile.stored), self.queries.rows(tile.queries), slice(None)]
            return self._sender.send("search_tile", options, given, self._stores)

        def finish(tile: Tile, result: Result) -> None:
            nonlocal done
            done += 1
            self.engine = result.engine or self.engine
            if result.queries is not None:
                first = int(self.stored.starts[tile.stored])
                if self._question.k:
                    self.lists.merge(tile.queries, result.queries, first)
                else:
                    self.found.setdefault(tile.queries, []).append((result.queries, first))
            if self._options.progress is not None:
                n = len(self.queries.source)
                self._options.progress(done * n // len(tiles), n)

        self.ran = tuple(self._pass(ray, tiles, send, finish))
        self.engine = f"{self.engine} on Ray"

    def _pass(
        self,
        ray: Any,
        tiles: list[Tile],
        send: Callable[[Tile, dict[str, Any]], Any],
        finish: Callable[[Tile, Result], Any],
    ) -> list[cluster.Ran]:
        work = cluster.Pass(ray, self._options.num_cpus, send, finish, lambda tile: True)
        work.run(tiles)
        return work.ran


def by_row(found: dict[int, list[tuple[Found, int]]], starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All that was found within a radius, as indptr, indices and distances, each row's by (distance, row number)."""
    n = int(starts[-1])
    indptr = np.zeros(n + 1, np.int64)
    indices, distances = [np.zeros(0, np.int64)], [np.zeros(0)]
    for block in sorted(found):
        start = int(starts[block])
        rows = np.concatenate([np.repeat(one.rows, one.counts) for one, _ in found[block]])
        others = np.concatenate([one.others.astype(np.int64) + first for one, first in found[block]])
        far = np.concatenate([one.distances for one, _ in found[block]])
        order = np.lexsort((others, far, rows))
        indptr[start + 1 : int(starts[block + 1]) + 1] = np.bincount(rows, minlength=int(starts[block + 1]) - start)
        indices.append(others[order])
        distances.append(far[order])
    return np.cumsum(indptr), np.concatenate(indices), np.concatenate(distances)

"""The plan of a self-join on a cluster: blocks of rows, and the tiles that join them.

    tile (J, J)      block J with itself: the first limits of its rows
    tile (J, I, p)   the p-th part of block I's rows as queries of block J: each pair once, for the lists of both rows
    tile (0, 0, p)   of a set that every node can code whole: a share of the tasks of one self-join (`Share` in `cpp/`)

A node codes block J once and keeps the codes for its next tile; block I streams past them. The tiles of round r join
each block with the one r places behind it, so that in a round every block is stored once and queried once: the work is
even, and the limits that a round finds are known in the next.

The plan needs no rows. `simulate` runs it for clusters and sizes that are not here.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from vicinal.knn import memory

SMALLEST_BLOCK = 4096  # rows; of smaller ones, coding and sending cost more than they save
SMALLEST_PART = 8192  # queries
QUERY_STEP = 16384  # queries that are coded at a time
TILES_A_SLOT = 4
LARGE_BLOCK = 1 << 20  # rows; smaller ones lose less with a node, while there are few blocks
SMALL_BLOCKS = 128
CODES = 1 << 32  # bytes of codes of one block at most
SHARED = 1 << 30  # bytes of codes of all rows at most, for every node to code them all
SHARED_ROWS = 200_000  # rows for each node that codes all of them; with fewer, coding costs more than blocks do
SHARED_SLOTS = 4  # so few code all rows of any set
PARTS = 1 << 20  # shares are cut at so many places
WIDTHS = (2, 4, 4, 4, 4, 3, 2, 1)  # of the further shares a slot, in any unit
BYTES_OF_LIMIT = 8
BYTES_OF_ENTRY = 12  # of a list in the kernel
BYTES_SENT = 16  # of an entry from a task to the driver: row number and distance
LARGEST_SKETCH = 192  # bytes of a row; a sketch has at most half of its coordinates
BYTES_OF_ROW = 112  # order, norms, slacks and the like that the kernel keeps for a row, and a part of a result


@dataclass(frozen=True)
class Tile:
    """One task: a part of the rows of a block as queries of a stored block; of equal blocks, the block with itself.

    shared : whether the part is a share of the block's self-join, which any node can make
    """

    stored: int
    queries: int
    part: int = 0
    shared: bool = False

    @property
    def own(self) -> bool:
        """Whether a block is joined with itself."""
        return self.stored == self.queries

    @property
    def home(self) -> int:
        """The number of the stored block that is coded for it; of a share, for which all nodes code, one of its own."""
        return -1 - self.part if self.shared else self.stored

    @property
    def name(self) -> str:
        """Its name in a checkpoint."""
        return f"{self.stored}-{self.queries}-{self.part}"


@dataclass(frozen=True)
class Plan:
    """A self-join of n rows in blocks.

    Attributes
    ----------
    n : int
    block_rows : int
        Rows of a block; the last may have fewer.
    parts : int
        Into how many tiles a pair of blocks is cut.
    ranges : int
        Of one block that every node codes: into how many ranges its rows are cut for the first shares; 0 for no shares.
    cuts : tuple of int
        Where the further shares begin and end, in parts of PARTS.
    """

    n: int
    block_rows: int
    parts: int
    ranges: int = 0
    cuts: tuple[int, ...] = ()

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return math.ceil(self.n / self.block_rows)

    @property
    def starts(self) -> list[int]:
        """The first row of each block, and n."""
        return [*range(0, self.n, self.block_rows), self.n]

    def size(self, block: int) -> int:
        """The number of rows of a block."""
        left = self.n - block * self.block_rows
        return min(self.block_rows, left)

    def queries(self, tile: Tile) -> slice:
        """The rows, within their block, that are the queries of a tile."""
        size = self.size(tile.queries)
        return slice(size * tile.part // self.parts, size * (tile.part + 1) // self.parts)

    def pairs(self, tile: Tile) -> int:
        """How many pairs of rows a tile compares; of a share, about."""
        if tile.shared:
            return self._of_share(tile.part + 1) - self._of_share(tile.part)
        if tile.own:
            return self.size(tile.stored) * (self.size(tile.stored) - 1) // 2
        part = self.queries(tile)
        queries: int = part.stop - part.start
        return self.size(tile.stored) * queries

    def _of_share(self, part: int) -> int:
        """The pairs of all shares before one: a tenth of all for the first ones, the rest by width."""
        pairs = self.n * (self.n - 1) // 2
        near = pairs // 10
        if part <= self.ranges:
            return near * part // self.ranges
        return near + (pairs - near) * self.cuts[part - self.ranges] // PARTS

    def share(self, tile: Tile) -> tuple[int, bool, int, int, int]:
        """Which share a tile is, as `BlockJoin.share` takes it."""
        if tile.part < self.ranges:
            return self.ranges, False, tile.part, tile.part + 1, self.ranges
        first, last = self.cuts[tile.part - self.ranges : tile.part - self.ranges + 2]
        return self.ranges, True, first, last, PARTS

    def first_share(self, tile: Tile) -> bool:
        """Whether a tile is a share that gives rows their first limits."""
        return tile.shared and tile.part < self.ranges

    def tiles(self) -> Iterator[Tile]:
        """All tiles, in the order in which they are best begun."""
        blocks = self.blocks
        if self.ranges:
            yield from (Tile(0, 0, part, True) for part in range(self.ranges + len(self.cuts) - 1))
            return
        yield from (Tile(block, block) for block in range(blocks))
        for apart in range(1, blocks // 2 + 1):
            for queries in range(blocks if 2 * apart < blocks else blocks // 2):
                for part in range(self.parts):
                    tile = Tile((queries + apart) % blocks, queries, part)
                    within = self.queries(tile)
                    if within.start < within.stop:
                        yield tile

    @property
    def rounds(self) -> int:
        """How many rounds there are, with the first, in which blocks are joined with themselves."""
        if self.ranges:
            return 2
        return 1 + self.blocks // 2


def plan(n: int, row_bytes: int, slots: int, block_rows: int | None = None, shared: bool = False) -> Plan:
    """Return the plan for so many rows.

    Parameters
    ----------
    n : int
    row_bytes : int
        Codes of a row: about its dim, of packed bits their bytes.
    slots : int
        How many tasks run at a time.
    block_rows : int, optional
        Rows of a block; by default one block a slot, and more where its codes would take more than CODES,
        or where it would be large and blocks are few.
    shared : bool
        Whether nodes can make shares of one self-join. They do where the rows are few enough for each node to code all.

    Examples
    --------
    >>> made = plan(100_000, 384, slots=2)
    >>> made.block_rows, made.parts
    (50000, 6)
    >>> plan(10_000_000_000, 384, slots=1000).blocks
    1000
    """
    few = n * row_bytes <= SHARED and slots <= max(SHARED_SLOTS, n // SHARED_ROWS)
    if shared and block_rows is None and few and n >= 2 * SMALLEST_BLOCK:
        return Plan(n, n, 1, slots, _cuts(slots))
    if block_rows is None:
        most = max(SMALLEST_BLOCK, CODES // max(1, row_bytes))
        blocks = max(1, min(slots, n // SMALLEST_BLOCK), math.ceil(n / most))
        if blocks >= slots:
            small = min(math.ceil(n / (slots * LARGE_BLOCK)), SMALL_BLOCKS // slots)
            blocks = slots * max(math.ceil(blocks / slots), small)
        block_rows = math.ceil(n / blocks)
    blocks = math.ceil(n / block_rows)
    pairs = max(1, blocks * (blocks - 1) // 2)
    wanted = math.ceil(TILES_A_SLOT * slots / pairs)
    return Plan(n, block_rows, max(1, min(wanted, block_rows // SMALLEST_PART)))


def _cuts(slots: int) -> tuple[int, ...]:
    """Where further shares are cut: a small one first, to have good limits soon, and last, to end together."""
    before = [0, *itertools.accumulate(width for width in WIDTHS for _ in range(slots))]
    return tuple(PARTS * one // before[-1] for one in before)


def query_blocks(n: int, blocks: int, slots: int) -> list[int]:
    """Where the blocks of n queries begin, and n: enough of them that every slot gets several tasks.

    >>> query_blocks(100, blocks=4, slots=2)
    [0, 100]
    >>> query_blocks(40_000, blocks=2, slots=2)
    [0, 10000, 20000, 30000, 40000]
    """
    wanted = math.ceil(TILES_A_SLOT * slots / max(1, blocks))
    step = max(SMALLEST_PART, math.ceil(n / wanted))
    return [*range(0, n, step), n]


@dataclass(frozen=True)
class Simulation:
    """What a plan costs on a cluster of nodes that run one task each, with all their cores.

    Attributes
    ----------
    nodes, blocks, tiles, rounds : int
    sent : int
        Bytes of vectors that nodes read from the file system or the object store, in all.
    returned : int
        Bytes of neighbours that tasks send to the driver, about, in all.
    limits : int
        Bytes of limits that the driver sends, in all.
    node_memory : int
        Codes, sketches, lists and limits of a task, in bytes; the vectors themselves are mapped, and leave when memory
        is short.
    driver_memory : int
        The lists, in whose place the result comes.
    pairs_lost : int
        The pairs of the longest tile: what a lost node costs at most, besides coding its block again.
    share_lost : float
        The same as a share of a node's whole work.
    pairs : int
        All pairs that tiles compare.
    waves : int
        How many tiles a node runs one after the other, at least.
    """

    nodes: int
    blocks: int
    tiles: int
    rounds: int
    sent: int
    returned: int
    limits: int
    node_memory: int
    driver_memory: int
    pairs_lost: int
    share_lost: float
    pairs: int
    waves: int


def bytes_of_row(dim: int, k: int) -> int:
    """The memory that a node needs for a row: its code, its sketch, its list, and what the kernel keeps besides."""
    return dim + min(dim // 2, LARGEST_SKETCH) + k * BYTES_OF_ENTRY + BYTES_OF_LIMIT + BYTES_OF_ROW


def simulate(
    n: int, dim: int, nodes: int, k: int = 10, bytes_a_number: int = 4, block_rows: int | None = None
) -> Simulation:
    """Return what the plan of a self-join costs, from its tiles alone.

    Parameters
    ----------
    n, dim : int
    nodes : int
        Each runs one task at a time.
    k : int
    bytes_a_number : int
        Of the vectors.
    block_rows : int, optional
        As in `plan`.

    Returns
    -------
    Simulation

    Examples
    --------
    >>> cost = simulate(10_000_000, 384, nodes=4)
    >>> cost.blocks, cost.rounds, cost.pairs == 10_000_000 * 9_999_999 // 2
    (12, 7, True)
    """
    made = plan(n, dim, nodes, block_rows, shared=True)
    row = dim * bytes_a_number
    if made.ranges:
        return _of_shares(made, nodes, row, dim, k)
    tiles = sent = limits = pairs = longest = 0
    for tile, times in _kinds(made):
        part = made.queries(tile)
        queries, stored = part.stop - part.start, made.size(tile.stored)
        tiles += times
        pairs += times * made.pairs(tile)
        longest = max(longest, made.pairs(tile))
        # The stored block is read again where it is mapped; its codes are kept.
        sent += times * row * (stored if tile.own else queries)
        limits += 0 if tile.own else times * BYTES_OF_LIMIT * (stored + queries)
    # A round over r blocks improves about k / r entries of a list, so that all rounds send k (1 + 1/2 + 1/3 + ...).
    entries = k * (math.log(made.blocks) + 1)
    step = min(QUERY_STEP, made.block_rows)
    return Simulation(
        nodes=nodes,
        blocks=made.blocks,
        tiles=tiles,
        rounds=made.rounds,
        sent=sent,
        returned=int(n * entries * BYTES_SENT),
        limits=limits,
        node_memory=(made.block_rows + step) * bytes_of_row(dim, k),
        driver_memory=n * k * BYTES_OF_ENTRY,
        pairs_lost=longest,
        share_lost=longest / max(1, pairs / nodes),
        pairs=pairs,
        waves=math.ceil(tiles / nodes),
    )


def _of_shares(made: Plan, nodes: int, row: int, dim: int, k: int) -> Simulation:
    """What shares cost: each node reads and codes all rows."""
    sizes = [made.pairs(tile) for tile in made.tiles()]
    n, pairs = made.n, sum(sizes)
    return Simulation(
        nodes=nodes,
        blocks=1,
        tiles=len(sizes),
        rounds=made.rounds,
        sent=nodes * n * row,
        returned=int(n * k * (math.log(len(sizes)) + 1) * BYTES_SENT),
        limits=(len(sizes) - made.ranges) * n * BYTES_OF_LIMIT // 2,
        node_memory=n * bytes_of_row(dim, k),
        driver_memory=n * k * BYTES_OF_ENTRY,
        pairs_lost=max(sizes),
        share_lost=max(sizes) / max(1, pairs / nodes),
        pairs=pairs,
        waves=math.ceil(len(sizes) / nodes),
    )


def _kinds(made: Plan) -> Iterator[tuple[Tile, int]]:
    """Tiles of every size, and how many there are of each, so that a plan of millions of tiles is summed quickly."""
    last, full = made.blocks - 1, made.blocks - 1
    yield Tile(last, last), 1
    if not full:
        return
    yield Tile(0, 0), full
    for part in range(made.parts):
        if full > 1:
            yield Tile(1, 0, part), full * (full - 1) // 2
        # The last block is the queries of its successors, and stored for its predecessors.
        as_queries = sum(1 for _ in _partners(made.blocks, last, queries=True))
        yield Tile(0, last, part), as_queries
        yield Tile(last, 0, part), full - as_queries


def _partners(blocks: int, block: int, queries: bool) -> Iterator[int]:
    """The blocks that a block is joined with as the queries, or as the stored one."""
    for apart in range(1, blocks // 2 + 1):
        for one in range(blocks if 2 * apart < blocks else blocks // 2):
            if queries and one == block:
                yield (one + apart) % blocks
            elif not queries and (one + apart) % blocks == block:
                yield one


def described(cost: Simulation) -> dict[str, str]:
    """The figures of a simulation in units that a reader compares."""
    return {
        "nodes": f"{cost.nodes:,}",
        "blocks": f"{cost.blocks:,}",
        "tiles": f"{cost.tiles:,}",
        "rounds": f"{cost.rounds:,}",
        "vectors read": memory.as_text(cost.sent),
        "neighbours returned": memory.as_text(cost.returned),
        "limits sent": memory.as_text(cost.limits),
        "memory a node": memory.as_text(cost.node_memory),
        "memory of the driver": memory.as_text(cost.driver_memory),
        "a lost node": f"{cost.share_lost:.1%} of its work",
    }

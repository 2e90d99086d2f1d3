"""The parts of a distributed pass without Ray: the plan, the tiles as functions, the lists, the checkpoint."""

import fcntl
import itertools
import json
import pickle
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicinal import distributed
from vicinal.distributed import passes, tiles
from vicinal.distributed.checkpoint import Tiles, held
from vicinal.distributed.cluster import Queue
from vicinal.distributed.engines import ClusterExact, Engine
from vicinal.distributed.lists import Lists
from vicinal.distributed.passes import Options, SelfJoin
from vicinal.distributed.plan import Plan, Tile, plan, simulate
from vicinal.distributed.rows import Block, Piece, cut, part_of
from vicinal.distributed.source import open_rows
from vicinal.distributed.tiles import Question, Result, Rows
from vicinal.errors import DataError, MissingExtra, UsageError
from vicinal.knn import block_join
from vicinal.knn.block_join import BlockJoin, Found
from vicinal.knn.exact import ExactSearch
from vicinal.knn.kernels import native
from vicinal.knn.kernels.brute import Brute
from vicinal.knn.kernels.native import Native
from vicinal.knn.metrics import METRICS, find
from vicinal.storage import locks

METRIC_NAMES = [metric.name for metric in METRICS]


def rows_of(metric: str, n: int = 700, dtype: str = "float32") -> np.ndarray:
    """Rows with copies, ties and, where there can be, an invalid one."""
    rng = np.random.default_rng(n)
    if find(metric).kernel == "bits":
        rows = rng.integers(0, 256, (n, 5)).astype(np.uint8)
    else:
        rows = (np.round(rng.normal(size=(n, 12)) * 3) / 4).astype(dtype)
        rows[(rows == 0).all(axis=1)] = 1
        rows[5] = np.nan
    rows[n // 2 :: 7] = rows[: len(rows[n // 2 :: 7])]
    return rows


class InOneProcess:
    """A self-join by its tiles, one after the other, as the driver merges them."""

    def __init__(self, rows: np.ndarray, metric: str, k: int, made: Plan, groups: np.ndarray | None = None) -> None:
        self.plan, self.starts, self.groups = made, made.starts, groups
        self.question = Question(uuid.uuid4().hex, find(metric), k)
        self.lists = Lists(np.array(self.starts), max(k, 1), len(rows))
        self.blocks = cut([rows], self.starts)
        self.invalid: dict[int, np.ndarray] = {}
        self.layout = 0
        self.found: dict[int, list[Any]] = {}

    def rows(self, block: int) -> Rows:
        groups = None if self.groups is None else self.groups[self.starts[block] : self.starts[block + 1]]
        invalid = self.invalid.get(block, np.zeros(0, np.int64))
        return Rows(block, self.blocks[block], invalid, groups, self.lists.limits(block))

    def result(self, tile: Tile) -> Result:
        if tile.shared:
            share = self.plan.share(tile)
            return tiles.share_tile(self.question, self.rows(tile.stored), False, share, self.layout)
        if tile.own:
            return tiles.own_tile(self.question, self.rows(tile.stored), refuse=False)
        part = self.plan.queries(tile)
        return tiles.cross_tile(self.question, self.rows(tile.stored), self.rows(tile.queries), part)

    def take(self, tile: Tile, result: Result) -> None:
        self.layout = self.layout or result.layout
        if tile.own:
            self.invalid[tile.stored] = np.array(list(result.invalid), np.int64)
        if result.stored is not None:
            self.lists.merge(tile.stored, result.stored, self.starts[tile.queries])
        if result.queries is not None:
            self.lists.merge(tile.queries, result.queries, self.starts[tile.stored])

    def run(self) -> None:
        for tile in self.plan.tiles():
            self.take(tile, self.result(tile))


def same(found: tuple[np.ndarray, np.ndarray], expected: Any) -> bool:
    return (
        np.array_equal(found[0], expected.indices)
        and found[0].dtype == expected.indices.dtype
        and found[1].tobytes() == expected.distances.tobytes()
    )


SHARES = [(3, (0, 1 << 18, 1 << 20)), (1, (0, 1 << 20)), (2, (0, 5, 1 << 19, (1 << 20) - 1, 1 << 20))]


@pytest.mark.skipif(not Native.shares(find("euclidean"), np.dtype("float32")), reason="the kernel was not built here")
@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.parametrize(("ranges", "cuts", "grouped"), [(*SHARES[0], False), (*SHARES[1], True), (*SHARES[2], True)])
def test_shares_give_the_bits_of_one_pass(metric: str, ranges: int, cuts: tuple[int, ...], grouped: bool) -> None:
    rows = rows_of(metric, 2500)
    groups = np.arange(len(rows)) % 4 if grouped else None
    work = InOneProcess(rows, metric, 6, Plan(len(rows), len(rows), 1, ranges, cuts), groups)
    work.run()
    assert work.layout != 0
    for tile in work.plan.tiles():  # a share that is made twice changes nothing
        work.take(tile, work.result(tile))
    assert same(work.lists.result(6), ExactSearch.of(rows, find(metric), on_invalid="null").neighbors(6, groups))


@pytest.mark.skipif(not Native.shares(find("euclidean"), np.dtype("float32")), reason="the kernel was not built here")
def test_a_share_of_other_tasks_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    work = InOneProcess(rows_of("euclidean"), "euclidean", 4, Plan(700, 700, 1, 2, (0, 1 << 20)))
    tile, *_ = work.plan.tiles()
    known = work.result(tile)
    work.layout = known.layout + 1  # as on a node whose instruction set gives another order
    other = work.result(tile)
    assert known.stored is not None and other.stored is None and other.layout == 0
    assert 5 in other.invalid and other.invalid == known.invalid
    work.layout = 0
    monkeypatch.setattr(Native, "shares_joins", False)
    assert work.result(tile).layout == 0


def test_where_nodes_differ_in_their_tasks_the_pass_begins_again_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of("hamming")
    options = Options(checkpoint=tmp_path / "kept", block_rows=None)
    work = SelfJoin(open_rows(rows, find("hamming")), Question("run", find("hamming"), 3), None, options)
    shared, apart = Plan(700, 700, 1, 2, (0, 1 << 20)), Plan(700, 350, 1)
    work._prepare(shared)
    ran: list[Plan | None] = []
    whole = tiles.coded(work.question, Rows(0, Block((rows,))))
    joined: list[int] = []

    def join(ray: Any) -> None:
        ran.append(work.plan)
        if work.plan == apart:  # in a process that has coded all rows as block 0 of the shares
            half = Rows(0, Block((rows[:350],)))
            found = tiles.own_tile(work.question, half, refuse=True).stored
            joined.append(0 if found is None else len(found.rows))
        if work.plan == shared:
            one, other, *_ = shared.tiles()
            found = Found(np.array([1]), np.array([1]), np.array([2]), np.array([0.5]))
            work._finish(one, Result(found, layout=7))
            assert not work._ready(Tile(0, 0, 2, True)) and len(list((tmp_path / "kept").iterdir())) == 2
            work._finish(other, Result(found, layout=8))

    monkeypatch.setattr(work, "_join", join)
    work._join_again(None, apart)
    assert ran == [shared, apart] and len(whole[0].vectors) == 700
    assert joined == [350]  # the block itself
    assert np.isinf(work.lists.limits(0)).all() and work._done == 0  # nothing of the shares is left
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["question.json"]


def test_a_plan_of_shares_is_for_few_nodes_and_few_rows() -> None:
    assert plan(100_000, 384, 2, shared=True).ranges == 2
    assert plan(100_000, 384, 4, shared=True).ranges == 4
    assert plan(100_000, 384, 5, shared=True).ranges == 0  # each would code all rows
    assert plan(2_000_000, 384, 10, shared=True).ranges == 10
    assert plan(10_000_000, 384, 4, shared=True).ranges == 0  # the codes would take 4 GB a node
    assert plan(100_000, 384, 2, 50_000, shared=True).blocks == 2
    for slots in (1, 2, 3, 10):
        made = plan(2_000_000, 384, slots, shared=True)
        sizes = [made.pairs(tile) for tile in made.tiles()]
        assert sum(sizes) == 2_000_000 * 1_999_999 // 2 and min(sizes) > 0
        assert max(sizes[slots:]) <= sum(sizes) / slots / 4
        cost = simulate(2_000_000, 384, slots)
        assert (cost.tiles, cost.pairs, cost.pairs_lost) == (len(sizes), sum(sizes), max(sizes))
        assert cost.sent == slots * 2_000_000 * 384 * 4


@pytest.mark.parametrize("metric", METRIC_NAMES)
@pytest.mark.parametrize(("block", "parts", "grouped"), [(99, 2, False), (350, 1, True), (699, 3, False)])
def test_tiles_give_the_bits_of_one_pass(metric: str, block: int, parts: int, grouped: bool) -> None:
    rows = rows_of(metric)
    groups = np.arange(len(rows)) % 4 if grouped else None
    work = InOneProcess(rows, metric, 6, Plan(len(rows), block, parts), groups)
    work.run()
    expected = ExactSearch.of(rows, find(metric), on_invalid="null").neighbors(6, groups)
    assert same(work.lists.result(6), expected)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "int32"])
def test_tiles_read_every_dtype(dtype: str) -> None:
    rows = rows_of("euclidean")
    rows = (np.nan_to_num(rows, nan=0.25) * 4).astype(dtype)
    work = InOneProcess(rows, "euclidean", 4, Plan(len(rows), 300, 1))
    work.run()
    assert same(work.lists.result(4), ExactSearch.of(rows).neighbors(4))


def test_kernels_without_lists_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_join, "over", lambda rows, metric, threads, device: Brute(rows, metric, threads))
    rows = rows_of("cosine", 300)
    work = InOneProcess(rows, "cosine", 5, Plan(len(rows), 130, 2), np.arange(300) % 3)
    work.run()
    expected = ExactSearch.of(rows, "cosine", on_invalid="null").neighbors(5, np.arange(300) % 3)
    assert same(work.lists.result(5), expected)


def test_results_that_come_twice_or_in_another_order_change_nothing() -> None:
    rows = rows_of("manhattan", 400)
    made = Plan(400, 90, 1)
    work, again = InOneProcess(rows, "manhattan", 5, made), InOneProcess(rows, "manhattan", 5, made)
    results = []
    for tile in made.tiles():
        result = work.result(tile)
        work.take(tile, result)
        results.append((tile, result))
    for tile, result in [*reversed(results), *results[::2]]:
        again.take(tile, result)
    expected = work.lists.result(5)
    found = again.lists.result(5)
    assert np.array_equal(found[0], expected[0]) and found[1].tobytes() == expected[1].tobytes()


def test_limits_keep_what_a_task_returns_small() -> None:
    rows = np.random.default_rng(3).normal(size=(1200, 8)).astype(np.float32)
    work = InOneProcess(rows, "euclidean", 5, Plan(1200, 200, 1))
    sent = {}
    for tile in work.plan.tiles():
        result = work.result(tile)
        work.take(tile, result)
        assert result.stored is not None
        sent[tile] = len(result.stored.others) + (0 if result.queries is None else len(result.queries.others))
    last = [count for tile, count in sent.items() if not tile.own][-1]
    assert all(count == 200 * 5 for tile, count in sent.items() if tile.own)
    assert last < 2 * 200 * 5 / 2  # a list that six blocks have filled takes less than half of a further block's


def test_merging_by_hand() -> None:
    lists = Lists(np.array([0, 2]), 2, 100)
    one = Found(np.array([0]), np.array([2]), np.array([4, 3]), np.array([1.0, 1.0]))
    lists.merge(0, one, 10)
    assert lists.limits(0).tolist() == [1.0, np.inf]
    lists.merge(0, Found(np.array([0, 1]), np.array([1, 1]), np.array([2, 7]), np.array([1.0, 0.5])), 0)
    lists.merge(0, one, 10)
    indices, distances = lists.result(2)
    assert indices.tolist() == [[2, 13], [7, -1]]  # of equal distances the lower row
    assert distances.tolist() == [[1.0, 1.0], [0.5, np.inf]]


@pytest.mark.parametrize(
    ("n", "block", "parts"), [(10, 3, 1), (100, 9, 3), (7, 7, 2), (24, 4, 2), (25, 8, 1), (5, 1, 3)]
)
def test_each_pair_of_rows_is_in_one_tile(n: int, block: int, parts: int) -> None:
    made = Plan(n, block, parts)
    seen: list[tuple[int, int]] = []
    for tile in made.tiles():
        stored = range(n)[tile.stored * block : (tile.stored + 1) * block]
        queries = range(n)[tile.queries * block : (tile.queries + 1) * block]
        if tile.own:
            pairs = list(itertools.combinations(stored, 2))
        else:
            pairs = [(min(i, j), max(i, j)) for i in queries[made.queries(tile)] for j in stored]
        assert len(pairs) == made.pairs(tile)
        seen += pairs
    assert sorted(seen) == list(itertools.combinations(range(n), 2))
    assert len({tile.name for tile in made.tiles()}) == len(list(made.tiles()))


@pytest.mark.parametrize("n", [10**7, 10**8, 10**9, 10**10])
@pytest.mark.parametrize("nodes", [4, 32, 1000])
def test_plans_of_sizes_that_are_not_here(n: int, nodes: int) -> None:
    cost = simulate(n, 384, nodes)
    made = plan(n, 384, nodes)
    assert cost.pairs == n * (n - 1) // 2  # each pair once
    assert cost.blocks % nodes == 0 or cost.blocks < nodes
    assert made.block_rows * 384 <= 1 << 32  # the codes of a block
    row = 384 + 192 + 10 * 12  # codes, sketches and lists
    assert cost.node_memory <= 1.2 * (made.block_rows + 16384) * row
    assert cost.sent <= (made.blocks + 1) * n * 384 * 4  # a row is read once for each block at most
    assert cost.share_lost <= 0.13


def test_a_simulation_counts_what_the_tiles_are() -> None:
    for n, nodes, rows in ((50_001, 3, 5_000), (40_000, 4, 10_000), (30_001, 2, 30_000)):
        cost, made = simulate(n, 16, nodes, block_rows=rows), plan(n, 16, nodes, rows)
        all_tiles = list(made.tiles())
        queries = [made.queries(tile).stop - made.queries(tile).start for tile in all_tiles]
        read = sum(made.size(t.stored) if t.own else q for t, q in zip(all_tiles, queries, strict=True))
        assert (cost.tiles, cost.pairs) == (len(all_tiles), sum(map(made.pairs, all_tiles)))
        assert cost.sent == 64 * read
        assert cost.pairs_lost == max(map(made.pairs, all_tiles))


def test_a_queue_keeps_a_block_on_its_node_and_gives_it_away_when_the_node_dies() -> None:
    queue = Queue.of(Plan(40, 10, 1).tiles())
    always = lambda tile: True  # noqa: E731
    assert queue.take("a", set(), always) == Tile(0, 0)
    assert queue.take("b", set(), always) == Tile(1, 1)
    assert [queue.take("a", set(), always), queue.take("b", set(), always)] == [Tile(2, 2), Tile(3, 3)]
    assert queue.take("c", set(), always) is None  # all blocks are coded elsewhere
    assert queue.take("c", {"b"}, always) in (Tile(1, 0), Tile(3, 2))  # one node has too much to do
    first = queue.take("a", set(), always)
    assert first is not None and first.stored in (0, 2)
    queue.leave("a")
    taken = []
    while (tile := queue.take("b", set(), always)) is not None:
        taken.append(tile)
    assert len(queue) == 0 and len(taken) == 10 - 6


def test_files_are_read_by_path_and_offset(tmp_path: Path) -> None:
    rows = np.arange(40, dtype=np.float16).reshape(10, 4)
    np.save(tmp_path / "a.npy", rows[:6])
    np.save(tmp_path / "b.npy", rows[6:])
    source = open_rows(tmp_path, find("euclidean"))
    assert all(isinstance(part, Piece) for part in source.parts) and len(source) == 10
    blocks = cut(source.parts, [0, 4, 8, 10])
    assert [block.read().tolist() for block in pickle.loads(pickle.dumps(blocks))] == [
        rows[:4].tolist(),
        rows[4:8].tolist(),
        rows[8:].tolist(),
    ]
    whole = np.load(tmp_path / "a.npy", mmap_mode="r")
    part = part_of(whole[1:, ::2])
    assert isinstance(part, Piece) and part.read().tolist() == rows[1:6, ::2].tolist()
    assert isinstance(part_of(rows), np.ndarray)


def test_a_file_that_changed_or_is_missing_on_a_node_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    (part,) = open_rows(tmp_path / "a.npy", find("euclidean")).parts
    assert isinstance(part, Piece)
    np.save(tmp_path / "a.npy", np.ones((4, 2)))
    with pytest.raises(DataError, match="another file on the node"):
        part.read()
    (tmp_path / "a.npy").unlink()
    with pytest.raises(DataError, match="every node sees it"):
        part.read()


def test_a_checkpoint_keeps_each_tile_whole(tmp_path: Path) -> None:
    folder, made = tmp_path / "kept", Plan(9, 4, 1)
    question = {"n": 9, "k": 2}
    kept = Tiles(folder, question, made)
    found = Found(np.array([1]), np.array([2]), np.array([0, 3]), np.array([0.25, 0.5]))
    kept.save(Tile(1, 1), Result(found, None, {3: "NaN"}, "abc", "native"))
    again = Tiles(folder, question, Plan(9, 3, 2))
    assert again.plan == made  # the plan of the work that is there
    loaded = again.load(Tile(1, 1))
    assert loaded is not None and loaded.stored is not None and loaded.queries is None
    assert loaded.stored.distances.tolist() == [0.25, 0.5] and loaded.invalid == {3: "NaN"}
    assert again.load(Tile(0, 0)) is None
    with pytest.raises(UsageError, match="k was 2, is 3"):
        Tiles(folder, {"n": 9, "k": 3}, made)
    (folder / "0-0-0.npz").write_bytes(b"PK torn")
    with pytest.raises(UsageError, match="remove the folder"):
        again.load(Tile(0, 0))
    again.remove()
    assert not folder.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="no checkpoint"):
        Tiles(tmp_path / "other", question, made)


@pytest.mark.parametrize(
    "change",
    [
        {"block_rows": 0},
        {"parts": 0},
        {"n": -1},
        {"cuts": [0, 1 << 20]},
        {"ranges": 1},
        {"ranges": 1, "block_rows": 9, "cuts": [0, 5]},
        {"ranges": 1, "block_rows": 9, "cuts": [0, 7, 7, 1 << 20]},
        {"ranges": -1, "block_rows": 9, "cuts": [0, 1 << 20]},
    ],
)
def test_a_checkpoint_with_numbers_of_no_plan_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    Tiles(tmp_path / "kept", {"k": 2}, Plan(9, 4, 1))
    file = tmp_path / "kept" / "question.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "n": 9, **change}))
    with pytest.raises(UsageError, match="damaged, or written by another version; remove the folder"):
        Tiles(tmp_path / "kept", {"k": 2}, Plan(9, 4, 1))


def test_a_second_pass_waits_for_the_folder_of_the_first_and_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, order, waiting = tmp_path / "kept", [], threading.Event()

    def wait(path: Path, descriptor: int) -> None:
        waiting.set()
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    def second() -> None:
        with held(folder):
            order.append(f"second, empty: {not list(folder.iterdir())}")

    other = threading.Thread(target=second)
    with held(folder):
        first = Tiles(folder, {"k": 2}, Plan(9, 4, 1))
        monkeypatch.setattr(locks, "_wait", wait)
        other.start()
        waiting.wait()
        order.append("first")
        first.remove()
    other.join()
    assert order == ["first", "second, empty: True"]


def test_a_resumed_pass_refuses_the_invalid_rows_that_an_earlier_one_allowed() -> None:
    """Those of a finished tile too: the same command may have been run with on_invalid="null" before."""
    work = SelfJoin(open_rows(np.eye(9), find("euclidean")), Question("run", find("euclidean"), 2), None, Options())
    work._prepare(Plan(9, 4, 1))
    with pytest.raises(passes.FoundInvalid):
        work._take(Tile(1, 1), Result(invalid={2: "NaN"}))
    work.options = Options(left_out={6: "left out"})
    work._take(Tile(1, 1), Result(invalid={2: "NaN"}))
    assert work.invalid == {6: "left out"}


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "hamming"])
def test_all_within_a_radius_by_tiles(metric: str) -> None:
    rows = rows_of(metric, 300)
    expected = ExactSearch.of(rows, find(metric), on_invalid="null").neighbors(3).distances[:, 2]
    radius = float(np.median(expected[np.isfinite(expected)]))
    block = BlockJoin(rows[6:], find(metric), None, 1)
    found = block.within(radius, rows[6:90])
    back = tiles.transposed(found, len(rows) - 6)
    pairs = {(int(i), int(j)) for i, j in zip(np.repeat(found.rows, found.counts), found.others, strict=True)}
    assert pairs == {(int(j), int(i)) for i, j in zip(np.repeat(back.rows, back.counts), back.others, strict=True)}
    reference = find(metric).pairwise(rows[6:90], rows[6:])
    assert pairs == {(int(i), int(j)) for i, j in zip(*np.nonzero(reference <= radius), strict=True)}
    assert found.distances.tolist() == reference[np.repeat(found.rows, found.counts), found.others].tolist()


def test_what_a_cluster_cannot_do_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="engine: unknown engine 'rai': did you mean 'ray'"):
        Engine("rai")
    with pytest.raises(UsageError, match="address: names a Ray cluster, and engine is local"):
        Engine("local", "auto")
    with pytest.raises(UsageError, match="recall: a cluster makes exact passes alone"):
        ClusterExact(find("cosine"), None, None).fit(np.eye(3)).neighbors(1, recall=0.9)


def test_a_missing_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'vicinal\[ray\]'"):
        Engine("ray")
    with pytest.raises(MissingExtra, match=r"pip install 'vicinal\[ray\]'"):
        distributed.neighbors([[0.0], [1.0]], 1)


def test_rows_in_memory_need_no_copy() -> None:
    rows = np.ones((6, 2), np.float32)
    (block,) = cut([rows], [0, 6])
    assert np.shares_memory(block.read(), rows)
    assert Block((rows[:2], rows[2:])).read().shape == (6, 2)


@pytest.mark.skipif(not hasattr(native._native, "merge_entries"), reason="the kernel was not built here")
@pytest.mark.parametrize("total", [500, 2**32])
def test_the_kernel_merges_as_numpy_does(monkeypatch: pytest.MonkeyPatch, total: int) -> None:
    """Ties, infinite distances, entries that are there already or come twice, lists that are full or empty."""
    rng = np.random.default_rng(5)
    ours, theirs = (Lists(np.array([0, 40, 90]), 4, total) for _ in range(2))
    for number in range(30):
        rows = np.flatnonzero(rng.random(50) < 0.6)
        counts = rng.integers(0, 9, len(rows))
        others = rng.integers(0, 30, counts.sum()).astype(np.uint32)
        far = np.where(others == 7, np.inf, (others % 5) / 4)  # a pair has one distance
        found = pickle.loads(pickle.dumps(Found(rows, counts, others, far)))
        first = (number % 3) * 30 + (total - 100 if total > 500 else 0)
        ours.merge(1, found, first)
        with monkeypatch.context() as patched:
            patched.delattr(native._native, "merge_entries")
            theirs.merge(1, found, first)
        assert np.array_equal(ours.limits(1), theirs.limits(1))
    for found_here, expected in zip(ours.result(4), theirs.result(4), strict=True):
        assert found_here.tobytes() == expected.tobytes()


@pytest.mark.skipif(not hasattr(native._native, "entries_within"), reason="the kernel was not built here")
def test_the_kernel_takes_entries_within_limits_as_numpy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    others = rng.integers(0, 99, (60, 5)).astype(np.uint32)
    others[rng.random((60, 5)) < 0.3] = native.NO_ROW
    far = np.where(others == native.NO_ROW, np.inf, (others % 10) / 8)
    limits = np.where(np.arange(60) % 3, rng.integers(0, 10, 60) / 8, np.inf)
    found = Found.of_lists(others, far, limits, native.NO_ROW)
    monkeypatch.delattr(native._native, "entries_within")
    expected = Found.of_lists(others, far, limits, native.NO_ROW)
    for name in ("rows", "counts", "others", "distances"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


@pytest.mark.skipif(not hasattr(native._native, "merge_entries"), reason="the kernel was not built here")
def test_the_kernel_refuses_entries_that_do_not_fit_the_lists() -> None:
    lists = Lists(np.array([0, 2]), 2, 100)
    one = np.array([1])
    for rows, counts in (([2], one), ([-1], one), ([0], 2 * one), ([0], -one), ([0, 1], one), ([0], 0 * one)):
        with pytest.raises(ValueError, match="entries: expected"):
            lists.merge(0, Found(np.array(rows), counts, np.array([1], np.uint32), np.array([1.0])), 0)


def test_a_share_gives_what_is_new_and_preparing_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(2).normal(size=(2500, 12)).astype(np.float32)
    work = InOneProcess(rows, "euclidean", 6, Plan(2500, 2500, 1, 1, (0, 1 << 19, 1 << 20)))
    first, second, third = work.plan.tiles()
    assert tiles.prepare_tile(work.question, work.rows(0)) == Result()  # nothing is coded here yet
    assert not tiles._prepared
    if not Native.shares(find("euclidean"), rows.dtype):
        return
    work.take(first, work.result(first))
    monkeypatch.setattr(tiles, "_prepared", {(work.question.run, 0): (8.0, 6.0)})
    result = work.result(second)
    assert result.coding >= 8 and result.processor == 6.0 and not tiles._prepared
    work.lists = Lists(np.array([0, 2500]), 6, 2500)  # the driver has lost all: with no limits, new entries alone come
    again = work.result(third)
    assert again.stored is not None and result.stored is not None
    named = [
        set(zip(np.repeat(one.stored.rows, one.stored.counts).tolist(), one.stored.others.tolist(), strict=True))
        for one in (result, again)
        if one.stored is not None
    ]
    assert named[0].isdisjoint(named[1]) and len(again.stored.others) < 2500 * 6 / 2
    assert again.coding < 1


def test_limits_are_sent_in_half_the_bytes_and_never_lower() -> None:
    limits = np.array([0.1, -0.1, 1.0, 1e300, -1e300, np.inf, 1 + 2.0**-40, 3e-320])
    short = passes._rounded_up(limits)
    assert short is not None and short.dtype == np.float32 and passes._rounded_up(None) is None
    assert (short.astype(np.float64) >= limits).all()
    near = np.abs(limits) < 1e30
    np.testing.assert_allclose(short[near], limits[near], rtol=2.0**-22, atol=1e-44)


@pytest.mark.parametrize("made", [Plan(600, 250, 2), Plan(600, 600, 1, 2, (0, 1 << 20))])
def test_tasks_change_no_array_that_they_are_given(made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays from an object store are read-only."""
    if made.ranges and not Native.shares(find("cosine"), np.dtype("float32")):
        pytest.skip("the kernel was not built here")
    rows, groups = rows_of("cosine", 600), np.arange(600) % 7
    work = InOneProcess(rows, "cosine", 4, made, groups)
    for array in (rows, groups, *(part for block in work.blocks for part in block.parts)):
        array.setflags(write=False)
    limits = work.lists.limits

    def read_only(block: int) -> np.ndarray:
        found = limits(block)
        found.setflags(write=False)
        return found

    monkeypatch.setattr(work.lists, "limits", read_only)
    work.run()
    assert same(work.lists.result(4), ExactSearch.of(rows, "cosine", on_invalid="null").neighbors(4, groups))
    result = tiles.search_tile(work.question, work.rows(0), work.rows(0), slice(0, 20))
    assert result.queries is not None and len(result.queries.rows) >= 19


def test_a_column_of_lists_is_read_as_rows() -> None:
    rows = rows_of("euclidean", 40)
    column = np.empty(40, dtype=object)  # what numpy batches of Ray hold
    column[:] = list(rows)
    (part,) = open_rows(column, find("euclidean")).parts
    assert isinstance(part, np.ndarray) and part.dtype == np.float32 and part.tobytes() == rows.tobytes()


@pytest.mark.skipif(not Native.shares(find("euclidean"), np.dtype("float32")), reason="the kernel was not built here")
def test_a_task_takes_the_threads_of_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Ray sets it in its processes
    rows = rows_of("manhattan", 300)[6:]
    for threads in (1, 3):
        question = Question(uuid.uuid4().hex, find("manhattan"), 3, threads=threads)
        block, _ = tiles.coded(question, Rows(0, Block((rows,))))
        block.self_join(3)
        assert block.native is not None and block.native.stats()["threads"] == threads

"""Approximate neighbours: the recall is what it says, and every distance is the true one."""

import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import vicinal
from vicinal.cli import COMMANDS, main, parser
from vicinal.errors import DataError, UsageError
from vicinal.knn import approximate
from vicinal.knn.exact import ExactSearch
from vicinal.knn.kernels import native
from vicinal.knn.kernels.native import has_graphs, isas
from vicinal.knn.metrics import METRICS, find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall, wilson
from vicinal.storage.scratch import scratch
from vicinal.tasks.score.runs import Kept

needs_graphs = pytest.mark.skipif(not has_graphs(), reason="the extension is not built")
N, DIM, K = 3000, 24, 5


def clustered(n=N, dim=DIM, seed=0):
    """Rows around many centres on a plane of 8 dimensions, with noise, and some exact copies."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 8)) @ rng.normal(size=(8, dim)) + 0.3 * rng.normal(size=(n, dim))
    rows[: n // 20] = rows[n // 2 : n // 2 + n // 20]
    return rows.astype(np.float32)


@pytest.fixture
def any_size(monkeypatch):
    """Graphs of few rows too, at any cost."""
    monkeypatch.setattr(approximate, "FEWEST", 0)
    monkeypatch.setattr(approximate, "EXACT_SHARE", 1e9)
    monkeypatch.setattr(approximate, "LEAF", 128)


def rows_of(metric):
    rows = clustered()
    return np.packbits(rows > 0, axis=1) if metric.kernel == "bits" else rows


def true_recall(found, exact):
    """The share of the neighbours that are not farther than the exact k-th."""
    return float((found.distances <= exact.distances[:, -1:]).mean())


@needs_graphs
@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_every_metric_has_the_recall_it_says_and_true_distances(name, any_size):
    metric = find(name)
    rows = rows_of(metric)
    search = ExactSearch.of(rows, metric, threads=2)
    exact, found = search.neighbors(K), search.neighbors(K, recall=0.95)
    share = true_recall(found, exact)
    assert found.recall is not None and found.approximate and share >= 0.94
    assert 0.95 <= found.recall.low <= share + 0.005 and share <= found.recall.high + 0.005
    with np.errstate(over="ignore"):
        assert np.array_equal(found.distances, search.distances(found.indices).astype(np.float32))
    assert not (found.indices == np.arange(N)[:, None]).any()
    for row in range(0, N, 97):  # each row once, by (distance, row)
        assert len(set(found.indices[row])) == K
        assert list(zip(found.distances[row], found.indices[row], strict=True)) == sorted(
            zip(found.distances[row], found.indices[row], strict=True)
        )


@needs_graphs
@pytest.mark.parametrize("metric", ["cosine", "manhattan", "jaccard"])
def test_the_result_does_not_depend_on_threads_or_instruction_set(metric, any_size, monkeypatch):
    rows = rows_of(find(metric))[:1500]
    first = ExactSearch.of(rows, metric, threads=1).neighbors(K, recall=0.9)
    assert first.recall is not None
    for threads, isa in [(2, ""), *((2, isa) for isa in isas())]:
        monkeypatch.setenv("VICINAL_ISA", isa)
        found = ExactSearch.of(rows, metric, threads).neighbors(K, recall=0.9)
        assert np.array_equal(found.indices, first.indices) and np.array_equal(found.distances, first.distances)
        assert found.recall == first.recall


@needs_graphs
def test_groups_are_kept_apart_and_invalid_rows_left_out(any_size):
    rows, groups = clustered(1200), np.arange(1200) % 40
    rows[7] = np.nan
    search = ExactSearch.of(rows, threads=2, on_invalid="null")
    exact, found = search.neighbors(K, groups), search.neighbors(K, groups, recall=0.95)
    assert found.approximate and (found.indices[7] == -1).all() and 7 not in found.indices
    others = np.delete(np.arange(1200), 7)
    assert (groups[found.indices[others]] != groups[others, None]).all()
    assert (found.distances[others] <= exact.distances[others, -1:]).mean() >= 0.94


@needs_graphs
def test_copies_are_all_found(any_size):
    rows = np.repeat(clustered(150), 8, axis=0)
    search = ExactSearch.of(rows, threads=2)
    exact, found = search.neighbors(7), search.neighbors(7, recall=0.99)
    assert np.array_equal(found.indices, exact.indices) and (found.distances == 0).all()


@needs_graphs
@pytest.mark.parametrize("n", [2, 3, 65, 200])
def test_few_rows(n, any_size):
    rows = clustered(400)[200 : 200 + n]
    search = ExactSearch.of(rows, threads=2)
    k = min(n - 1, 70)
    exact, found = search.neighbors(k), search.neighbors(k, recall=0.9)
    assert true_recall(found, exact) >= 0.9 and (found.indices >= 0).all()


def test_equal_rows_and_one_coordinate_end(any_size):
    equal = ExactSearch.of(np.ones((300, 4)), threads=2).neighbors(3, recall=0.9)
    assert equal.indices[0].tolist() == [1, 2, 3] and equal.indices[5].tolist() == [0, 1, 2]
    line = np.linspace(0, 1, 700)[:, None]
    search = ExactSearch.of(line, threads=2)
    assert true_recall(search.neighbors(2, recall=0.9), search.neighbors(2)) >= 0.9


@needs_graphs
def test_lists_too_long_for_a_graph_end_in_the_exact_pass(any_size, monkeypatch):
    rows, euclidean = clustered(), find("euclidean")
    join = approximate.ApproximateJoin(rows, euclidean, 2, None)
    widest = approximate.WIDEST
    with pytest.raises(ValueError, match=f"from 1 to {widest}, got {widest + 1}"):
        native.native_graph(rows[:8], euclidean, 1, None, widest + 1, 0)
    monkeypatch.setattr(approximate, "WIDEST", 64)
    assert approximate.width_of(48) == 60 and join.graph(48, 0.5) is not None
    assert approximate.width_of(52) == 65 and join.graph(52, 0.5) is None


@needs_graphs
def test_neighbours_of_many_neighbours_cost_more_than_the_exact_pass(any_size, monkeypatch):
    join = approximate.ApproximateJoin(clustered(), find("euclidean"), 2, None)
    assert join.graph(200, 0.5) is not None
    monkeypatch.setattr(approximate, "EXACT_SHARE", 0.7)  # 100^2 for each row, of 1,500 pairs
    assert join.graph(200, 0.5) is None


@pytest.mark.parametrize(
    ("n", "dim", "k", "approximate_is_cheaper"),
    [(20_000, 384, 10, False), (25_000, 384, 10, True), (20_000, 384, 100, False), (60_000, 384, 100, True)],
)
def test_many_neighbours_of_few_rows_cost_less_exactly(n, dim, k, approximate_is_cheaper, monkeypatch):
    """As the measured costs are (docs/approximate.md); here no row is read."""
    monkeypatch.setattr(approximate.ApproximateJoin, "exact_of", lambda *_: 1 / 0)
    join = approximate.ApproximateJoin(np.broadcast_to(np.float32(0), (n, dim)), find("cosine"), 1, None)
    if approximate_is_cheaper:
        with pytest.raises(ZeroDivisionError):
            join.graph(k, 0.95)
    else:
        assert join.graph(k, 0.95) is None


def test_the_exact_pass_where_it_is_cheaper():
    rows = clustered(200)
    search = ExactSearch.of(rows)
    found, exact = search.neighbors(K, recall=0.9), search.neighbors(K)
    assert np.array_equal(found.indices, exact.indices) and exact.recall is None
    assert found.recall == Recall(1.0, 1.0, 1.0, 200, 0, 0.9, K, exact=True) and not found.approximate
    assert "no approximate pass is cheaper" in str(found.recall)


def test_the_interval_is_wilsons_and_wider_where_rows_differ():
    # 95 of 100 independent trials: the published interval of Wilson's formula.
    share, low, high = wilson(np.array([1] * 95 + [0] * 5), np.ones(100, dtype=int))
    assert (share, round(low, 4), round(high, 4)) == (0.95, 0.8882, 0.9785)
    apart = wilson(np.array([10] * 95 + [0] * 5), np.full(100, 10))
    assert apart[1] == pytest.approx(low) and apart[0] == 0.95
    spread = wilson(np.tile([9, 10], 50), np.full(100, 10))
    assert spread[1] > apart[1]


def test_the_interval_covers_the_recall_of_all_rows():
    """Of 200 samples with correlated hits, about 95 % of the intervals hold the true share."""
    rng = np.random.default_rng(0)
    of = np.full(20_000, 10)
    hits = rng.binomial(10, rng.beta(9, 0.5, size=20_000))
    share, inside = hits.sum() / of.sum(), 0
    for _ in range(200):
        sample = rng.choice(20_000, 1000, replace=False)
        _, low, high = wilson(hits[sample], of[sample])
        inside += low <= share <= high
    assert 180 <= inside <= 200


@pytest.mark.parametrize("recall", [0, 1.5, -1, "much", True, float("nan")])
def test_a_recall_that_is_none(recall):
    with pytest.raises(UsageError, match="recall: expected a number above 0 and at most 1"):
        ExactSearch.of(clustered(50)).neighbors(K, recall=recall)


def test_no_checkpoint_with_recall(tmp_path):
    with pytest.raises(UsageError, match="checkpoint: an approximate pass"):
        ExactSearch.of(clustered(50)).neighbors(K, recall=0.9, checkpoint=tmp_path / "kept")


def test_saved_neighbours_keep_their_recall(tmp_path):
    found = ExactSearch.of(clustered(60)).neighbors(2)
    known = Recall(0.99, 0.98, 0.995, 1000, 0, 0.98, 2)
    approximately = Neighbors(found.indices, found.distances, "euclidean", DIM, recall=known)
    approximately.save(tmp_path / "graph")
    assert json.loads((tmp_path / "graph" / "manifest.json").read_text())["recall"]["low"] == 0.98
    again = Neighbors.load(tmp_path / "graph")
    assert again.recall == known and again.approximate and "recall 0.9900" in repr(again)
    assert again.nearest(1).recall == again[:10].recall == again.merge(found).recall == known
    found.save(tmp_path / "exact")
    assert "recall" not in json.loads((tmp_path / "exact" / "manifest.json").read_text())
    manifest = tmp_path / "graph" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"low": 0.98', '"low": "much"'))
    with pytest.raises(DataError, match=r"recall[.]low"):
        Neighbors.load(tmp_path / "graph")


@needs_graphs
def test_memory_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("VICINAL_MEMORY", "100K")
    with pytest.raises(UsageError, match="not enough memory"):
        ExactSearch.of(clustered(2000)).neighbors(K, recall=0.9)


@needs_graphs
def test_codes_on_disk_give_the_same_result(any_size, monkeypatch, tmp_path):
    rows = clustered(2000, dim=512)
    expected = ExactSearch.of(rows, threads=2).neighbors(K, recall=0.9)
    taken = []

    def counted(size):
        taken.append(size)
        return scratch(size)

    monkeypatch.setattr(native, "scratch", counted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("VICINAL_MEMORY", "1M")  # the lists and the result take 0.4 MB, the codes 1 MB
    found = ExactSearch.of(rows, threads=2).neighbors(K, recall=0.9)
    assert taken == [2000 * 512] and not list(tmp_path.iterdir())
    assert np.array_equal(found.indices, expected.indices) and np.array_equal(found.distances, expected.distances)
    assert found.approximate and found.recall == expected.recall


@needs_graphs
def test_codes_on_disk_take_no_memory():
    """Counted by the allocator: with codes on disk a graph holds less by its codes, and little beside its lists."""
    n, dim, width = 20_000, 320, 11
    rows, held = clustered(n, dim), []
    for on_disk in (False, True):
        before = allocated()
        graph = native.native_graph(rows, find("euclidean"), 1, None, width, 0, None, on_disk)
        held.append(allocated() - before)
        del graph
    assert held[0] - held[1] == pytest.approx((n - n // 20) * dim, rel=0.02)  # of the distinct rows
    assert held[1] <= n * (8 * width + 40) + (1 << 20)


def allocated():
    """The bytes that this process holds of the allocator."""

    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in ["a", "b", "c", "d", "hblkhd", "f", "g", "uordblks", "i", "j"]]

    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        pytest.skip("the C library does not count what it allocates")
    library.mallinfo2.restype = Info
    info = library.mallinfo2()
    return info.hblkhd + info.uordblks


@needs_graphs
def test_every_task_says_that_its_neighbours_are_approximate(any_size, tmp_path):
    rows = clustered(600)
    np.save(tmp_path / "rows.npy", rows)
    nearest = vicinal.neighbors(rows, 8, recall=0.9, output=tmp_path / "graph")
    scores = vicinal.score(rows, by=["mean", "lof"], recall=0.9, k=8)
    isolated = vicinal.outliers(rows, k=8, recall=0.9)
    facts = vicinal.diagnose(rows, k=8, recall=0.9)
    chosen = vicinal.select(rows, keep=20, strategy="facility", recall=0.9)
    for recall in (nearest.recall, scores.neighbors.recall, isolated.neighbors.recall, facts.neighbors.recall):
        assert recall is not None and not recall.exact and recall.low >= 0.9
    assert chosen.recall is not None and not chosen.recall.exact
    assert nearest.summary()["recall"]["low"] >= 0.9 and isolated.summary()["recall"]["low"] >= 0.9
    assert [one["recall"]["k"] for one in scores.summary()["scorers"]] == [8, 8]
    assert facts.summary()["recall"]["low"] >= 0.9 and any("approximate" in one for one in facts.warnings)
    assert chosen.summary()["recall"]["low"] >= 0.9
    kept = vicinal.score(None, neighbors=tmp_path / "graph", k=8)
    assert kept.neighbors.recall == nearest.recall and "recall" in kept.summary()
    novel = vicinal.select(rows, keep=20, strategy="novelsum", metric="cosine", recall=0.9)
    assert novel.recall is not None and novel.recall.low >= 0.9 and "approximate" in repr(novel)
    thinned = vicinal.select(rows, np.arange(600), keep=20, dedup=0.5, neighbors=nearest)
    assert thinned.recall is None and thinned.dedup_recall == nearest.recall
    assert thinned.summary()["dedup_recall"]["low"] >= 0.9 and "dedup: approximate" in repr(thinned)
    thinned = vicinal.select(rows, np.arange(600), keep=20, dedup=0.0, recall=0.9)
    assert thinned.dedup_recall is not None and thinned.dedup_recall.exact
    labels = np.where(rows[:, 0] > 0, "a", "b").tolist()
    asked = vicinal.curate(rows, labels=labels, state=tmp_path / "rounds", recall=0.9, metric="euclidean", k=8)
    assert asked.recall is not None and asked.recall.low >= 0.9 and asked.summary()["recall"]["k"] == 8
    assert "neighbours: approximate" in str(asked)
    curve = vicinal.choose_k(rows, labels=labels, max_k=8, neighbors=nearest)
    assert curve.recall == nearest.recall and "approximate" in repr(curve) and curve.summary()["recall"]["low"] >= 0.9
    again = vicinal.select(rows, keep=20, strategy="facility", neighbors=nearest)
    assert again.recall == nearest.recall
    exact = vicinal.score(rows, by="mean", k=8)
    assert "recall" not in exact.summary()
    assert np.corrcoef(exact["mean"], scores["mean"])[0, 1] > 0.99


@needs_graphs
def test_a_kept_run_keeps_its_recall(any_size, tmp_path):
    np.save(tmp_path / "rows.npy", clustered(400))
    (tmp_path / "data.jsonl").write_text("".join(f'{{"id": {i}, "text": "{i}"}}\n' for i in range(400)))
    data, rows = str(tmp_path / "data.jsonl"), str(tmp_path / "rows.npy")
    scores = vicinal.score(data, rows, recall=0.9, run=tmp_path / "run", output=tmp_path / "scores.jsonl")
    kept = Kept.load(tmp_path / "run")
    assert kept.passes[0].neighbors.recall == scores.neighbors.recall
    more = tmp_path / "more.npy"
    np.save(more, clustered(3, seed=1))
    (tmp_path / "more.jsonl").write_text("".join(f'{{"id": {i}, "text": "{i}"}}\n' for i in range(400, 403)))
    longer = vicinal.score(append=str(tmp_path / "more.jsonl"), embeddings=str(more), previous=tmp_path / "run")
    assert longer.neighbors.recall == scores.neighbors.recall and len(longer) == 403


@pytest.mark.parametrize("other", ["neighbors", "checkpoint"])
def test_recall_beside_what_it_excludes(other, tmp_path):
    rows = clustered(50)
    given = {"neighbors": vicinal.neighbors(rows, 3)} if other == "neighbors" else {"checkpoint": tmp_path / "kept"}
    with pytest.raises(UsageError, match="recall: an approximate pass"):
        vicinal.score(rows, recall=0.9, **given)
    with pytest.raises(UsageError, match="recall: the neighbours are given"):
        vicinal.select(rows, keep=3, strategy="facility", recall=0.9, neighbors=vicinal.neighbors(rows, 3))


@needs_graphs
@pytest.mark.slow
def test_the_memory_is_1_4_bytes_a_coordinate_and_the_result(tmp_path):
    """As docs/approximate.md states it for 1,000,000 rows; here rows of 12 directions, so that few steps are needed."""
    rng, n = np.random.default_rng(0), 600_000
    axes = rng.normal(size=(12, 384)).astype(np.float32)
    rows = np.lib.format.open_memmap(tmp_path / "rows.npy", "w+", np.float16, (n, 384))
    for first in range(0, n, 20_000):
        rows[first : first + 20_000] = rng.normal(size=(20_000, 12)).astype(np.float32) @ axes
    rows.flush()
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "benchmarks.memory_graph", str(tmp_path / "rows.npy"), "cosine", "10", "0.95"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout)
    assert "approximate" in measured["recall"] and measured["times_n_dim"] <= 1.4


def test_a_recall_that_no_pass_would_use_is_refused(tmp_path):
    rows = clustered(50)
    with pytest.raises(UsageError, match="recall: a reference is searched exactly, and no score of the rows among"):
        vicinal.score(rows, k=2, recall=0.9, reference=rows[:9])
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n' * 50)
    (tmp_path / "c.yaml").write_text(
        f"input_path: {tmp_path}/rows.jsonl\noutput_path: {tmp_path}/out\n"
        f"scorers:\n  - {{name: VendiScorer, embedding_path: {tmp_path}/rows.npy}}\n"
    )
    with pytest.raises(UsageError, match="recall: measures of the whole set are computed exactly"):
        vicinal.score(config=tmp_path / "c.yaml", recall=0.9)


def test_the_command_prints_the_recall(tmp_path, capsys):
    np.save(tmp_path / "rows.npy", clustered(60))
    rows, graph = str(tmp_path / "rows.npy"), str(tmp_path / "graph")
    main(["neighbors", rows, "-k", "3", "--recall", "0.9", "-o", graph, "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["recall"]["exact"] and "no approximate pass is cheaper here" in printed.err
    assert main(["neighbors", rows, "--recall", "2", "-o", str(tmp_path / "other")]) != 0
    assert "--recall: expected a number above 0 and at most 1" in capsys.readouterr().err


TAKES = {  # commands that take --recall, and those that take the folder of an approximate graph as --neighbors
    "neighbors": "recall",
    "score": "recall neighbors",
    "outliers": "recall neighbors",
    "select": "recall neighbors",
    "diagnose": "recall neighbors",
    "duplicates": "recall neighbors",
    "dedup": "recall neighbors",
    "curate": "recall neighbors",
    "choose-k": "neighbors",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_takes_a_recall_or_refuses_it_by_name(command, capsys):
    """What takes neighbours takes a recall or an approximate graph; an option that is not there is named."""
    _, parsers = parser((command,))
    taken = {one for action in parsers[command]._actions for one in action.option_strings}
    graphs = "--neighbors" in taken and command != "diversity"  # there it is a number
    wanted = TAKES.get(command, "").split()
    assert ("--recall" in taken, graphs) == ("recall" in wanted, "neighbors" in wanted)
    if "recall" not in wanted:
        words = {"index": ["index", "build"], "lm": ["lm", "build"]}.get(command, [command])
        assert main([*words, "--recall=0.9"]) == 2
        assert "unknown option --recall" in capsys.readouterr().err

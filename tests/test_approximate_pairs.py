"""Approximate pairs within a radius: their recall is what it says, clumps are whole, what is refused is named."""

import json

import numpy as np
import pytest

import vicinal
from vicinal.analysis import near_pairs
from vicinal.analysis.duplicates import greedy, linked
from vicinal.analysis.near_pairs import NearPairs
from vicinal.cli import main
from vicinal.errors import UsageError
from vicinal.knn import approximate
from vicinal.knn.approximate_pairs import ApproximatePairs
from vicinal.knn.kernels.native import has_graphs, isas
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall

pytestmark = pytest.mark.skipif(not has_graphs(), reason="the extension is not built")
N, DIM, RADIUS = 3000, 24, 0.5


def near_copies(n=N, clump=0, seed=0):
    """Rows of which half lie near one other, the first few equal to another; one clump of near copies."""
    rng = np.random.default_rng(seed)
    rows = 2 * rng.normal(size=(n, DIM))
    rows[: n // 4] = rows[n // 4 : n // 2] + 0.03 * rng.normal(size=(n // 4, DIM))
    rows[:50] = rows[n // 4 : n // 4 + 50]
    if clump:
        rows[-clump:] = rows[-1] + 0.01 * rng.normal(size=(clump, DIM))
    return rows[rng.permutation(n)].astype(np.float32)


@pytest.fixture(autouse=True)
def any_size(monkeypatch):
    """Graphs of few rows too; the sample is small, so that the cost of a row's search counts little."""
    monkeypatch.setattr(approximate, "FEWEST", 0)
    monkeypatch.setattr(approximate, "LEAF", 128)
    monkeypatch.setattr("vicinal.knn.approximate_pairs.EXACT_SHARE", 1e9)
    monkeypatch.setattr("vicinal.knn.approximate_pairs.SAMPLE", 400)
    monkeypatch.setattr("vicinal.knn.approximate_pairs.PAIRS_OF_ROW", 0)
    monkeypatch.setattr("vicinal.knn.approximate_pairs.PAIRS_OF_ENTRY", 1)


def pairs_of(pieces, m):
    """The numbers of all pairs, ascending."""
    return np.sort(np.concatenate([piece.source * m + piece.near for piece in pieces]))


def both(rows, metric="euclidean", radius=RADIUS, recall=0.95, **others):
    """The exact and the approximate pairs."""
    exact = NearPairs(rows, radius, find(metric), 2, **others)
    found = NearPairs(rows, radius, find(metric), 2, recall=recall, **others)
    return exact, pairs_of(exact.pieces(), len(rows)), found, pairs_of(found.pieces(), len(rows))


@pytest.mark.parametrize("clump", [0, 500])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_the_recall_of_pairs_is_what_it_says(metric, clump):
    rows, radius = near_copies(clump=clump), {"cosine": 0.002, "manhattan": 2.0}.get(metric, RADIUS)
    _, expected, found, pairs = both(rows, metric, radius)
    assert found.recall is not None and not found.recall.exact and found.recall.low >= 0.95
    assert found.recall.radius == radius and found.recall.sample >= 400
    assert np.isin(pairs, expected).all()
    share = len(pairs) / len(expected)
    assert found.recall.low <= share + 0.005 and share >= 0.95
    m = len(found.first)
    assert np.array_equal(pairs, np.sort(pairs % len(rows) * len(rows) + pairs // len(rows)))  # from both rows
    if clump:  # each pair of the clump is there
        assert len(pairs) > clump * (clump - 1) and len(found._found.open) >= clump
        counts = np.bincount(expected // len(rows), minlength=m) >= clump - 1
        assert np.array_equal(pairs[counts[pairs // len(rows)]], expected[counts[expected // len(rows)]])


def test_a_clump_that_codes_do_not_resolve_is_whole():
    """Its rows differ by less than a step of the codes, and only some of its pairs lie within the radius."""
    rng, radius, size = np.random.default_rng(3), 0.02, 100
    rows = 2 * rng.normal(size=(N, DIM))
    rows[: N // 4] = rows[N // 4 : N // 2] + 0.6 * radius / np.sqrt(DIM) * rng.normal(size=(N // 4, DIM))
    rows[-size:] = rows[-1] + 1.3 * radius / np.sqrt(2 * DIM) * rng.normal(size=(size, DIM))
    _, expected, found, pairs = both(rows.astype(np.float32), radius=radius, recall=0.9)
    assert found.recall is not None and not found.recall.exact and len(found._found.open) >= size
    clump = expected // N >= N - size
    assert 0.02 < clump.sum() / size**2 < 0.3 and np.isin(expected[clump], pairs).all()


def test_pairs_in_pieces_are_those_in_one_piece(monkeypatch):
    rows = near_copies(clump=500)
    _, _, found, pairs = both(rows)
    monkeypatch.setattr(near_pairs, "MOST_PAIRS", 40_000)
    parts = NearPairs(rows, RADIUS, find("euclidean"), 2, recall=0.95)
    pieces = list(parts.pieces())
    assert len(pieces) > 3 and parts.recall == found.recall
    again = pairs_of(pieces, len(rows))
    assert np.isin(again, pairs).all() and len(again) >= len(pairs) - 20
    stays = [greedy(NearPairs(rows, RADIUS, find("euclidean"), 2, recall=one)) for one in (None, 0.95)]
    assert (stays[0] == stays[1]).mean() > 0.95
    assert (linked(parts) == linked(NearPairs(rows, RADIUS, find("euclidean")))).mean() > 0.95


def test_each_removed_row_is_near_the_one_that_stays_and_pairs_that_are_known_are_not_both_kept():
    rows = near_copies(clump=300)
    found = NearPairs(rows, RADIUS, find("euclidean"), 2, recall=0.9)
    stays = greedy(found)
    gone = np.flatnonzero(stays != np.arange(N))
    assert (np.linalg.norm(rows[gone] - rows[stays[gone]], axis=1) <= RADIUS + 1e-6).all()
    (piece,) = found.pieces()
    kept = (stays == np.arange(N))[found.first]
    assert not (kept[piece.source] & kept[piece.near]).any()


def test_an_approximate_graph_lists_each_pair_from_both_rows():
    """Row 1 lacks row 0 in its list: 0 stays, and so 1 goes, and 2 is not near a row that stays."""
    line = np.array([[0.0], [1.0], [2.5], [9.0]], dtype=np.float32)
    recall = Recall(0.9, 0.85, 0.95, 4, 0, 0.8, 1)
    indices = np.array([[1, 2], [2, 3], [1, 3], [2, 1]])
    graph = Neighbors(indices, np.array([[1, 2.5], [1.5, 8], [1.5, 6.5], [6.5, 8]]), recall=recall)
    pairs = NearPairs(line, 1.6, find("euclidean"), graph=graph)
    assert greedy(pairs).tolist() == [0, 0, 2, 3] and pairs.recall == recall
    # Most lists end within 8, so that all pairs are searched and none is missing.
    pairs = NearPairs(line, 8, find("euclidean"), graph=graph)
    assert greedy(pairs).tolist() == [0, 0, 0, 3] and pairs.recall is None


def test_labels_keep_pairs_apart():
    rows, labels = near_copies(), np.arange(N) % 2
    _, expected, found, pairs = both(rows, labels=labels, recall=0.9)
    assert found.recall is not None and not found.recall.exact
    assert np.isin(pairs, expected).all() and 0.9 * len(expected) <= len(pairs)


def test_the_pairs_do_not_depend_on_threads_or_instruction_set(monkeypatch):
    rows = near_copies(2000)
    first = NearPairs(rows, RADIUS, find("euclidean"), 1, recall=0.9)
    (one,) = first.pieces()
    for threads, isa in [(2, ""), *((2, isa) for isa in isas())]:
        monkeypatch.setenv("VICINAL_ISA", isa)
        other = NearPairs(rows, RADIUS, find("euclidean"), threads, recall=0.9)
        (two,) = other.pieces()
        assert np.array_equal(one.near, two.near) and np.array_equal(one.distances, two.distances)
        assert first.recall is not None and first.recall == other.recall and not first.recall.exact


def test_too_few_pairs_and_dense_rows_are_left_to_the_exact_pass(monkeypatch):
    monkeypatch.setattr("vicinal.knn.approximate_pairs.EXACT_SHARE", 0.7)
    rng = np.random.default_rng(0)
    for rows, radius in ((rng.normal(size=(1500, DIM)), 0.1), (rng.normal(size=(800, 3)), 3.0)):
        _, expected, found, pairs = both(rows, radius=radius)
        assert found.recall is not None and found.recall.exact and np.array_equal(pairs, expected)
        assert str(found.recall) == "exact, recall 1: no approximate pass is cheaper here"


def test_the_sample_and_the_open_rows_report_their_progress(monkeypatch):
    """The sample has several rounds of several parts each."""
    seen: list[tuple[int, int]] = []
    rounds: list[list[tuple[int, int]]] = []
    rows, count = near_copies(clump=500), ApproximatePairs._counts

    def counted(self, asked, report):
        before = len(seen)
        found = count(self, asked, report)
        rounds.append(seen[before:])
        return found

    monkeypatch.setattr(ApproximatePairs, "_counts", counted)
    monkeypatch.setattr("vicinal.knn.approximate_pairs.SAMPLE", 200)
    pairs = NearPairs(rows, RADIUS, find("euclidean"), 2, recall=0.95, progress=lambda *done: seen.append(done))
    assert sum(len(piece.source) for piece in pairs.pieces())
    assert pairs._found is not None and len(pairs._found.open)
    assert len(rounds) > 1 and all(len(one) > 1 for one in rounds)
    m, first = len(pairs.first), [done for one in rounds for done, _ in one]
    assert all(total == m for one in rounds for _, total in one)
    assert first == sorted(set(first)) and first[-1] < m
    end = seen.index((m, m))  # the graph's; after it the open rows are searched
    assert [done for done, _ in seen[: end + 1]] == sorted(done for done, _ in seen[: end + 1])
    assert seen[-1] == (len(pairs._found.open),) * 2


def test_the_recall_of_pairs_is_the_lower_of_two_shares():
    # One row has 90 of 90 pairs, ten rows have 0 of 1 or 1 of 1: 95 of 100 pairs, but 6 of 11 rows' shares.
    hits, of = np.array([90, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]), np.array([90] + [1] * 10)
    found = Recall.of_pairs(hits, of, 0.5, 8, 0, 0.1)
    assert found.estimate == pytest.approx(6 / 11) and found.sample == 11
    # Wilson's interval of 6 of 11 independent trials, as published tables have it.
    assert (round(found.low, 3), round(found.high, 3)) == (0.28, 0.787)
    assert Recall.of_pairs(np.zeros(5), np.zeros(5), 0.5, 8, 0, 0.1).low == 0


def test_duplicates_and_dedup_say_the_recall(tmp_path, capsys):
    rows = near_copies(clump=400)
    np.save(tmp_path / "rows.npy", rows)
    exact, found = vicinal.duplicates(rows, RADIUS), vicinal.duplicates(rows, RADIUS, recall=0.95)
    assert exact.recall is None and "recall" not in exact.summary()
    assert found.recall is not None and found.summary()["recall"]["radius"] == RADIUS
    assert "approximate, recall of pairs within 0.5" in repr(found)
    assert abs(len(exact.removed) - len(found.removed)) < 0.05 * len(exact.removed)
    clean = vicinal.dedup(rows, RADIUS, recall=0.95)
    assert clean.recall == found.recall and clean.summary()["recall"]["low"] >= 0.95 and "approximate" in repr(clean)
    curve = vicinal.duplicates(rows, "auto", recall=0.9)
    assert curve.recall is not None and curve.summary()["recall"]["low"] >= 0.9 and "recall" in repr(curve)
    place = str(tmp_path / "rows.npy")
    assert main(["duplicates", place, "--radius", "0.5", "--recall", "0.95", "--json"]) == 0
    printed = capsys.readouterr()
    assert "approximate, recall of pairs within 0.5" in printed.err and '"low"' in printed.err
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"id": i, "text": str(i)}) + "\n" for i in range(N)))
    asked = ["dedup", str(data), "--embeddings", place, "--radius", "0.5", "--recall", "0.95"]
    assert main([*asked, "-o", str(tmp_path / "clean.jsonl")]) == 0
    assert "approximate, recall of pairs within 0.5" in capsys.readouterr().err


def test_radius_0_is_exact_and_says_that_no_recall_is_needed():
    found = vicinal.duplicates(near_copies(400), 0.0, recall=0.9)
    assert found.recall is not None and found.recall.exact
    assert str(found.recall) == "exact, recall 1: equal rows need no search, so no recall" and len(found.removed) == 50


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recall": 0}, "recall: expected a number above 0"),
        ({"recall": "much"}, "recall: expected a number above 0"),
        ({"recall": 0.9, "device": "cpu"}, "device: approximate passes run on the processor"),
        (
            {"recall": 0.9, "neighbors": Neighbors(np.array([[1], [0]]), np.ones((2, 1)))},
            "recall: an approximate pass is a new one",
        ),
    ],
    ids=["0", "text", "device", "neighbors"],
)
@pytest.mark.parametrize("function", [vicinal.duplicates, vicinal.dedup])
def test_what_a_recall_of_pairs_excludes(function, given, words):
    if "device" in given:
        pytest.importorskip("torch")
    with pytest.raises(UsageError, match=words):
        function([[0.0], [1.0]], 0.5, **given)


def test_a_cluster_takes_no_recall():
    """Whether Ray is installed or not: that is not the remedy."""
    rows = [[0.0], [1.0]]
    with pytest.raises(UsageError, match="recall: a cluster makes exact passes alone; leave recall out"):
        vicinal.duplicates(rows, 0.5, recall=0.9, engine="ray")
    for function in (vicinal.neighbors, vicinal.score):
        with pytest.raises(UsageError, match="recall: a cluster makes exact passes alone; leave recall out"):
            function(rows, k=1, recall=0.9, engine="ray")


def test_keep_all_takes_no_recall():
    with pytest.raises(UsageError, match="recall: keep all searches no pairs of rows"):
        vicinal.dedup([[0.0], [1.0]], 0.5, recall=0.9, keep="all", against=[[3.0]])

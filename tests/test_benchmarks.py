"""The benchmark's own arithmetic: extrapolated times, share of peak speed, and checks that detect wrong results."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ann, diversity, diversity_peers, gpu, graph_tables, learning
from benchmarks.checks import against_faiss, against_truth, truth, without_own
from benchmarks.measuring import extrapolated, roof_share

import vicinal

LINE = np.array([[0.0], [1.0], [3.0], [7.0]], dtype=np.float32)


def test_extrapolation_scales_the_search_time_and_not_the_fit_time() -> None:
    assert extrapolated(fit=2.0, ask=3.0, asked=10, n=100) == 32.0


def test_share_of_peak_speed_counts_each_pair_once() -> None:
    # 6 pairs of 10 multiply-adds in 1 s, on two cores that do 60 a second each.
    assert roof_share(n=4, dim=10, seconds=1.0, roof=60.0, threads=2) == 0.5


def test_own_row_is_removed_or_the_last_result_if_a_copy_displaced_it() -> None:
    found = np.array([[1, 0, 2], [0, 2, 3]])
    assert without_own(found, 2).tolist() == [[1, 2], [0, 2]]


def test_truth_on_a_line_by_hand() -> None:
    for metric in ("euclidean", "manhattan"):
        assert truth(LINE, LINE, np.arange(4), 2, metric).tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]


def test_checks_detect_a_wrong_row_and_a_nearer_one() -> None:
    right = np.array([[1, 2], [0, 2], [1, 0], [2, 1]])
    wrong = np.array([[1, 3], [0, 2], [1, 0], [2, 1]])
    assert against_truth(LINE, None, right, "euclidean")["exact"]
    assert against_truth(LINE, None, wrong, "euclidean")["rows_wrong"] == 1
    assert against_faiss(LINE, None, right, right, "euclidean")["recall"] == 1.0
    assert against_faiss(LINE, None, wrong, right, "euclidean")["closer_than_ours"] == 1
    assert against_faiss(LINE, None, right, wrong, "euclidean")["beyond_float32"] == 1


@pytest.mark.parametrize("page", graph_tables.PAGES)
def test_the_tables_of_graphs_are_made_from_the_results(page: str) -> None:
    text = (graph_tables.DOCS / page).read_text(encoding="utf-8")
    assert learning.written(text, graph_tables.tables()) == text, "run python -m benchmarks.graph_tables"


def test_queries_a_second_at_a_recall_lie_between_two_widths() -> None:
    points = [{"recall": 0.9, "queries_a_second": 400.0}, {"recall": 0.98, "queries_a_second": 100.0}]
    assert ann.at(points, 0.94) == pytest.approx(200)  # half way, of the logarithms
    assert ann.at(points, 0.85) == 400 and ann.at(points, 0.99) is None


@pytest.mark.parametrize("page", learning.DOCS, ids=lambda page: page.name)
def test_the_tables_of_learning_are_made_from_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    works = learning.results()["works"]
    made = learning.tables(works)
    assert set(re.findall("<!-- table: (.*?) -->", text)) <= set(made), "a table without results"
    assert learning.written(text, made) == text, "run python -m benchmarks.learning --tables"
    for rows in works.values():
        assert {row["seed"] for row in rows} == set(learning.SEEDS)


def test_the_tables_of_diversity_are_made_from_the_results() -> None:
    text = diversity.PAGE.read_text(encoding="utf-8")
    assert diversity.written(text) == text, "run python -m benchmarks.diversity --tables"
    assert diversity.reached() in (diversity.PAGE.parent / "benchmarks.md").read_text(encoding="utf-8")


def test_the_peers_of_diversity_compute_the_same() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    ours = vicinal.diversity(rows, by="novelsum,facility", subset=rows[:7])
    theirs = diversity_peers.NovelSum(rows, 1).sums(np.arange(60))
    assert theirs == {name: pytest.approx(ours["novelsum"][name], rel=1e-5) for name in theirs} and len(theirs) == 18
    found = diversity_peers.facility(rows, rows[:7].copy(), 1)
    assert found == pytest.approx(ours["facility"]["facility_location_score"], rel=1e-5)


def test_the_benchmark_of_a_gpu_runs_on_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = "gpu --device cpu --rows 300 600 --dims 16 --check-rows 200 -k 3 --minutes 2 -o"
    monkeypatch.setattr(sys, "argv", [*given.split(), str(tmp_path / "gpu.json")])
    assert gpu.main() == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [one["equal"] for one in found["check"]] == [True] * 6 and found["device"] == "cpu"
    assert [(one["n"], one["dim"]) for one in found["sizes"]] == [(300, 16), (600, 16)]
    assert all(one["vicinal"]["products_per_second"] > 0 for one in found["sizes"])


def test_the_benchmark_of_a_gpu_does_not_take_the_processors_result_for_the_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "argv", ["gpu", "--device", "cpu", "--check-rows", "50", "--dims", "8", "-o", str(tmp_path / "g")]
    )
    monkeypatch.setattr("vicinal.knn.kernels.torch.measure.probe", lambda device: "wrong")
    with pytest.raises(UserWarning, match="the device gave up"):
        gpu.main()

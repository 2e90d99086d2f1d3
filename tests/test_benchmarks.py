"""The benchmark's own arithmetic: extrapolated times, share of peak speed, and checks that detect wrong results."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import (
    ann,
    bench,
    diversity,
    diversity_peers,
    embedded,
    environment,
    faiss_settings,
    gpu,
    graph,
    graph_tables,
    learning,
    report,
)
from benchmarks.checks import against_faiss, against_truth, truth, without_own
from benchmarks.measuring import extrapolated, roof_share
from benchmarks.plots import exponent

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


def test_a_peer_of_the_graph_is_timed_at_the_least_width_that_reaches_the_recall() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
    exact = np.argsort(-(rows @ rows.T), axis=1, kind="stable")
    truth = np.array([[other for other in line if other != i][: graph.K] for i, line in enumerate(exact)])
    asked = []

    def search(width: int, some: np.ndarray) -> np.ndarray:
        asked.append((width, len(some)))
        found = np.argsort(-(some @ rows.T), axis=1, kind="stable")[:, : graph.K + 1]
        return found if width >= 32 else np.where(np.arange(graph.K + 1) < 5, found, -1)

    sample = np.arange(50)
    made = list(graph.searched(("peer, ef", 1.0, search), rows, sample, truth[sample]))
    assert [(row["who"], row["target"], row["recall"]) for row in made] == [
        ("peer, ef 32", t, 1.0) for t in graph.TARGETS
    ]
    assert asked == [(16, 50), (24, 50), (32, 50), (32, 80), (32, 80)] and all(row["seconds"] >= 1 for row in made)


def test_the_table_of_graphs_compares_more_rows_in_proportion() -> None:
    def row(who: str, n: int, seconds: float, **more: float) -> dict[str, object]:
        return {"who": who, "n": n, "seconds": seconds, "recall": 0.96, "target": 0.95, **more}

    rows = [row("vicinal, recall 0.95", n, n / 1e4) for n in (10_000, 40_000)]
    rows += [row("peer, ef 32", 10_000, 7.0), {"who": "exact peer", "absent": "no module"}]
    rows.append({"who": "vicinal, exact", "seconds": 3.0, "recall": 1.0, "n": 10_000})
    told = {"data": "texts", "metric": "cosine", "k": 10, "threads": 2, "load_average": 1.0, "at": "2026-01-02 03:04"}
    text = graph_tables.graph_table({**told, "cpu": "a cpu", "n": 10_000, "rows": rows})
    assert "| 0.95 | peer, ef 32 | 0.960 | 7 | 7.0 |" in text and "- exact peer: no module" in text
    assert "| 40,000 | 0.95 | 0.960 | 4 | 7.0 | 12.0 |" in text  # 7 x 4 / 4, and 3 x 4^2 / 4
    assert "grow with the power 1.00 of the number of rows; the fastest of the others at 10,000 rows is peer" in text


def test_the_benchmark_clears_the_variables_that_choose_kernels() -> None:
    code = "import os; from benchmarks import environment; print(environment.clear(), sorted(os.environ))"
    given = os.environ | {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512"}
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], env=given, cwd=root, capture_output=True, text=True, check=True)
    told, last = done.stdout.splitlines()
    assert told == "cleared for this run: OPENBLAS_CORETYPE=Haswell OPENBLAS_L2_SIZE=512"
    assert last.startswith("OPENBLAS_CORETYPE=Haswell OPENBLAS_L2_SIZE=512 [")
    assert "'OPENBLAS_CORETYPE'" not in last and "'OPENBLAS_L2_SIZE'" not in last


def test_the_libraries_of_faiss_and_numpy_are_told_with_their_kernels() -> None:
    found = {one["of"]: one for one in environment.libraries() if one["library"] == "openblas"}
    assert all(found[name]["kernel"] and found[name]["version"] for name in found)
    machine = environment.processor() | {"libraries": list(found.values()), "faiss_simd_level": "AVX2"}
    assert all(f"{name}: openblas" in environment.said(machine) for name in found)
    amd = {"cpu": "AMD EPYC", "family_model_stepping": ["25", "17", "1"]}
    assert environment.key(amd) == "amd-epyc-25-17-1"
    assert environment.key(amd, "avx2") == "amd-epyc-25-17-1-forced-avx2"


def test_the_settings_of_faiss_change_no_answer() -> None:
    import faiss

    rows = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    default, answers = faiss_settings.current(), []
    try:
        for settings in faiss_settings.candidates(20):
            faiss_settings.apply(settings)
            assert faiss_settings.current() == settings
            answers.append(faiss.knn(rows, rows, 20)[1])
        told = faiss_settings.best(lambda queries, k: faiss.knn(queries, rows, k), rows, 20)
        assert told["tried"] == len(answers) >= 10
        assert faiss_settings.current() == default | told["settings"]
    finally:
        faiss_settings.apply(default)
    assert all((np.sort(one) == np.sort(answers[0])).all() for one in answers)


def test_exponents_are_the_slopes_of_lines_in_logarithms() -> None:
    points = [{"n": n, "ours": 3e-9 * n**2, "theirs": 1e-6 * n**1.5} for n in (100, 1_000, 5_000)]
    assert exponent(points, "n", "ours") == pytest.approx(2) and exponent(points, "n", "theirs") == pytest.approx(1.5)


def test_the_headline_counts_no_extrapolated_ratio_and_names_what_was_forced() -> None:
    def record(work: str, rows: list[dict[str, object]]) -> dict[str, object]:
        shared = {
            "data": "A 60,000 x 384",
            "metric": "euclidean",
            "k": 5,
            "n": 60_000,
            "dim": 384,
            "at": "2026-01-02 03:04",
        }
        return shared | {"work": work, "rows": rows}

    mine: dict[str, object] = {"who": "vicinal", "isa": "avx512", "times_faiss": 12.0}
    faiss: dict[str, object] = {"who": "faiss.knn"}
    part = record("self-join", [mine | {"times_faiss": 99.0}, faiss | {"extrapolated_from_rows": 5}])
    isas = record("isas", [{"who": "vicinal, avx2", "times_faiss": 6.5}, faiss])
    machine = {"cpu": "C", "threads": 2, "flags": ["avx2", "avx512_vnni"]}
    made = report.headline({Path("c"): (machine, [record("self-join", [mine, faiss]), part, isas])})
    rest = "not measured | not measured | not measured | 2026-01-02 |"
    assert made.splitlines()[2:] == [
        f"| avx2 | C, 2 threads, avx2 forced | not recorded | 6.5 x | {rest}",
        f"| avx512 | C, 2 threads | not recorded | 12 x | {rest}",
    ]


def test_an_interrupted_benchmark_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    given = ["--data", f"{tmp_path}/a.npy", "--works", "self-join", "--k", "5", "--metrics", "euclidean", "--no-peers"]
    monkeypatch.setattr(sys, "argv", ["bench", *given, "--missing", "--threads", "1"])
    asked = bench.options()
    asked.roof = 1e9
    told = {"code": "a", "threads": 1, "int8_roof_a_core": {"avx2": 1e9}}
    for code, again in (("a", False), ("a", True), ("b", False)):
        assert bench.measure(asked, tmp_path, told | {"code": code}) == []
        assert ("measured already" in capsys.readouterr().out) == again
    path = tmp_path / "a-300-x-8.json"
    file = json.loads(path.read_text())
    assert len(file["records"]) == 1 and bench.stored(path, told) == []
    file["records"][0]["at"] = "2026-01-02 03:04"  # long ago
    path.write_text(json.dumps(file))
    assert bench.stored(path, told | {"code": "b"}) == []


def test_a_work_that_fails_is_named_and_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.eye(6, 4, dtype=np.float32))
    monkeypatch.setattr(sys, "argv", ["bench", "--data", f"{tmp_path}/a.npy", "--works", "memory", "one query"])
    monkeypatch.setattr(bench.measuring, "one_by_one", lambda data, ask: 1 / 0)
    monkeypatch.setattr(bench.measuring, "peak_memory", lambda *given: {"absent": "no room"})
    asked = bench.options()
    asked.roof, told = 1e9, {"code": "a", "threads": 1, "int8_roof_a_core": {}}
    failed = bench.measure(asked, tmp_path, told)
    assert failed == [f"a 6 x 4 one query {metric} 5" for metric in ("euclidean", "cosine", "manhattan")]
    assert [one["work"] for one in json.loads((tmp_path / "a-6-x-4.json").read_text())["records"]] == ["memory"]


def test_a_processor_with_nothing_but_growth_has_a_section_that_says_so(tmp_path: Path) -> None:
    points = [{"n": n, "dim": 4, "k": 5, "threads": 1, "vicinal": n / 1e6, "faiss.knn": n**2 / 1e6} for n in (10, 100)]
    shared = {"work": "growth", "data": "clusters", "metric": "euclidean", "k": 5, "at": "2026-01-02 03:04"}
    grown = {"machine": {"cpu": "C", "threads": 1, "system": "S"}, "data": {"name": "growth", "origin": "made"}}
    for name in ("one", "two", "empty"):
        (tmp_path / name).mkdir()
    for name in ("one", "two"):
        (tmp_path / name / "growth.json").write_text(
            json.dumps(grown | {"records": [shared | {"over": "n", "points": points}]})
        )
    loaded = report.processors(tmp_path)
    assert [path.name for path in loaded] == ["one", "two"]
    assert len(report.headline(loaded).splitlines()) == 2  # no ratio, no line
    made = {name: report.section(tmp_path / name, tmp_path, name == "one") for name in ("one", "two")}
    assert all(text.count("Not measured.") == 6 for text in made.values())
    row = "| n | dim = 4, k = 5, threads = 1 | 10 to 100 | 1.00 | 2.00 | 10 x to 100 x |"
    assert all(row in text for text in made.values())
    assert "benchmarks-n.svg" in made["one"] and "svg" not in made["two"]


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_the_headline_is_made_from_the_results(page: str) -> None:
    made = report.headline(report.processors(bench.RESULTS))
    assert made in (Path(__file__).parents[1] / page).read_text(encoding="utf-8"), "python -m benchmarks.bench --report"


def test_pooled_rows_are_means_and_maxima_of_the_tokens_that_are_no_padding() -> None:
    layers = [np.array([[[float(layer)], [2.0 * layer], [99.0]]], dtype=np.float32) for layer in range(1, 5)]
    made = embedded.pooled(layers, np.array([[True, True, False]]))
    means, highest = np.array([1.5, 3.0, 4.5, 6.0]), 8.0
    assert made[1536][0] == pytest.approx(means / np.linalg.norm(means))
    assert made[768][0] == pytest.approx(np.array([6.0, highest]) / 10.0)


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

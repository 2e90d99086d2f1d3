"""What follows a pass costs little: every score, every strategy of selection, and opening the page, beside the pass.

    python -m benchmarks.costs                                       the 5,000 glosses of examples/
    python -m benchmarks.costs --embeddings E.npy [E2.npy ...] --rows 100000
    python -m benchmarks.costs --strategies --embeddings E.npy E2.npy --rows 100000 --keep 10000
    python -m benchmarks.costs --page report.html                    opens it in headless Chromium, five times

Times of scores are the best of five, those of the pass the best of three, of strategies single. Seconds of the clock
grow with what else the machine does; those of the processor, of all threads together, hardly do: shares are of them.
"""

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import environment

import vicinal
from vicinal import Exact
from vicinal.analysis import score_table, scores, selection
from vicinal.analysis.duplicates import duplicate_groups
from vicinal.tasks.select import STRATEGIES

RESULTS = Path(__file__).parent / "results" / "selection-costs.json"
TARGETS = 1000
EXAMPLE = Path(__file__).parent.parent / "examples" / "wordnet" / "embeddings.npy"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DRAWN = "html[data-ready]"


def best(call: Callable[[], Any], times: int) -> tuple[float, float, Any]:
    """The shortest of several times, by the clock and by the processor, in seconds, and the last result."""
    clock, processor, found = [], [], None
    for _ in range(times):
        start, busy = time.perf_counter(), time.process_time()
        found = call()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return min(clock), min(processor), found


def arithmetic(vectors: np.ndarray, k: int) -> None:
    """The pass, and what is made of it."""
    clock, taken, graph = best(lambda: Exact("cosine").fit(vectors).neighbors(k), 3)
    print(f"{len(vectors):,} x {vectors.shape[1]}, k = {k}, cosine\n")
    print("| what | seconds | of the processor | of the pass, % |\n|---|---|---|---|")

    def line(name: str, clock: float, processor: float, _: Any = None) -> None:
        print(f"| {name} | {clock:.3f} | {processor:.3f} | {100 * processor / taken:.2f} |", flush=True)

    line("the pass", clock, taken)

    for score in score_table.SCORES:
        line(score.by, *best(lambda score=score: score.compute(graph, k), 5))  # type: ignore[misc]
    values = scores.mean_distance(graph, k)
    for name, form in score_table.FORMS.items():
        line(f"mean:{name}", *best(lambda form=form: form(values), 5))  # type: ignore[misc]
    line("duplicates within 0.02", *best(lambda: duplicate_groups(vectors, 0.02, "cosine"), 1))
    for share in (10, 2):
        keep = len(vectors) // share
        line(f"facility, keep {keep:,}", *best(lambda keep=keep: selection.facility_location(graph, keep), 1))  # type: ignore[misc]
        line(f"k-center, keep {keep:,}", *best(lambda keep=keep: selection.k_center(vectors, keep, "cosine"), 1))  # type: ignore[misc]


def strategies(vectors: np.ndarray, k: int, keep: int) -> dict[str, Any]:
    """Every strategy of `vicinal.select` once, its neighbour pass included, beside the pass."""
    n, dim = vectors.shape
    clock, taken, graph = best(lambda: Exact("cosine").fit(vectors).neighbors(k), 2)
    found: dict[str, Any] = {"n": n, "dim": dim, "k": k, "keep": keep, "pass": {"seconds": clock, "processor": taken}}
    found |= {"cores": os.cpu_count(), "load average": os.getloadavg()[0], "strategies": {}}
    print(f"{n:,} x {dim}, {keep:,} kept, cosine\n\n| strategy | seconds | of the processor |\n|---|---|---|")
    print(f"| the pass, k = {k} | {clock:.1f} | {taken:.1f} |", flush=True)
    values = scores.mean_distance(graph, k).astype(np.float64)
    target = vectors[:: max(1, n // TARGETS)]
    for strategy in STRATEGIES:
        needs = (strategy.needs, *strategy.requires)
        given = {"scores": values, "quality": values, "target": target}
        given = {name: value for name, value in given.items() if name in needs}

        def choose(name: str = strategy.name, given: dict[str, Any] = given) -> Any:
            return vicinal.select(vectors, keep=keep, strategy=name, metric="cosine", **given)  # type: ignore[arg-type]

        clock, taken, _ = best(choose, 1)
        found["strategies"][strategy.name] = {"seconds": clock, "processor": taken}
        print(f"| {strategy.name} | {clock:.1f} | {taken:.1f} |", flush=True)
    print(f"\nload average {found['load average']:.1f} before, {os.getloadavg()[0]:.1f} after")
    return found


def opening(page: Path) -> None:
    """How long the page takes until it is drawn and can be used."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        for _ in range(5):
            tab = browser.new_page(viewport={"width": 1400, "height": 900})
            start = time.perf_counter()
            tab.goto(page.absolute().as_uri())
            tab.wait_for_selector(DRAWN, state="attached")
            print(f"opened and drawn in {time.perf_counter() - start:.2f} s", flush=True)
            tab.close()
        browser.close()


def main() -> None:
    """Measures what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", nargs="+", default=[str(EXAMPLE)])
    parser.add_argument("--rows", type=int)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--page")
    parser.add_argument("--strategies", action="store_true")
    parser.add_argument("--keep", type=int, default=500)
    asked = parser.parse_args()
    if asked.page:
        opening(Path(asked.page))
        return
    vectors = np.concatenate([np.load(path) for path in asked.embeddings])[: asked.rows].astype(np.float32)
    if asked.strategies:
        RESULTS.write_text(json.dumps(strategies(vectors, asked.k, asked.keep), indent=1) + "\n", encoding="utf-8")
    else:
        arithmetic(vectors, asked.k)


if __name__ == "__main__":
    environment.clear()
    main()

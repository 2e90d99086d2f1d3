"""What follows a pass costs little: every score, every strategy of selection, and opening the page, beside the pass.

    python -m benchmarks.costs                                       the 5,000 glosses of examples/
    python -m benchmarks.costs --embeddings E.npy [E2.npy ...] --rows 100000
    python -m benchmarks.costs --page report.html                    opens it in headless Chromium, five times

Times of scores are the best of five, those of the pass the best of three, of strategies single. Seconds of the clock
grow with what else the machine does; those of the processor, of all threads together, hardly do: shares are of them.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import Exact
from vicinal.analysis import score_table, scores, selection
from vicinal.analysis.duplicates import duplicate_groups

EXAMPLE = Path(__file__).parent.parent / "examples" / "wordnet" / "embeddings.npy"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
DRAWN = "document.documentElement.dataset.ready && Bokeh.documents.every(one => one.is_idle)"


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


def opening(page: Path) -> None:
    """How long the page takes until it is drawn and can be used."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=found, args=FLAGS)
        for _ in range(5):
            tab = browser.new_page(viewport={"width": 1300, "height": 1000})
            start = time.perf_counter()
            tab.goto(page.absolute().as_uri())
            tab.wait_for_function(DRAWN)
            tab.wait_for_selector("#list .row")
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
    asked = parser.parse_args()
    if asked.page:
        opening(Path(asked.page))
    else:
        arithmetic(np.concatenate([np.load(path) for path in asked.embeddings])[: asked.rows], asked.k)


if __name__ == "__main__":
    main()

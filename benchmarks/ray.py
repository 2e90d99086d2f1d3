"""Exact passes on Ray against one process, on this machine: speed, memory, a lost node, overhead, the driver.

    python -m benchmarks.ray [--data ROWS.npy] [--rows 100000] [--driver-rows 1000000] [--repeats 3] [--only speed ...]

With all parts, or with --keep, the figures are stored in benchmarks/results/ray.json and put into docs/ray.md; it takes
about five minutes on two idle cores. Each pair of timings is taken one after the other in the same run, several times,
and the fastest of each are compared.
Nodes are Ray's own processes on this machine, with one core each.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import environment

from vicinal.distributed.plan import BYTES_OF_ENTRY, LARGEST_SKETCH, described, simulate
from vicinal.errors import need
from vicinal.knn import memory

K = 10
STORED = Path(__file__).parent / "results/ray.json"
PAGE = Path(__file__).parents[1] / "docs/ray.md"
MARK, END = "<!-- table: ray -->\n", "<!-- end -->"
PARTS = ("speed", "memory", "lost", "overhead", "driver", "simulation")
DRIVER = """
import sys
import threading
import time

import ray
from vicinal import distributed

peak = 0

def look():
    global peak
    while True:
        lines = open("/proc/self/status").read().splitlines()
        peak = max(peak, next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")))
        time.sleep(0.01)

ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
threading.Thread(target=look, daemon=True).start()
time.sleep(0.1)
idle = peak
found = distributed.neighbors(sys.argv[2], int(sys.argv[3]), "euclidean")
print(peak, idle, found.indices.nbytes + found.distances.nbytes)
"""


def rows_like(path: Path | None, n: int, dim: int) -> np.ndarray:
    """Rows of a file, drawn with a little noise; without one, clusters of unequal directions."""
    rng = np.random.default_rng(0)
    if path is not None:
        given = np.load(path, mmap_mode="r")
        rows = np.asarray(given[rng.integers(0, len(given), n)], dtype=np.float32)
        return rows + rng.normal(size=rows.shape).astype(np.float32) * rows.std() * np.float32(0.05)
    centres = rng.normal(size=(1000, dim))
    widths = 1 / np.sqrt(1 + np.arange(dim) / 8)
    rows = np.empty((n, dim), np.float32)
    for first in range(0, n, 65_536):
        part = rows[first : first + 65_536]
        part[:] = (centres[rng.integers(0, 1000, len(part))] + rng.normal(size=part.shape)) * widths
    return rows


@contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A cluster of so many one-core nodes, with this process connected."""
    ray = need("ray", extra="ray")
    utils = need("ray.cluster_utils", extra="ray")
    store = 128 << 20
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": store}
    cluster = utils.Cluster(initialize_head=True, head_node_args=head)
    cluster.workers = [cluster.add_node(num_cpus=1, object_store_memory=store) for _ in range(count)]
    ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds of a call, and its result."""
    begun = time.perf_counter()
    result = call()
    return time.perf_counter() - begun, result


def same(found: Any, expected: Any) -> bool:
    """Whether two results are equal to the bit."""
    return bool(
        np.array_equal(found.indices, expected.indices) and found.distances.tobytes() == expected.distances.tobytes()
    )


def one_process(file: Path, threads: int) -> Any:
    """The pass of one process, over the same file."""
    from vicinal.knn.exact import ExactSearch

    return ExactSearch.of(np.load(file, mmap_mode="r"), "euclidean", threads).neighbors(K)


def on_nodes(file: Path, **options: Any) -> Any:
    """The pass on the cluster."""
    from vicinal import distributed

    return distributed.neighbors(file, K, "euclidean", **options)


def speed(file: Path, repeats: int) -> dict[str, Any]:
    """Two one-core nodes against one process with two threads."""
    with nodes(2):
        on_nodes(file)  # starts the workers
        alone, joined, work, tasks, equal = [], [], [], [], True
        for _ in range(repeats):
            busy = time.process_time()
            seconds, expected = timed(lambda: one_process(file, 2))
            work.append(time.process_time() - busy)
            alone.append(seconds)
            busy = time.process_time()
            seconds, found = timed(lambda: on_nodes(file))
            joined.append(seconds)
            tasks.append(sum(one.processor for one in found.ran) + time.process_time() - busy)
            equal &= same(found, expected)
    return {
        "one process, two threads: s": round(min(alone), 2),
        "two one-core nodes: s": round(min(joined), 2),
        "speed (at least 0.85)": round(min(alone) / min(joined), 3),
        "median of pairs": round(float(np.median(np.array(alone) / np.array(joined))), 3),
        "one process: s of the processor": round(min(work), 2),
        "tiles and driver: s of the processor": round(min(tasks), 2),
        "speed by the processor": round(min(work) / min(tasks), 3),
        "tiles": len(found.ran),
        "same bits": equal,
    }


def lost(file: Path, repeats: int) -> dict[str, Any]:
    """Three nodes, one of which is killed in the middle, against the same run undisturbed."""
    expected = one_process(file, 2)
    calm, hit, equal = [], [], True
    for _ in range(repeats):
        with nodes(3) as cluster:
            on_nodes(file)
            seconds, found = timed(lambda: on_nodes(file))
            calm.append(seconds)
            equal &= same(found, expected)
            killed: list[str] = []

            def progress(done: int, total: int, killed: list[str] = killed, cluster: Any = cluster) -> None:
                if not killed and done > total // 2:
                    killed.append(cluster.workers[0].node_id)
                    cluster.remove_node(cluster.workers[0], allow_graceful=False)

            seconds, found = timed(functools.partial(on_nodes, file, progress=progress))
            hit.append(seconds)
            equal &= same(found, expected)
    again = sum(1 for one in found.ran if one.sent_to == killed[0] and one.ran_on != killed[0])
    return {
        "undisturbed: s": round(min(calm), 2),
        "a node killed in the middle: s": round(min(hit), 2),
        "times (at most 1.4)": round(min(hit) / min(calm), 3),
        "tiles that ran again": again,
        "same bits": equal,
    }


def overhead(file: Path, repeats: int) -> dict[str, Any]:
    """What the tasks cost besides their work: one node, so that nothing waits for another one."""
    shares = []
    with nodes(1):
        on_nodes(file, block_rows=50_000)
        for _ in range(repeats):
            seconds, found = timed(lambda: on_nodes(file, block_rows=50_000))
            shares.append(seconds / sum(one.seconds for one in found.ran) - 1)
    return {"besides the tiles (at most 5 %)": f"{min(shares):.1%}", "tiles": len(found.ran)}


class Watch:
    """The largest private memory of the processes that run tasks, while it is open."""

    def __init__(self) -> None:
        self.peaks: dict[int, int] = {}
        self._open = True
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._thread.join()

    def _look(self) -> None:
        while self._open:
            for process, used in private().items():
                self.peaks[process] = max(used, self.peaks.get(process, 0))
            time.sleep(0.02)


def private() -> dict[int, int]:
    """The private bytes of each process of Ray that runs tasks."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if not (folder / "cmdline").read_bytes().startswith(b"ray::"):
                continue
            status = (folder / "status").read_text()
        except OSError:
            continue
        found[int(folder.name)] = next(
            (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0
        )
    return found


def memory_of_nodes(file: Path, repeats: int) -> dict[str, Any]:
    """The memory that a node's task takes beyond an idle worker, against codes, sketches and lists of its block."""
    dim = np.load(file, mmap_mode="r").shape[1]
    small = file.with_name("small.npy")
    np.save(small, np.load(file, mmap_mode="r")[:2000])
    with nodes(2):
        on_nodes(small, block_rows=500)
        before = private()
        with Watch() as watch:
            plan = on_nodes(file).plan
    taken = max(peak - before.get(process, 0) for process, peak in watch.peaks.items() if process in before)
    lists = plan.block_rows * BYTES_OF_ENTRY * K
    codes, sketches = plan.block_rows * dim, plan.block_rows * min(dim // 2, LARGEST_SKETCH)
    return {
        "codes, sketches and lists of its rows": memory.as_text(codes + sketches + lists),
        "taken by a task": memory.as_text(taken),
        "times (at most 1.5)": round(taken / (codes + sketches + lists), 2),
        "times, sketches not counted": round(taken / (codes + lists), 2),
    }


def driver(folder: Path, n: int) -> dict[str, Any]:
    """The driver's memory: a process of its own that reads shards."""
    shards = folder / "shards"
    shards.mkdir()
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, 128)).astype(np.float32)
    for number in range(10):
        part = centres[rng.integers(0, 1000, n // 10)] + rng.normal(size=(n // 10, 128)).astype(np.float32) / 4
        np.save(shards / f"emb-{number}.npy", part)
    with nodes(2) as cluster:
        command = [sys.executable, "-c", DRIVER, cluster.address, str(shards), str(K)]
        seconds, output = timed(lambda: subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    peak, idle, result = (int(one) for one in output.split()[-3:])
    return {
        "rows": n,
        "embeddings": memory.as_text(n * 128 * 4),
        "result": memory.as_text(result),
        "private memory of the driver": memory.as_text(peak),
        "of that, Ray and Python at rest": memory.as_text(idle),
        "beyond the result (at most 200 MB)": f"{(peak - result) / 1e6:.0f} MB",
        "seconds": round(seconds, 1),
    }


def simulations() -> dict[str, Any]:
    """The plan alone, for sizes that are not here."""
    cases = ((10**7, 4), (10**8, 16), (10**8, 100), (10**9, 100), (10**10, 1000))
    return {f"{n:,} x 384 on {count:,} nodes": described(simulate(n, 384, count, K)) for n, count in cases}


def main() -> None:
    """Run the parts that are asked for and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--driver-rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="store the parts of --only beside those that are stored")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "rows.npy"
        np.save(file, rows_like(given.data, given.rows, given.dim))
        calls: dict[str, Callable[[], dict[str, Any]]] = {
            "speed": lambda: speed(file, given.repeats),
            "memory": lambda: memory_of_nodes(file, given.repeats),
            "lost": lambda: lost(file, given.repeats),
            "overhead": lambda: overhead(file, given.repeats),
            "driver": lambda: driver(folder, given.driver_rows),
            "simulation": simulations,
        }
        about = {
            "rows": given.rows,
            "dim": given.dim,
            "k": K,
            "data": "made" if given.data is None else given.data.name,
            "cores": os.cpu_count(),
            "processor": environment.processor()["cpu"],
            "ray": need("ray", extra="ray").__version__,
        }
        print(json.dumps(about))
        figures: dict[str, Any] = {}
        for part in given.only:
            figures[part] = calls[part]()
            print(json.dumps({part: figures[part]}, indent=1), flush=True)
    if given.keep or set(given.only) == set(PARTS):
        keep(about, figures)


def keep(about: dict[str, Any], figures: dict[str, Any]) -> None:
    """Store figures beside those of other parts, and put the table into the page."""
    before = json.loads(STORED.read_text()) if STORED.exists() else {}
    stored = {**before, "about": about, **figures}
    STORED.write_text(json.dumps(stored, indent=1) + "\n")
    page = PAGE.read_text()
    head, mark, rest = page.partition(MARK)
    if not mark:
        raise SystemExit(
            f"{PAGE}: has no line {MARK.strip()!r}; put the lines {MARK.strip()} and {END} where the table is"
        )
    PAGE.write_text(head + mark + table(stored) + rest[rest.index(END) :])


def table(stored: dict[str, Any]) -> str:
    """The Markdown table of what is stored, with the line above it."""
    about = stored["about"]
    lines = [
        f"{about['rows']:,} x {about['dim']} ({about['data']} rows), k = {about['k']}, {about['cores']} cores of "
        f"{about['processor']}, Ray {about['ray']}.",
        "",
        "| Part | Figure | Measured |",
        "|---|---|---|",
    ]
    for part in PARTS:
        if part != "simulation":
            lines += [f"| {part} | {name} | {value} |" for name, value in stored.get(part, {}).items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

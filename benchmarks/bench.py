"""How fast, beside whom, and how near the machine's roof: runs the benchmark and writes results and tables.

make bench                                    the sets of SETS, under half an hour on two cores; then benchmarks.readers
                                              and benchmarks.diversity; fills docs/benchmarks.md and README's table
make bench DATA="name=a.npy b.npy"            further vectors; name=a.npy+b.npy joins files of one dim
make bench ARGS="--quick"                     small samples, under two minutes
make bench ARGS="--isa avx2"                  an older instruction set of ours; its results are kept apart, named forced
python -m benchmarks.bench --report           makes docs/benchmarks.md, its plots and README's table from results alone

OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE and FAISS_SIMD_LEVEL are cleared first, which is printed; the BLAS that each peer
runs, its kernel and faiss's instruction set are printed and stored with the results.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ann, embedded, environment, graph, graph_tables, growth, measuring, peers, report, sets
from benchmarks.sets import Absent, DataSet

RESULTS = Path(__file__).parent / "results" / "kernel"
WORKS = ("self-join", "search", "one query", "memory", "isas", "growth", "graph", "ann")
METRICS = ("euclidean", "cosine", "manhattan")
SETS: dict[str, Callable[[bool], DataSet]] = {
    "mnist": lambda quick: sets.mnist(),
    "glove": lambda quick: sets.glove(),
    "noise": lambda quick: sets.noise(),
    "wordnet-768": lambda quick: embedded.wordnet(768, 500 if quick else embedded.ROWS),
    "wordnet-1536": lambda quick: embedded.wordnet(1536, 500 if quick else embedded.ROWS),
}
SMALL = (2_500, 10_000)
PART, CHEAP = 2_000, 3e12  # faiss's rows for manhattan, and for k = 100 where all rows need more products


def options() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="*", default=None, help=f"{', '.join(SETS)}, PATH.npy or NAME=PATH.npy[+PATH.npy]"
    )
    parser.add_argument("--more", nargs="*", default=[], help="further data beside the default ones")
    parser.add_argument("--metrics", nargs="*", default=METRICS, choices=METRICS)
    parser.add_argument("--works", nargs="*", default=WORKS, choices=WORKS)
    parser.add_argument("--k", nargs="*", type=int, default=[5, 100])
    parser.add_argument("--threads", type=int, default=peers.cores())
    parser.add_argument("--isa", default="", help="one instruction set; by default the best of this machine")
    parser.add_argument("--no-peers", action="store_true", help="faiss alone beside ours")
    parser.add_argument("--part", type=int, help="faiss is asked this many rows everywhere, and extrapolated")
    parser.add_argument("--fewer", type=int, default=1, help="the other peers are asked so many times fewer rows")
    parser.add_argument("--quick", action="store_true", help="small samples, k = 5")
    parser.add_argument("--full", action="store_true", help="all rows of GloVe, and faiss in full everywhere")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="measure nothing, make the tables and plots")
    return parser.parse_args()


def machine(threads: int, roofs: dict[str, float], cleared: str) -> dict[str, Any]:
    """What a figure depends on besides the code."""
    return {
        **environment.processor(),
        "cores": peers.cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "versions": peers.versions(),
        "libraries": environment.libraries(),
        "faiss_simd_level": environment.simd_level(),
        "cleared": cleared or "none of " + ", ".join(environment.CLEARED) + " was set",
        "int8_roof_a_core": roofs,
        "seed": sets.SEED,
    }


def chosen(asked: argparse.Namespace) -> Iterator[DataSet]:
    """The data sets, one after the other; one that cannot be had is named and passed over."""
    limits = {"mnist": 10_000, "glove": 20_000, "noise": 5_000} if asked.quick else {"glove": 100_000}
    for name in [*(SETS if asked.data is None else asked.data), *asked.more]:
        try:
            data = SETS[name](asked.quick) if name in SETS else sets.by_path(name)
        except (Absent, OSError, ValueError) as error:
            print(f"{name}: absent, {error}")
            continue
        whole = asked.full and not asked.quick
        yield data if whole else data.sample(limits.get(name, 10_000 if asked.quick else len(data.vectors)))


def small(data: DataSet, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Self-joins of 2,500 and 10,000 rows of a set, beside faiss."""
    for rows in SMALL:
        if "self-join" not in asked.works or rows >= len(data.vectors) or data.name.startswith("Gaussian"):
            continue
        part = data.sample(rows)
        for metric in ("euclidean", "cosine"):
            if metric in asked.metrics:
                ask = {"metric": metric, "k": min(asked.k), "threads": asked.threads, "isa": asked.isa}
                yield measuring.self_join(part, ask, None, (), asked.roof)


def measure(data: DataSet, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The records of one data set."""
    shrink = 10 if asked.quick else asked.fewer
    others = tuple(replace(peer, rows=(peer.rows or 1_000) // shrink) for peer in peers.OTHERS if not asked.no_peers)
    for metric in asked.metrics:
        for k in asked.k[:1] if asked.quick else asked.k:
            ask = {"metric": metric, "k": k, "threads": asked.threads, "isa": asked.isa}
            products = len(data.vectors) ** 2 * data.vectors.shape[1]
            whole = metric != "manhattan" and (k == min(asked.k) or products <= CHEAP)
            part = asked.part or (None if whole or asked.full else PART)
            if "self-join" in asked.works:
                yield measuring.self_join(data, ask, part, others if k == min(asked.k) else (), asked.roof)
            if "search" in asked.works:
                part = asked.part or (1_000 if metric == "manhattan" and not asked.full else None)
                yield measuring.search(data, ask, others[:-1] if k == min(asked.k) else (), part)
            if "one query" in asked.works and k == min(asked.k):
                yield measuring.one_by_one(data, ask)
        if "memory" in asked.works:
            record = measuring.peak_memory(data, metric, min(asked.k), asked.threads)
            yield {"work": "memory", "data": data.name, "metric": metric, "k": min(asked.k), **record}
    yield from small(data, asked)
    if "graph" in asked.works:
        yield graph.record(data.sample(20_000) if asked.quick else data, asked.threads)
    if "ann" in asked.works:
        yield ann.record(data.sample(5_000) if asked.quick else data, asked.threads)
    if "isas" in asked.works and data.vectors.shape[1] >= 384:
        yield growth.isas(data.sample(5_000 if asked.quick else 60_000), asked.threads)


def identity(record: dict[str, Any]) -> tuple[Any, ...]:
    """Which records a new one replaces."""
    return tuple(record.get(key) for key in ("work", "data", "metric", "k", "over"))


def keep(folder: Path, name: str, told: dict[str, Any], data: dict[str, Any], record: dict[str, Any]) -> None:
    """Writes the record into the data set's file, in the place of an older one of the same question."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    old = json.loads(path.read_text()) if path.exists() else {"records": []}
    record["at"] = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    record["int8_roof_a_core"] = told["int8_roof_a_core"]  # of this run: the machine's record is the last one's
    record["load_average"] = round(os.getloadavg()[0], 2)
    records = [one for one in old["records"] if identity(one) != identity(record)] + [record]
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps({"machine": told, "data": data, "records": records}, indent=1) + "\n")
    beside.replace(path)
    print(report.line(record), flush=True)


def main() -> None:
    """Measures what was asked, then makes the report."""
    cleared = environment.clear()
    asked = options()
    if asked.quick and asked.results == RESULTS:
        asked.results = Path("build/bench-quick")
    if not asked.report:
        asked.isa = asked.isa or os.environ.get("VICINAL_ISA", "")
        roofs = growth.roofs()
        asked.roof = roofs[asked.isa or next(iter(roofs))]
        told = machine(asked.threads, roofs, cleared)
        forced = asked.isa if asked.isa != next(iter(roofs)) else ""
        folder = asked.results / environment.key(told, forced)
        print(json.dumps(told), environment.said(told), sep="\n", flush=True)
        for data in chosen(asked):
            shown = {"name": data.name, "origin": data.origin, "dtype": "float32"}
            for record in measure(data, asked):
                graphs = record["work"] in graph_tables.WORKS and asked.results == RESULTS
                keep(graph_tables.RESULTS if graphs else folder, data.key, told, shown, record)
        if "growth" in asked.works and not forced:
            for record in growth.all_of(asked.quick):
                shown = {"name": "growth", "origin": f"clusters, numpy, seed {sets.SEED}"}
                keep(folder, "growth", told, shown, record)
    root = Path(__file__).parents[1]
    if asked.results == RESULTS:
        report.write(asked.results, root / "docs", root / "README.md")
        graph_tables.write()


if __name__ == "__main__":
    main()

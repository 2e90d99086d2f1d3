"""How fast, beside whom, and how near the machine's roof: runs the benchmark and writes results and tables.

make bench                                    the sets of SETS, under half an hour on two cores; then benchmarks.readers
                                              and benchmarks.diversity; fills docs/benchmarks.md and README's table
make bench DATA="name=a.npy b.npy"            further vectors; name=a.npy+b.npy joins files of one dim
make bench ARGS="--quick"                     small samples, under two minutes
make bench ARGS="--isa avx2"                  an older instruction set of ours; its results are kept apart, named forced
make bench ARGS="--missing"                   goes on after an interruption: what this state of the code measured in the
                                              last 24 hours is passed over
python -m benchmarks.bench --report           makes docs/benchmarks.md, its plots and README's table from results alone

OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE and FAISS_SIMD_LEVEL are cleared first, which is printed; the BLAS that each peer
runs, its kernel and faiss's instruction set are printed and stored with the results.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import ann, embedded, environment, graph, graph_tables, growth, measuring, peers, report, sets
from benchmarks.sets import Absent, DataSet

import vicinal

Record = dict[str, Any]
RESULTS = Path(__file__).parent / "results" / "kernel"
MINUTE = "%Y-%m-%d %H:%M"
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
PARTS = {"isas": 20_000, "manhattan": 20_000}  # rows, since they take long
MEASURES = ("bench", "checks", "faiss_settings", "growth", "measuring", "memory", "peers", "sets")
PART, CHEAP = 1_000, 3e12  # faiss's rows for manhattan, and for k = 100 where all rows need more products


def options() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", nargs="*", default=None, help=f"{', '.join(SETS)}, PATH.npy or NAME=PATH.npy[+PATH.npy]"
    )
    parser.add_argument("--more", nargs="*", default=[], help="further data beside the default ones")
    parser.add_argument("--metrics", nargs="*", default=METRICS, choices=METRICS)
    parser.add_argument(
        "--works",
        nargs="*",
        default=WORKS[:-2],
        choices=WORKS,
        help="by default all but graph and ann, which take long",
    )
    parser.add_argument("--k", nargs="*", type=int, default=[5, 100])
    parser.add_argument("--threads", type=int, default=peers.cores())
    parser.add_argument("--isa", default="", help="one instruction set; by default the best of this machine")
    parser.add_argument("--no-peers", action="store_true", help="faiss alone beside ours")
    parser.add_argument("--part", type=int, help="faiss is asked this many rows everywhere, and extrapolated")
    parser.add_argument("--fewer", type=int, default=1, help="the other peers are asked so many times fewer rows")
    parser.add_argument("--quick", action="store_true", help="small samples, k = 5")
    parser.add_argument("--full", action="store_true", help="all rows of GloVe, and faiss in full everywhere")
    parser.add_argument(
        "--missing", action="store_true", help="pass over what this state of the code measured in the last 24 hours"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true", help="measure nothing, make the tables and plots")
    return parser.parse_args()


def machine(threads: int, roofs: dict[str, float], cleared: str) -> Record:
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
        "code": code(),
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


@dataclass(frozen=True)
class Work:
    """One record to be measured: what it is found by, and how it is measured."""

    work: str
    data: DataSet
    metric: str
    k: int
    run: Callable[[], Record]

    def identity(self) -> tuple[Any, ...]:
        """As that of its record."""
        return identity({"work": self.work, "data": self.data.name, "metric": self.metric, "k": self.k})


def small(data: DataSet, asked: argparse.Namespace) -> Iterator[Work]:
    """Self-joins of 2,500 and 10,000 rows of a set, beside faiss."""
    for rows in SMALL:
        if "self-join" not in asked.works or rows >= len(data.vectors) or data.name.startswith("Gaussian"):
            continue
        part = data.sample(rows)
        for metric in (metric for metric in asked.metrics if metric != "manhattan"):
            for k in asked.k[:1] if asked.quick else asked.k:
                if k == min(asked.k) or metric == asked.metrics[0]:
                    ask = {"metric": metric, "k": k, "threads": asked.threads, "isa": asked.isa}
                    run = partial(measuring.self_join, part, ask, None, (), asked.roof)
                    yield Work("self-join", part, metric, k, run)


def in_memory(data: DataSet, metric: str, k: int, threads: int) -> Record:
    """The record of the peak of memory."""
    told = measuring.peak_memory(data, metric, k, threads)
    return {"work": "memory", "data": data.name, "metric": metric, "k": k, "threads": threads, **told}


def whole(data: DataSet, asked: argparse.Namespace, metric: str, k: int) -> Iterator[Work]:
    """All rows of a set, by one metric and k."""
    ask = {"metric": metric, "k": k, "threads": asked.threads, "isa": asked.isa}
    least, absolute = k == min(asked.k), metric == "manhattan"
    shrink = (10 if asked.quick else asked.fewer) * (5 if absolute else 1)
    others = tuple(replace(peer, rows=max(1, (peer.rows or 1_000) // shrink)) for peer in peers.OTHERS)
    others = others if least and not asked.no_peers else ()
    products = len(data.vectors) ** 2 * data.vectors.shape[1]
    part = None if asked.full or (not absolute and (least or products <= CHEAP)) else PART
    of_queries = None if asked.full or not absolute else PART
    runs = {
        "self-join": partial(measuring.self_join, data, ask, asked.part or part, others, asked.roof),
        "search": partial(measuring.search, data, ask, others[:-1], asked.part or of_queries),
    }
    if least:
        runs["one query"] = partial(measuring.one_by_one, data, ask)
        if metric == asked.metrics[0]:
            runs["memory"] = partial(in_memory, data, metric, k, asked.threads)
    for work, run in runs.items():
        if work in asked.works:
            yield Work(work, data, metric, k, run)


def works(data: DataSet, asked: argparse.Namespace) -> Iterator[Work]:
    """All works of one data set. But for --full, k beyond the least is asked by the first metric alone."""
    for metric in asked.metrics:
        part = data if asked.full or metric != "manhattan" else data.sample(PARTS["manhattan"])
        for k in asked.k[:1] if asked.quick else asked.k:
            if asked.full or k == min(asked.k) or metric == asked.metrics[0]:
                yield from whole(part, asked, metric, k)
    yield from small(data, asked)
    if "isas" in asked.works and data.vectors.shape[1] >= 384:
        part = data.sample(5_000 if asked.quick else PARTS["isas"])
        yield Work("isas", part, "euclidean", 5, partial(growth.isas, part, asked.threads))
    graphs: dict[str, tuple[int, Callable[[DataSet, int, bool], Record], int]] = {
        "graph": (20_000, graph.record, graph.K),
        "ann": (5_000, ann.record, ann.K),
    }
    for work, (few, record, k) in graphs.items():
        if work in asked.works:
            part = data.sample(few) if asked.quick else data
            yield Work(work, part, "cosine", k, partial(record, part, asked.threads, asked.quick))


def identity(record: Record) -> tuple[Any, ...]:
    """Which records a new one replaces."""
    return tuple(record.get(key) for key in ("work", "data", "metric", "k", "over"))


def code() -> str:
    """A name for this state of the kernel, what drives it and the benchmark: a hash of their files."""
    from vicinal.knn.kernels import native

    package = Path(vicinal.__file__).parent / "knn"
    kernel = getattr(native._native, "__file__", None)
    files = [*sorted(package.rglob("*.py")), *(Path(__file__).with_stem(name) for name in MEASURES)]
    read = hashlib.sha256()
    for path in [*files, *([Path(kernel)] if kernel else [])]:
        read.update(path.name.encode() + path.read_bytes())
    return read.hexdigest()[:12]


def stored(path: Path, told: Record) -> list[Record]:
    """The records of a file that this state of the code measured in the last 24 hours, with as many threads."""
    records = json.loads(path.read_text())["records"] if path.exists() else []
    same = {"code": told["code"], "threads": told["threads"]}
    since = time.strftime(MINUTE, time.gmtime(time.time() - 24 * 3600))
    return [one for one in records if one["at"] >= since and same.items() <= one.items()]


def keep(path: Path, told: Record, data: Record, record: Record) -> None:
    """Writes the record into the data set's file, in the place of an older one of the same question."""
    path.parent.mkdir(parents=True, exist_ok=True)
    old = json.loads(path.read_text()) if path.exists() else {"records": []}
    record["at"] = time.strftime(MINUTE, time.gmtime())
    record["int8_roof_a_core"] = told["int8_roof_a_core"]  # of this run: the machine's record is the last one's
    record["code"], record["threads"] = told["code"], told["threads"]
    record["load_average"] = round(os.getloadavg()[0], 2)
    records = [one for one in old["records"] if identity(one) != identity(record)] + [record]
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps({"machine": told, "data": data, "records": records}, indent=1) + "\n")
    beside.replace(path)
    print(report.line(record), f"[{record['took']:.1f} s]", flush=True)


def measure(asked: argparse.Namespace, folder: Path, told: Record) -> list[str]:
    """Measures the works of all data sets and keeps each record as it comes; gives what failed."""
    failed = []
    for data in chosen(asked):
        shown = {"name": data.name, "origin": data.origin, "dtype": "float32"}
        for work in works(data, asked):
            graphs = work.work in graph_tables.WORKS and asked.results == RESULTS
            path = (graph_tables.RESULTS if graphs else folder) / f"{data.key}.json"
            name = f"{work.data.name} {work.work} {work.metric} {work.k}"
            if asked.missing and work.identity() in map(identity, stored(path, told)):
                print(f"{name}: measured already", flush=True)
                continue
            start = time.perf_counter()
            try:
                record = work.run()
            except Exception:  # one peer's fault must not cost the other records
                traceback.print_exc()
                failed.append(name)
                continue
            keep(path, told, shown, record | {"took": round(time.perf_counter() - start, 1)})
    return failed


def grow(asked: argparse.Namespace, folder: Path, told: Record) -> None:
    """Measures how cost grows, and keeps each point as it comes."""
    path, shown = folder / "growth.json", {"name": "growth", "origin": f"clusters, numpy, seed {sets.SEED}"}
    for over, shapes in growth.points(asked.quick).items():
        before = [one for one in stored(path, told) if one["over"] == over] if asked.missing else []
        found, took = (before[0]["points"], before[0]["took"]) if before else ([], 0.0)
        for shape in shapes:
            if any(shape.items() <= point.items() for point in found):
                print(f"growth over {over}, {shape[over]:,}: measured already", flush=True)
                continue
            start = time.perf_counter()
            found = [*found, shape | growth.pair(shape)]
            took += time.perf_counter() - start
            record = {"work": "growth", "over": over, "data": "clusters", "metric": "euclidean", "k": growth.K}
            keep(path, told, shown, record | {"points": found, "took": round(took, 1)})


def run(asked: argparse.Namespace, cleared: str) -> list[str]:
    """Measures what was asked; gives what failed."""
    roofs = growth.roofs()
    asked.isa = asked.isa or os.environ.get("VICINAL_ISA", "")
    forced = asked.isa if asked.isa != next(iter(roofs)) else ""
    if asked.isa:
        os.environ["VICINAL_ISA"] = asked.isa  # also for what is measured in processes of their own
    if forced:
        asked.works = [work for work in asked.works if work not in ("isas", "growth", *graph_tables.WORKS)]
    asked.roof = roofs[asked.isa or next(iter(roofs))]
    told = machine(asked.threads, roofs, cleared)
    folder = asked.results / environment.key(told, forced)
    print(json.dumps(told), environment.said(told), sep="\n", flush=True)
    failed = measure(asked, folder, told)
    if "growth" in asked.works and not peers.FAISS_KNN.missing("euclidean"):
        grow(asked, folder, told)
    return failed


def main() -> None:
    """Measures what was asked, then makes the report."""
    cleared = environment.clear()
    asked = options()
    if asked.quick and asked.results == RESULTS:
        asked.results = Path("build/bench-quick")
    failed = []
    if not asked.report:
        start = time.perf_counter()
        try:
            failed = run(asked, cleared)
        except KeyboardInterrupt:
            sys.exit("interrupted; the same command with --missing goes on")
        print(f"measured in {(time.perf_counter() - start) / 60:.1f} minutes")
    root = Path(__file__).parents[1]
    if asked.results == RESULTS:
        report.write(asked.results, root / "docs", root / "README.md")
        graph_tables.write()
    if failed:
        sys.exit("failed, see above; --missing measures them alone: " + "; ".join(failed))


if __name__ == "__main__":
    main()

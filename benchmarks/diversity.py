"""Seconds and peak memory of each measure of diversity, each in a process of its own; two of them beside a peer.

    python -m benchmarks.diversity                        1,000,000 x 384, synthetic; the measures of the headline
    python -m benchmarks.diversity --all                  every measure, estimates and samples too
    python -m benchmarks.diversity --quick                20,000 rows; nothing is kept
    python -m benchmarks.diversity --embeddings E.npy     another set
    python -m benchmarks.diversity --tables               write the tables of docs/diversity.md from the results

Memory is the peak of resident memory beyond the float32 input. Processor seconds are those of all threads together.
`facility` has a subset of 10,000 rows (fewer of a small set) and stands beside faiss's IndexFlat with k = 1. `novelsum`
compares all pairs, takes 50,000 rows, and stands beside a NumPy formulation that computes as ODA-DataScorer does. That
is asked some of the rows, each against all, and its time extrapolated linearly.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import diversity_peers as peers
from benchmarks import environment
from benchmarks.report import table

RESULTS = Path(__file__).parent / "results" / "diversity"
PAGE = Path(__file__).parent.parent / "docs" / "diversity.md"
BEGIN, END = "<!-- tables: made by benchmarks/diversity.py -->", "<!-- end of tables -->"
HEADLINE: dict[str, dict[str, Any]] = {
    "radius": {"by": "radius"},
    "aps, cosine": {"by": "aps"},
    "vendi, cosine": {"by": "vendi"},
    "logdet": {"by": "logdet"},
    "inertia, 100 clusters": {"by": "inertia"},
    "entropy": {"by": "entropy"},
    "facility, euclidean": {"by": "facility"},
    "novelsum": {"by": "novelsum"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "aps, euclidean (1,000,000 pairs)": {"by": "aps", "similarity": "euclidean"},
    "aps, manhattan (1,000,000 pairs)": {"by": "aps", "similarity": "manhattan"},
    "vendi, dot_product": {"by": "vendi", "similarity": "dot_product"},
    "vendi, pearson": {"by": "vendi", "similarity": "pearson"},
    "vendi, euclidean (estimate)": {"by": "vendi", "similarity": "euclidean"},
    "vendi, manhattan (estimate)": {"by": "vendi", "similarity": "manhattan"},
}
CASES = HEADLINE | OTHERS
SUBSET, MOST_NOVEL, ASKED, CHECKED = 10_000, 50_000, 200, 1000
GOALS = {"radius": 10, "aps, cosine": 10, "vendi, cosine": 10, "logdet": 10}  # seconds, with 1 GB, of 1,000,000 x 384
TIMES = {"facility, euclidean": 5, "novelsum": 20}  # the peer's seconds over ours, at least


def vectors_of(source: str, rows: int, dim: int) -> np.ndarray:
    """The rows of a file as float32, or synthetic ones: 200 clusters of normal vectors."""
    if source:
        return np.ascontiguousarray(np.load(source)[:rows], dtype=np.float32)
    random = np.random.default_rng(0)
    centres = random.normal(size=(200, dim)).astype(np.float32)
    found = random.standard_normal((rows, dim), dtype=np.float32)
    found *= 0.5
    for start in range(0, rows, 10_000):
        found[start : start + 10_000] += centres[random.integers(200, size=min(10_000, rows - start))]
    return found


def resident(name: str) -> int:
    """A line of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


def timed(call: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds by the clock and by the processor, and the result."""
    start, busy = time.perf_counter(), time.process_time()
    found = call()
    return {"seconds": time.perf_counter() - start, "processor": time.process_time() - busy}, found


def measured(case: str, source: str, rows: int, dim: int) -> dict[str, Any]:
    """One measure in this process: seconds, peak bytes beyond the input, the answer, and its peer."""
    import vicinal

    given = dict(CASES[case])
    vectors = vectors_of(source, min(rows, MOST_NOVEL) if given["by"] == "novelsum" else rows, dim)
    vicinal.diversity(vectors[:5000], by="radius,aps,vendi,logdet")  # loads and starts what is needed
    n = len(vectors)
    if given["by"] == "facility":
        given["subset"] = vectors[:: max(1, n // min(SUBSET, n // 10))][:SUBSET].copy()
    if given["by"] in ("inertia", "entropy"):
        given["clusters"] = (np.arange(n) % 100).tolist()
    if given["by"] == "inertia":
        given["centroids"] = vectors[:100].copy()
    if given["by"] == "entropy":
        given["num_clusters"] = 100
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    before = resident("VmRSS")
    taken, found = timed(lambda: dict(vicinal.diversity(vectors, **given)[given["by"]]))
    record: dict[str, Any] = {"n": n, "dim": vectors.shape[1], **taken, "mib": (resident("VmHWM") - before) / 1024}
    record["answer"] = {name: value for name, value in found.items() if not isinstance(value, dict)}
    if given["by"] == "facility":
        record |= beside_faiss(vectors, given["subset"], record["answer"]["facility_location_score"])
        again, _ = timed(lambda: vicinal.diversity(vectors, **given))  # ours before and after: the load may change
        record |= {name: min(taken[name], again[name]) for name in taken}
    if given["by"] == "novelsum":
        record |= beside_numpy(vectors)
        again, _ = timed(lambda: vicinal.diversity(vectors, **given))
        record |= {name: min(taken[name], again[name]) for name in taken}
    return record


def beside_faiss(vectors: np.ndarray, subset: np.ndarray, ours: float) -> dict[str, Any]:
    """The same sum by faiss."""
    taken, theirs = timed(lambda: peers.facility(vectors, subset, os.cpu_count() or 1))
    apart = abs(theirs / ours - 1)
    peer = {"who": "faiss IndexFlat, k = 1", **taken, "relative difference": apart}
    return {"subset": len(subset), "peer": peer, "libraries": peers.libraries()}


def beside_numpy(vectors: np.ndarray) -> dict[str, Any]:
    """NovelSum step by step: some rows of all, and a small set in full, whose answers ours must have."""
    import vicinal

    n, few = len(vectors), vectors[:CHECKED]
    ours = vicinal.diversity(few, by="novelsum")["novelsum"]
    theirs = peers.NovelSum(few, os.cpu_count() or 1).sums(np.arange(len(few)))
    apart = max(abs(value / ours[name] - 1) for name, value in theirs.items())
    start, peer = timed(lambda: peers.NovelSum(vectors, os.cpu_count() or 1))
    rows = np.sort(np.random.default_rng(1).choice(n, min(ASKED, n), replace=False))
    taken, _ = timed(lambda: peer.sums(rows))
    whole = {name: start[name] + taken[name] * n / len(rows) for name in taken}
    who = {"who": "NumPy, as ODA-DataScorer", **whole, "extrapolated_from_rows": len(rows)}
    return {"peer": {**who, "relative difference": apart}, "libraries": peers.libraries()}


def about(given: argparse.Namespace) -> dict[str, Any]:
    """What a figure depends on besides the code."""
    versions = {name: metadata.version(name) for name in ("numpy", "scipy", "faiss-cpu")}
    synthetic = "synthetic, 200 clusters of normal vectors, seed 0"
    data = Path(given.embeddings).stem.replace("-", " ") if given.embeddings else synthetic
    return {"data": data, "cpu": peers.processor(), "cores": os.cpu_count(), **versions}


def run(case: str, given: argparse.Namespace) -> dict[str, Any]:
    """The record of one case, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.diversity", "--case", case, "--rows", str(given.rows)]
    command += ["--dim", str(given.dim), "--embeddings", given.embeddings]
    load = os.getloadavg()[0]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    record["load_average"] = [round(load, 1), round(os.getloadavg()[0], 1)]
    print("| " + " | ".join(cells(case, record)) + " |", flush=True)
    return record


def cells(case: str, record: dict[str, Any]) -> list[str]:
    """A measure as cells of a table."""
    peer, beside = record.get("peer"), ""
    if peer:
        star = "*" if "extrapolated_from_rows" in peer else ""
        times = peer["processor"] / record["processor"]
        beside = (
            f"{peer['who']}: {peer['seconds']:,.1f} s{star}, processor {peer['processor']:,.0f} s{star} ({times:.1f} x)"
        )
    size = f"{record['n']:,} x {record['dim']}" + (f", subset of {record['subset']:,}" if "subset" in record else "")
    load = " to ".join(map(str, dict.fromkeys(record["load_average"])))
    return [case, size, f"{record['seconds']:.2f}", f"{record['processor']:.1f}", f"{record['mib']:,.0f}", beside, load]


HEAD = ["measure", "rows", "seconds", "processor seconds", "MiB", "beside", "load average"]


def tables() -> str:
    """What is in the results, as Markdown."""
    parts = []
    for path in sorted(RESULTS.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        told = found["about"]
        versions = ", ".join(f"{name} {told[name]}" for name in ("numpy", "scipy", "faiss-cpu"))
        parts.append(f"{told['data'][0].upper()}{told['data'][1:]}; {told['cpu']}, {told['cores']} cores; {versions}:")
        parts.append(table(HEAD, [cells(case, record) for case, record in found["records"].items()]).rstrip())
        for record in found["records"].values():
            if "libraries" in record:
                parts.append(_libraries(record["libraries"]))
                break
    return "\n\n".join(parts)


def _libraries(told: dict[str, Any]) -> str:
    blas = "; ".join(f"{owner}'s BLAS: {kernel}" for owner, kernel in told["blas"].items())
    return f"Instruction sets: vicinal {told['vicinal']}, faiss {told['faiss']}. {blas}."


def reached() -> str:
    """The table "to reach / measured" of docs/benchmarks.md."""
    path = RESULTS / "synthetic-1000000-x-384.json"
    records = json.loads(path.read_text(encoding="utf-8"))["records"] if path.is_file() else {}
    rows = []
    for case, most in GOALS.items():
        if case in records:
            one = records[case]
            verdict = "yes" if one["seconds"] < most and one["mib"] < 954 else "no"
            shown = f"{one['seconds']:.2f} s, {one['mib']:,.0f} MiB"
            rows.append([f"{case}, {one['n']:,} x {one['dim']}", f"below {most} s and 1 GB", shown, verdict])
    for case, least in TIMES.items():
        if case in records:
            one = records[case]
            by_clock, by_processor = (one["peer"][name] / one[name] for name in ("seconds", "processor"))
            verdict = "yes" if by_processor >= least else "in part" if by_clock >= least else "no"
            shown = f"{by_processor:.1f} x by the processor, {by_clock:.1f} x by the clock"
            name = f"{case}, {one['n']:,} x {one['dim']}, beside {one['peer']['who']}"
            rows.append([name, f"at least {least} x", shown, verdict])
    return table(["work", "to reach", "measured", "reached"], rows) if rows else "Not measured.\n"


def written(text: str) -> str:
    """The page with its tables made anew."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


def options() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", default="")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--only", default="", help="some measures by their short names, with commas between them")
    parser.add_argument("--all", action="store_true", help="every measure")
    parser.add_argument("--quick", action="store_true", help="20,000 rows; nothing is kept")
    parser.add_argument("--case", default="", help="one case, in this process")
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables")
    given = parser.parse_args()
    given.rows = given.rows or (20_000 if given.quick else 1_000_000)
    return given


def main() -> None:
    """Measure, keep the records and write the tables."""
    given = options()
    if given.case:
        print(json.dumps(measured(given.case, given.embeddings, given.rows, given.dim)))
        return
    if not given.tables:
        name = Path(given.embeddings).stem if given.embeddings else f"synthetic-{given.rows}-x-{given.dim}"
        path = RESULTS / f"{name}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"records": {}}
        for case in CASES if given.all else HEADLINE:
            if given.only and CASES[case]["by"] not in given.only.split(","):
                continue
            found["records"][case] = run(case, given)
            if not given.quick:
                found["about"] = about(given)
                RESULTS.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not given.quick:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    environment.clear()
    main()

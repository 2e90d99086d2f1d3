"""Seconds and peak memory of each measure of diversity, each in a process of its own.

    python -m benchmarks.diversity                        1,000,000 x 64, synthetic
    python -m benchmarks.diversity --embeddings E.npy
    python -m benchmarks.diversity --rows 1000000 --dim 384 --only radius,aps,vendi,logdet,facility

Memory is the peak of resident memory beyond the float32 input. NovelSum compares all pairs and is measured up to
100,000 rows. `facility` takes every hundredth row as the subset, and stands beside `faiss.knn` with k = 1.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CASES: dict[str, dict[str, Any]] = {
    "radius": {"by": "radius"},
    "aps, cosine": {"by": "aps"},
    "aps, euclidean (1,000,000 pairs)": {"by": "aps", "similarity": "euclidean"},
    "aps, manhattan (1,000,000 pairs)": {"by": "aps", "similarity": "manhattan"},
    "vendi, cosine": {"by": "vendi"},
    "vendi, dot_product": {"by": "vendi", "similarity": "dot_product"},
    "vendi, pearson": {"by": "vendi", "similarity": "pearson"},
    "vendi, euclidean (estimate)": {"by": "vendi", "similarity": "euclidean"},
    "vendi, manhattan (estimate)": {"by": "vendi", "similarity": "manhattan"},
    "logdet": {"by": "logdet"},
    "inertia, 100 clusters": {"by": "inertia"},
    "entropy": {"by": "entropy"},
    "facility, euclidean": {"by": "facility"},
    "novelsum": {"by": "novelsum"},
}
MOST_NOVEL = 100_000


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


def measured(case: str, source: str, rows: int, dim: int) -> dict[str, Any]:
    """One measure in this process: seconds, peak bytes beyond the input, and the answer."""
    import vicinal

    vectors = vectors_of(source, rows, dim)
    vicinal.diversity(vectors[:5000], by="radius,aps,vendi,logdet")  # loads and starts what is needed
    given, n = dict(CASES[case]), len(vectors)
    if given["by"] == "facility":
        given["subset"] = vectors[::100].copy()
    if given["by"] in ("inertia", "entropy"):
        given["clusters"] = (np.arange(n) % 100).tolist()
    if given["by"] == "inertia":
        given["centroids"] = vectors[:100].copy()
    if given["by"] == "entropy":
        given["num_clusters"] = 100
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is counted from here
    before = resident("VmRSS")
    start = time.perf_counter()
    answer = dict(vicinal.diversity(vectors, **given)[given["by"]])
    seconds = time.perf_counter() - start
    peak = resident("VmHWM") - before
    record: dict[str, Any] = {"seconds": seconds, "mib": peak / 1024}
    record["answer"] = {name: value for name, value in answer.items() if not isinstance(value, dict)}
    if given["by"] == "facility":
        import faiss

        start = time.perf_counter()
        faiss.knn(vectors, given["subset"], 1)
        record["faiss"] = time.perf_counter() - start
    return record


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", default="")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--only", default="")
    parser.add_argument("--case", default="")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measured(given.case, given.embeddings, given.rows, given.dim)))
        return
    wanted = [case for case in CASES if not given.only or CASES[case]["by"] in given.only.split(",")]
    records = {}
    for case in wanted:
        if case == "novelsum" and given.rows > MOST_NOVEL and not given.embeddings:
            continue
        command = [sys.executable, "-m", "benchmarks.diversity", "--case", case, "--rows", str(given.rows)]
        command += ["--dim", str(given.dim), "--embeddings", given.embeddings]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        records[case] = json.loads(done.stdout.splitlines()[-1])
        one = records[case]
        beside = f", faiss {one['faiss']:.1f} s" if "faiss" in one else ""
        print(f"| {case} | {one['seconds']:.2f}{beside} | {one['mib']:,.0f} |", flush=True)
    if given.out is not None:
        given.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

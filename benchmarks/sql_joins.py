"""JOIN NEAREST against DuckDB's cross join with a window, in one run: python -m benchmarks.sql_joins.

Rows are random normal vectors of 384 elements, k is 10. Both sides run on one database with the same settings; the peer
ranks `array_cosine_distance` over columns FLOAT[384]. Then the join alone on many more rows, in a process of its own,
whose peak memory is printed with that of the process before the join. Seconds of the clock and of the processor.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow

import vicinal.sql
from vicinal.sql.types import STRING, Type
from vicinal.sql.vectors import binary

DIM, K, BATCH = 384, 10, 20_000
JOIN = f"""SELECT a.id AS a, b.id AS b, Knn::CosineDistance(a.e, b.e) AS d
FROM A AS a JOIN NEAREST {K} B AS b BY Knn::CosineDistance(a.e, b.e)"""
PEER = f"""SELECT a, b, d FROM (SELECT x.id AS a, y.id AS b, array_cosine_distance(x.v, y.v) AS d,
    row_number() OVER (PARTITION BY x.id ORDER BY array_cosine_distance(x.v, y.v), y.id) AS place FROM pa AS x, pb AS y)
WHERE place <= {K}"""


def vectors(start: int, n: int) -> np.ndarray:
    """Rows from a number on."""
    return np.random.default_rng(start).normal(size=(n, DIM)).astype(np.float32)


def batches(rows: int, seed: int) -> Iterator[Any]:
    """Rows as Arrow tables."""
    for start in range(0, rows, BATCH):
        n = min(BATCH, rows - start)
        ids = np.arange(start, start + n, dtype=np.uint64)
        yield pyarrow.table({"id": ids, "e": binary.binary_array(binary.to_binaries(vectors(seed + start, n)))})


def filled(path: Path, rows: int) -> Any:
    """A database with two tables of that many rows."""
    database = vicinal.sql.connect(path, threads=2)
    for name, seed in (("A", 0), ("B", 10**6)):
        database.load(name, {"id": Type("Uint64"), "e": STRING}, "id", batches(rows, seed), rows)
    return database


def timed(act: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a call gives, and its seconds."""
    start, busy = time.perf_counter(), time.process_time()
    found = act()
    return found, {"clock, s": time.perf_counter() - start, "processor, s": time.process_time() - busy}


def against_duckdb(folder: Path, rows: int) -> dict[str, Any]:
    """Both sides on one database; their answers are compared."""
    with filled(folder / "both.db", rows) as database:
        inner, starts = database._connection.duck, range(0, rows, BATCH)
        for name, seed in (("pa", 0), ("pb", 10**6)):
            inner.execute(f"CREATE TABLE {name} (id UBIGINT, v FLOAT[{DIM}])").fetchall()
            floats = pyarrow.array(np.concatenate([vectors(seed + at, min(BATCH, rows - at)) for at in starts]).ravel())
            ids = np.arange(rows, dtype=np.uint64)
            inner.register("part", pyarrow.table({"id": ids, "v": pyarrow.FixedSizeListArray.from_arrays(floats, DIM)}))
            inner.execute(f"INSERT INTO {name} SELECT * FROM part").fetchall()
            inner.unregister("part")
        timed(lambda: database.execute(JOIN))  # warms up
        ours, own = timed(lambda: sorted((a, b) for a, b, _ in database.execute(JOIN)))
        theirs, peer = timed(lambda: sorted((a, b) for a, b, _ in inner.execute(PEER).fetchall()))
    same = len(set(ours) & set(theirs)) / len(ours)
    assert same > 0.9999, f"the answers differ: {same}"
    faster = {f"times faster, {name}": peer[name] / own[name] for name in own}
    return {"rows of each table": rows, "ours": own, "DuckDB": peer, **faster}


def peak_memory() -> float:
    """Megabytes of this program at its most; ru_maxrss would count its parent's, from which it was forked."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) / 1e3


def alone(path: Path, rows: int) -> dict[str, Any]:
    """The join of many rows in a file, and the peak memory of its process."""
    with vicinal.sql.connect(path, read_only=True, threads=2) as database:
        before = peak_memory()
        found, seconds = timed(lambda: len(database.execute(JOIN)))
        peak = peak_memory()
    assert found == rows * K
    return {"rows of each table": rows, **seconds, "peak memory, MB": peak, "before the join, MB": before}


def main() -> None:
    """Measures, writes the results, and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--alone", type=Path, help="the join of the --many rows of a file, in this process")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sql" / "joins.json")
    asked = parser.parse_args()
    if asked.alone:
        print(json.dumps(alone(asked.alone, asked.many)))
        return
    with tempfile.TemporaryDirectory() as name:
        results: dict[str, Any] = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "duckdb": duckdb.__version__},
            "against DuckDB": against_duckdb(Path(name), asked.rows),
        }
        path = Path(name) / "many.db"
        filled(path, asked.many).close()
        command = [sys.executable, "-m", "benchmarks.sql_joins", "--alone", str(path), "--many", str(asked.many)]
        results["alone"] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

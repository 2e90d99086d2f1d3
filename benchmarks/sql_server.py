"""A served database through YDB's SDK against the same statements in process: python -m benchmarks.sql_server.

The rows are random normal vectors of 384 elements as Float byte strings. The server is a process of its own; the
in-process side opens a copy of its file with the same settings. Calls alternate in blocks, and the least total of each
side is printed.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import ydb

import vicinal.sql
from vicinal.sql.vectors import binary

DIM, BATCH = 384, 10_000
POINT = "DECLARE $i AS Uint64; SELECT id, g FROM Facts WHERE id = $i"
NEAREST = "DECLARE $q AS String; SELECT id FROM Facts ORDER BY Knn::CosineDistance(embedding, $q) LIMIT 10"


def rows_of(start: int, n: int) -> list[dict[str, Any]]:
    """Rows as the SDK takes them."""
    vectors = np.random.default_rng(start).normal(size=(n, DIM)).astype(np.float32)
    return [
        {"id": start + place, "g": place % 100, "embedding": one.tobytes()}
        for place, one in enumerate(binary.to_binaries(vectors))
    ]


def started(path: Path) -> tuple[Any, int]:
    """A server in a process of its own, and its port."""
    command = [sys.executable, "-m", "vicinal", "sql", "serve", str(path), "--port", "0"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    return running, int(running.stderr.readline().split("localhost:")[1].split("/")[0])


def upserted(driver: Any, rows: int, server: Any) -> dict[str, float]:
    """Megabytes of vectors a second into a table from two threads, and of the SDK alone that makes the messages."""
    kinds = (
        ydb.BulkUpsertColumns()
        .add_column("id", ydb.PrimitiveType.Uint64)
        .add_column("g", ydb.PrimitiveType.Int32)
        .add_column("embedding", ydb.PrimitiveType.String)
    )
    batches = [rows_of(start, min(BATCH, rows - start)) for start in range(0, rows, BATCH)]
    size = rows * DIM * 4 / 1e6
    before, processor = time.perf_counter(), busy(server)
    with futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda batch: driver.table_client.bulk_upsert("/local/Facts", batch, kinds), batches))
    seconds, spent = time.perf_counter() - before, busy(server) - processor
    before = time.perf_counter()
    for batch in batches:
        ydb.convert.to_typed_value_from_native(ydb.ListType(_item()).proto, batch)
    return {
        "MB/s": size / seconds,
        "MB for each second of a processor": size / spent,
        "MB/s of the SDK's making of messages": size / (time.perf_counter() - before),
    }


def _item() -> Any:
    kind = ydb.StructType().add_member("id", ydb.PrimitiveType.Uint64).add_member("g", ydb.PrimitiveType.Int32)
    return kind.add_member("embedding", ydb.PrimitiveType.String)


def busy(server: Any) -> float:
    """Seconds that the processor has spent on this process and on the server."""
    fields = Path(f"/proc/{server.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return time.process_time() + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def least(ways: dict[str, Callable[[], Any]], times: int, server: Any) -> dict[str, tuple[float, float]]:
    """Each way's least seconds of the clock and of the processor; the ways take turns, and the first turn warms up."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(times + 1):
        for name, way in ways.items():
            clock, processor = time.perf_counter(), busy(server)
            way()
            if turn:
                seconds[name].append((time.perf_counter() - clock, busy(server) - processor))
    return {name: (min(one for one, _ in found), min(one for _, one in found)) for name, found in seconds.items()}


def compared(
    pool: Any, database: Any, text: str, values: list[tuple[str, Any, Any]], times: int, server: Any, session: Any
) -> dict[str, dict[str, float]]:
    """Milliseconds of a call through the SDK and in process."""
    answers: dict[str, list[Any]] = {}

    def through_sdk() -> None:
        answers["query service"] = [
            [tuple(row.values()) for row in pool.execute_with_retries(text, {name: (value, kind)})[0].rows]
            for name, value, kind in values
        ]

    query = session.prepare(text)

    def through_tables() -> None:
        answers["table service"] = [
            [tuple(row.values()) for row in session.transaction().execute(query, {name: value}, commit_tx=True)[0].rows]
            for name, value, _ in values
        ]

    def in_process() -> None:
        answers["in process"] = [list(database.execute(text, {name: value})) for name, value, _ in values]

    ways = {"query service": through_sdk, "table service": through_tables, "in process": in_process}
    seconds = least(ways, times, server)
    assert answers["query service"] == answers["table service"] == answers["in process"], "the answers differ"
    found = {}
    for place, of in enumerate(("clock", "processor")):
        found[of] = {f"{name}, ms": 1e3 * seconds[name][place] / len(values) for name in ways}
        found[of]["1.5 x in process + 1, ms"] = 1.5 * found[of]["in process, ms"] + 1
    return found


def measured(folder: Path, rows: int, times: int) -> dict[str, Any]:
    """BulkUpsert, point queries and searches."""
    running, port = started(folder / "served.db")
    driver = ydb.Driver(endpoint=f"grpc://localhost:{port}", database="/local")
    try:
        driver.wait(timeout=20, fail_fast=True)
        with ydb.QuerySessionPool(driver) as pool:
            pool.execute_with_retries("CREATE TABLE Facts (id Uint64, g Int32, embedding String, PRIMARY KEY (id))")
            found: dict[str, Any] = {"rows": rows, "BulkUpsert": upserted(driver, rows, running)}
            _stop(running)
            shutil.copy(folder / "served.db", folder / "own.db")
        driver.stop()
        running, port = started(folder / "served.db")
        driver = ydb.Driver(endpoint=f"grpc://localhost:{port}", database="/local")
        driver.wait(timeout=20, fail_fast=True)
        random = np.random.default_rng(7)
        keys = [("$i", int(one), ydb.PrimitiveType.Uint64) for one in random.integers(0, rows, 1000)]
        targets = random.normal(size=(100, DIM)).astype(np.float32)
        strings = [("$q", binary.to_binary(one), ydb.PrimitiveType.String) for one in targets]
        with ydb.QuerySessionPool(driver) as pool, vicinal.sql.connect(folder / "own.db", read_only=True) as database:
            session = driver.table_client.session().create()
            found["1,000 point queries"] = compared(pool, database, POINT, keys, times, running, session)
            found["100 top-10 queries"] = compared(pool, database, NEAREST, strings, times, running, session)
    finally:
        driver.stop()
        _stop(running)
    return found


def _stop(running: Any) -> None:
    """Ends a server, whose file is whole then."""
    if running.poll() is None:
        running.terminate()
        running.wait(60)
        running.stderr.close()


def main() -> None:
    """Measures, writes the results, and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sql" / "server.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        results = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "duckdb": duckdb.__version__, "ydb": ydb.__version__},
            **measured(Path(name), asked.rows, asked.times),
        }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

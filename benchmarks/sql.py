"""SQL against DuckDB's own functions, in one run, on one database: python -m benchmarks.sql [--rows 20000 1000000].

Rows are random normal vectors of 384 elements; the peer is `array_cosine_distance` over a column FLOAT[384] in the same
file, with the same settings. The file is written, closed and opened again. Calls alternate, and medians are printed, of
the clock and of the processor. Without --folder the database lies in a temporary folder.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow

import vicinal.sql
from vicinal.sql import export_table, import_table
from vicinal.sql.catalog import Table
from vicinal.sql.compile.nodes import written
from vicinal.sql.compile.select import Compiler
from vicinal.sql.compile.values import Deferred
from vicinal.sql.parse.grammar import parse
from vicinal.sql.types import STRING, Type
from vicinal.sql.vectors import binary

DIM, TARGETS, BATCH = 384, 100, 20_000
NEAREST = "SELECT id FROM Facts{where} ORDER BY Knn::CosineDistance(embedding, $q) LIMIT 10"
PEER = "SELECT id FROM peer{where} ORDER BY array_cosine_distance(v, $1::FLOAT[384]) LIMIT 10"
RANKED = """SELECT target, id FROM (
    SELECT t.id AS target, f.id AS id, Knn::CosineDistance(f.embedding, t.embedding) AS distance,
        ROW_NUMBER() OVER (PARTITION BY t.id ORDER BY Knn::CosineDistance(f.embedding, t.embedding)) AS place
    FROM Facts AS f CROSS JOIN Targets AS t) WHERE place <= 10 ORDER BY target, distance"""


def batches(rows: int, seed: int) -> Iterator[Any]:
    """Rows as Arrow tables."""
    random = np.random.default_rng(seed)
    for start in range(0, rows, BATCH):
        n = min(BATCH, rows - start)
        ids = np.arange(start, start + n, dtype=np.uint64)
        strings = binary.to_binaries(random.normal(size=(n, DIM)).astype(np.float32))
        group = (ids % 100).astype(np.int32)
        yield pyarrow.table({"id": ids, "g": group, "embedding": binary.binary_array(strings)})


PROCESSOR = ", processor"


def alternate(ways: dict[str, Callable[[], Any]], times: int, warm: bool = True) -> dict[str, float]:
    """Each way's median seconds, and those of the processor; the ways take turns, and the first turn warms up."""
    seconds: dict[str, list[float]] = {name + of: [] for name in ways for of in ("", PROCESSOR)}
    for turn in range(times + warm):
        for name, way in ways.items():
            start, busy = time.perf_counter(), time.process_time()
            way()
            if turn >= warm:
                seconds[name].append(time.perf_counter() - start)
                seconds[name + PROCESSOR].append(time.process_time() - busy)
    return {name: statistics.median(found) for name, found in seconds.items()}


def scans(folder: Path, rows: int, times: int) -> dict[str, Any]:
    """Full and filtered scans, and many targets in one statement."""
    kinds = {"id": Type("Uint64"), "g": Type("Int32"), "embedding": STRING}
    with vicinal.sql.connect(folder / f"{rows}.db", threads=2) as db:
        db.load("Facts", kinds, "id", batches(rows, 0), rows)
        db.load("Targets", kinds, "id", batches(TARGETS, 1), TARGETS)
        inner = db._connection.duck
        inner.execute(f"CREATE TABLE peer (id UBIGINT, g INTEGER, v FLOAT[{DIM}])").fetchall()
        for part in batches(rows, 0):
            strings = binary.Strings(part.column("embedding"))
            floats = strings.bytes.reshape(part.num_rows, -1)[:, :-1].copy().view(np.float32)
            column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(floats.ravel()), DIM)
            inner.register("part", pyarrow.table({"id": part.column("id"), "g": part.column("g"), "v": column}))
            inner.execute("INSERT INTO peer SELECT * FROM part").fetchall()
            inner.unregister("part")
        inner.execute("CHECKPOINT").fetchall()
    with vicinal.sql.connect(folder / f"{rows}.db", threads=2) as db:
        inner = db._connection.duck
        targets = [row[0] for row in db.execute("SELECT embedding FROM Targets ORDER BY id")]
        numbers = [array.tolist() for array in map(binary.from_binary, targets) if array is not None]
        found: dict[str, Any] = {"rows": rows}
        for name, where in (("full", ""), ("filtered to 1 %", " WHERE g = 3")):
            ours, theirs = NEAREST.format(where=where), PEER.format(where=where)
            answers = (list(db.execute(ours, {"q": targets[0]})), inner.execute(theirs, [numbers[0]]).fetchall())
            assert answers[0] == answers[1], "the answers differ"
            seconds = alternate(
                {
                    "ours": lambda ours=ours: list(db.execute(ours, {"q": targets[0]})),  # type: ignore[misc]
                    "peer": lambda theirs=theirs: inner.execute(theirs, [numbers[0]]).fetchall(),  # type: ignore[misc]
                },
                times
                if not where
                else 4 * times
                if rows > 100_000
                else 12 * times,  # short ones are disturbed the more
            )
            ratios = {f"ratio{of}": seconds["ours" + of] / seconds["peer" + of] for of in ("", PROCESSOR)}
            found[name] = {**seconds, **ratios}
        several = [list(db.execute(NEAREST.format(where=""), {"q": one})) for one in targets]
        one = [row[1] for row in db.execute(RANKED)]
        assert one == [row[0] for answer in several for row in answer], "the answers differ"
        seconds = alternate(
            {
                "one statement": lambda: list(db.execute(RANKED)),
                "100 statements": lambda: [list(db.execute(NEAREST.format(where=""), {"q": one})) for one in targets],
            },
            3 if rows <= 100_000 else 1,
            warm=False,  # both have run for their answers
        )
        found["100 targets"] = {**seconds, "times faster": seconds["100 statements"] / seconds["one statement"]}
        return found


def moves(folder: Path, rows: int) -> dict[str, float]:
    """Megabytes of vectors a second, in and out."""
    random = np.random.default_rng(2)
    np.save(folder / "v.npy", random.normal(size=(rows, DIM)).astype(np.float32))
    (folder / "d.jsonl").write_text("".join(f'{{"id": {i}, "text": "fact {i}"}}\n' for i in range(rows)), "utf-8")
    size = rows * DIM * 4 / 1e6
    found = {}
    with vicinal.sql.connect(folder / "moves.db", threads=2) as db:
        for name, move in {
            "npy and jsonl in": lambda: import_table(db, "A", folder / "v.npy", folder / "d.jsonl"),
            "npy out": lambda: export_table(db, "A", folder / "o.npy"),
            "parquet out": lambda: export_table(db, "A", folder / "o.parquet"),
            "parquet in": lambda: import_table(db, "B", folder / "o.parquet"),
        }.items():
            start, busy = time.perf_counter(), time.process_time()
            move()
            found[name] = size / (time.perf_counter() - start)
            found[name + PROCESSOR] = size / (time.process_time() - busy)
    return found


def compile_time() -> dict[str, float]:
    """Milliseconds from a text to DuckDB's text."""
    numbers = ", ".join(f"{one:.7f}f" for one in np.random.default_rng(3).normal(size=DIM))
    found = {}
    with vicinal.sql.connect() as db:
        db.execute("CREATE TABLE Facts (id Uint64, user Utf8, embedding String, PRIMARY KEY (id))")
        for name, vector in (("4 numbers", "1.2f, 2.3f, 3.4f, 4.5f"), ("384 numbers", numbers)):
            text = f"""$target = Knn::ToBinaryString([{vector}]);
                SELECT * FROM Facts WHERE user = "Williams" ORDER BY Knn::CosineDistance(embedding, $target) LIMIT 10"""
            seconds = alternate({"compile": lambda text=text: compiled(text, db.tables())}, 200)  # type: ignore[misc]
            found[name] = 1e3 * seconds["compile"]
    return found


def compiled(text: str, tables: dict[str, Table]) -> str:
    """DuckDB's text of a named target and a SELECT, which no earlier call has read."""
    named, query = (vars(one) for one in parse(text))
    low = Compiler(text, tables, {named["name"]: Deferred(named["value"], {})}, None, None)  # type: ignore[arg-type]
    return written(low.select(query["select"]).node).sql


def main() -> None:
    """Measures, writes the results, and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 1_000_000])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "sql" / "results.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        results: dict[str, Any] = {
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "duckdb": duckdb.__version__, "numpy": np.__version__},
            "compile, milliseconds": compile_time(),
            "moves, MB/s": moves(folder, 50_000),
            "scans, seconds": [scans(folder, rows, asked.times) for rows in asked.rows],
        }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()

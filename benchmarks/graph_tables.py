"""The tables of approximate.md and indexes.md, made from results/graphs alone: python -m benchmarks.graph_tables"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.learning import written
from benchmarks.report import table

Record = dict[str, Any]
RESULTS = Path(__file__).parent / "results" / "graphs"
DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("approximate.md", "indexes.md")
WORKS = ("graph", "ann")
LOADED = 1.5  # load of a core above which other work ran beside the measurement


def records(work: str, folder: Path = RESULTS) -> list[Record]:
    """The records of one work, the largest set last."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    found = [{**one, "cpu": file["machine"]["cpu"]} for file in files for one in file["records"] if one["work"] == work]
    return sorted(found, key=lambda one: one["n"])


def about(record: Record) -> str:
    """The line above a table."""
    load = record["load_average"] / record["threads"]
    beside = "other work ran beside it" if load > LOADED else "nothing else ran"
    return (
        f"{record['data']}, {record['metric']}, k = {record['k']}; {record['cpu']}, {record['at'][:10]}, {beside}.\n\n"
    )


def graph_table(record: Record) -> str:
    """Seconds of each library at each recall asked for."""
    rows, targets = [], sorted({row["target"] for row in record["rows"] if "target" in row})
    exact = next(row for row in record["rows"] if row["who"] == "vicinal, exact")
    base = exact["n"]
    for target in targets:
        of = [row for row in record["rows"] if row.get("target") == target and row["n"] == base]
        ours = of[0]["seconds"]
        for row in sorted(of, key=lambda one: float(one.get("seconds", math.inf))):
            taken = row.get("seconds")
            shown = ["more", ""] if taken is None else [f"{taken:.3g}", f"{taken / ours:.1f}"]
            rows.append([f"{target}", row["who"], f"{row.get('missed', row['recall'] if taken else 0):.3f}", *shown])
    rows.append(["1", exact["who"], "1", f"{exact['seconds']:.3g}", ""])
    head = ["recall at least", "who", "recall", "processor seconds", "times ours"]
    of_rows = f"{base:,} rows; searches of the others are timed on a fifth of them, times five.\n\n"
    return about(record) + of_rows + table(head, rows) + absent(record) + larger(record, base, exact["seconds"])


def larger(record: Record, base: int, exact: float) -> str:
    """Our seconds at more rows beside what the others would take at least, and how they grow."""
    own = [row for row in record["rows"] if row["who"].startswith("vicinal, recall")]
    if all(row["n"] == base for row in own):
        return ""
    rows, said = [], []
    for target in sorted({row["target"] for row in own}):
        of = sorted((row for row in own if row["target"] == target), key=lambda one: int(one["n"]))
        others = [row for row in record["rows"] if row.get("target") == target and row not in own and "seconds" in row]
        best = min(others, key=lambda row: float(row["seconds"]), default=None)
        for row in of:
            times = row["n"] / base
            least = "" if best is None else f"{best['seconds'] * times / row['seconds']:.1f}"
            square = f"{exact * times**2 / row['seconds']:.1f}"
            rows.append([f"{row['n']:,}", f"{target}", f"{row['recall']:.3f}", f"{row['seconds']:.3g}", least, square])
        slope = np.polyfit(np.log([row["n"] for row in of]), np.log([row["seconds"] for row in of]), 1)[0]
        fastest = "" if best is None else f"; the fastest of the others at {base:,} rows is {best['who']}"
        said.append(f"- recall {target}: the seconds grow with the power {slope:.2f} of the number of rows{fastest}")
    head = ["rows", "recall at least", "recall", "processor seconds", "the fastest of the others, times at least"]
    intro = (
        "More rows, mixed of the same (`benchmarks/mixes.py`). The others' seconds are those above in proportion to "
        "the number of rows, though theirs grow faster; those of the exact pass grow with its square.\n\n"
    )
    return "\n" + intro + table([*head, "the exact pass, times"], rows) + "\n" + "\n".join(said) + "\n"


def ann_table(record: Record) -> str:
    """Build seconds and queries a second of each library."""
    rows = []
    for row in (row for row in record["rows"] if "absent" not in row):
        speeds = [row[name] for name in row if name.startswith("queries_a_second_at_")]
        shown = ["not reached" if speed is None else f"{speed:,.0f}" for speed in speeds]
        rows.append([row["who"], row["version"], row["simd"], f"{row['n']:,}", f"{row['seconds']:.3g}", *shown])
    head = ["who", "version", "codes, instruction set", "rows", "build, processor seconds"]
    made = about(record) + table([*head, "queries a second at .95", "at .99"], rows) + absent(record)
    more = record.get("larger")
    if more and not any(isinstance(more[name], str) for name in ("vicinal", "faiss")):
        made += (
            f"\nBuilds of {more['n']:,} rows, mixed of the same (`benchmarks/mixes.py`): vicinal "
            f"{more['vicinal']:.3g} processor seconds, faiss {more['faiss']:.3g}, "
            f"{more['faiss'] / more['vicinal']:.1f} times as many.\n"
        )
    return made


def absent(record: Record) -> str:
    """Who could not take part."""
    lines = [f"- {row['who']}: {row['absent']}" for row in record["rows"] if "absent" in row]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def tables(folder: Path = RESULTS) -> dict[str, str]:
    """Each table as Markdown."""
    makers = {"graph": graph_table, "ann": ann_table}
    made = {work: "\n".join(map(makers[work], records(work, folder))) for work in WORKS}
    return {work: text for work, text in made.items() if text}


def write() -> None:
    """Put the tables into the pages."""
    for name in PAGES:
        page = DOCS / name
        page.write_text(written(page.read_text(encoding="utf-8"), tables()), encoding="utf-8")


if __name__ == "__main__":
    write()

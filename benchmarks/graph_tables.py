"""The tables of approximate.md and indexes.md, made from results/graphs alone: python -m benchmarks.graph_tables"""

import json
from pathlib import Path
from typing import Any

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
    for target in targets:
        of = [row for row in record["rows"] if row.get("target") == target]
        ours = of[0]["seconds"]
        for row in sorted(of, key=lambda one: float(one["seconds"])):
            times = f"{row['seconds'] / ours:.1f}"
            rows.append([f"{target}", row["who"], f"{row['recall']:.3f}", f"{row['seconds']:.3g}", times])
    exact = next(row for row in record["rows"] if row["who"] == "vicinal, exact")
    rows.append(["1", exact["who"], "1", f"{exact['seconds']:.3g}", ""])
    head = ["recall at least", "who", "recall", "processor seconds", "times ours"]
    return about(record) + table(head, rows) + absent(record)


def ann_table(record: Record) -> str:
    """Build seconds and queries a second of each library."""
    rows = []
    for row in (row for row in record["rows"] if "absent" not in row):
        speeds = [row[name] for name in row if name.startswith("queries_a_second_at_")]
        shown = ["not reached" if speed is None else f"{speed:,.0f}" for speed in speeds]
        rows.append([row["who"], row["version"], row["simd"], f"{row['seconds']:.3g}", *shown])
    head = ["who", "version", "codes, instruction set", "build, processor seconds", "queries a second at .95", "at .99"]
    return about(record) + table(head, rows) + absent(record)


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

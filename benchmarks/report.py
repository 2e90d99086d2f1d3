"""Tables and plots, made from the JSON of the results and from nothing else."""

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]
HEAD = Path(__file__).parent / "head.md"


def seconds(value: float) -> str:
    """Seconds with three digits, in the unit that suits."""
    return f"{value * 1000:.3g} ms" if value < 0.1 else f"{value:.3g} s" if value < 1000 else f"{value:,.0f} s"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"


def line(record: Record) -> str:
    """One record as a line for the terminal."""
    head = " ".join(str(record[key]) for key in ("data", "work", "metric", "k"))
    if record["work"] == "growth":
        return f"{head} over {record['over']}: " + ", ".join(
            f"{point[record['over']]}: {point['faiss.knn'] / point['vicinal']:.1f} x" for point in record["points"]
        )
    if record["work"] == "memory":
        return f"{head}: " + (
            record.get("absent") or f"{record['times_n_dim']:.2f} n dim bytes beyond input and result"
        )
    return f"{head}: " + "; ".join(told(row) for row in record["rows"])


def told(row: Record) -> str:
    """One contestant in words."""
    if "absent" in row:
        return f"{row['who']} absent ({row['absent']})"
    words = f"{row['who']} {seconds(row['seconds'])}"
    if "times_faiss" in row and "faiss" not in row["who"].lower():
        words += f", {row['times_faiss']:.3g} x"
    if "recall" in row:
        words += f", recall {row['recall']:.4f}"
    for name in (name for name in row if name.startswith("queries_a_second_at_")):
        figure = "not reached" if row[name] is None else f"{row[name]:,.0f} queries a second"
        words += f", at {name.rpartition('_')[2]} {figure}"
    if "roof_share" in row:
        words += f", {percent(row['roof_share'])} of the roof"
    if "check" in row:
        words += f", {row['check']['rows_wrong']} of {row['check']['rows_checked']} rows wrong"
    if row.get("against_faiss", {}).get("closer_than_ours"):
        words += f", FAISS FOUND {row['against_faiss']['closer_than_ours']} NEARER"
    return words


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def load(folder: Path) -> tuple[list[Record], list[Record]]:
    """The files of results, and all their records."""
    files = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return files, [record for file in files for record in file["records"]]


def cell(row: Record | None) -> str:
    """A contestant's seconds; in brackets faiss's seconds over them; * where extrapolated."""
    if row is None:
        return ""
    if "absent" in row:
        return "absent"
    star = "*" if "extrapolated_from_rows" in row else ""
    return f"{seconds(row['seconds'])}{star}" + (f" ({row['times_faiss']:.2g} x)" if "times_faiss" in row else "")


def work_table(records: list[Record], work: str) -> str:
    """All data sets, metrics and k of one kind of work."""
    chosen = [record for record in records if record["work"] == work]
    names = list(dict.fromkeys(row["who"] for record in chosen for row in record["rows"]))
    rows = []
    for record in chosen:
        by_name = {row["who"]: row for row in record["rows"]}
        rows.append(
            [
                record["data"],
                record["metric"],
                str(record["k"]),
                str(record.get("runs", "")),
                *(cell(by_name.get(name)) for name in names),
            ]
        )
    return table(["data", "metric", "k", "runs", *names], rows) if rows else "Not measured.\n"


def inside_table(records: list[Record]) -> str:
    """What the kernel did in each self-join, and whether it was right."""
    rows = []
    for record in records:
        if record["work"] not in ("self-join", "search"):
            continue
        mine = record["rows"][0]
        check, faiss = mine["check"], mine.get("against_faiss")
        rows.append(
            [
                record["data"],
                record["work"],
                record["metric"],
                str(record["k"]),
                mine["isa"],
                percent(mine["roof_share"]) if "roof_share" in mine else "",
                f"{mine['candidates_a_row']:.1f}",
                f"{check['rows_checked'] - check['rows_wrong']} of {check['rows_checked']}",
                f"{faiss['recall']:.6f} ({faiss['rows_compared']:,})" if faiss else "",
                " / ".join(
                    str(faiss.get(key, 0)) for key in ("tied", "within_float32", "beyond_float32", "closer_than_ours")
                )
                if faiss
                else "",
                str(record.get("load_average", "")),
            ]
        )
    head = ["data", "work", "metric", "k", "instructions", "of the int8 roof", "candidates a row", "rows exact"]
    return table([*head, "recall of faiss (rows)", "differences tied / within / beyond float32 / nearer", "load"], rows)


def memory_table(records: list[Record]) -> str:
    """Peak memory beyond the input."""
    rows = [
        [
            record["data"],
            record["metric"],
            f"{record['bytes_beyond_input'] / 1e6:,.1f} MB",
            f"{record['bytes_of_result'] / 1e6:,.1f} MB",
            f"{record['times_n_dim']:.2f}",
        ]
        for record in records
        if record["work"] == "memory" and "absent" not in record
    ]
    return table(["data", "metric", "peak beyond the input", "of it the result", "the rest over n dim bytes"], rows)


def find(records: list[Record], **wanted: Any) -> list[Record]:
    """The records with these values."""
    return [record for record in records if all(record.get(key) == value for key, value in wanted.items())]


def reached(records: list[Record]) -> str:
    """The table "to reach / measured": the figures that were set, and the least and most that was measured."""

    def real(**wanted: Any) -> list[Record]:
        return [r for r in find(records, **wanted) if not r["data"].startswith(("Gaussian", "clusters"))]

    def ratios(found: list[Record]) -> list[float]:
        return [r["rows"][0]["times_faiss"] for r in found if "times_faiss" in r["rows"][0] and in_full(r)]

    def in_full(record: Record) -> bool:
        """False where faiss's seconds are extrapolated: such a ratio is shown below, and proves nothing here."""
        return not any("faiss" in r["who"].lower() and "extrapolated_from_rows" in r for r in record["rows"])

    timed = [r for r in records if r["work"] not in ("memory", "growth", "graph", "ann")]
    load = max((r.get("load_average", 0.0) / r.get("threads", 1) for r in timed), default=0.0)

    near = [r for m in ("euclidean", "cosine") for r in real(work="self-join", metric=m)]
    wide = [r for r in near if 384 <= r["dim"] <= 1536]
    big = [r for w in ("search", "one query") for r in real(work=w, dim=384, k=5) if r["n"] >= 100_000]
    big = [r for r in big if r["metric"] != "manhattan"]
    isa = [row for r in find(records, work="isas") for row in r["rows"]]

    def of(isa_name: str) -> list[float]:
        return [row["times_faiss"] for row in isa if row["who"] == f"vicinal, {isa_name}" and "times_faiss" in row]

    shares = [r["rows"][0]["roof_share"] for r in wide if r["k"] == 5]
    memory = [r["times_n_dim"] for r in find(records, work="memory") if "absent" not in r]
    lines: list[tuple[str, float, list[float], bool]] = [
        ("self-join, euclidean and cosine, dim 384 to 1536, k = 5", 15, ratios([r for r in wide if r["k"] == 5]), True),
        ("the same, dim 50 to 100", 10, ratios([r for r in near if r["k"] == 5 and 50 <= r["dim"] <= 100]), True),
        ("the same, k = 100, dim 384", 10, ratios([r for r in wide if r["k"] == 100 and r["dim"] == 384]), True),
        (
            "self-join, manhattan, dim >= 384, k = 5",
            25,
            ratios([r for r in real(work="self-join", metric="manhattan", k=5) if r["dim"] >= 384]),
            True,
        ),
        ("10,000 queries against 100,000 rows, dim 384", 7, ratios([r for r in big if r["work"] == "search"]), True),
        ("one query against 100,000 rows, dim 384", 5, ratios([r for r in big if r["work"] == "one query"]), True),
        ("share of the int8 roof, self-join, dim >= 384", 0.85, shares, True),
        ("peak memory beyond input and result, over n dim bytes", 1.4, memory, False),
        ("the portable path, dim >= 384", 1, of("portable"), True),
        ("the AVX2 path, dim >= 384", 3, of("avx2"), True),
    ]
    rows = []
    for name, goal, values, at_least in lines:
        shown = "not measured" if not values else f"{min(values):.2f} to {max(values):.2f}"
        worst = (min(values) if at_least else max(values)) if values else None
        verdict = "" if worst is None else ("yes" if (worst >= goal) == at_least or worst == goal else "no")
        best = (max(values) if at_least else min(values)) if values else None
        if verdict == "no" and best is not None and (best >= goal) == at_least:
            verdict = "in part"
        if at_least and verdict and load > 1.5:  # others ran beside it: no timing decides anything
            verdict = "open: measured on a loaded machine"
        rows.append([name, f"{'at least' if at_least else 'at most'} {goal}", shown, verdict])
    return table(["work", "to reach", "measured", "reached"], rows)


def write(folder: Path, docs: Path) -> None:
    """Writes docs/benchmarks.md and its plots."""
    from benchmarks.diversity import reached as reached_by_diversity
    from benchmarks.plots import draw

    files, records = load(folder)
    growths = find(records, work="growth")
    pictures = draw(growths, docs) if growths else []
    told = files[0]["machine"] if files else {}
    roofs = ", ".join(f"{isa} {roof / 1e9:,.0f} G/s" for isa, roof in told.get("int8_roof_a_core", {}).items())
    origins = "\n".join(f"- {file['data']['name']}: {file['data']['origin']}" for file in files)
    samples = sorted(
        {
            (row["who"], row["extrapolated_from_rows"])
            for r in records
            for row in r.get("rows", [])
            if "extrapolated_from_rows" in row
        }
    )
    versions = ", ".join(f"{name} {version}" for name, version in told.get("versions", {}).items())
    about = (
        f"{told.get('cpu')} ({', '.join(told.get('flags', []))}), {told.get('threads')} threads; {told.get('system')}"
    )
    text = HEAD.read_text(encoding="utf-8").format(
        machine=f"{about}; {versions}.",
        roofs=roofs,
        origins=origins,
        reached=reached(records),
        self_join=work_table(records, "self-join"),
        search=work_table(records, "search"),
        one=work_table(records, "one query"),
        isas=work_table(records, "isas"),
        inside=inside_table(records),
        memory=memory_table(records),
        diversity=reached_by_diversity(),
        samples="; ".join(f"{who}: {rows:,} rows" for who, rows in samples) or "none",
        absent="\n".join(
            sorted(
                {f"- {row['who']}: {row['absent']}" for r in records for row in r.get("rows", []) if "absent" in row}
            )
        ),
        pictures="\n\n".join(f"![{caption}]({path.name})" for caption, path in pictures) or "Not measured yet.",
    )
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")

"""Tables and plots, made from the JSON of the results and from nothing else."""

import json
from pathlib import Path
from typing import Any

from benchmarks import environment
from benchmarks.plots import draw, exponent, held

Record = dict[str, Any]
HEAD, PROCESSOR = (Path(__file__).parent / name for name in ("head.md", "processor.md"))
BEGIN, END = "<!-- headline: made by make bench -->", "<!-- end of headline -->"


HEADED = ("faiss.knn", "FAISS IndexFlat")  # ratios are over the first of them in a record
FLAG = {"neon": "asimd", "dotprod": "asimddp", "i8mm": "i8mm"}  # of each instruction set, what the system calls it
FLAG |= {"avx2": "avx2", "avxvnni": "avx_vnni", "avx512": "avx512_vnni", "amx": "amx_int8"}
ISAS = tuple(FLAG)  # the older ones first


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
        over, point = record["over"], record["points"][-1]
        mine, theirs = (seconds(point[who]) for who in ("vicinal", "faiss.knn"))
        return f"{head} over {over}, {point[over]:,}: {mine}, {point['faiss.knn'] / point['vicinal']:.1f} x of {theirs}"
    if record["work"] == "memory":
        return f"{head}: " + (
            record.get("absent") or f"{record['times_n_dim']:.2f} n dim bytes beyond input and result"
        )
    return f"{head}: " + "; ".join(told(row) for row in record["rows"])


def told(row: Record) -> str:
    """One contestant in words."""
    if "absent" in row:
        return f"{row['who']} absent ({row['absent']})"
    if "missed" in row:
        return f"{row['who']} recall {row['missed']:.4f}, not {row['target']}"
    words = f"{row['who']} {seconds(row['seconds'])}" + (f" of {row['n']:,} rows" if "n" in row else "")
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


def table_of(head: list[str], rows: list[list[str]], empty: str = "Not measured.\n") -> str:
    """A Markdown table, or a sentence where there are no rows."""
    return table(head, rows) if rows else empty


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
    return table_of(["data", "metric", "k", "runs", *names], rows)


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
    return table_of(
        [*head, "recall of faiss (rows)", "differences tied / within / beyond float32 / nearer", "load"], rows
    )


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
    return table_of(["data", "metric", "peak beyond the input", "of it the result", "the rest over n dim bytes"], rows)


def growth_table(records: list[Record]) -> str:
    """The exponent of each line of the plots, and the ratios at its ends."""
    rows = []
    for record in find(records, work="growth"):
        over, points = record["over"], record["points"]
        first, last = points[0], points[-1]
        power = [f"{exponent(points, over, who):.2f}" if len(points) > 1 else "" for who in ("vicinal", "faiss.knn")]
        times = [f"{point['faiss.knn'] / point['vicinal']:.3g} x" for point in (first, last)]
        rows.append([over, held(record), f"{first[over]:,} to {last[over]:,}", *power, " to ".join(times)])
    head = ["over", "held", "from", "exponent of ours", "of faiss.knn", "faiss's seconds over ours, at both ends"]
    return table_of(head, rows)


def faiss_table(records: list[Record]) -> str:
    """The settings at which faiss ran, and what they gave over its default."""
    rows = []
    for record in records:
        theirs = next((row for row in record.get("rows", []) if row.get("tuned")), None)
        if theirs is None:
            continue
        tuned = theirs["tuned"]
        words = ", ".join(f"{name.removeprefix('distance_compute_')} = {v}" for name, v in tuned["settings"].items())
        gain = f"{tuned['default_over_best']:.2f}"
        rows.append([record["data"], record["work"], record["metric"], str(record["k"]), words or "its default", gain])
    head = ["data", "work", "metric", "k", "the best of the settings tried", "default's time over it"]
    return table_of(head, rows, "Not tried: faiss ran with its default settings.\n")


def find(records: list[Record], **wanted: Any) -> list[Record]:
    """The records with these values."""
    return [record for record in records if all(record.get(key) == value for key, value in wanted.items())]


def in_full(record: Record) -> bool:
    """False where faiss's seconds are extrapolated: such a ratio is shown in the tables, and proves nothing."""
    compared: Record = next((row for row in record["rows"] if row["who"] in HEADED), {})
    return "extrapolated_from_rows" not in compared


def ratios(found: list[Record]) -> list[float]:
    """Ours over faiss's, where faiss was asked all rows."""
    return [r["rows"][0]["times_faiss"] for r in found if "times_faiss" in r["rows"][0] and in_full(r)]


def chosen(records: list[Record]) -> dict[str, list[float]]:
    """The ratios that goals and the headline speak of: euclidean and cosine, real data."""
    real = [r for r in records if not r["data"].startswith(("Gaussian", "clusters")) and r.get("metric") != "manhattan"]
    wide = [r for r in real if r["work"] == "self-join" and 384 <= r["dim"] <= 1536]
    near = [r for r in wide if r["k"] <= 10]
    asked = [r for r in real if r["work"] == "search" and r["dim"] >= 384 and r["k"] <= 10]
    one = [r for r in real if r["work"] == "one query" and r["dim"] >= 384]
    noise = [r for r in records if r["data"].startswith("Gaussian") and r.get("k") == 100 and r["work"] != "memory"]
    return {
        "large": ratios([r for r in near if r["n"] >= 55_000]),
        "middle": ratios([r for r in near if 10_000 <= r["n"] < 55_000]),
        "small": ratios([r for r in near if r["n"] <= 5_000]),
        "k 100": ratios([r for r in wide if r["k"] == 100 and r["dim"] == 384]),
        "queries": ratios([r for r in asked if r["n"] >= 45_000]),
        "one query": ratios([r for r in one if r["n"] >= 45_000]),
        "noise": ratios([r for r in noise if r["metric"] != "manhattan"]),
    }


# What is counted, in words, and the least ratio that is aimed at with AVX2 and with more.
GOALS = (
    ("large", "self-join, k = 5, 55,000 rows and more, dim 384 to 1536", 12, 15),
    ("middle", "self-join, k = 5, 10,000 to 54,999 rows, dim 384 to 1536", 5, 12),
    ("small", "self-join, k = 5, 2,000 to 5,000 rows, dim 384 to 1536", 3, 3),
    ("k 100", "self-join, k = 100, dim 384", 6, 10),
    ("queries", "queries in one call against 45,000 rows and more, dim 384 and more", 7, 10),
    ("noise", "Gaussian noise, k = 100, self-join and queries", 1.5, 1.5),
)


def reached(records: list[Record]) -> str:
    """The table "to reach / measured": the figures that were set, and the least and most that was measured."""
    found = chosen(records)
    isas = {r["rows"][0]["isa"] for r in records if r.get("rows") and "isa" in r["rows"][0]}
    timed = [r for r in records if r["work"] not in ("memory", "growth", "graph", "ann")]
    load = max((r.get("load_average", 0.0) / r.get("threads", 1) for r in timed), default=0.0)
    rows = []
    for key, name, avx2, more in GOALS:
        goal, values = more if isas & {"avx512", "amx"} else avx2, found[key]
        verdict = ""
        if values:
            verdict = "yes" if min(values) >= goal else "in part" if max(values) >= goal else "no"
            if load > 1.5:  # others ran beside it: no timing decides anything
                verdict = "open: measured on a loaded machine"
        rows.append([name, f"at least {goal}", spread(values) or "not measured", verdict])
    return table(["work", "to reach", "measured", "reached"], rows)


def spread(values: list[float]) -> str:
    """The least and the greatest ratio; empty where there is none."""
    if not values:
        return ""
    low, high = (f"{value:.3g}" for value in (min(values), max(values)))
    return f"{low} x" if low == high else f"{low} to {high} x"


def processors(folder: Path) -> dict[Path, tuple[Record, list[Record]]]:
    """The folder of each processor, with its last machine's record and all records."""
    loaded = {one: load(one) for one in sorted(folder.iterdir()) if any(one.glob("*.json"))}
    return {one: (newest(files), records) for one, (files, records) in loaded.items()}


def headline(measured: dict[Path, tuple[Record, list[Record]]]) -> str:
    """One line for each folder and instruction set: how many times faiss's speed, from the results alone.

    Where AVX2 has no folder of its own, its line comes from the comparison of instruction sets on a newer processor.
    """
    lines = []
    for machine, records in measured.values():
        for isa in ISAS:
            mine = [r for r in records if r.get("rows") and r["rows"][0].get("isa") == isa]
            lines.append((isa, machine, chosen(mine), mine))
    if not any(isa == "avx2" and any(found.values()) for isa, _, found, _ in lines):
        for machine, records in measured.values():
            mine = [forced(r, "avx2") for r in find(records, work="isas")]
            mine = [r for r in mine if r["rows"]]
            lines.append(("avx2", machine, chosen(mine), mine))
    shown = []
    for isa, machine, found, mine in sorted(lines, key=lambda one: ISAS.index(one[0])):
        cells = [spread(found[key]) for key in ("large", "middle", "k 100", "queries")]
        if not any(cells):
            continue
        best = next((name for name in reversed(ISAS) if FLAG[name] in machine.get("flags", [])), isa)
        name = f"{machine['cpu']}, {machine['threads']} threads" + (f", {isa} forced" if best != isa else "")
        blas = [
            one["kernel"] for one in machine.get("libraries", []) if one["of"].startswith("faiss") and one["kernel"]
        ]
        level = f"{machine['faiss_simd_level']}, BLAS {', '.join(blas)}" if blas else "not recorded"
        cells = [one or "not measured" for one in cells]
        shown.append([isa, name, level, *cells, max((r["at"][:10] for r in mine), default="")])
    head = ["our instructions", "processor", "faiss's", "k = 5, 55,000 rows and more", "10,000 rows and more"]
    return table([*head, "k = 100, dim 384", "queries", "measured"], shown)


def forced(record: Record, isa: str) -> Record:
    """The record of a self-join with one instruction set, out of that of all."""
    mine = [row | {"isa": isa} for row in record["rows"] if row["who"] == f"vicinal, {isa}"]
    theirs = [row for row in record["rows"] if row["who"] == "faiss.knn"]
    return record | {"work": "self-join", "rows": mine + theirs if mine else []}


def newest(files: list[Record]) -> Record:
    """The machine's record of the file that was measured last."""
    found: Record = max(files, key=lambda file: max(record["at"] for record in file["records"]))["machine"]
    return found


def section(folder: Path, docs: Path, draws: bool) -> str:
    """All tables of one processor."""
    files, records = load(folder)
    told = newest(files)
    growths = find(records, work="growth")
    pictures = draw(growths, docs) if draws else []
    roofs = ", ".join(f"{isa} {roof / 1e9:,.0f} G/s" for isa, roof in told.get("int8_roof_a_core", {}).items())
    parts = sorted(
        {
            (row["who"], row["extrapolated_from_rows"])
            for r in records
            for row in r.get("rows", [])
            if "extrapolated_from_rows" in row
        }
    )
    absent = {f"- {row['who']}: {row['absent']}" for r in records for row in r.get("rows", []) if "absent" in row}
    versions = ", ".join(f"{name} {version}" for name, version in told.get("versions", {}).items())
    return PROCESSOR.read_text(encoding="utf-8").format(
        name=f"{told['cpu']} ({folder.name})",
        machine=f"{', '.join(told.get('flags', []))}; {told['threads']} threads; {told['system']}; {versions}.",
        libraries=environment.said(told),
        cleared=told.get("cleared", "not recorded"),
        roofs=roofs,
        loop=", with AVX2 the loop over coarse codes"
        if "code" in told
        else ", with AVX2 the slower loop over whole codes",
        origins="\n".join(f"- {file['data']['name']}: {file['data']['origin']}" for file in files),
        reached=reached(records),
        self_join=work_table(records, "self-join"),
        search=work_table(records, "search"),
        one=work_table(records, "one query"),
        isas=work_table(records, "isas"),
        faiss=faiss_table(records),
        inside=inside_table(records),
        memory=memory_table(records),
        samples="; ".join(f"{who}: {rows:,} rows" for who, rows in parts) or "none",
        absent="\n".join(sorted(absent)) or "None.",
        growth=growth_table(records),
        pictures="".join(f"\n![{caption}]({path.name})\n" for caption, path in pictures),
    )


def between(text: str, made: str) -> str:
    """README's text with the table between its marks."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{made}{END}{rest.split(END)[1]}"


def write(folder: Path, docs: Path, readme: Path) -> None:
    """Writes docs/benchmarks.md, its plots and README's table from the results of all processors."""
    from benchmarks.diversity import reached as reached_by_diversity

    loaded = processors(folder)
    folders = list(loaded)
    made = headline(loaded)
    # The plots are those of the processor whose growth was measured last.
    grown = [(max(r["at"] for r in g), one) for one in folders if (g := find(loaded[one][1], work="growth"))]
    drawn = max(grown)[1] if grown else None
    text = HEAD.read_text(encoding="utf-8").format(
        headline=made,
        diversity=reached_by_diversity(),
        processors="\n".join(section(one, docs, one == drawn) for one in folders),
    )
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")
    readme.write_text(between(readme.read_text(encoding="utf-8"), made), encoding="utf-8")

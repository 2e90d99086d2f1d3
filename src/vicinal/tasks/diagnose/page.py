"""The diagnosis as a page: lines for a terminal, and one self-contained HTML file with pictures."""

import html
from typing import Any

import numpy as np

from vicinal.tasks import pictures
from vicinal.tasks.diagnose import Diagnosis, Figure, convergence_table, error_records, pair_records

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.warning { background: #fff4e5; border-left: 4px solid #d55e00; padding: .5rem .8rem; margin: .5rem 0; }
small, .small { color: #666; font-size: 12.5px; }
figure { margin: 1rem 0; overflow-x: auto; } svg { max-width: 100%; height: auto; }
"""
SHOWN = 50


def lines(found: Diagnosis, top: int = 10) -> list[str]:
    """The page for a terminal: each figure with its unit and what it means, the warnings, the first of each list."""
    out = [f"{found.source}: {found.n:,} rows x {found.dim}, {found.metric}, {found.k} neighbours", ""]
    width = max(len(one.title) for one in found.figures)
    for one in found.figures:
        out.append(f"{one.title:<{width}}  {number(one):>10}  {one.unit}")
        out.append(f"{'':<{width}}  {'':>10}  {one.meaning}")
        out.append(f"{'':<{width}}  {'':>10}  = {one.formula} ({one.source})")
    out += ["", *(f"warning: {text}" for text in found.warnings)]
    if found.curve is not None:
        out += ["", "leave-one-out accuracy over k, and n / k", *_curve(found)]
        out += ["", "had only a part of the rows been there: has the 1-NN error settled?", *_convergence(found)]
        classes = _classes(found, top)
        out += ["", f"the {len(classes)} classes that are taken for others the most", *classes] if classes else []
    for title, records in (
        (f"likely label errors, the first {top}", error_records(found, top)),
        (f"boundary pairs, the first {top}", pair_records(found, top)),
    ):
        if records:
            out += ["", title, *(_row(record) for record in records)]
    return out


def _curve(found: Diagnosis) -> list[str]:
    assert found.curve is not None
    shown = [k for k in (1, 2, 3, 5, 10, 20, 30, 50, 100, 200) if k <= found.k]
    rows = {"k": [f"{k:,}" for k in shown], "n / k": [f"{found.n / k:,.0f}" for k in shown]}
    rows |= {name: [f"{values[k - 1]:.4f}" for k in shown] for name, values in found.curve.scores.items()}
    return [f"  {name:<9}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows.items()]


def _convergence(found: Diagnosis) -> list[str]:
    told = convergence_table(found)
    rows = {"rows": [f"{n:,}" for n in told.pop("rows")]}
    rows |= {name: [f"{one:.4f}" for one in values] for name, values in told.items()}
    return [f"  {name.replace('_', ' '):<16}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows.items()]


def class_records(found: Diagnosis) -> list[dict[str, Any]]:
    """Of each class: its rows, the share that its neighbours get right, and whom they take the others for."""
    if found.confusion is None or found.labels is None:
        return []
    records = []
    for code, row in enumerate(found.confusion):
        others = np.where(np.arange(len(row)) == code, -1, row)
        other, total = int(others.argmax()), max(1, int(row.sum()))
        taken = f"{found.label(other)} ({100 * row[other] / total:.0f} %)" if row[other] and other != code else "-"
        right = round(float(row[code] / total), 4)
        records.append({"label": found.label(code), "rows": int(found.labels.counts[code]), "right": right})
        records[-1]["most often taken for"] = taken
    return sorted(records, key=lambda record: record["right"])


def _classes(found: Diagnosis, top: int) -> list[str]:
    return [
        f"  {record['label']!s:<24} {record['rows']:>8,} rows  {100 * record['right']:>5.1f} % right, most often taken "
        f"for {record['most often taken for']}"
        for record in class_records(found)[:top]
    ]


def number(figure: Figure) -> str:
    """A figure's value, as a person reads it."""
    value = figure.value
    if value is None or not np.isfinite(value):
        return "-"
    return f"{value:,.0f}" if figure.unit == "rows" else f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def _row(record: dict[str, Any]) -> str:
    return "  " + "  ".join(f"{name} {value}" for name, value in record.items() if name not in ("row", "other_row"))


def page(found: Diagnosis) -> str:
    """The page as one HTML file; its pictures are inside it, and it loads nothing."""
    escape, about = html.escape, f"{found.n:,} rows of {found.dim} dimensions; {found.metric} distances"
    title = escape(f"What the neighbours say of {found.source}")
    parts = [
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}</h1>',
        f"<p>{escape(about)}; the {found.k} nearest others of each row.</p>",
        *(f'<p class="warning">{escape(text)}</p>' for text in found.warnings),
        "<h2>Figures</h2><table><tr><th>Figure<th>Value<th>What it means<th>How it is computed</tr>",
    ]
    for one in found.figures:
        parts.append(
            f'<tr><td>{escape(one.title)}<td class="number">{number(one)}<br><small>{escape(one.unit)}</small><td>'
            f'{escape(one.meaning)}<td class="small"><code>{escape(one.formula)}</code><br>{escape(one.source)}</tr>'
        )
    parts.append("</table><h2>Pictures</h2>")
    parts += [f"<figure>{pictures.svg(drawn)}</figure>" for drawn in _drawn(found)]
    for heading, records, note in (
        ("Classes, the worst first", class_records(found)[:SHOWN], "as the neighbours vote, at the best k"),
        ("Likely label errors", error_records(found, SHOWN), "agreement and own are shares of the neighbours' labels"),
        (
            "Boundary pairs for experts",
            pair_records(found, SHOWN),
            "near rows of different labels, each from the least covered region; train and evaluation are apart",
        ),
    ):
        if records:
            parts.append(f"<h2>{heading}</h2><p class=small>The first {len(records)}; {note}.</p>{_table(records)}")
    return "".join([*parts, "</body></html>\n"])


def _table(records: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(name)}" for name in records[0])
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in one.values()) + "</tr>" for one in records
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _drawn(found: Diagnosis) -> list[Any]:
    nearest = found.neighbors.distances[:, 0].astype(np.float64)
    drawn = []
    if found.curve is not None and found.labels is not None:
        drawn.append(pictures.curve_of_k(found.curve, found.n))
    if found.convergence is not None and found.labels is not None:
        told = convergence_table(found)
        rows = np.array(told["rows"])
        best_k, best_weights = found.curve.best if found.curve is not None else (1, "uniform")
        best = 1 - found.curve.scores[best_weights][best_k - 1] if found.curve is not None else np.nan
        drawn.append(
            pictures.line(
                "Has the 1-NN error settled?",
                "rows",
                "share of rows",
                {
                    "1-NN error, the interval's upper end": (rows, np.array(told["one_nn_error"])),
                    "Cover-Hart lower end": (rows, np.array(told["cover_hart_lower"])),
                    "best k-NN error": (rows[[0, -1]], np.array([best, best])),
                },
                log_x=True,
            )
        )
    if found.confusion is not None and found.labels is not None:
        totals = np.maximum(1, found.confusion.sum(axis=1, keepdims=True))
        names = [str(label) for label in found.labels.classes]
        if len(names) <= 60:
            drawn.append(pictures.confusion("Whom the neighbours take a row for", found.confusion / totals, names))
    drawn.append(
        pictures.counts(
            "How far the nearest row is", f"{found.metric} distance", nearest, {"median": float(np.median(nearest))}
        )
    )
    drawn.append(
        pictures.counts(
            "How many rows have a row among their nearest",
            "k-occurrences",
            found.occurrences,
            {"mean": float(found.occurrences.mean())},
        )
    )
    drawn.append(pictures.counts("How long rows are", "Euclidean length", found.norms))
    return drawn

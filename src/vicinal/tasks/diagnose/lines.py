"""A diagnosis as lines for a terminal, and as tables for a notebook."""

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.tasks.diagnose.tables import convergence_table, first_records

if TYPE_CHECKING:
    from vicinal.tasks.diagnose.diagnosis import Diagnosis

SHOWN_IN_NOTEBOOK = 10
SHOWN_KS = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200)


def lines(diagnosis: "Diagnosis", top: int = 10) -> list[str]:
    """Return the lines for a terminal: figures, warnings, and the first `top` items of each list."""
    out = [
        f"{diagnosis.source}: {diagnosis.n:,} rows x {diagnosis.dim}, {diagnosis.metric}, {diagnosis.k} neighbours",
        "",
    ]
    width = max(len(one.title) for one in diagnosis.figures.values())
    for one in diagnosis.figures.values():
        out.append(f"{one.title:<{width}}  {one.shown:>10}  {one.unit}")
        out.append(f"{'':<{width}}  {'':>10}  {one.meaning}")
        out.append(f"{'':<{width}}  {'':>10}  = {one.formula} ({one.source})")
    out += ["", *(f"warning: {text}" for text in diagnosis.warnings)]
    if diagnosis.curve is not None:
        out += ["", "leave-one-out accuracy over k, and n / k", *_curve_lines(diagnosis)]
        out += ["", "1-NN error with a part of the rows: has it settled?", *_convergence_lines(diagnosis)]
        classes = _class_lines(diagnosis, top)
        heading = f"the {len(classes)} classes that are most often taken for others"
        out += ["", heading, *classes] if classes else []
    for title, table in (
        (f"likely label errors, the first {top}", diagnosis.label_errors),
        (f"boundary pairs, the first {top}", diagnosis.boundary_pairs),
    ):
        records = first_records(table, top)
        out += ["", title, *(_record_line(record) for record in records)] if records else []
    return out


def _curve_lines(diagnosis: "Diagnosis") -> list[str]:
    assert diagnosis.curve is not None
    shown = [k for k in SHOWN_KS if k <= diagnosis.k]
    rows = {"k": [f"{k:,}" for k in shown], "n / k": [f"{diagnosis.n / k:,.0f}" for k in shown]}
    rows |= {name: [f"{values[k - 1]:.4f}" for k in shown] for name, values in diagnosis.curve.scores.items()}
    return [f"  {name:<9}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows.items()]


def _convergence_lines(diagnosis: "Diagnosis") -> list[str]:
    parts = convergence_table(diagnosis)
    rows = {"rows": [f"{n:,}" for n in parts.pop("rows")]}
    rows |= {name: [f"{one:.4f}" for one in values] for name, values in parts.items()}
    return [f"  {name.replace('_', ' '):<16}" + "".join(f"{cell:>9}" for cell in cells) for name, cells in rows.items()]


def class_records(diagnosis: "Diagnosis") -> list[dict[str, Any]]:
    """Return one record a class, the worst first.

    Each record: the label, its number of rows, the share that the neighbours classify right, and the class that they
    take its other rows for most often.
    """
    if diagnosis.confusion is None or diagnosis.labels is None:
        return []
    records = []
    for code, row in enumerate(diagnosis.confusion):
        others = np.where(np.arange(len(row)) == code, -1, row)
        other, total = int(others.argmax()), max(1, int(row.sum()))
        taken = f"{diagnosis.label(other)} ({100 * row[other] / total:.0f} %)" if row[other] and other != code else "-"
        records.append(
            {
                "label": diagnosis.label(code),
                "rows": int(diagnosis.labels.counts[code]),
                "right": round(float(row[code] / total), 4),
                "most often taken for": taken,
            }
        )
    return sorted(records, key=lambda record: float(record["right"]))


def _class_lines(diagnosis: "Diagnosis", top: int) -> list[str]:
    return [
        f"  {record['label']!s:<24} {record['rows']:>8,} rows  {100 * record['right']:>5.1f} % right, most often taken "
        f"for {record['most often taken for']}"
        for record in class_records(diagnosis)[:top]
    ]


def _record_line(record: dict[str, Any]) -> str:
    return "  " + "  ".join(f"{name} {value}" for name, value in record.items() if name not in ("row", "other_row"))


def tables_of(diagnosis: "Diagnosis") -> str:
    """Return the figures and lists as an HTML fragment for a notebook."""
    return "".join([_figure_table(diagnosis), *_lists(diagnosis, SHOWN_IN_NOTEBOOK)])


def _figure_table(diagnosis: "Diagnosis") -> str:
    """The warnings, and the table of figures."""
    escape = html.escape
    parts = [
        *(f'<p class="warning">{escape(text)}</p>' for text in diagnosis.warnings),
        "<h2>Figures</h2><table><tr><th>Figure<th>Value<th>What it means<th>How it is computed</tr>",
    ]
    for one in diagnosis.figures.values():
        parts.append(
            f'<tr><td>{escape(one.title)}<td class="number">{one.shown}<br><small>{escape(one.unit)}</small><td>'
            f'{escape(one.meaning)}<td class="small"><code>{escape(one.formula)}</code><br>{escape(one.source)}</tr>'
        )
    return "".join([*parts, "</table>"])


def _lists(diagnosis: "Diagnosis", top: int) -> list[str]:
    """The first items of each list as tables with headings."""
    parts = []
    for heading, records, note in (
        ("Classes, the worst first", class_records(diagnosis)[:top], "by the vote of the neighbours, at the best k"),
        (
            "Likely label errors",
            first_records(diagnosis.label_errors, top),
            "agreement and own are shares of the neighbours' labels",
        ),
        (
            "Boundary pairs for experts",
            first_records(diagnosis.boundary_pairs, top),
            "near rows of different labels, each from the least covered region; train and evaluation are separate",
        ),
    ):
        if records:
            parts.append(f"<h2>{heading}</h2><p class=small>The first {len(records)}; {note}.</p>{_table(records)}")
    return parts


def _table(records: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(name)}" for name in records[0])
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}" for cell in one.values()) + "</tr>" for one in records
    )
    return f"<table><tr>{head}</tr>{rows}</table>"

"""A diagnosis in a terminal: its figures as a table with their meaning, and its lists with the texts of their rows."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vicinal.cli.screen import Screen
from vicinal.layout import decimals

if TYPE_CHECKING:
    from vicinal.tasks.diagnose.diagnosis import Diagnosis

Texts = Mapping[object, str]


def lines(diagnosis: "Diagnosis", seen: Screen, top: int, texts: Texts) -> Iterator[str]:
    """Yield the lines; `texts` are those of the rows in the first `top` items of the lists, by id."""
    about = f"{diagnosis.n:,} rows x {diagnosis.dim}, {diagnosis.metric}, {diagnosis.k} neighbours"
    yield from seen.paragraph(f"{diagnosis.source}: {about}")
    for one in diagnosis.figures.values():
        yield ""
        yield from seen.titled(one.title, f"{one.shown} {one.unit}", "  ")
        yield from seen.paragraph(one.meaning, "    ")
        yield from seen.paragraph(f"= {one.formula} ({one.source})", "    ")
    for text in diagnosis.warnings:
        yield ""
        yield from seen.paragraph(f"warning: {text}", "  ")
    if diagnosis.curve is not None:
        yield from _accuracy(diagnosis, seen, top)
    yield from _errors(diagnosis, seen, top, texts)
    yield from _pairs(diagnosis, seen, top, texts)


def _accuracy(diagnosis: "Diagnosis", seen: Screen, top: int) -> Iterator[str]:
    from vicinal.tasks.diagnose.lines import SHOWN_KS, class_records
    from vicinal.tasks.diagnose.tables import convergence_table

    assert diagnosis.curve is not None
    ks = [k for k in SHOWN_KS if k <= diagnosis.k]
    yield from ("", seen.bold("Leave-one-out accuracy over k, and n / k"))
    columns = {"k": [f"{k:,}" for k in ks], "n / k": [f"{diagnosis.n / k:,.0f}" for k in ks]}
    columns |= {name: [f"{values[k - 1]:.4f}" for k in ks] for name, values in diagnosis.curve.scores.items()}
    yield from seen.table(_records(columns))
    parts = convergence_table(diagnosis)
    yield from ("", seen.bold("1-NN error with a part of the rows: has it settled?"))
    columns = {name.replace("_", " "): decimals(values) for name, values in parts.items()}
    columns["rows"] = [f"{n:,}" for n in parts["rows"]]
    yield from seen.table(_records(columns))
    classes = class_records(diagnosis)[:top]
    if classes:
        yield from ("", seen.bold(f"The {len(classes)} classes that are most often taken for others"))
        shown = [
            {**one, "rows": f"{one['rows']:,}", "right": f"{100 * one['right']:.1f} %", "label": str(one["label"])}
            for one in classes
        ]
        yield from seen.table(shown, ["label", "most often taken for"])


def _errors(diagnosis: "Diagnosis", seen: Screen, top: int, texts: Texts) -> Iterator[str]:
    from vicinal.tasks.diagnose.tables import first_records

    records = first_records(diagnosis.label_errors, top)
    if not records:
        return
    yield from ("", seen.bold(f"Likely label errors, the first {len(records)}"))
    shown = [
        {
            "id": one["id"],
            "label": one["label"],
            "suggested": one["suggested"],
            "agreement": f"{one['agreement']:.2f}",
            "own": f"{one['own']:.2f}",
            **({"text": texts.get(one["id"], "")} if texts else {}),
        }
        for one in records
    ]
    yield from seen.table(shown, ["label", "suggested", "text"])


def _pairs(diagnosis: "Diagnosis", seen: Screen, top: int, texts: Texts) -> Iterator[str]:
    from vicinal.tasks.diagnose.tables import first_records

    records = first_records(diagnosis.boundary_pairs, top)
    if not records:
        return
    yield from ("", seen.bold(f"Boundary pairs for experts, the first {len(records)}"))
    shown: list[dict[str, Any]] = []
    distances = decimals([one["distance"] for one in records])
    for number, (one, distance) in enumerate(zip(records, distances, strict=True), start=1):
        start = {"pair": str(number), "distance": distance, "for": str(one["split"])}
        for prefix in ("", "other_"):
            identity = one[f"{prefix}id"]
            text = {"text": texts.get(identity, "")} if texts else {}
            shown.append({**start, "id": identity, "label": one[f"{prefix}label"], **text})
            start = dict.fromkeys(start, "")
    yield from seen.table(shown, ["label", "text"])


def _records(columns: Mapping[str, list[str]]) -> list[dict[str, str]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

"""A diagnosis as the page reads it: figures, curves, likely label errors and boundary pairs."""

from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.tasks.diagnose.lines import class_records
from vicinal.tasks.diagnose.tables import convergence_table

if TYPE_CHECKING:
    from vicinal.tasks.diagnose.diagnosis import Diagnosis

MOST_ITEMS, MOST_CLASSES, DRAWN_CLASSES = 2000, 100, 40


def findings(diagnosis: "Diagnosis", rows: np.ndarray) -> dict[str, Any]:
    """Return what a diagnosis found: "figures", and with labels "errors" and "pairs", as JSON can hold it.

    Parameters
    ----------
    diagnosis : Diagnosis
    rows : ndarray of int64, shape (n,)
        The row of the page of each row of the diagnosis.
    """
    found: dict[str, Any] = {
        "figures": {
            "warnings": list(diagnosis.warnings),
            "table": [
                {"title": one.title, "shown": one.shown, "unit": one.unit, "meaning": one.meaning,
                 "formula": one.formula, "source": one.source}
                for one in diagnosis.figures.values()
            ],
            "curves": _curves(diagnosis),
            "classes": class_records(diagnosis)[:MOST_CLASSES],
            "confusion": _confusion(diagnosis),
        }
    }  # fmt: skip
    if diagnosis.label_errors is not None:
        table = diagnosis.label_errors
        named = [table[name] for name in ("row", "label", "suggested", "agreement", "own")]
        found["errors"] = [
            {"row": int(rows[row]), "label": label, "suggested": other, "agreement": float(share), "own": float(own)}
            for row, label, other, share, own in list(zip(*named, strict=True))[:MOST_ITEMS]
        ]
    if diagnosis.boundary_pairs is not None:
        table = diagnosis.boundary_pairs
        named = [table[name] for name in ("row", "other_row", "label", "other_label", "distance", "split")]
        found["pairs"] = [
            {"row": int(rows[row]), "other": int(rows[other]), "label": label, "other_label": other_label,
             "distance": float(distance), "split": split}
            for row, other, label, other_label, distance, split in list(zip(*named, strict=True))[:MOST_ITEMS]
        ]  # fmt: skip
    return found


def _curves(diagnosis: "Diagnosis") -> list[dict[str, Any]]:
    """The curves of a diagnosis with labels, as lines through points."""
    if diagnosis.curve is None:
        return []
    curve, parts = diagnosis.curve, convergence_table(diagnosis)
    lines = [{"name": name, "points": _points(curve.ks, values)} for name, values in curve.scores.items()]
    settled = [
        {"name": title, "points": _points(parts["rows"], parts[name])}
        for name, title in (("one_nn_error", "1-NN error"), ("cover_hart_lower", "Cover-Hart lower end"))
    ]
    return [
        {"title": "Leave-one-out accuracy", "x": "k", "y": "share of rows", "log": False, "lines": lines},
        {"title": "Has the 1-NN error settled?", "x": "rows", "y": "share of rows", "log": True, "lines": settled},
    ]


def _points(across: Any, up: Any) -> list[list[float]]:
    return [[float(x), float(y)] for x, y in zip(across, up, strict=True) if np.isfinite(y)]


def _confusion(diagnosis: "Diagnosis") -> dict[str, Any] | None:
    """The share of each class's votes, where there are few classes."""
    if diagnosis.confusion is None or diagnosis.labels is None or len(diagnosis.labels.classes) > DRAWN_CLASSES:
        return None
    shares = diagnosis.confusion / np.maximum(1, diagnosis.confusion.sum(axis=1, keepdims=True))
    return {"names": list(diagnosis.labels.classes), "shares": np.round(shares, 4).tolist()}

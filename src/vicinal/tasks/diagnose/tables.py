"""Likely label errors and boundary pairs as tables, and a diagnosis as JSON can hold it."""

from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.analysis.diagnostics import bayes_interval
from vicinal.analysis.label_review import BoundaryPairs, LabelErrors
from vicinal.data.labels import Labels
from vicinal.data.results import Columns
from vicinal.knn.recall import recall_fields

if TYPE_CHECKING:
    from vicinal.tasks.diagnose.diagnosis import Diagnosis


def error_table(labels: Labels, errors: LabelErrors) -> Columns:
    """Return the likely label errors, the most suspicious first.

    Its columns: row (the row number), label, suggested (the label that the neighbours agree on), agreement and own
    (the shares of the suggested and of the row's own label among the neighbours, rounded to 4 decimals).
    """
    kind = "string" if labels.is_text else "double"
    columns = {
        "row": errors.rows,
        "label": [labels.classes[code] for code in labels.codes[errors.rows]],
        "suggested": [labels.classes[code] for code in errors.suggested],
        "agreement": _rounded(errors.agreement),
        "own": _rounded(errors.own),
    }
    return Columns([labels.ids[row] for row in errors.rows], columns, {"label": kind, "suggested": kind})


def pair_table(labels: Labels, pairs: BoundaryPairs) -> Columns:
    """Return the boundary pairs in the order in which they were chosen.

    Its columns: other_id, label, other_label, distance, row, other_row (row numbers), split ("train" or "evaluation").
    """
    kind = "string" if labels.is_text else "double"
    columns = {
        "other_id": [labels.ids[row] for row in pairs.second],
        "label": [labels.classes[code] for code in labels.codes[pairs.first]],
        "other_label": [labels.classes[code] for code in labels.codes[pairs.second]],
        "distance": pairs.distances,
        "row": pairs.first,
        "other_row": pairs.second,
        "split": ["evaluation" if aside else "train" for aside in pairs.evaluation],
    }
    types = {"other_id": "id", "label": kind, "other_label": kind, "distance": "double"}
    return Columns([labels.ids[row] for row in pairs.first], columns, types)


def first_records(table: Columns | None, top: int) -> list[dict[str, Any]]:
    """Return the first records of a table; none where there is no table."""
    return [] if table is None else list(islice(table.records(), top))


def convergence_table(diagnosis: "Diagnosis") -> dict[str, list[float]]:
    """Return the 1-NN error, and the lower end that it gives, for parts of the rows; ascending."""
    if diagnosis.convergence is None or diagnosis.labels is None:
        return {}
    shares, errors = diagnosis.convergence
    n_classes = len(diagnosis.labels.classes)
    return {
        "rows": [round(float(one) * diagnosis.n) for one in shares],
        "one_nn_error": [round(float(one), 6) for one in errors],
        "cover_hart_lower": [round(bayes_interval(float(one), n_classes)[0], 6) for one in errors],
    }


def as_json(diagnosis: "Diagnosis") -> dict[str, Any]:
    """Return everything as JSON can hold it; numbers that are not finite are None."""
    whole: dict[str, Any] = {
        "source": diagnosis.source,
        "n": diagnosis.n,
        "dim": diagnosis.dim,
        "metric": diagnosis.metric,
        "k": diagnosis.k,
        **recall_fields(diagnosis.neighbors.recall),
        "figures": [{**asdict(one), "value": one.finite} for one in diagnosis.figures.values()],
        "warnings": diagnosis.warnings,
    }
    if (
        diagnosis.labels is None
        or diagnosis.curve is None
        or diagnosis.label_errors is None
        or diagnosis.boundary_pairs is None
    ):
        return whole
    whole["leave_one_out"] = {"ks": diagnosis.curve.ks, **diagnosis.curve.summary()["scores"]}
    whole["convergence"] = convergence_table(diagnosis)
    counts = None if diagnosis.confusion is None else diagnosis.confusion.tolist()
    whole["confusion"] = {"classes": diagnosis.labels.classes, "counts": counts}
    whole["label_errors"] = list(diagnosis.label_errors.records())
    whole["pairs"] = list(diagnosis.boundary_pairs.records())
    if diagnosis.kappa is not None:
        whole["kappa"] = asdict(diagnosis.kappa)
    return whole


def _rounded(shares: np.ndarray) -> np.ndarray:
    return np.array([round(float(one), 4) for one in shares])

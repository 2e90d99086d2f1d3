"""A diagnosis as lists of records, and as JSON."""

from dataclasses import asdict
from typing import Any

import numpy as np

from vicinal.analysis.diagnostics import bayes_interval
from vicinal.tasks.diagnose.diagnosis import Diagnosis


def error_records(found: Diagnosis, top: int | None = None) -> list[dict[str, Any]]:
    """The likely label errors, the most suspicious first."""
    if found.errors is None or found.labels is None:
        return []
    errors = found.errors
    return [
        {
            "id": found.ids[errors.rows[at]],
            "row": int(errors.rows[at]),
            "label": found.label(found.labels.codes[errors.rows[at]]),
            "suggested": found.label(errors.suggested[at]),
            "agreement": round(float(errors.agreement[at]), 4),
            "own": round(float(errors.own[at]), 4),
        }
        for at in range(len(errors) if top is None else min(top, len(errors)))
    ]


def pair_records(found: Diagnosis, top: int | None = None) -> list[dict[str, Any]]:
    """The boundary pairs in the order in which they were chosen."""
    if found.pairs is None or found.labels is None:
        return []
    pairs = found.pairs
    return [
        {
            "id": found.ids[pairs.first[at]],
            "other_id": found.ids[pairs.second[at]],
            "label": found.label(found.labels.codes[pairs.first[at]]),
            "other_label": found.label(found.labels.codes[pairs.second[at]]),
            "distance": float(str(pairs.distances[at])),
            "row": int(pairs.first[at]),
            "other_row": int(pairs.second[at]),
            "split": "evaluation" if pairs.evaluation[at] else "train",
        }
        for at in range(len(pairs) if top is None else min(top, len(pairs)))
    ]


def convergence_table(found: Diagnosis) -> dict[str, list]:
    """The 1-NN error and the lower end that it gives, had only so many rows been there; ascending."""
    if found.convergence is None or found.labels is None:
        return {}
    shares, errors = found.convergence
    return {
        "rows": [round(float(one) * found.n) for one in shares],
        "one_nn_error": [round(float(one), 6) for one in errors],
        "cover_hart_lower": [round(bayes_interval(float(one), len(found.labels.classes))[0], 6) for one in errors],
    }


def as_json(found: Diagnosis) -> dict[str, Any]:
    """Everything, as JSON takes it: numbers that are not finite are null."""
    told: dict[str, Any] = {
        "source": found.source,
        "n": found.n,
        "dim": found.dim,
        "metric": found.metric,
        "k": found.k,
    }
    told["figures"] = [{**asdict(one), "value": _finite(one.value)} for one in found.figures]
    told["warnings"] = found.warnings
    if found.labels is None or found.curve is None:
        return told
    told["leave_one_out"] = {"ks": found.curve.ks} | {
        name: [round(float(one), 6) for one in values] for name, values in found.curve.scores.items()
    }
    told["convergence"] = convergence_table(found)
    told["confusion"] = {
        "classes": found.labels.classes,
        "counts": None if found.confusion is None else found.confusion.tolist(),
    }
    told["label_errors"] = error_records(found)
    told["pairs"] = pair_records(found)
    if found.kappa is not None:
        told["kappa"] = asdict(found.kappa)
    return told


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)

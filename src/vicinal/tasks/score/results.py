"""What scoring gives: the values of each scorer, a record a row, and a summary."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis import scores
from vicinal.data import tables
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.score.config import ScorerPlan

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)


@dataclass(frozen=True)
class Scored:
    """One scorer's result.

    values    : float32 (n,); NaN where the row has no score, and `errors` or `undefined` says why by row number
    found     : the neighbours that the score is of
    copies    : the lowest row of each row's group of exact copies; None where there is no such thing
    errors    : rows that no distance could be computed for
    undefined : rows that have neighbours, but none that the score is defined for
    also      : further whole numbers a row, by name
    """

    plan: ScorerPlan
    k: int
    dim: int | None
    engine: str
    seconds: float
    values: np.ndarray
    found: Neighbors
    copies: np.ndarray | None = None
    errors: dict[int, str] = field(default_factory=dict)
    undefined: dict[int, str] = field(default_factory=dict)
    also: dict[str, np.ndarray] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What a program wants to know of it; `seconds` are those of the pass, shared by its scorers."""
        finite = self.values[np.isfinite(self.values)].astype(np.float64)
        quantiles = np.quantile(finite, QUANTILES) if len(finite) else np.full(len(QUANTILES), np.nan)
        return {
            "name": self.plan.label,
            "n": len(self.values),
            "dim": self.dim,
            "k": self.k,
            "metric": self.plan.metric,
            "engine": self.engine,
            "seconds": round(self.seconds, 3),
            "invalid": len(self.errors),
            "undefined": len(self.undefined),
            "quantiles": {
                f"{q:g}": float(f"{v:.7g}") if np.isfinite(v) else None
                for q, v in zip(QUANTILES, quantiles, strict=True)
            },
        }


@dataclass(frozen=True)
class Run:
    """What a run did."""

    ids: list[tables.Id]
    scored: tuple[Scored, ...]
    output: Path | None
    evidence: bool = False

    def _explains(self, one: Scored) -> bool:
        """Whether this scorer's cells hold the evidence; of several with the same neighbours, the first's do."""
        like = [other for other in self.scored if other.found is one.found and other.k == one.k]
        return self.evidence and like[0] is one

    def records(self, nested: bool) -> Iterator[dict[str, Any]]:
        """One record a row, in the order of the input: its score, or a mapping where there are several."""
        columns = [(one.plan.label, self._cells(one)) for one in self.scored]
        if nested or len(columns) > 1:
            for identity in self.ids:
                yield {"id": identity, "scores": {label: next(cells) for label, cells in columns}}
        else:
            for identity, cell in zip(self.ids, columns[0][1], strict=True):
                yield {"id": identity, **cell}

    def flat_records(self) -> Iterator[dict[str, Any]]:
        """The same for tables with columns: every record has all of them, several scores each their own."""
        several, failed = len(self.scored) > 1, any(one.errors or one.undefined for one in self.scored)
        for identity, *cells in zip(self.ids, *(self._cells(one) for one in self.scored), strict=True):
            record: dict[str, Any] = {"id": identity}
            errors = []
            for one, cell in zip(self.scored, cells, strict=True):
                error = cell.pop("error", None)
                if error is not None:
                    errors.append(f"{one.plan.label}: {error}" if several else error)
                for name, value in cell.items():
                    key = name if not several else one.plan.label if name == "score" else f"{one.plan.label} {name}"
                    record[key] = json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
            yield {**record, "error": "; ".join(errors) or None} if failed else record

    def types(self) -> dict[str, str]:
        """The types of the columns of `flat_records`, by name; "id" for the type of the ids."""
        several = len(self.scored) > 1
        types = {"id": "id", "error": "string"}
        for one in self.scored:
            kinds = {"score": "float32", **dict.fromkeys(one.also, "int64"), "neighbors": "string"}
            kinds |= {"distances": "string", "duplicate_group": "id", "duplicate_size": "int64"}
            for name, kind in kinds.items():
                key = name if not several else one.plan.label if name == "score" else f"{one.plan.label} {name}"
                types[key] = kind
        return types

    def _cells(self, one: Scored) -> Iterator[dict[str, Any]]:
        """What there is to say of each row by one scorer."""
        values, without = _shortest(one.values), one.errors | one.undefined
        also = {name: column.tolist() for name, column in one.also.items()}
        evidence = self._evidence(one) if self._explains(one) else None
        for row in range(len(self.ids)):
            cell: dict[str, Any] = {"score": values[row]}
            cell |= {name: column[row] for name, column in also.items()}
            if row in without:
                cell["error"] = without[row]
            if evidence is not None:
                cell |= next(evidence)
            yield cell

    def _evidence(self, one: Scored) -> Iterator[dict[str, Any]]:
        """Each row's neighbours and their distances, and its group of copies; a reference's rows go by their number."""
        nearest = one.found.nearest(one.k)
        sizes = None if one.copies is None else scores.multiplicity(one.found, one.copies)
        for row in range(len(self.ids)):
            there = nearest.indices[row] >= 0
            rows = nearest.indices[row][there].tolist()
            cell: dict[str, Any] = {
                "neighbors": rows if one.plan.reference is not None else [self.ids[other] for other in rows],
                "distances": _shortest(nearest.distances[row][there]),
            }
            if one.copies is not None and sizes is not None:
                cell |= {"duplicate_group": self.ids[one.copies[row]], "duplicate_size": int(sizes[row])}
            yield cell


def _shortest(values: np.ndarray) -> list[float | None]:
    """Each float32 as the shortest decimal that reads back as the same float32."""
    return [float(str(value)) if np.isfinite(value) else None for value in values]


def summary(run: Run, nested: bool, seconds: float) -> str:
    """The run as one line of JSON: n, dim, k, metric, engine, seconds and quantiles of the score; a list if several."""
    output = None if run.output is None else str(run.output)
    whole = {"output": output, "total_seconds": round(seconds, 3)}
    parts = [one.summary() for one in run.scored]
    several = nested or len(parts) > 1
    return json.dumps({**whole, "n": len(run.ids), "scorers": parts} if several else {**parts[0], **whole})

"""What scoring returns: the values of each scorer, and the records and tables that they are written as."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal.analysis.distinct import multiplicity
from vicinal.data import tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings
from vicinal.data.results import Columns, flat_record, plain_values
from vicinal.data.text_keys import copy_matches, numbers_of_parts
from vicinal.errors import UsageError
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import recall_fields
from vicinal.tasks.diversity.measures import Answer
from vicinal.tasks.score.plan import Plan, Question, Scorer
from vicinal.tasks.score.runs import Origin
from vicinal.typing import Id

QUANTILES = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
FORMATS = ("flat", "nested")
Format = Literal["flat", "nested"]
EVIDENCE = ("neighbors", "distances", "duplicate_group", "duplicate_size", "duplicate_match")


@dataclass(frozen=True, eq=False)
class Scored:
    """One scorer's result.

    Attributes
    ----------
    scorer : Scorer
    k : int
        The number of neighbours that the values are of.
    dim : int or None
    engine : str
        The kernel that computed the neighbours, with its version.
    seconds : float
        Of the pass, which its scorers share.
    values : ndarray, shape (n,)
        float32; NaN where the row has no score, and `errors` or `undefined` says why.
    neighbors : Neighbors
        The neighbours that the score is of.
    copies : ndarray or None
        The lowest row of each row's group of exact copies; None where there is no such thing.
    errors : dict of int to str
        Rows that no distance could be computed for.
    undefined : dict of int to str
        Rows that have neighbours, but none that the score is defined for.
    also : dict of str to ndarray
        Further whole numbers a row, by name.
    """

    scorer: Scorer
    k: int
    dim: int | None
    engine: str
    seconds: float
    values: np.ndarray
    neighbors: Neighbors
    copies: np.ndarray | None = None
    errors: dict[int, str] = field(default_factory=dict)
    undefined: dict[int, str] = field(default_factory=dict)
    also: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name of the score in the result."""
        return self.scorer.label

    def summary(self) -> dict[str, Any]:
        """Return the numbers that describe the values, as JSON can hold them."""
        finite = self.values[np.isfinite(self.values)].astype(np.float64)
        quantiles = np.quantile(finite, QUANTILES) if len(finite) else np.full(len(QUANTILES), np.nan)
        return {
            "name": self.label,
            "n": len(self.values),
            "dim": self.dim,
            "k": self.k,
            "metric": self.scorer.metric.name,
            "engine": self.engine,
            **recall_fields(self.neighbors.recall),
            "seconds": round(self.seconds, 3),
            "invalid": len(self.errors),
            "undefined": len(self.undefined),
            "quantiles": {
                f"{q:g}": float(f"{v:.7g}") if np.isfinite(v) else None
                for q, v in zip(QUANTILES, quantiles, strict=True)
            },
        }


class Scores(Columns):
    """Scores of the rows of a data set, in its order; `vicinal.score` makes it.

    `scores["lof:percentile"]` are the values of one score, float32 (n,), NaN where a row has none. Where a score comes
    with whole numbers, they are columns too: `scores["distinct multiplicity"]`. Where a row has no value of a score,
    the column "error" says why. `to_pandas`, `to_arrow`, `to_polars` and `add_to` give all of them as a table.

    Attributes
    ----------
    ids : list of int or str
        The id of each row.
    plan : Plan
        What was computed.
    scored : tuple of Scored
        Each scorer's values, neighbours, engine and time, in the order of the plan.
    rows : tuple of Dataset
        Where the rows come from; several where rows were appended.
    embeddings : Embeddings or None
        The vectors of the first score; None where saved neighbours took their place.
    output : Path or None
        The file that was written.
    seconds : float
        How long it took in all.
    skipped : int
        The number of rows that were left out (`on_invalid="skip"`).
    setwise : dict of str to dict
        The answers of scorers of the whole set, by name.
    format : {"flat", "nested"} or None
        The shape of `records`, whether there is one score or several: "flat" has each score under its name, as
        `{"id": ..., "mean": ...}`, and what belongs to it as "mean neighbors"; "nested" has
        `{"id": ..., "scores": {"mean": {"score": ...}}}`. None: one score as `{"id": ..., "score": ...}`, several as
        "nested" in lines and as "flat" in tables.
    """

    def __init__(
        self,
        plan: Plan,
        rows: tuple[Dataset, ...],
        scored: tuple[Scored, ...],
        *,
        origin: Origin,
        passes: Mapping[Question, Neighbors] | None = None,
        embeddings: Embeddings | None = None,
        output: Path | None = None,
        evidence: bool = False,
        setwise: dict[str, Answer] | None = None,
    ) -> None:
        ids = [identity for part in rows for identity in part.ids]
        columns: dict[str, Any] = {}
        for one in scored:
            columns[one.label] = one.values
            columns |= {f"{one.label} {name}": values for name, values in one.also.items()}
        failed = {row for one in scored for row in (*one.errors, *one.undefined)}
        if failed:
            columns["error"] = [_reasons(scored, row) if row in failed else None for row in range(len(ids))]
        super().__init__(ids, columns)
        self.plan, self.rows, self.scored = plan, rows, scored
        self.embeddings, self.output, self.seconds, self.skipped = embeddings, output, 0.0, 0
        self.setwise = dict(setwise or {})
        self.format: Format | None = None
        self._origin, self._passes, self._evidence = origin, passes or {}, evidence

    def __repr__(self) -> str:
        if not self.scored:
            return f"Scores(n={len(self)}, setwise={list(self.setwise)})"
        first = self.scored[0]
        return f"Scores(n={len(self)}, names={self.names}, k={first.k}, metric={first.scorer.metric.name!r})"

    @property
    def _first(self) -> Scored:
        """The first score, where there is one."""
        if not self.scored:
            raise UsageError("these scorers are of the whole set, and no row has a score; read `setwise`")
        return self.scored[0]

    @property
    def metric(self) -> str:
        """The metric of the first score."""
        return self._first.scorer.metric.name

    @property
    def k(self) -> int:
        """The number of neighbours of the first score."""
        return self._first.k

    @property
    def neighbors(self) -> Neighbors:
        """The neighbours of the first pass, at the largest k of its scores."""
        return next(iter(self._passes.values()), None) or self._first.neighbors

    @property
    def errors(self) -> dict[int, str]:
        """The rows that no distance could be computed for, by number, and why."""
        return {row: reason for one in reversed(self.scored) for row, reason in one.errors.items()}

    @property
    def undefined(self) -> dict[int, str]:
        """The rows that have neighbours but lack a score, by number, and why."""
        return {row: reason for one in reversed(self.scored) for row, reason in one.undefined.items()}

    def summary(self) -> dict[str, Any]:
        """Return n, dim, k, metric, engine, seconds and quantiles of the score; of several scores a list `scorers`."""
        output = None if self.output is None else str(self.output)
        whole = {"output": output, "total_seconds": round(self.seconds, 3)}
        parts = [one.summary() for one in self.scored]
        if self.plan.nested or len(parts) > 1:
            sets = {"setwise": self.setwise} if self.setwise else {}
            return {**whole, "n": len(self), "scorers": parts, **sets}
        return {**parts[0], **whole}

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Keep the run in a folder, for `vicinal.report` and for appending rows later.

        The data set, the embeddings and the references stay where they are; the folder holds their places and
        checksums, the neighbours and the scores.

        Raises
        ------
        UsageError
            The folder exists and may not be replaced, or something that was scored does not lie in a file.
        """
        kept = self._origin.kept(self.plan, np.stack([one.values for one in self.scored]), self._passes)
        replace(kept, evidence=self._evidence).save(folder, overwrite)

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a `.jsonl`, `.jsonl.gz`, `.csv` or `.parquet` file; it appears whole or not at all.

        Raises
        ------
        UsageError
            The file exists and `overwrite` is false, or its name has another ending.
        """
        tables.check_table(path, self.ids)
        kind = tables.suffix(path)
        flat = kind in (".csv", ".parquet")
        with tables.table_writer(path, overwrite, self.types()) as table:
            for record in self.flat_records() if flat else self.records():
                table.add(flat_record(record) if kind == ".csv" else record)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one record a row, in the order of the input; `format` says in which shape."""
        if self.format == "flat":
            yield from self.flat_records()
            return
        columns = [(one.label, self._cells(one)) for one in self.scored]
        if self.plan.nested or len(columns) > 1 or self.format == "nested":
            for identity in self.ids:
                yield {"id": identity, "scores": {label: next(cells) for label, cells in columns}}
        else:
            for identity, cell in zip(self.ids, columns[0][1], strict=True):
                yield {"id": identity, **cell}

    def flat_records(self) -> Iterator[dict[str, Any]]:
        """Yield the same for tables with columns: every record has all of them, several scores each their own."""
        errors = self._columns.get("error")
        for row, (identity, *cells) in enumerate(
            zip(self.ids, *(self._cells(one) for one in self.scored), strict=True)
        ):
            record: dict[str, Any] = {"id": identity}
            for one, cell in zip(self.scored, cells, strict=True):
                cell.pop("error", None)
                record |= {self._column(one, name): value for name, value in cell.items()}
            yield record if errors is None else {**record, "error": errors[row]}

    def types(self) -> dict[str, str]:
        """The types of the columns of `flat_records`, by name; "id" for the type of the ids."""
        types = {"id": "id", "error": "string"}
        for one in self.scored:
            neighbors = "list:id" if one.scorer.reference is None else "list:int64"
            kinds = {"score": "float32", **dict.fromkeys(one.also, "int64"), "neighbors": neighbors}
            kinds |= {"distances": "list:double", "duplicate_group": "id", "duplicate_size": "int64"}
            kinds["duplicate_match"] = "string"
            types |= {self._column(one, name): kind for name, kind in kinds.items()}
        return types

    def _column(self, one: Scored, name: str) -> str:
        """The column of a table that holds a part of one scorer's cell."""
        if len(self.scored) == 1 and self.format != "flat":
            return name
        return one.label if name == "score" else f"{one.label} {name}"

    def _explains(self, one: Scored) -> bool:
        """Scorers that share neighbours give evidence once, on the first."""
        like = [other for other in self.scored if other.neighbors is one.neighbors and other.k == one.k]
        return self._evidence and like[0] is one

    def _cells(self, one: Scored) -> Iterator[dict[str, Any]]:
        """Each row's part of a record that belongs to one scorer."""
        values, without = plain_values(one.values), one.errors | one.undefined
        also = {name: column.tolist() for name, column in one.also.items()}
        evidence = self._evidence_of(one, self.ids) if self._explains(one) else None
        for row in range(len(self)):
            cell: dict[str, Any] = {"score": values[row]}
            cell |= {name: column[row] for name, column in also.items()}
            if row in without:
                cell["error"] = without[row]
            if evidence is not None:
                cell |= next(evidence)
            yield cell

    def _evidence_of(self, one: Scored, ids: list[Id]) -> Iterator[dict[str, Any]]:
        """Each row's neighbours, distances and group of copies; the rows of a reference are named by their number."""
        nearest = one.neighbors.nearest(one.k)
        sizes = None if one.copies is None else multiplicity(one.neighbors, one.copies)
        match = None if one.copies is None else copy_matches(one.copies, self._text_numbers)
        for row in range(len(self)):
            there = nearest.indices[row] >= 0
            rows = nearest.indices[row][there].tolist()
            cell: dict[str, Any] = {
                "neighbors": rows if one.scorer.reference is not None else [ids[other] for other in rows],
                "distances": plain_values(nearest.distances[row][there]),
            }
            if one.copies is not None and sizes is not None and match is not None:
                cell |= {"duplicate_group": ids[one.copies[row]], "duplicate_size": int(sizes[row])}
                cell["duplicate_match"] = match[row]
            yield cell

    @cached_property
    def _text_numbers(self) -> np.ndarray | None:
        """The number of each row's text; None where the rows have none."""
        return numbers_of_parts(self.rows)

    def arrow_columns(self) -> dict[str, Any]:
        """The columns as Arrow arrays, those of the evidence too."""
        import pyarrow

        columns = super().arrow_columns()
        for one in filter(self._explains, self.scored):
            cells = list(self._evidence_of(one, self._plain_ids()))
            for name in EVIDENCE:
                if cells and name in cells[0]:
                    kind = pyarrow.string() if name == "duplicate_match" else None
                    columns[f"{one.label}_{name}"] = pyarrow.array([cell[name] for cell in cells], kind)
        return columns


def _reasons(scored: tuple[Scored, ...], row: int) -> str:
    """Why a row lacks scores."""
    several = len(scored) > 1
    reasons = [(one.label, (one.errors | one.undefined).get(row)) for one in scored]
    return "; ".join(f"{label}: {reason}" if several else reason for label, reason in reasons if reason is not None)

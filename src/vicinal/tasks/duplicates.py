"""Groups of near-duplicates in a data set, a record a group."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.duplicates import check_radius, duplicate_groups, representatives
from vicinal.data import provenance, tables
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import Metric, find
from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid
from vicinal.storage import atomic, npy
from vicinal.tasks.select.strategies import Start


def find_duplicates(
    data: str | Path,
    embeddings: str | Path,
    radius: float | str,
    *,
    metric: str = "euclidean",
    quality: str | None = None,
    output: str | Path | None = None,
    on_invalid: str = "error",
    id_field: str = "id",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Start | None = None,
) -> list[dict[str, Any]]:
    """The groups of rows within a radius of each other, as records, by their first row; written to an output if named.

    quality : a field of numbers; a group's representative is its best row, ties to the first; None for the first
    Returns   a record for each group of at least two: representative, size, ids, rows, and each one's distance to the
              representative
    Raises    UsageError, DataError
    """
    measure = find(metric)
    number = check_radius(radius, measure, "--radius")
    if output is not None:
        if tables.suffix(output) not in (".jsonl", ".jsonl.gz"):
            raise UsageError(f"{output}: a group is a list of rows; expected a name that ends in .jsonl or .jsonl.gz")
        atomic.check_file(output, overwrite)
        atomic.refuse_input(output, [data])
    vectors = as_vectors(npy.load_npy(embeddings), str(embeddings))
    refuse_dtype(vectors, measure, str(embeddings))
    ids, warned, columns = tables.read_columns(data, id_field, {quality: "number"} if quality else {})
    for one in warned:
        warnings.warn(one, stacklevel=2)
    tables.refuse_other_count(data, len(ids), embeddings, len(vectors))
    provenance.verify(embeddings, data, ids)
    wrong = invalid_rows(vectors, measure)
    if on_invalid == "error":
        refuse_invalid(wrong, ids, str(embeddings))
    rows = np.delete(np.arange(len(ids)), list(wrong))
    if not len(rows):
        reason = next(iter(wrong.values()), "empty")
        raise DataError(f"{embeddings}: none of the {len(ids)} rows can be used ({reason})")
    worth = None if quality is None else np.array(columns[quality], dtype=np.float64)[rows]
    usable = vectors[rows] if wrong else vectors
    tell = progress and progress(f"{measure.name} pairs within {number:g}")
    groups = duplicate_groups(usable, number, measure, threads, tell)
    best = representatives(groups, worth)
    records = list(_group_records(groups, best, rows, usable, measure, ids))
    if output is not None:
        with tables.table_writer(output, overwrite) as table:
            for record in records:
                table.add(record)
    return records


def _group_records(
    groups: np.ndarray, best: np.ndarray, rows: np.ndarray, vectors: np.ndarray, metric: Metric, ids: list[tables.Id]
) -> Iterator[dict[str, Any]]:
    order = np.argsort(groups, kind="stable")
    begins = np.flatnonzero(np.append(True, groups[order][1:] != groups[order][:-1]))
    for members in np.split(order, begins[1:]):
        if len(members) < 2:
            continue
        head = best[members[0]]
        far = metric.pairwise(np.asarray(vectors[head])[None], np.asarray(vectors[members]))[0].astype(np.float32)
        yield {
            "representative": ids[rows[head]],
            "size": len(members),
            "ids": [ids[row] for row in rows[members]],
            "rows": rows[members].tolist(),
            "distances": [float(str(one)) for one in far],
        }

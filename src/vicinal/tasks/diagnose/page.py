"""A diagnosis as the page that `vicinal.report` makes: the rows on a map, and what was found in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.data import tables
from vicinal.data.dataset import Dataset
from vicinal.tasks.diagnose.findings import findings
from vicinal.tasks.page.content import Rows, content_of, score_column
from vicinal.tasks.page.html import html_page

if TYPE_CHECKING:
    from vicinal.tasks.diagnose.diagnosis import Diagnosis


def pieces(diagnosis: "Diagnosis") -> Iterator[bytes]:
    """Yield the page in pieces, UTF-8."""
    assert diagnosis.use is not None and diagnosis.measure is not None
    use, n = diagnosis.use, diagnosis.n
    nearest = diagnosis.neighbors.distances[:, 0]
    rows = Rows(
        title=f"Neighbour diagnosis of {diagnosis.source}",
        ids=diagnosis.ids,
        id_name=use.rows.id_field,
        cells=_cells(use.rows, use.left, diagnosis),
        vectors=use.vectors.vectors,
        valid=np.arange(n),
        scores=[
            score_column("distance to the nearest", nearest, f"{diagnosis.metric} distance", "apart", "derived"),
            score_column("in lists of neighbours", diagnosis.occurrences, "rows", "a hub", "derived"),
            score_column("length", diagnosis.norms, "Euclidean length", "long", "derived"),
        ],
        metric=diagnosis.measure,
        neighbors=diagnosis.neighbors,
    )
    yield from html_page(content_of(rows, "pca", 0.0, None, findings(diagnosis, np.arange(n))))


def _cells(rows: Dataset, left: np.ndarray, diagnosis: "Diagnosis") -> dict[str, list[Any]]:
    """The fields of the usable rows: of the data set, or of the file that their labels came from; and their labels."""
    found: dict[str, list[Any]] = {}
    columns = rows.columns()
    if columns is None:
        path = next((path for path, ids in rows.sources if len(ids) > int(left.max(initial=-1))), None)
        columns = None if path is None else [row for _, row in tables.read_rows(Path(path))]
    if isinstance(columns, dict):
        found = {name: values.to_pylist() for name, values in columns.items()}
    elif columns is not None:
        names = dict.fromkeys(name for row in columns for name in row)
        found = {str(name): [row.get(name) for row in columns] for name in names}
    found = {name: [values[row] for row in left] for name, values in found.items()}
    if diagnosis.labels is not None and not any(_same(values, diagnosis) for values in found.values()):
        found["label" if "label" not in found else "label of the diagnosis"] = [
            diagnosis.label(code) for code in diagnosis.labels.codes
        ]
    return found


def _same(values: list[Any], diagnosis: "Diagnosis") -> bool:
    """Whether a field holds the labels of the diagnosis."""
    assert diagnosis.labels is not None
    return all(value == diagnosis.label(code) for value, code in zip(values, diagnosis.labels.codes, strict=True))

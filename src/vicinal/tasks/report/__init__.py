"""`vicinal.report`: scores as one self-contained HTML page, which needs no network."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal.analysis.duplicates import check_radius
from vicinal.data.labels import Labels, from_values
from vicinal.errors import UsageError, unknown
from vicinal.indexes.exact import Exact
from vicinal.knn.neighbors import Neighbors
from vicinal.storage import atomic
from vicinal.tasks.arguments import several
from vicinal.tasks.diagnose.diagnose import describe
from vicinal.tasks.diagnose.findings import findings
from vicinal.tasks.page.content import Content, Rows, content_of
from vicinal.tasks.page.html import html_page
from vicinal.tasks.page.maps import MAPS, check_map, flat_map
from vicinal.tasks.report.material import from_run, from_scores
from vicinal.tasks.score import Scores
from vicinal.typing import StartProgress

__all__ = ["MAPS", "Page", "flat_map", "page_of_rows", "report", "rows_of"]

LEAST_ROWS = 3  # of a diagnosis


@dataclass(frozen=True)
class Page:
    """A page that was written.

    Attributes
    ----------
    path : Path
    n : int
        The number of rows.
    size : int
        In bytes.
    seconds : float
        How long it took.
    """

    path: Path
    n: int
    size: int
    seconds: float = 0.0

    def summary(self) -> dict[str, Any]:
        """Return the page in numbers, as JSON can hold them."""
        return {"n": self.n, "bytes": self.size, "seconds": round(self.seconds, 3), "output": str(self.path)}


def report(
    scores: Scores | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fields: Sequence[str] | None = None,
    map: Literal["pca", "umap"] = "pca",
    radius: float = 0.0,
    labels: str | None = None,
    title: str | None = None,
    overwrite: bool = False,
    progress: StartProgress | None = None,
) -> Page:
    """Write scores as one HTML page: a map, filters, all rows, duplicates, outliers, and what a cut would drop.

    Parameters
    ----------
    scores : Scores or path
        What `vicinal.score` returned, or the folder of a kept run (`vicinal.score(run=...)`).
    output : path
        The file to write; its name ends in .html.
    fields : sequence of str, optional
        The fields that are on the page, those that are read first in front (default: all but the embeddings).
    map : {"pca", "umap"}
        Principal components, or UMAP where umap-learn is installed.
    radius : float
        Rows within it, in the metric's unit, of a row that stays are shown as its duplicates; 0: rows of one vector.
    labels : str, optional
        A field of labels: the page also shows likely label errors, boundary pairs and the figures of a diagnosis, from
        the neighbours that are there.
    title : str, optional
        Of the page (default: the name of the data set).
    overwrite : bool
        Whether a page that exists is replaced.
    progress : callable, optional
        Called with the name of each part of UMAP's work; returns the function that is called with (done, in all).

    Returns
    -------
    Page
        Its path, number of rows and size.

    Raises
    ------
    UsageError
        An argument cannot be used; the page exists and may not be replaced; the scores are of saved neighbours.
    DataError
        The folder is no kept run, or a file that the run was made from is gone or has changed; the labels cannot be
        used.
    MissingExtra
        umap-learn (`pip install 'vicinal[umap]'`) is not installed.
    """
    start = time.perf_counter()
    file = Path(output)
    if file.suffix != ".html":
        raise UsageError(f"{file}: expected a name that ends in .html")
    atomic.check_file(file, overwrite)
    check_map(map)
    rows = rows_of(scores, fields, labels, title)
    content = page_of_rows(rows, fields, map, radius, labels, progress=progress)
    size = 0
    with atomic.whole_file(file, overwrite) as target:
        for piece in html_page(content):
            size += target.write(piece)
    return Page(file, len(content.ids), size, time.perf_counter() - start)


def rows_of(
    scores: Scores | str | os.PathLike[str], fields: Sequence[str] | None, labels: str | None, title: str | None
) -> Rows:
    """Return the rows of the page of scores; the arguments are those of `report`."""
    if not isinstance(scores, Scores | str | os.PathLike):
        raise UsageError(f"scores: expected the result of vicinal.score or a kept run, got {type(scores).__name__}")
    chosen = _chosen(fields, labels)
    return from_scores(scores, chosen, title) if isinstance(scores, Scores) else from_run(Path(scores), chosen, title)


def page_of_rows(
    rows: Rows,
    fields: Sequence[str] | None,
    map: str,
    radius: float,
    labels: str | None,
    explore: bool = False,
    progress: StartProgress | None = None,
) -> Content:
    """Return what the page of rows shows; the arguments are those of `report`."""
    check_map(map)
    limit = check_radius(radius, rows.metric, "radius")
    found = {} if labels is None else _found(rows, labels)
    return content_of(rows, map, limit, _chosen(fields, labels), found, explore, progress)


def _chosen(fields: Sequence[str] | None, labels: str | None) -> list[str] | None:
    """The fields of the page: those that were asked for, and the labels."""
    chosen = several(fields, "fields")
    return [*chosen, labels] if chosen is not None and labels is not None and labels not in chosen else chosen


def _found(rows: Rows, field: str) -> dict[str, Any]:
    """What a diagnosis of the rows that have a label finds."""
    if rows.neighbors is None:
        raise UsageError("labels: the distances are to rows of another set, whose labels are not known; leave it out")
    if rows.metric.product or rows.metric.kernel == "bits":
        raise UsageError(f"labels: a diagnosis needs a distance between numbers, got {rows.metric.name}; leave it out")
    if field not in rows.cells:
        raise UsageError(f"labels: {unknown('field', field, rows.cells)}")
    values = rows.cells[field]
    usable = np.zeros(len(rows.ids), dtype=bool)
    usable[rows.valid] = True
    left = np.array([row for row in np.flatnonzero(usable).tolist() if values[row] not in (None, "")], dtype=np.int64)
    if len(left) < LEAST_ROWS:
        raise UsageError(f"labels: {len(left)} rows have a label in {field!r}, expected at least {LEAST_ROWS}")
    known: Labels = from_values([values[row] for row in left], [rows.ids[row] for row in left], field)
    vectors = rows.vectors[np.searchsorted(rows.valid, left)]
    index = Exact(rows.metric).fit(vectors, invalid={})
    diagnosis = describe(vectors, index, _among(rows.neighbors, left), known.ids, known, source=rows.title)
    return findings(diagnosis, left)


def _among(neighbors: Neighbors, left: np.ndarray) -> Neighbors:
    """The neighbours of some rows among themselves, of those in the lists that are there."""
    if len(left) == len(neighbors):
        return neighbors
    number = np.full(len(neighbors) + 1, -1, dtype=np.int64)
    number[left] = np.arange(len(left))
    indices = number[neighbors.indices[left]]  # -1 is the last of `number`
    order = np.argsort(indices < 0, axis=1, kind="stable")
    indices = np.take_along_axis(indices, order, axis=1)
    distances = np.where(indices < 0, np.inf, np.take_along_axis(neighbors.distances[left], order, axis=1))
    return Neighbors(indices, distances, neighbors.metric, neighbors.dim, recall=neighbors.recall)

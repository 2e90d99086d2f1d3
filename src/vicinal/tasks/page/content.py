"""What a page shows: columns, map, regions, neighbours, duplicates, and what was found in the data."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.scores import local_outlier_factor
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import recall_note
from vicinal.tasks.page.duplicates import Groups, groups_of
from vicinal.tasks.page.fields import Column, category, columns_of, smallest
from vicinal.tasks.page.maps import extent, flat_map
from vicinal.tasks.page.regions import MOST_REGIONS, WIDTHS, Region, regions
from vicinal.typing import Id, StartProgress

# The fields that are read first, in this order.
TEXT_FIELDS = (
    "text",
    "instruction",
    "prompt",
    "question",
    "content",
    "title",
    "input",
    "output",
    "completion",
    "response",
)
REGIONS = ("region", "smaller region")
NEAREST = "distance to the nearest"
OUTLIERS, SHOWN_NEIGHBOURS, LEAST_LOF = 200, 30, 2


@dataclass(frozen=True, eq=False)
class Content:
    """What a page shows.

    Attributes
    ----------
    title, about : str
    ids : list of int or str
    id_name : str
    columns : list of Column
        Scores first, then fields, then what was derived.
    left_out : list of str
        The names of fields of vectors.
    preview : list of str
        The names of the columns that are read first.
    places : ndarray, shape (n, 2)
        On the map; NaN for a row without a place.
    regions : tuple of list of Region
        Large and small ones, in the order of the labels of the columns `REGIONS`.
    metric : Metric
    neighbors : Neighbors or None
        The nearest rows of each row, None where they are rows of another set.
    groups : Groups or None
        Of duplicates.
    found : dict of str to list or dict
        "errors", "pairs", "outliers" and "figures", as `lists.js` reads them.
    command : dict of str to str
        The names of the "data" and the "scores" in the page's commands; "" where there is no such file.
    explore : bool
        Whether a server answers the page.
    no_search : str
        Why the server finds no rows of a sentence; "" where it does.
    """

    title: str
    about: str
    ids: list[Id]
    id_name: str
    columns: list[Column]
    left_out: list[str]
    preview: list[str]
    places: np.ndarray
    regions: tuple[list[Region], ...]
    metric: Metric
    neighbors: Neighbors | None
    groups: Groups | None
    found: dict[str, Any] = field(default_factory=dict)
    command: dict[str, str] = field(default_factory=dict)
    explore: bool = False
    no_search: str = ""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a page before it is made.

    Attributes
    ----------
    title : str
    ids : list of int or str
    id_name : str
    cells : dict of str to list
        The values of each field.
    vectors : ndarray, shape (n_valid, dim)
        Of the valid rows.
    valid : ndarray of int
        The numbers of the rows with a usable embedding, ascending.
    scores : list of Column
    metric : Metric
    neighbors : Neighbors or None
    graph : Neighbors or None
        The same, where all other rows can be neighbours of a row.
    texts : ndarray of int64, or None
        The number of each row's whole text, the same for equal texts.
    data, scores_file : path or None
    is_csv : bool
    """

    title: str
    ids: list[Id]
    id_name: str
    cells: dict[str, list[Any]]
    vectors: np.ndarray
    valid: np.ndarray
    scores: list[Column]
    metric: Metric
    neighbors: Neighbors | None
    graph: Neighbors | None = None
    texts: np.ndarray | None = None
    data: Path | None = None
    scores_file: Path | None = None
    is_csv: bool = False


def content_of(
    rows: Rows,
    kind: str,
    radius: float,
    fields: Sequence[str] | None,
    found: dict[str, Any],
    explore: bool = False,
    progress: StartProgress | None = None,
) -> Content:
    """Return what a page of rows shows.

    Parameters
    ----------
    rows : Rows
    kind : {"pca", "umap"}
        The map.
    radius : float
        Rows so near are duplicates.
    fields : sequence of str, optional
        The fields that are on the page; all by default.
    found : dict
        As in `Content`; the outliers are added here.
    explore : bool
    progress : callable, optional
        For UMAP, as `flat_map` takes it.
    """
    n = len(rows.ids)
    places = np.full((n, 2), np.nan, dtype=np.float32)
    if len(rows.valid):
        places[rows.valid] = flat_map(rows.vectors, rows.metric, kind, progress)
    chosen = {name: values for name, values in rows.cells.items() if fields is None or name in fields}
    plain, left_out = columns_of(chosen, rows.is_csv)
    preview = _preview(plain, rows.id_name, fields)
    groups = groups_of(rows.vectors, rows.valid, rows.metric, radius, rows.texts, rows.graph)
    areas, derived = _regions(places, preview_texts(plain, preview, n))
    found = dict(found)
    if rows.neighbors is not None and rows.neighbors.k >= LEAST_LOF:
        found["outliers"] = _outliers(rows.neighbors)
    return Content(
        title=rows.title,
        about=_about(rows, places, kind),
        ids=rows.ids,
        id_name=rows.id_name,
        columns=[*rows.scores, *plain, *groups.columns(n), *_nearest(rows.neighbors, rows.metric), *derived],
        left_out=left_out,
        preview=preview,
        places=places,
        regions=areas,
        metric=rows.metric,
        neighbors=rows.neighbors,
        groups=groups,
        found=found,
        command={"data": _named(rows.data), "scores": _named(rows.scores_file)},
        explore=explore,
    )


def _about(rows: Rows, places: np.ndarray, kind: str) -> str:
    """A line about the page: how the neighbours were found, and what the map is."""
    if rows.neighbors is None:
        said = "the distances are to rows of another set"
    else:
        recall = recall_note(rows.neighbors.recall)
        said = f"the {rows.neighbors.k} nearest of each by {rows.metric.name} distance{recall}"
    low, high = extent(places)
    far = int(((places < low) | (places > high)).any(axis=1).sum())
    beyond = f"; {far:,} far rows are drawn at its edge" if far else ""
    return f"{said}; map: {'two principal components' if kind == 'pca' else 'UMAP'}{beyond}"


def _named(path: Path | None) -> str:
    """A file as a command names it: as seen from here where it lies below, else in full."""
    if path is None:
        return ""
    whole, here = path.resolve(), Path.cwd().resolve()
    return str(whole.relative_to(here)) if whole.is_relative_to(here) else str(whole)


def _preview(columns: list[Column], id_name: str, fields: Sequence[str] | None) -> list[str]:
    """The columns that are read first: those that were asked for, the usual ones, or all texts."""
    texts = [one.name for one in columns if one.kind == "text" and one.name != id_name]
    if fields is not None:
        return [name for name in fields if name in texts] or texts[:2]
    usual = [name for name in TEXT_FIELDS if name in texts]
    return (usual + [name for name in texts if name not in usual])[:4] if usual else texts[:4]


def preview_texts(columns: list[Column], preview: list[str], n: int) -> list[str]:
    """Return what is read of each row."""
    chosen = [one.values for one in columns if one.name in preview and one.kind == "text"]
    return [" ".join(str(values[row]) for values in chosen if values[row] is not None) for row in range(n)]


def _regions(places: np.ndarray, texts: list[str]) -> tuple[tuple[list[Region], ...], list[Column]]:
    """The regions of the map, large and small, and their columns."""
    levels, columns = [], []
    for name, width, most in zip(REGIONS, WIDTHS, MOST_REGIONS, strict=True):
        code, found = regions(places, texts, width, most)
        levels.append(found)
        if found:
            labels = [*(one.name for one in found), None]
            columns.append(Column(name, "category", "derived", smallest(np.where(code < 0, len(found), code)), labels))
    return tuple(levels), columns


def _nearest(neighbors: Neighbors | None, metric: Metric) -> list[Column]:
    """How far each row is from the nearest other one, by which a radius of duplicates is chosen."""
    if neighbors is None or not neighbors.k:
        return []
    far = np.where(neighbors.indices[:, 0] >= 0, neighbors.distances[:, 0], np.nan).astype(np.float32)
    return [Column(NEAREST, "number", "derived", far, unit=metric.unit)]


def _outliers(neighbors: Neighbors) -> list[dict[str, Any]]:
    """The rows of the highest local outlier factor, the highest first."""
    with warnings.catch_warnings():  # of factors near many copies, which the list shows as they are
        warnings.simplefilter("ignore")
        values = np.asarray(local_outlier_factor(neighbors, neighbors.k), dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(values))
    order = finite[np.lexsort((finite, -values[finite]))][:OUTLIERS]
    return [{"row": int(row), "score": float(values[row])} for row in order]


def score_column(name: str, values: np.ndarray, unit: str, high: str, role: str = "score") -> Column:
    """Return a column of a score."""
    return Column(name, "number", role, np.asarray(values, dtype=np.float32), unit=unit, high=high)


__all__ = ["TEXT_FIELDS", "Content", "Rows", "category", "content_of", "score_column"]

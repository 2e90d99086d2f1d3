"""`vicinal.report`: scores as one self-contained HTML page, which needs no network.

The figures are Bokeh's, whose script is written into the page; `page.html`, `page.css` and `page.js` beside this file
are the rest. Texts and neighbours lie packed in the page and are unpacked when a sample is first looked at.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal.analysis.duplicates import check_radius, greedy
from vicinal.analysis.near_pairs import NearPairs
from vicinal.errors import UsageError, need
from vicinal.knn.copies import find_copies
from vicinal.storage import atomic
from vicinal.tasks.arguments import several
from vicinal.tasks.duplicates.grouping import distances_between
from vicinal.tasks.duplicates.texts import matches
from vicinal.tasks.report.maps import MAPS, check_map, flat_map
from vicinal.tasks.report.material import Material, from_run, from_scores
from vicinal.tasks.report.page import html_page
from vicinal.tasks.score import Scores, kept
from vicinal.tasks.score.plan import Scorer

__all__ = ["MAPS", "Page", "flat_map", "report"]

SHOWN, GROUP_ROWS = 15, 8


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
    title: str | None = None,
    overwrite: bool = False,
) -> Page:
    """Write scores as one HTML page: their distribution, a map, the ends, the duplicates, and what a cut would drop.

    Parameters
    ----------
    scores : Scores or path
        What `vicinal.score` returned, or the folder of a kept run (`vicinal.score(run=...)`).
    output : path
        The file to write; its name ends in .html.
    fields : sequence of str, optional
        The fields whose text is shown of each row (default: text, instruction, prompt, question, content, output,
        completion, response, where they are there; else all that is text).
    map : {"pca", "umap"}
        Principal components, or UMAP where umap-learn is installed.
    radius : float
        Rows at most so far apart, in the metric's unit, are shown as duplicates; 0 for exact copies.
    title : str, optional
        Of the page (default: the name of the data set).
    overwrite : bool
        Whether a page that exists is replaced.

    Returns
    -------
    Page
        Its path, number of rows and size.

    Raises
    ------
    UsageError
        An argument cannot be used; the page exists and may not be replaced; the scores are of saved neighbours.
    DataError
        The folder is no kept run, or a file that the run was made from is gone or has changed.
    MissingExtra
        Bokeh (`pip install 'vicinal[report]'`) or umap-learn is not installed.
    """
    start = time.perf_counter()
    file = Path(output)
    if file.suffix != ".html":
        raise UsageError(f"{file}: expected a name that ends in .html")
    atomic.check_file(file, overwrite)
    check_map(map)
    if not isinstance(scores, Scores | str | os.PathLike):
        raise UsageError(f"scores: expected the result of vicinal.score or a kept run, got {type(scores).__name__}")
    fields = several(fields, "fields")
    need("bokeh", extra="report")
    material = from_scores(scores, fields) if isinstance(scores, Scores) else from_run(Path(scores), fields)
    limit = check_radius(radius, material.scorers[0].metric, "radius")
    page = _drawn(material, map, limit, title)
    with atomic.whole_file(file, overwrite) as target:
        target.write(page)
    return Page(file, len(material.ids), len(page), time.perf_counter() - start)


def _drawn(material: Material, kind: str, radius: float, title: str | None) -> bytes:
    """The page of some scores."""
    metric = material.scorers[0].metric
    places = np.full((len(material.ids), 2), np.nan, dtype=np.float32)
    places[material.valid] = flat_map(material.valid_vectors, metric, kind)
    groups, kinds = _groups(material, radius)
    rows, first = np.arange(len(material.ids)), material.values[0]
    scored = np.isfinite(first).sum()
    early = {
        *np.lexsort((rows, first))[:scored][:SHOWN].tolist(),
        *np.lexsort((rows, -first))[:scored][:SHOWN].tolist(),
        *(row for one in groups[:SHOWN] for row in one["rows"]),
    }
    data = {
        "ids": material.ids,
        "title": (title or material.title) + _recall_note(material),
        "labels": [one.label for one in material.scorers],
        "high": [one.score.high for one in material.scorers],
        "units": [_unit(one) for one in material.scorers],
        "metric": metric.name,
        "unit": metric.unit,
        "k": material.neighbors.k,
        "shown": SHOWN,
        "radius": radius,
        "groups": groups[:SHOWN],
        "group_count": len(groups),
        "duplicates": sum(group["size"] - 1 for group in groups),
        **kinds,
        "early": {row: material.texts[row] for row in sorted(early)},
    }
    page = html_page(data, places, material.values, material.texts, material.neighbors, kind)
    return page.encode("utf-8", "replace")


def _recall_note(material: Material) -> str:
    """What the title says of approximate neighbours."""
    neighbors = material.neighbors
    return f" ({neighbors.recall})" if neighbors.approximate else ""


def _groups(material: Material, radius: float) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """The groups of near-duplicates, largest first, and how many of their rows are copies, same vectors and near.

    Of each group: size, the first rows, how each of them is like the row that stands for the group (None for that row),
    and the counts of the group.
    """
    metric, rows, valid = material.scorers[0].metric, material.valid_vectors, material.valid
    if radius == 0 and not metric.product:
        copies = find_copies(rows)
        stands = copies.first[copies.group]
    else:
        graph = None if material.graph is None else kept.renumbered(material.graph, valid)
        stands = greedy(NearPairs(rows, radius, metric, graph=graph))  # the first row of each group stands for it
    numbers = None if material.numbers is None else material.numbers[valid]
    match = matches(rows, stands, distances_between(rows, stands, metric), numbers, metric)
    order = np.argsort(stands, kind="stable")
    begins = np.flatnonzero(np.append(True, stands[order][1:] != stands[order][:-1]))
    members = [part for part in np.split(order, begins[1:]) if len(part) > 1]
    members.sort(key=lambda part: (-len(part), part[0]))
    groups = [
        {
            "size": len(part),
            "rows": valid[part[:GROUP_ROWS]].tolist(),
            "matches": [match[row] for row in part[:GROUP_ROWS]],
            **_kinds(match[row] for row in part),
        }
        for part in members
    ]
    return groups, _kinds(match)


def _kinds(match: Iterable[str | None]) -> dict[str, int]:
    """How many rows are like the one that stands for them in each of the ways."""
    counts = Counter(match)
    return {"copies": counts["copy"], "same_vector": counts["same vector"], "near": counts["near"]}


def _unit(one: Scorer) -> str:
    """The unit of a score's values, in words."""
    if one.form:
        return "percent of rows below" if one.form == "percentile" else "times the median of all rows"
    plain = {"lof": "without unit", "density": "natural logarithm", "hubness": "rows", "lid": "dimensions"}
    return plain.get(one.score.by, one.metric.unit)

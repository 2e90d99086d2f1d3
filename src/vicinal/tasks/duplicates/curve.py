"""What each of several radii would remove: a table, a picture and sample pairs to choose a radius by, from one pass."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.duplicates import crowding, greedy, linked
from vicinal.analysis.near_pairs import MOST_PAIRS, NearPairs, Piece
from vicinal.data import tables
from vicinal.data.dataset import Dataset
from vicinal.data.results import Columns
from vicinal.data.text_keys import shown_rows
from vicinal.data.usable import Usable
from vicinal.errors import UsageError, need
from vicinal.knn.exact import ExactSearch
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import recall_fields, recall_note
from vicinal.tasks.duplicates.grouping import Rules, pair_distances
from vicinal.tasks.duplicates.texts import together
from vicinal.typing import StartProgress

STEPS = 12  # radii above 0, each sqrt(2) times the one before
SAMPLE = 1000
SAMPLE_PAIRS = 3
SHOWN, BEFORE = 100, 40  # characters of a text, and how many of them before the first difference
MOST_ENDING = 0.25  # share of the rows whose known neighbours may all lie within the largest radius
NEARLY = 1e-6  # relative; pairs so near a radius are measured again in float64


class RadiusCurve(Columns):
    """What `vicinal.duplicates` would find at each of several radii: one row a radius, ascending.

    Columns, by name (`curve["removed"]`), each an array with one value a radius:

    - `radius` (float64): in the metric's unit; the first is 0, exact copies.
    - `groups` (int64): the number of groups of at least two rows.
    - `removed` (int64): the number of rows that could go.
    - `removed_single` (int64): the same with link "single"; where it is much larger, chains join rows far apart.

    Attributes
    ----------
    pairs : list of list of dict
        For each radius, up to three pairs of rows that this radius joins and the one before does not, the farthest
        first: a, b (ids), row_a, row_b (row numbers), distance, and where the rows have texts text_a and text_b.
    metric : str
    n : int
        The number of rows.
    recall : Recall or None
        Of the pairs within the largest radius, where they are not exact or were asked for with a recall.
    unusable : dict of int to str
    skipped : bool
    seconds : float
    """

    def __init__(self, columns: dict[str, np.ndarray], pairs: list[list[dict[str, Any]]], rules: Rules, use: Usable):
        super().__init__(list(range(len(columns["radius"]))), columns)
        self.pairs, self.metric, self.n = pairs, rules.metric.name, len(use.left)
        self.recall = rules.found
        self.unusable, self.skipped, self.seconds = use.reasons, use.skip, 0.0

    def __repr__(self) -> str:
        """The table itself, as a notebook shows it."""
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """Yield the lines of a table of the curve, with the sample pairs below each radius."""
        header = f"{'radius':>10} {'groups':>9} {'removed':>9} {'share':>7} {'by chains':>10}"
        yield f"{header}   ({self.metric}, {self.n:,} rows{recall_note(self.recall)})"
        columns = zip(*(self[name].tolist() for name in self), self.pairs, strict=True)
        for radius, groups, removed, single, pairs in columns:
            yield f"{radius:>10.4g} {groups:>9,} {removed:>9,} {removed / self.n:>7.1%} {single:>10,}"
            for pair in pairs:
                yield f"{'':>10} {pair['distance']:.4g}: {pair['a']} - {pair['b']}"
                for line in _lines_of(*(pair.get(name) for name in ("text_a", "text_b"))):
                    yield f"{'':>14}{line}"

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a radius: the columns, and the sample pairs."""
        for record, pairs in zip(super().records(), self.pairs, strict=True):
            del record["id"]
            yield {**record, "pairs": pairs}

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the records to a `.jsonl` or `.jsonl.gz` file; it appears whole or not at all."""
        with tables.table_writer(path, overwrite) as table:
            for record in self.records():
                table.add(record)

    def picture(self) -> Any:
        """Return a matplotlib Figure of the share of removed rows along the radius.

        Raises
        ------
        MissingExtra
            matplotlib is not installed.
        """
        need("matplotlib", extra="report")
        from vicinal.tasks import pictures

        figure, axes = pictures.axes("Rows that could go", f"radius ({self.metric})", "share of rows (%)")
        for name, label, colour in (("removed", "greedy", 0), ("removed_single", "chains joined (single)", 1)):
            axes.plot(
                self["radius"], 100 * self[name] / self.n, marker="o", color=pictures.COLOURS[colour], label=label
            )
        axes.legend(frameon=False)
        axes.set_ylim(bottom=0)
        return figure

    def save_picture(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the picture to an `.svg`, `.png` or `.pdf` file."""
        from vicinal.tasks import pictures

        pictures.check(str(path), overwrite)
        pictures.save(self.picture(), path, overwrite)

    def summary(self) -> dict[str, Any]:
        """Return what `vicinal duplicates --suggest --json` prints: n, metric, steps and seconds."""
        return {
            "n": self.n,
            "metric": self.metric,
            "unusable": len(self.unusable),
            "seconds": round(self.seconds, 3),
            "steps": list(self.records()),
            **recall_fields(self.recall),
        }


def radius_curve(
    use: Usable, rules: Rules, numbers: np.ndarray | None = None, start: StartProgress | None = None
) -> RadiusCurve:
    """Return what each of several radii would remove, from one search within the largest of them.

    `numbers` are those of the rows' texts, which copies (radius 0) have in common.

    Raises
    ------
    UsageError
        The metric's distances may be negative, so that no radius is the smallest.
    """
    if rules.metric.product:
        raise UsageError(f"radius: auto needs a metric with distances from 0, got {rules.metric.name}; take cosine")
    vectors = use.vectors.vectors
    quality, within = use.rows.values.get("quality"), use.rows.values.get("within")
    labels = None if within is None else tables.numbered(within)
    radii = _radii(vectors, rules)
    progress = None if start is None else start(f"{rules.metric.name} pairs within {radii[-1]:g}")
    pairs = NearPairs(
        vectors, radii[-1], rules.metric, rules.threads, labels, progress, graph=rules.graph, recall=rules.recall
    )
    (whole,) = pairs.pieces()
    if pairs.recall is not None:
        rules.recalls.append(pairs.recall)
    worth = None if quality is None else np.array(quality, dtype=np.float64)
    columns: dict[str, list[float]] = {name: [] for name in ("radius", "groups", "removed", "removed_single")}
    samples, before = [], np.zeros(len(whole.near), dtype=bool)
    for radius in radii:
        within_it = _at_most(pairs, whole, radius)
        part = pairs.part(whole.among(within_it))
        if not radius and numbers is not None:
            part = NearPairs(vectors, 0.0, rules.metric, rules.threads, together(labels, numbers))
        standing = greedy(part, crowding(part) if rules.keep == "most-central" else worth)
        rows = np.arange(len(vectors))
        removed = standing != rows
        columns["radius"].append(radius)
        columns["groups"].append(len(np.unique(standing[removed])))
        columns["removed"].append(int(removed.sum()))
        columns["removed_single"].append(int((linked(part) != rows).sum()))
        samples.append(_samples(pairs, whole, within_it & ~before, use) if radius else _copies(part, use))
        before = within_it
    arrays = {name: np.array(values) for name, values in columns.items()}
    return RadiusCurve(arrays, samples, rules, use)


def _radii(vectors: np.ndarray, rules: Rules) -> list[float]:
    """0, and radii up to the median distance of a row to its nearest other, with two digits each.

    The largest is lowered where the pairs within it would not fit in memory.
    """
    sample = np.unique(np.linspace(0, len(vectors) - 1, SAMPLE).astype(np.int64))
    if rules.graph is not None and (steps := _radii_of(rules.graph)):
        return steps
    index = ExactSearch.of(vectors, rules.metric, rules.threads)
    groups = np.arange(len(vectors))
    k = min(16, len(vectors) - 1)
    found = index.search(vectors[sample], k, groups=groups, query_groups=sample)
    nearest = np.where(found.distances > 0, found.distances, np.inf).min(axis=1)
    nearest = nearest[np.isfinite(nearest)].astype(np.float64)
    if not len(nearest):
        return [0.0]
    top = float(np.median(nearest))
    while len(index.within(top, vectors[sample]).indices) / len(sample) * len(vectors) > MOST_PAIRS / 4:
        top /= 2**0.5
    return _steps_to(top)


def _radii_of(graph: Neighbors) -> list[float]:
    """The same from known neighbours; none where the lists of many rows end within the largest radius."""
    distances = graph.distances.astype(np.float64)
    nearest = np.where((distances > 0) & (graph.indices >= 0), distances, np.inf).min(axis=1)
    nearest = nearest[np.isfinite(nearest)]
    if not len(nearest):
        return []
    top = float(np.median(nearest))
    return _steps_to(top) if (distances[:, -1] <= top).mean() <= MOST_ENDING else []


def _steps_to(top: float) -> list[float]:
    steps = [float(f"{top / 2 ** (step / 2):.2g}") for step in reversed(range(STEPS))]
    return [0.0, *sorted({step for step in steps if step > 0})]


def _at_most(pairs: NearPairs, whole: Piece, radius: float) -> np.ndarray:
    """Which pairs are within a radius, as a search in float64 would find them."""
    distances = whole.distances.astype(np.float64)
    result = distances <= radius
    close = np.flatnonzero(np.abs(distances - radius) <= NEARLY * radius)
    a, b = pairs.first[whole.source[close]], pairs.first[whole.near[close]]
    result[close] = pair_distances(pairs.vectors, a, pairs.vectors, b, pairs.metric) <= radius
    return result


def _samples(pairs: NearPairs, whole: Piece, wanted: np.ndarray, use: Usable) -> list[dict[str, Any]]:
    """The farthest pairs among the wanted ones, no row twice."""
    source = whole.source
    places = np.flatnonzero(wanted & (source < whole.near))
    places = places[np.lexsort((whole.near[places], source[places], -whole.distances[places]))]
    out: list[dict[str, Any]] = []
    used: set[int] = set()
    for place in places[: 50 * SAMPLE_PAIRS].tolist():
        a, b = int(pairs.first[source[place]]), int(pairs.first[whole.near[place]])
        if not {a, b} & used and len(out) < SAMPLE_PAIRS:
            used |= {a, b}
            out.append(_pair(a, b, float(str(whole.distances[place])), use))
    return out


def _copies(pairs: NearPairs, use: Usable) -> list[dict[str, Any]]:
    """The first pairs of equal rows."""
    rows = np.flatnonzero(pairs.first[pairs.entry] != np.arange(len(pairs.entry)))
    _, first = np.unique(pairs.entry[rows], return_index=True)
    rows = np.sort(rows[first])[:SAMPLE_PAIRS]
    return [_pair(int(pairs.first[pairs.entry[row]]), int(row), 0.0, use) for row in rows]


def _pair(a: int, b: int, distance: float, use: Usable) -> dict[str, Any]:
    ids, texts = use.rows.ids, use.rows.values.get("text")
    pair: dict[str, Any] = {"a": ids[a], "b": ids[b], "row_a": int(use.left[a]), "row_b": int(use.left[b])}
    pair["distance"] = distance
    return pair if texts is None else {**pair, "text_a": texts[a], "text_b": texts[b]}


def add_texts(curve: RadiusCurve, rows: Dataset) -> None:
    """Add to the sample pairs what is shown of their rows, where the data set has texts."""
    pairs = [pair for own in curve.pairs for pair in own]
    shown = shown_rows(rows, {pair[name] for pair in pairs for name in ("row_a", "row_b")})
    for pair in pairs:
        texts = {f"text_{side}": shown.get(pair[f"row_{side}"], "") for side in "ab"}
        pair |= texts if any(texts.values()) else {}


def _lines_of(*texts: str | None) -> list[str]:
    """The texts of a pair, a line each: their starts, or where they differ first if the starts are the same."""
    folded = [" ".join(text.split()) for text in texts if text is not None]
    differ = (place for place, both in enumerate(zip(*folded, strict=False)) if len(set(both)) > 1)
    same = next(differ, min(map(len, folded), default=0))
    start = same - BEFORE if len(set(folded)) > 1 and same > SHOWN - BEFORE else 0
    return [_part_of(text, start) for text in folded]


def _part_of(text: str, start: int) -> str:
    before = "..." if start else ""
    end = start + SHOWN - len(before)
    return f"{before}{text[start:]}" if len(text) <= end else f"{before}{text[start : end - 3]}..."

"""Regions of a map and their names.

A region is a hill of the map's density: rows are counted in the cells of a grid, the counts are smoothed, and every
cell climbs to its steepest neighbour until it reaches a top. Its name are the words that are frequent in it and rare in
the others, by c-TF-IDF.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vicinal.tasks.page.maps import extent

CELLS = 96
WIDTHS = (2.6, 1.3)  # of the smoothing, in cells: for the whole map, and for a part of it
WORDS_OF_NAME, WORDS_READ, ROWS_READ = 3, 60, 400  # of a name; of a text; of a region
LEAST_ROWS, MOST_REGIONS = 5, (14, 60)
WORD = re.compile(r"[^\W\d_][\w'-]{2,}")
STOP = frozenset(
    [
        "the",
        "and",
        "for",
        "that",
        "with",
        "this",
        "from",
        "are",
        "was",
        "were",
        "you",
        "your",
        "have",
        "has",
        "had",
        "not",
        "but",
        "can",
        "all",
        "any",
        "its",
        "his",
        "her",
        "their",
        "they",
        "them",
        "she",
        "him",
        "our",
        "who",
        "what",
        "which",
        "when",
        "where",
        "how",
        "why",
        "will",
        "would",
        "there",
        "been",
        "being",
        "than",
        "then",
        "also",
        "into",
        "out",
        "about",
        "one",
        "two",
        "more",
        "most",
        "some",
        "such",
        "only",
        "other",
        "these",
        "those",
        "following",
        "given",
        "does",
        "did",
        "done",
        "each",
        "may",
        "might",
        "must",
        "should",
        "could",
        "use",
        "used",
        "using",
        "very",
        "just",
        "over",
        "after",
        "before",
        "between",
        "both",
        "because",
        "while",
        "during",
        "through",
        "under",
        "above",
    ]
)


@dataclass(frozen=True, eq=False)
class Region:
    """A region: its name, its number of rows, and where its name stands on the map."""

    name: str
    size: int
    x: float
    y: float


def regions(places: np.ndarray, texts: Sequence[str], width: float, most: int) -> tuple[np.ndarray, list[Region]]:
    """Return the region of each row, int64 (n,), -1 for none, and the regions, the largest first.

    Parameters
    ----------
    places : ndarray, shape (n, 2)
        NaN where a row has no place.
    texts : sequence of str
        What is read of each row for the names.
    width : float
        Of the smoothing, in cells of the grid.
    most : int
        How many regions at most; rows of the others have none.

    References
    ----------
    c-TF-IDF: Grootendorst 2022, arXiv 2203.05794, equation 2: the frequency of a word in a region times
    log(1 + words of a mean region / frequency of the word in all).
    """
    placed = np.flatnonzero(np.isfinite(places).all(axis=1))
    code = np.full(len(places), -1, dtype=np.int64)
    if not len(placed):
        return code, []
    cell = _cells(places[placed])
    counts = np.bincount(cell, minlength=CELLS * CELLS).reshape(CELLS, CELLS)
    top = _tops(_smoothed(counts.astype(np.float64), width))
    hill = top[cell]
    names, sizes = np.unique(hill, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    large = [number for number in order[:most] if sizes[number] >= LEAST_ROWS]
    for number, chosen in enumerate(large):
        code[placed[hill == names[chosen]]] = number
    words = _names(code, texts, len(large))
    middles = [np.median(places[code == number], axis=0) for number in range(len(large))]
    found = [
        Region(words[number], int(sizes[chosen]), float(middles[number][0]), float(middles[number][1]))
        for number, chosen in enumerate(large)
    ]
    return code, found


def _cells(places: np.ndarray) -> np.ndarray:
    """The cell of the grid that each place lies in."""
    low, high = extent(places)
    span = np.where(high > low, high - low, 1)
    across, up = (CELLS * (places - low) / span).clip(0, CELLS - 1).astype(np.int64).T
    cells: np.ndarray = up * CELLS + across
    return cells


def _smoothed(counts: np.ndarray, width: float) -> np.ndarray:
    """The counts under a Gaussian of this width."""
    reach = int(np.ceil(3 * width))
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    bell /= bell.sum()
    for axis in (0, 1):
        counts = np.apply_along_axis(lambda line: np.convolve(line, bell)[reach:-reach], axis, counts)
    return counts


def _tops(heights: np.ndarray) -> np.ndarray:
    """The cell of the top that each cell climbs to."""
    size = len(heights)
    framed = np.pad(heights, 1, constant_values=-1.0)
    cells = np.pad(np.arange(size * size).reshape(size, size), 1)
    steps = [(dy, dx) for dy in (0, -1, 1) for dx in (0, -1, 1)]
    around = np.stack([framed[1 + dy : size + 1 + dy, 1 + dx : size + 1 + dx] for dy, dx in steps])
    numbers = np.stack([cells[1 + dy : size + 1 + dy, 1 + dx : size + 1 + dx] for dy, dx in steps])
    goal: np.ndarray = np.take_along_axis(numbers, around.argmax(axis=0)[None], axis=0)[0].ravel()
    while not np.array_equal(goal, goal[goal]):
        goal = goal[goal]
    return goal


def _names(code: np.ndarray, texts: Sequence[str], count: int) -> list[str]:
    """The words of each region that c-TF-IDF puts first; of equal ones the first in the alphabet."""
    frequencies = []
    for number in range(count):
        rows = np.flatnonzero(code == number)
        seen: Counter[str] = Counter()
        for row in rows[:: -(-len(rows) // ROWS_READ)]:
            words = WORD.findall(texts[row].lower())[:WORDS_READ]
            seen.update({word for word in words if word not in STOP})  # a row that repeats a word counts it once
        frequencies.append(seen)
    in_all = sum(frequencies, Counter())
    mean = sum(in_all.values()) / max(1, count)
    names = []
    for seen in frequencies:
        least = 2 if sum(seen.values()) > 20 else 1
        weight = {word: times * np.log1p(mean / in_all[word]) for word, times in seen.items() if times >= least}
        names.append(", ".join(sorted(weight, key=lambda word: (-weight[word], word))[:WORDS_OF_NAME]))
    return names

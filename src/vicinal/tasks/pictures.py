"""Pictures of curves, histograms and confusion matrices, by matplotlib (the extra `report`).

`recall_and_speed`, `line`, `counts` and `confusion` return a matplotlib Figure.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import UsageError, need
from vicinal.storage import atomic

SUFFIXES = (".svg", ".png", ".pdf")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # distinct without colour vision too (Okabe & Ito 2008)
GREY = "#666666"


def check(path: str, overwrite: bool) -> None:
    """Raise an error at once where a picture could not be drawn or written later.

    Raises
    ------
    UsageError
        The name does not end in .svg, .png or .pdf; the file exists and `overwrite` is false.
    MissingExtra
        matplotlib is not installed.
    """
    if not path.lower().endswith(SUFFIXES):
        raise UsageError(f"{path}: expected a picture's name that ends in {', '.join(SUFFIXES)}")
    atomic.check_file(path, overwrite)
    need("matplotlib", extra="report")


def save(figure: Any, path: str | Path, overwrite: bool = False) -> None:
    """Write a figure; the file appears whole or not at all."""
    kind = Path(path).suffix[1:].lower()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with atomic.whole_file(path, overwrite) as file, _same_names():
        figure.savefig(file, format=kind, dpi=150, metadata=undated)


def _same_names() -> Any:
    """Make the names inside an SVG those of its content, so that the same figure gives the same bytes."""
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": "vicinal"})


def plain(text: str) -> str:
    """A text that matplotlib shows as it is written; between two `$` it would read a formula."""
    return text.replace("$", r"\$")


def svg(figure: Any) -> str:
    """Return a figure as SVG text, which can stand inside an HTML page."""
    text = io.StringIO()
    with _same_names():
        figure.savefig(text, format="svg", metadata={"Date": None})
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def axes(title: str, x: str, y: str, size: tuple[float, float] = (6.4, 3.6)) -> tuple[Any, Any]:
    """Return an empty figure and its axes.

    Parameters
    ----------
    title, x, y : str
        The words above, below and at the left.
    size : tuple of float
        Width and height in inches.
    """
    need("matplotlib", extra="report")
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    place = figure.add_subplot()
    place.set_title(plain(title), fontsize=11, loc="left")
    place.set_xlabel(plain(x))
    place.set_ylabel(plain(y))
    place.spines[["top", "right"]].set_visible(False)
    return figure, place


def recall_and_speed(curves: list[tuple[str, list[tuple[float, float]]]], k: int) -> Any:
    """Return queries per second over recall, one curve an index: up and to the right is better.

    The axis of recall is 1 - (1 - recall)^(1/3), which spreads the values near 1, where most indexes are.

    Parameters
    ----------
    curves : list of (str, list of (float, float))
        The name of each index, and its points: recall, queries per second.
    k : int
        The number of neighbours that recall was measured for.
    """
    figure, place = axes("Speed and recall", f"recall@{k}", "queries per second", size=(6.4, 4.2))
    colours = [*COLOURS, "#56b4e9", "#e69f00", GREY, "#000000"]
    for number, (name, points) in enumerate(curves):
        recall, speed = zip(*sorted(points), strict=True)
        colour = colours[number % len(colours)]
        marker = "o" if len(points) > 1 else "*"
        place.plot(recall, speed, color=colour, label=plain(name), marker=marker, markersize=4, clip_on=False)
    place.set_yscale("log")
    place.set_xscale("function", functions=(lambda r: 1 - np.cbrt(1 - r), lambda x: 1 - (1 - x) ** 3))
    lowest = min(recall for _, points in curves for recall, _ in points)
    ticks = [tick for tick in (0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999, 1) if tick >= lowest - 0.05]
    place.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    place.set_xlim(max(0, lowest - 0.05), 1)
    place.grid(True, which="both", alpha=0.25)
    place.legend(frameon=False, loc="lower left")
    return figure


def line(title: str, x: str, y: str, points: dict[str, tuple[np.ndarray, np.ndarray]], log_x: bool = False) -> Any:
    """Return one line for each name through its points.

    Parameters
    ----------
    title, x, y : str
    points : dict of str to (ndarray, ndarray)
        The name of each line -> its x and y values.
    log_x : bool
        Whether the x axis is logarithmic.
    """
    figure, place = axes(title, x, y)
    for colour, (name, (across, up)) in zip(COLOURS, points.items(), strict=False):
        place.plot(across, up, color=colour, label=plain(name), marker=".")
    if log_x:
        across = max((across for across, _ in points.values()), key=len)
        ticks = [float(f"{tick:.2g}") for tick in np.geomspace(across[0], across[-1], 5)]
        log_ticks(place, ticks, [f"{tick:,.0f}" for tick in ticks])
    place.legend(frameon=False)
    return figure


def log_ticks(place: Any, ticks: Sequence[float], names: list[str]) -> None:
    """Make the x axis logarithmic, with these ticks."""
    place.set_xscale("log")
    place.minorticks_off()
    place.set_xticks(ticks, names)


def counts(title: str, x: str, values: np.ndarray, marks: dict[str, float] | None = None) -> Any:
    """Return a histogram of values.

    Parameters
    ----------
    title, x : str
    values : ndarray, shape (n,)
        Those that are not finite are left out.
    marks : dict of str to float, optional
        The names of values that are marked by a dashed line.
    """
    figure, place = axes(title, x, "rows")
    finite = values[np.isfinite(values)]
    place.ticklabel_format(useOffset=False)
    place.locator_params(axis="x", nbins=6)
    place.hist(finite, bins=min(60, max(5, int(np.sqrt(len(finite))))), color=COLOURS[0])
    for name, at in (marks or {}).items():
        place.axvline(at, color=COLOURS[1], linestyle="--", label=plain(f"{name} {at:.3g}"))
    if marks:
        place.legend(frameon=False)
    return figure


def confusion(title: str, shares: np.ndarray, names: list[str]) -> Any:
    """Return a confusion matrix: the row's label down, the label of its neighbours across.

    Parameters
    ----------
    title : str
    shares : ndarray, shape (n_labels, n_labels)
        The share of each row's label, 0 to 1.
    names : list of str
        The labels.
    """
    size = min(9.0, 2.6 + 0.32 * len(names))
    figure, place = axes(title, "the neighbours' label", "the row's label", (size + 0.6, size))
    image = place.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [plain(name) for name in names]
    place.set_xticks(range(len(names)), shown, rotation=90, fontsize=8)
    place.set_yticks(range(len(names)), shown, fontsize=8)
    if len(names) <= 12:
        for row in range(len(names)):
            for column in range(len(names)):
                if shares[row, column] >= 0.005:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    text = f"{100 * shares[row, column]:.0f}"
                    place.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=place, shrink=0.8, label="share of the row's label")
    return figure

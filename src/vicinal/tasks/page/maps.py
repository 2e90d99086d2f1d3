"""Maps: two coordinates for each row, so that near rows lie near each other where two dimensions allow it."""

import warnings
from collections.abc import Callable

import numpy as np

from vicinal.errors import UsageError, need, unknown
from vicinal.indexes.exact import Exact
from vicinal.knn.metrics import Metric, find
from vicinal.typing import Progress, StartProgress

MAPS = ("pca", "umap")
UMAP_NEIGHBOURS = 15  # its default, the row itself among them
UMAP_LEAST = 5
BLOCK_ROWS = 8192


def check_map(name: str) -> None:
    """Raise UsageError where there is no map of this name."""
    if name not in MAPS:
        raise UsageError(f"map: {unknown('map', name, MAPS)}")


def flat_map(
    vectors: np.ndarray, metric: str | Metric, kind: str = "pca", progress: StartProgress | None = None
) -> np.ndarray:
    """Return two coordinates for each row; always the same for the same rows.

    Parameters
    ----------
    vectors : ndarray, shape (n, dim)
        Without invalid rows.
    metric : str or Metric
        The metric of UMAP's neighbours.
    kind : {"pca", "umap"}
    progress : callable, optional
        Called with the name of each part of UMAP's work; returns the function that is called with (done, in all).

    Returns
    -------
    ndarray, shape (n, 2)
        float32: the first two principal components, or UMAP's coordinates, made from the exact neighbours.

    Raises
    ------
    MissingExtra
        umap-learn is not installed.
    UsageError
        There are fewer than 5 rows for UMAP.
    """
    check_map(kind)
    return _umap(vectors, find(metric), progress) if kind == "umap" else _principal_components(vectors, find(metric))


def extent(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest coordinates that a map shows, so that a few far rows do not shrink all others.

    Parameters
    ----------
    places : ndarray, shape (n, 2)
        NaN for a row without a place.

    Returns
    -------
    low, high : ndarray, shape (2,)
        Those of the places, but at most the middle 98 percent's range beyond it, on each side.

    Examples
    --------
    >>> low, high = extent(np.array([[i, 0] for i in range(101)] + [[1e6, 0]]))
    >>> low.round().tolist(), high.round().tolist()
    ([0.0, 0.0], [199.0, 0.0])
    """
    placed = places[np.isfinite(places).all(axis=1)].astype(np.float64)
    if not len(placed):
        return np.zeros(2), np.ones(2)
    first, last = np.quantile(placed, [0.01, 0.99], axis=0)
    low, high = placed.min(axis=0), placed.max(axis=0)
    spread = np.where(last > first, last - first, high - low)
    return np.maximum(low, first - spread), np.minimum(high, last + spread)


class _Epochs:
    """The file that UMAP's bar is written to: each "3/200" is a report."""

    def __init__(self, report: Progress) -> None:
        self._report = report

    def write(self, text: str) -> None:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit():
            self._report(int(done), int(total))

    def flush(self) -> None:
        """Nothing waits to be written."""


def _umap(vectors: np.ndarray, metric: Metric, progress: StartProgress | None) -> np.ndarray:
    """UMAP's coordinates."""
    umap = need("umap", extra="umap")
    if len(vectors) < UMAP_LEAST:
        raise UsageError(f"map: expected at least {UMAP_LEAST} rows for umap, got {len(vectors)}; choose pca")
    rows = np.unpackbits(vectors, axis=1) if metric.kernel == "bits" else np.asarray(vectors, dtype=np.float32)
    # UMAP wants distances that are not negative.
    index = Exact(find("euclidean") if metric.product else metric).fit(vectors)
    report = None if progress is None else progress("neighbours for umap")
    nearest = index.neighbors(min(UMAP_NEIGHBOURS, len(vectors)) - 1, progress=report)
    # UMAP's lists begin with the row itself.
    indices = np.column_stack([np.arange(len(vectors)), nearest.indices]).astype(np.int32)
    distances = np.column_stack([np.zeros(len(vectors), dtype=np.float32), nearest.distances])
    bar = None
    if progress is not None:
        bar = {"disable": False, "file": _Epochs(progress("epochs of umap")), "bar_format": "{n}/{total}"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mapper = umap.UMAP(
            n_neighbors=indices.shape[1],
            precomputed_knn=(indices, distances, None),
            random_state=0,
            n_jobs=1,
            tqdm_kwds=bar,
        )
        return np.asarray(mapper.fit_transform(rows), dtype=np.float32)


def _principal_components(vectors: np.ndarray, metric: Metric) -> np.ndarray:
    """The first two principal components; of two signs, the one that makes an axis's largest coordinate positive."""

    def block(start: int) -> np.ndarray:
        rows = np.asarray(vectors[start : start + BLOCK_ROWS])
        return (np.unpackbits(rows, axis=1) if metric.kernel == "bits" else rows).astype(np.float64)

    starts = range(0, len(vectors), BLOCK_ROWS)
    mean, axes = _principal_axes(block, starts, len(vectors))
    out = np.zeros((len(vectors), 2), dtype=np.float32)
    for start in starts:
        out[start : start + BLOCK_ROWS, : axes.shape[1]] = (block(start) - mean) @ axes
    return out


def _principal_axes(block: Callable[[int], np.ndarray], starts: range, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean row, and the (at most two) directions of the largest variance as columns."""
    mean = np.sum([block(start).sum(axis=0) for start in starts], axis=0) / n
    spread = np.zeros((len(mean), len(mean)))
    for start in starts:
        centred = block(start) - mean
        spread += centred.T @ centred
    variances, axes = np.linalg.eigh(spread)
    axes = axes[:, ::-1][:, :2]
    axes[:, variances[::-1][:2] <= 1e-12 * variances[-1]] = 0  # rounding is no direction
    return mean, axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)

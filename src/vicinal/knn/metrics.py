"""The one table of metrics.

Three kernels cover all metrics. A row of the table says how vectors are prepared so that a kernel can rank them, what
the kernel sums over the coordinates of a pair, and how that sum becomes the distance.

    vectors --prepare--> rows --kernel: sum over coordinates--> rank --finish--> distance

`pairwise` is the reference in float64. Sums over coordinates are taken in one fixed order (`lane_sum`), and every
kernel measures the pairs that it reports in that order, so that results can be compared bit for bit.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vicinal.errors import UsageError, unknown

LANES = 8


def lane_sum(values: np.ndarray) -> np.ndarray:
    """The sum over the last axis, in one fixed order that vector units can follow.

    values  : float64 (..., dim)
    Returns   float64 (...): lane j adds coordinates j, j + 8, j + 16, ... in turn; then the eight lanes are added as
              ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
    """
    dim = values.shape[-1]
    lanes = np.zeros((*values.shape[:-1], LANES))
    for start in range(0, dim - dim % LANES, LANES):
        lanes += values[..., start : start + LANES]
    if dim % LANES:
        lanes[..., : dim % LANES] += values[..., dim - dim % LANES :]
    pairs = lanes[..., :4] + lanes[..., 4:]
    result: np.ndarray = (pairs[..., 0] + pairs[..., 2]) + (pairs[..., 1] + pairs[..., 3])
    return result


def as_float64(vectors: np.ndarray) -> np.ndarray:
    """The vectors themselves, as float64 rows."""
    return np.asarray(vectors, dtype=np.float64)


def to_unit_length(vectors: np.ndarray) -> np.ndarray:
    """Each row as float64, times the reciprocal of its Euclidean length; zero rows are not allowed."""
    rows = as_float64(vectors)
    result: np.ndarray = rows * (1.0 / np.sqrt(lane_sum(rows * rows)))[..., None]
    return result


def squared_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sum of squared coordinate differences of rows that broadcast against each other."""
    difference = a - b
    difference *= difference
    return lane_sum(difference)


def absolute_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sum of absolute coordinate differences of rows that broadcast against each other."""
    difference = a - b
    return lane_sum(np.abs(difference, out=difference))


def negative_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Minus the inner product of rows that broadcast against each other: smaller is closer here too."""
    return -lane_sum(a * b)


def as_bits(vectors: np.ndarray) -> np.ndarray:
    """The vectors themselves, as bytes of eight packed bits."""
    return np.asarray(vectors, dtype=np.uint8)


def differing_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many bits differ between packed rows that broadcast against each other."""
    result: np.ndarray = np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.float64)
    return result


def unshared_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - |a and b| / |a or b| of packed rows that broadcast against each other; two empty rows are equal."""
    either = np.bitwise_count(a | b).sum(axis=-1, dtype=np.float64)
    both = np.bitwise_count(a & b).sum(axis=-1, dtype=np.float64)
    return np.where(either == 0, 0.0, 1.0 - both / np.where(either == 0, 1.0, either))


def _same(rank: np.ndarray) -> np.ndarray:
    """Return the rank itself."""
    return rank


def _half(rank: np.ndarray) -> np.ndarray:
    return rank / 2


def _chord(distance: np.ndarray) -> np.ndarray:
    """The straight line between two points of the unit sphere, of their cosine distance."""
    result: np.ndarray = np.sqrt(2 * distance)
    return result


def _log_ball(radius: np.ndarray, dim: int) -> np.ndarray:
    """The logarithm of a Euclidean ball's volume."""
    with np.errstate(divide="ignore"):
        growth = dim * np.log(radius) if dim else np.zeros_like(radius)
        return growth + (dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1))


def _log_ball_of_square(distance: np.ndarray, dim: int) -> np.ndarray:
    """The logarithm of a Euclidean ball's volume, of the square of its radius."""
    return _log_ball(np.sqrt(distance), dim)


def _log_cap(distance: np.ndarray, dim: int) -> np.ndarray:
    """The logarithm of the volume of a ball on the unit sphere, of its cosine distance."""
    return _log_ball(_chord(distance), dim - 1)


def _log_cross_polytope(radius: np.ndarray, dim: int) -> np.ndarray:
    """The logarithm of the volume of a ball of sums of absolute differences."""
    with np.errstate(divide="ignore"):
        result: np.ndarray = dim * math.log(2) - math.lgamma(dim + 1) + dim * np.log(radius)
        return result


@dataclass(frozen=True)
class Metric:
    """A metric: how vectors are prepared, compared and given a distance.

    Attributes
    ----------
    name : str
    aliases : frozenset of str
        Other names of the same metric.
    kernel : {"dot", "absolute", "bits"}
        What the kernel that ranks pairs sums: products, absolute differences, or bits of rows of packed bytes.
    prepare : callable
        Vectors (n, dim) -> float64 rows that the kernel ranks.
    measure : callable
        Two arrays of prepared rows -> float64 ranks; smaller is closer.
    finish : callable
        Rank -> float64 distance in `unit`; it never changes the order.
    unit : str
        The unit of the distance, in words.
    source : str
        The definition of the distance, in words.
    nonzero : bool
        Whether a vector of zeros has no distance.
    product : bool
        Whether the rank is an inner product, under which a row need not be its own nearest.
    whiten : callable or None
        Applied to all vectors and queries once, before anything else.
    length : callable
        Distance -> a length, for which the triangle inequality holds.
    log_volume : callable or None
        Distance, dim -> the logarithm of the volume of the ball with that radius; None where it has none.
    """

    name: str
    aliases: frozenset[str]
    kernel: str
    prepare: Callable[[np.ndarray], np.ndarray]
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray]
    unit: str
    source: str
    nonzero: bool = False
    product: bool = False
    whiten: Callable[[np.ndarray], np.ndarray] | None = None
    length: Callable[[np.ndarray], np.ndarray] = _same
    log_volume: Callable[[np.ndarray, int], np.ndarray] | None = None

    def ready(self, rows: np.ndarray) -> np.ndarray:
        """Return vectors as `measure` compares them: whitened where the metric whitens, then prepared."""
        return self.prepare(rows if self.whiten is None else self.whiten(rows))

    def pairwise(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return all distances of the rows of a (n, dim) and b (m, dim), float64 (n, m); slow, used as a reference."""
        return self.finish(self.measure(self.ready(a)[:, None, :], self.ready(b)[None, :, :]))


@dataclass(frozen=True, eq=False)
class Whitening:
    """A linear map of rows, after which their Euclidean distances are those of a matrix; it can be pickled."""

    origin: np.ndarray
    root: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """The rows, whitened."""
        result: np.ndarray = (rows - self.origin) @ self.root
        return result


METRICS = (
    Metric(
        name="euclidean",
        aliases=frozenset({"l2"}),
        kernel="dot",
        prepare=as_float64,
        measure=squared_difference,
        finish=np.sqrt,
        unit="input units",
        source="square root of the sum of squared differences",
        log_volume=_log_ball,
    ),
    Metric(
        name="sqeuclidean",
        aliases=frozenset(),
        kernel="dot",
        prepare=as_float64,
        measure=squared_difference,
        finish=_same,
        unit="input units squared",
        source="sum of squared differences",
        length=np.sqrt,
        log_volume=_log_ball_of_square,
    ),
    Metric(
        name="cosine",
        aliases=frozenset(),
        kernel="dot",
        prepare=to_unit_length,
        measure=squared_difference,
        finish=_half,
        unit="1 - cosine similarity, 0..2",
        source="half the squared Euclidean distance of the vectors scaled to length 1",
        nonzero=True,
        length=_chord,
        log_volume=_log_cap,
    ),
    Metric(
        name="manhattan",
        aliases=frozenset({"l1", "cityblock"}),
        kernel="absolute",
        prepare=as_float64,
        measure=absolute_difference,
        finish=_same,
        unit="input units",
        source="sum of absolute differences",
        log_volume=_log_cross_polytope,
    ),
    Metric(
        name="inner_product",
        aliases=frozenset(),
        kernel="dot",
        prepare=as_float64,
        measure=negative_product,
        finish=_same,
        unit="minus the inner product",
        source="minus the sum of products: the largest product is the nearest",
        product=True,
    ),
    Metric(
        name="hamming",
        aliases=frozenset(),
        kernel="bits",
        prepare=as_bits,
        measure=differing_bits,
        finish=_same,
        unit="bits",
        source="number of bits that differ, rows packed by numpy.packbits",
    ),
    Metric(
        name="jaccard",
        aliases=frozenset(),
        kernel="bits",
        prepare=as_bits,
        measure=unshared_bits,
        finish=_same,
        unit="1 - Jaccard similarity, 0..1",
        source="1 - |a and b| / |a or b|, rows packed by numpy.packbits",
    ),
)


def mahalanobis(matrix: object, origin: object = None) -> Metric:
    """Return the metric sqrt((x - y)' M (x - y)) of a matrix M.

    Vectors are whitened once, in float64, by L with M = L L'; their Euclidean distances are the distances of M.

    Parameters
    ----------
    matrix : array_like, shape (dim, dim)
        M, symmetric and positive semi-definite. For a covariance, give its inverse.
    origin : array_like, shape (dim,), optional
        A point near the vectors, such as their mean, that is subtracted from them first. No distance changes, and
        vectors that all lie far from 0 keep their digits.

    Returns
    -------
    Metric

    Raises
    ------
    UsageError
        M is not square, symmetric and positive semi-definite.

    References
    ----------
    Mahalanobis 1936

    Examples
    --------
    >>> mahalanobis([[4.0, 0.0], [0.0, 1.0]]).pairwise(np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]]))
    array([[2.]])
    """
    m = np.asarray(matrix, dtype=np.float64)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or not np.isfinite(m).all():
        raise UsageError(f"matrix: expected a square matrix of finite numbers, found shape {m.shape}")
    if not np.allclose(m, m.T, rtol=1e-8, atol=1e-8 * max(1e-300, float(np.abs(m).max(initial=0)))):
        raise UsageError("matrix: expected a symmetric matrix; for a covariance give its inverse")
    values, axes = np.linalg.eigh((m + m.T) / 2)
    if values.min(initial=0) < -1e-8 * max(1e-300, float(np.abs(values).max(initial=0))):
        raise UsageError(f"matrix: expected no negative eigenvalue, found {values.min():g}")
    root = axes * np.sqrt(np.maximum(values, 0))
    amid = np.zeros(len(m)) if origin is None else np.asarray(origin, dtype=np.float64)
    if amid.shape != (len(m),) or not np.isfinite(amid).all():
        raise UsageError(f"origin: expected {len(m)} finite numbers, found shape {amid.shape}")
    return replace(BY_NAME["euclidean"], name="mahalanobis", aliases=frozenset(), whiten=Whitening(amid, root))


BY_NAME = {name: metric for metric in METRICS for name in (metric.name, *sorted(metric.aliases))}


def find(name: str | Metric) -> Metric:
    """The metric of this name or alias.

    Raises    UsageError, naming the choices and the nearest one.
    >>> find("l2").name
    'euclidean'
    """
    if isinstance(name, Metric):
        return name
    if isinstance(name, str) and name in BY_NAME:
        return BY_NAME[name]
    if name == "mahalanobis":
        raise UsageError(
            "metric: 'mahalanobis' needs a matrix: give vicinal.mahalanobis(M) in Python, or whiten the vectors "
            "(the transform of a learner of vicinal.learn does) and take euclidean"
        )
    raise UsageError(f"metric: {unknown('metric', name, BY_NAME)}")

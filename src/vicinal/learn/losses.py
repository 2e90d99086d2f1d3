"""Losses of metric learning: functions of embeddings that give one value an item.

    loss         value of an item                                                        source
    contrastive  same: d^2; different: max(0, m - d^2), or max(0, m - d)^2               Hadsell, Chopra & LeCun 2006
    triplet      max(0, d(z, z+)^2 - d(z, z-)^2 + m), or with unsquared distances        Schroff et al. 2015
    n-pair       log(1 + sum over k of exp((z.z-_k - z.z+) / T)), on unit lengths        Sohn 2016
    clip         mean of both directions' cross entropy, with a learned scale            Radford et al. 2021

The inputs are torch tensors of any floating dtype. `distance` is a name in DISTANCES or a function of two tensors that
returns d over their last axis. `reduction` is a name in REDUCTIONS or a function of the values. Equal rows give no NaN:
a squared distance is never computed as the square of a root, and the root at 0 has gradient 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from vicinal.errors import UsageError, need, unknown

if TYPE_CHECKING:
    from torch import Tensor

LossName = Literal["contrastive", "triplet", "n-pair", "clip"]
DistanceName = Literal["euclidean", "cosine", "inner_product"]
ReductionName = Literal["none", "mean", "sum", "nonzero_mean"]
Form = Literal["squared", "hadsell"]
Source = Literal["labels", "pairs", "joint"]
DistanceLike: TypeAlias = "DistanceName | Callable[[Tensor, Tensor], Tensor]"
Reduction: TypeAlias = "ReductionName | Callable[[Tensor], Tensor]"

FORMS: tuple[str, ...] = get_args(Form)
LOGIT_SCALE, LARGEST_SCALE = math.log(1 / 0.07), 100.0


@dataclass(frozen=True)
class Distance:
    """A distance between embeddings.

    Attributes
    ----------
    name : str
    between : callable
        (a, b) -> d over the last axis.
    squared : callable or None
        (a, b) -> d^2, where this is simpler to compute than d.
    matrix : callable
        (n, dim), (m, dim) -> all distances, (n, m).
    """

    name: str
    between: Callable[[Tensor, Tensor], Tensor]
    squared: Callable[[Tensor, Tensor], Tensor] | None
    matrix: Callable[[Tensor, Tensor], Tensor]


def _root(values: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    torch = need("torch", extra="learn")
    positive = values > 0
    roots = torch.where(positive, values, torch.ones_like(values)).sqrt()
    return torch.where(positive, roots, torch.zeros_like(values))


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """Squared Euclidean distances over the last axis."""
    return ((a - b) ** 2).sum(-1)


def unit(a: Tensor) -> Tensor:
    """Return the rows scaled to length 1; rows of zeros are returned as they are.

    The gradient of a row of zeros is 1. The limit 1 / length is unbounded and would outweigh all other rows.
    """
    length = _root((a * a).sum(-1, keepdim=True))
    return a / need("torch", extra="learn").where(length > 0, length, 1.0)


def _euclidean_matrix(a: Tensor, b: Tensor) -> Tensor:
    """All Euclidean distances, in float32 at least.

    They are computed from differences, because products put equal rows up to 1e-3 apart.
    """
    torch = need("torch", extra="learn")
    if a.dtype in (torch.float16, torch.bfloat16):
        a, b = a.float(), b.float()
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


DISTANCES = (
    Distance("euclidean", lambda a, b: _root(_squares(a, b)), _squares, _euclidean_matrix),
    Distance("cosine", lambda a, b: 1 - (unit(a) * unit(b)).sum(-1), None, lambda a, b: 1 - unit(a) @ unit(b).T),
    Distance("inner_product", lambda a, b: -(a * b).sum(-1), None, lambda a, b: -a @ b.T),
)


def as_distance(distance: DistanceLike) -> Distance:
    """Return the distance of a name, or of a function (a, b) -> d over the last axis.

    Raises
    ------
    UsageError
        For a name that is not in DISTANCES.

    Examples
    --------
    >>> as_distance("cosine").name
    'cosine'
    """
    if callable(distance):
        function: Callable[[Tensor, Tensor], Tensor] = distance
        return Distance("function", function, None, lambda a, b: function(a[:, None], b[None]))
    for one in DISTANCES:
        if one.name == distance:
            return one
    raise UsageError(unknown("distance", distance, [one.name for one in DISTANCES]))


def _squared(distance: Distance, a: Tensor, b: Tensor) -> Tensor:
    """Squared distances over the last axis."""
    return distance.between(a, b) ** 2 if distance.squared is None else distance.squared(a, b)


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "mean": lambda values: values.mean(),
    "sum": lambda values: values.sum(),
    "nonzero_mean": lambda values: values.sum() / max(1, int((values > 0).sum())),
}


def reduced(values: Tensor, reduction: Reduction) -> Tensor:
    """Return the result of a reduction of the values."""
    if callable(reduction):
        return reduction(values)
    if reduction not in REDUCTIONS:
        raise UsageError(unknown("reduction", reduction, REDUCTIONS))
    return REDUCTIONS[reduction](values)


def contrastive(
    a: Tensor,
    b: Tensor,
    same: Tensor,
    margin: float = 1.0,
    form: Form = "squared",
    distance: DistanceLike = "euclidean",
    reduction: Reduction = "none",
) -> Tensor:
    """Return the contrastive loss of each pair.

    Parameters
    ----------
    a, b : Tensor, shape (n, dim)
    same : Tensor, shape (n,)
        Truth values: whether a pair is similar. The loss of a similar pair is d^2.
    margin : float
        m, in units of d^2 for the form "squared" and of d for the form "hadsell".
    form : {"squared", "hadsell"}
        The loss of a dissimilar pair. "squared": max(0, m - d^2). Its gradient -2 (a - b) vanishes as the rows meet, so
        two dissimilar rows at one point are never pushed apart. "hadsell": max(0, m - d)^2. Its gradient tends to 2 m
        in length as the rows meet; at d = 0 itself it has no direction and is 0.
    distance : {"euclidean", "cosine", "inner_product"} or callable
    reduction : {"none", "mean", "sum", "nonzero_mean"} or callable

    Returns
    -------
    Tensor
        Shape (n,), or the result of the reduction.

    Raises
    ------
    UsageError
        For an unknown form, distance or reduction.

    References
    ----------
    Hadsell, Chopra & LeCun 2006, equation 4, without its factor 1/2.
    """
    if form not in FORMS:
        raise UsageError(unknown("form", form, FORMS))
    torch = need("torch", extra="learn")
    measure = as_distance(distance)
    square = _squared(measure, a, b)
    short = (margin - square).clamp(min=0) if form == "squared" else (margin - measure.between(a, b)).clamp(min=0) ** 2
    return reduced(torch.where(same.bool(), square, short), reduction)


def triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 0.2,
    squared: bool = True,
    distance: DistanceLike = "euclidean",
    reduction: Reduction = "none",
) -> Tensor:
    """Return the triplet loss of each triplet.

    Parameters
    ----------
    anchor, positive, negative : Tensor, shape (n, dim)
    margin : float
        By how much farther than the positive the negative must be for a loss of 0.
    squared : bool
        Whether distances are squared.
    distance : {"euclidean", "cosine", "inner_product"} or callable
    reduction : {"none", "mean", "sum", "nonzero_mean"} or callable

    Returns
    -------
    Tensor
        Shape (n,), or the result of the reduction.

    Raises
    ------
    UsageError
        For an unknown distance or reduction.

    References
    ----------
    Schroff, Kalenichenko & Philbin 2015, equation 3; unsquared: Hermans, Beyer & Leibe 2017.
    """
    measure = as_distance(distance)
    if squared:
        near, far = _squared(measure, anchor, positive), _squared(measure, anchor, negative)
    else:
        near, far = measure.between(anchor, positive), measure.between(anchor, negative)
    return reduced((near - far + margin).clamp(min=0), reduction)


def n_pair(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor | None = None,
    temperature: float = 0.07,
    distance: DistanceLike = "cosine",
    reduction: Reduction = "none",
) -> Tensor:
    """Return the n-pair loss of each anchor: log(1 + sum over its negatives of exp((d(z, z+) - d(z, z-_k)) / T)).

    Parameters
    ----------
    anchor, positive : Tensor, shape (n, dim)
    negatives : Tensor, shape (n, k, dim), optional
        None takes the positives of all other anchors, which must be of other classes.
    temperature : float
        T. The cosines between n rows differ by at most 1 + 1/(n - 1) in the mean, so at T = 1 the loss cannot fall
        below log(1 + (n - 1) exp(-n / (n - 1))), which is 3.17 for n = 64.
    distance : {"euclidean", "cosine", "inner_product"} or callable
        "cosine" scales the rows to length 1 first; "inner_product" does not.
    reduction : {"none", "mean", "sum", "nonzero_mean"} or callable

    Returns
    -------
    Tensor
        Shape (n,), or the result of the reduction.

    Raises
    ------
    UsageError
        For an unknown distance or reduction.

    References
    ----------
    Sohn 2016, equation 6; van den Oord, Li & Vinyals 2018 for the temperature.
    """
    torch = need("torch", extra="learn")
    measure = as_distance(distance)
    if negatives is None:
        logits = -measure.matrix(anchor, positive) / temperature
        return reduced(torch.logsumexp(logits, dim=1) - logits.diagonal(), reduction)
    near = measure.between(anchor, positive)[:, None]
    gaps = (near - measure.between(anchor[:, None], negatives)) / temperature
    return reduced(torch.logsumexp(torch.cat([torch.zeros_like(near), gaps], dim=1), dim=1), reduction)


def clip(
    first: Tensor,
    second: Tensor,
    logit_scale: float | Tensor = LOGIT_SCALE,
    distance: DistanceLike = "cosine",
    reduction: Reduction = "none",
) -> Tensor:
    """Return the CLIP loss of each pair of a batch.

    This is the mean of two cross entropies: of a row's partner among all rows of the other side, in both directions.

    Parameters
    ----------
    first, second : Tensor, shape (n, dim)
        Row i of one is the partner of row i of the other.
    logit_scale : float or Tensor
        The logarithm of the factor of the similarities; a tensor can be learned. The factor is limited to 100.
    distance : {"euclidean", "cosine", "inner_product"} or callable
    reduction : {"none", "mean", "sum", "nonzero_mean"} or callable

    Returns
    -------
    Tensor
        Shape (n,), or the result of the reduction.

    Raises
    ------
    UsageError
        For an unknown distance or reduction.

    References
    ----------
    Radford et al. 2021, figure 3.
    """
    torch = need("torch", extra="learn")
    scale = torch.as_tensor(logit_scale, dtype=first.dtype, device=first.device).exp().clamp(max=LARGEST_SCALE)
    logits = -scale * as_distance(distance).matrix(first, second)
    own = logits.diagonal()
    values = (torch.logsumexp(logits, dim=1) - own) + (torch.logsumexp(logits, dim=0) - own)
    return reduced(values / 2, reduction)


@dataclass(frozen=True)
class Loss:
    """A row of the table of losses.

    Attributes
    ----------
    name : str
    function : callable
    learns_from : tuple of {"labels", "pairs", "joint"}
        What the loss can learn from: a class for each row, similar and dissimilar pairs of rows, or two sets of
        embeddings whose rows belong together.
    options : tuple of str
        The arguments of the function that `train` and the command can set.
    """

    name: LossName
    function: Callable[..., Any]
    learns_from: tuple[Source, ...]
    options: tuple[str, ...]


LOSSES = (
    Loss("contrastive", contrastive, ("labels", "pairs"), ("margin", "form", "distance")),
    Loss("triplet", triplet, ("labels",), ("margin", "squared", "distance")),
    Loss("n-pair", n_pair, ("labels",), ("temperature", "distance")),
    Loss("clip", clip, ("joint",), ("distance",)),
)


def find(name: str, source: Source) -> Loss:
    """Return the loss of a name that can learn from `source`.

    Raises
    ------
    UsageError
        Where there is no such loss, or it cannot learn from this source.

    Examples
    --------
    >>> find("clip", "labels")
    Traceback (most recent call last):
    vicinal.errors.UsageError: loss 'clip' learns from joint, not from labels; choose contrastive, triplet, n-pair
    """
    for one in LOSSES:
        if one.name == name:
            if source in one.learns_from:
                return one
            fit = [other.name for other in LOSSES if source in other.learns_from]
            raise UsageError(
                f"loss {name!r} learns from {' or '.join(one.learns_from)}, not from {source}; choose {', '.join(fit)}"
            )
    raise UsageError(unknown("loss", name, [one.name for one in LOSSES]))

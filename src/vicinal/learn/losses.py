"""Losses of metric learning: pure functions of embeddings that give a value an item.

    loss         of an item                                                              source
    contrastive  same: d^2; different: max(0, m - d^2), or max(0, m - d)^2               Hadsell, Chopra & LeCun 2006
    triplet      max(0, d(z, z+)^2 - d(z, z-)^2 + m), or unsquared                       Schroff et al. 2015
    n-pair       log(1 + sum over k of exp((z.z-_k - z.z+) / T)), on unit lengths        Sohn 2016
    clip         mean of both directions' cross entropy, scaled by a learned factor      Radford et al. 2021

Each takes `distance`, a name of DISTANCES or a function of two arrays that gives d over their last axis, and
`reduction`, a name of REDUCTIONS or a function of the values. Tensors are torch's, of any floating type; a sum of
squares has no root taken where its square is wanted, and a root at 0 has gradient 0, so that equal rows give no NaN.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vicinal.errors import UsageError, need, unknown

Tensor = Any  # torch is an extra
Reduction = str | Callable[[Tensor], Tensor]
FORMS = ("squared", "hadsell")
LOGIT_SCALE, MOST_SCALE = math.log(1 / 0.07), 100.0


@dataclass(frozen=True)
class Distance:
    """How far two embeddings are.

    between : (a, b) -> d over the last axis
    squared : (a, b) -> d^2, where it is simpler than d; else None
    matrix  : (n, dim), (m, dim) -> (n, m)
    """

    name: str
    between: Callable[[Tensor, Tensor], Tensor]
    squared: Callable[[Tensor, Tensor], Tensor] | None
    matrix: Callable[[Tensor, Tensor], Tensor]


def _root(values: Tensor) -> Tensor:
    torch = need("torch", extra="learn")
    there = values > 0
    return torch.where(there, torch.where(there, values, torch.ones_like(values)).sqrt(), torch.zeros_like(values))


def _squares(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).sum(-1)


def unit(a: Tensor) -> Tensor:
    """The rows at length 1. A row of zeros stays, with a gradient of 1: one of 1 / length would drown all others."""
    length = _root((a * a).sum(-1, keepdim=True))
    return a / need("torch", extra="learn").where(length > 0, length, 1.0)


def _far(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances; from differences, as products give equal rows 1e-3 apart. In float32 at least."""
    torch = need("torch", extra="learn")
    if a.dtype in (torch.float16, torch.bfloat16):
        a, b = a.float(), b.float()
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


DISTANCES = (
    Distance("euclidean", lambda a, b: _root(_squares(a, b)), _squares, _far),
    Distance("cosine", lambda a, b: 1 - (unit(a) * unit(b)).sum(-1), None, lambda a, b: 1 - unit(a) @ unit(b).T),
    Distance("inner_product", lambda a, b: -(a * b).sum(-1), None, lambda a, b: -a @ b.T),
)


def as_distance(distance: str | Callable) -> Distance:
    """The distance of a name, or of a function (a, b) -> d over the last axis.

    >>> as_distance("cosine").name
    'cosine'
    """
    if callable(distance):
        given: Callable = distance
        return Distance("own", given, None, lambda a, b: given(a[:, None], b[None]))
    for one in DISTANCES:
        if one.name == distance:
            return one
    raise UsageError(unknown("distance", distance, [one.name for one in DISTANCES]))


def _square(distance: Distance, a: Tensor, b: Tensor) -> Tensor:
    return distance.between(a, b) ** 2 if distance.squared is None else distance.squared(a, b)


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda values: values,
    "mean": lambda values: values.mean(),
    "sum": lambda values: values.sum(),
    "nonzero_mean": lambda values: values.sum() / max(1, int((values > 0).sum())),
}


def reduced(values: Tensor, reduction: Reduction) -> Tensor:
    """The values, or what a reduction makes of them."""
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
    form: str = "squared",
    distance: str | Callable = "euclidean",
    reduction: Reduction = "none",
) -> Tensor:
    """The loss of each pair: d^2 of similar ones, what is missing to the margin of dissimilar ones.

    a, b    : (n, dim); same: truth values (n,)
    margin  : m, in units of d^2 for the form "squared", of d for "hadsell"
    form    : "squared": max(0, m - d^2), whose gradient -2 (a - b) vanishes as a dissimilar pair collapses: two such
              rows on one point are never pushed apart. "hadsell": max(0, m - d)^2, whose gradient there is 2 m
              (at d = 0 itself it has no direction, and is 0)
    Returns   (n,), or reduced
    Source    Hadsell, Chopra & LeCun 2006, equation 4, without its factor 1/2
    """
    if form not in FORMS:
        raise UsageError(unknown("form", form, FORMS))
    torch = need("torch", extra="learn")
    how = as_distance(distance)
    square = _square(how, a, b)
    short = (margin - square).clamp(min=0) if form == "squared" else (margin - how.between(a, b)).clamp(min=0) ** 2
    return reduced(torch.where(same.bool(), square, short), reduction)


def triplet(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 0.2,
    squared: bool = True,
    distance: str | Callable = "euclidean",
    reduction: Reduction = "none",
) -> Tensor:
    """The loss of each triplet: by how much the negative is not farther than the positive by the margin.

    anchor, positive, negative : (n, dim)
    squared : whether distances are squared
    Returns   (n,), or reduced
    Source    Schroff, Kalenichenko & Philbin 2015, equation 3; unsquared: Hermans, Beyer & Leibe 2017
    """
    how = as_distance(distance)
    if squared:
        near, far = _square(how, anchor, positive), _square(how, anchor, negative)
    else:
        near, far = how.between(anchor, positive), how.between(anchor, negative)
    return reduced((near - far + margin).clamp(min=0), reduction)


def n_pair(
    anchor: Tensor,
    positive: Tensor,
    negatives: Tensor = None,
    temperature: float = 0.07,
    distance: str | Callable = "cosine",
    reduction: Reduction = "none",
) -> Tensor:
    """The loss of each anchor: log(1 + sum over its negatives of exp((d(z, z+) - d(z, z-_k)) / T)).

    anchor, positive : (n, dim)
    negatives        : (n, k, dim); None for the positives of all other anchors, which must be of other classes
    temperature      : T. Cosines differ by at most 1 + 1/(n - 1) all around, so at T = 1 the loss cannot fall below
                       log(1 + (n - 1) exp(-n / (n - 1))): 3.17 for n = 64
    distance         : "cosine" is the inner product on unit lengths; "inner_product" takes lengths as they are
    Returns            (n,), or reduced
    Source             Sohn 2016, equation 6; van den Oord, Li & Vinyals 2018 for the temperature
    """
    torch = need("torch", extra="learn")
    how = as_distance(distance)
    if negatives is None:
        logits = -how.matrix(anchor, positive) / temperature
        return reduced(torch.logsumexp(logits, dim=1) - logits.diagonal(), reduction)
    near = how.between(anchor, positive)[:, None]
    gaps = (near - how.between(anchor[:, None], negatives)) / temperature
    return reduced(torch.logsumexp(torch.cat([torch.zeros_like(near), gaps], dim=1), dim=1), reduction)


def clip(
    first: Tensor,
    second: Tensor,
    logit_scale: Any = LOGIT_SCALE,
    distance: str | Callable = "cosine",
    reduction: Reduction = "none",
) -> Tensor:
    """The loss of each pair of a batch: the mean of the cross entropies of its own among all of the other side.

    first, second : (n, dim), row i of one belongs to row i of the other
    logit_scale   : the logarithm of what similarities are multiplied by, a number or a tensor that is learned; starts
                    at ln(1 / 0.07), and what it gives is at most 100
    Returns         (n,), or reduced
    Source          Radford et al. 2021, figure 3
    """
    torch = need("torch", extra="learn")
    scale = torch.as_tensor(logit_scale, dtype=first.dtype, device=first.device).exp().clamp(max=MOST_SCALE)
    logits = -scale * as_distance(distance).matrix(first, second)
    own = logits.diagonal()
    values = (torch.logsumexp(logits, dim=1) - own) + (torch.logsumexp(logits, dim=0) - own)
    return reduced(values / 2, reduction)


@dataclass(frozen=True)
class Loss:
    """A loss by name.

    learns_from : what it can learn from: labels, pairs (similar and dissimilar), joint (two towers, row by row)
    options     : the arguments of the function that a command can set
    """

    name: str
    function: Callable
    learns_from: tuple[str, ...]
    options: tuple[str, ...]


LOSSES = (
    Loss("contrastive", contrastive, ("labels", "pairs"), ("margin", "form", "distance")),
    Loss("triplet", triplet, ("labels",), ("margin", "squared", "distance")),
    Loss("n-pair", n_pair, ("labels",), ("temperature", "distance")),
    Loss("clip", clip, ("joint",), ("distance",)),
)


def find(name: str, source: str) -> Loss:
    """The loss of this name, which can learn from the source: labels, pairs or joint.

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

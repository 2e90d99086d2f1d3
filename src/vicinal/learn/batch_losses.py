"""The loss of a batch as one number, from the classes of its rows or from its pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vicinal.errors import UsageError, need, unknown
from vicinal.learn.losses import as_distance, contrastive, find, n_pair, triplet
from vicinal.learn.mining import MINERS, all_pairs, n_pairs

if TYPE_CHECKING:
    from torch import Tensor


def label_loss(name: str, embedded: Tensor, labels: Tensor, miner: str = "semi-hard", **options: Any) -> Tensor:
    """Return the loss of a batch of embeddings and their classes.

    Means are over items with a loss above zero. For the contrastive loss, the mean of the similar pairs and the mean of
    the dissimilar pairs are added.

    Parameters
    ----------
    name : {"contrastive", "triplet", "n-pair"}
        "contrastive" takes all pairs of the batch; "triplet" the triplets of `miner`; "n-pair" one anchor and one
        positive a class, with rows of classes that have a single row in the batch as further negatives.
    embedded : Tensor, shape (n, dim)
    labels : Tensor, shape (n,)
    miner : {"semi-hard", "hardest", "all"}
    **options
        Arguments of the loss.

    Raises
    ------
    UsageError
        For an unknown loss or miner.
    DataError
        For "n-pair", where no class has two rows in the batch.
    """
    find(name, "labels")
    if name == "contrastive":
        i, j, same = all_pairs(labels)
        return pair_loss(_rows(embedded, i), _rows(embedded, j), same, **options)
    if name == "n-pair":
        first, second = n_pairs(labels)
        negatives = _negatives(embedded, labels, second)
        return n_pair(_rows(embedded, first), _rows(embedded, second), negatives, reduction="mean", **options)
    if miner not in MINERS:
        raise UsageError(unknown("miner", miner, MINERS))
    detached = embedded.detach()
    distances = as_distance(options.get("distance", "euclidean")).matrix(detached, detached)
    anchor, positive, negative = MINERS[miner](distances, labels)
    z, near, far = (_rows(embedded, one) for one in (anchor, positive, negative))
    return triplet(z, near, far, reduction="nonzero_mean", **options)


def _rows(embedded: Tensor, rows: Tensor) -> Tensor:
    """The embeddings of some rows, with a gradient that is summed in the same order each time.

    On a CPU, the gradient of `embedded[rows]` is summed by several threads in any order once it is large.
    """
    if embedded.device.type != "cpu":
        return embedded[rows]
    return embedded.index_select(0, rows.flatten()).reshape(*rows.shape, *embedded.shape[1:])


def _negatives(embedded: Tensor, labels: Tensor, second: Tensor) -> Tensor | None:
    """The negatives of each anchor where the batch has rows without a mate; otherwise None, for the other positives."""
    torch = need("torch", extra="learn")
    _, code, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    single = torch.nonzero(sizes[code] == 1, as_tuple=True)[0]
    if not len(single):
        return None
    n = len(second)
    others = ~torch.eye(n, dtype=torch.bool, device=second.device)
    positives = second.expand(n, n)[others].reshape(n, n - 1)
    return _rows(embedded, torch.cat([positives, single.expand(n, len(single))], dim=1))


def pair_loss(a: Tensor, b: Tensor, same: Tensor, **options: Any) -> Tensor:
    """Return the contrastive loss of a batch of pairs; means and options as in `label_loss`."""
    values = contrastive(a, b, same, **options)
    parts = [values[kind] for kind in (same.bool(), ~same.bool())]
    return sum(part.sum() / max(1, int((part.detach() > 0).sum())) for part in parts)

"""Training of any torch module from batches of raw inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import DataError, UsageError, need, unknown
from vicinal.learn.batch_losses import label_loss, pair_loss
from vicinal.learn.evaluation import Quality, quality
from vicinal.learn.loop import Callbacks, History, Schedule, optimize
from vicinal.learn.losses import LossName, find, n_pair, triplet
from vicinal.learn.mining import MinerName

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module

N_PARTS = {"contrastive": 3, "triplet": 3, "n-pair": 2}  # of a batch that names its pairs or triplets itself


class SiameseNetwork:
    """One torch module for all sides of a pair or triplet, trained from batches of raw inputs.

    Parameters
    ----------
    tower : torch.nn.Module
        Gives embeddings (n, dim). It is trained in place.
    loss : {"triplet", "contrastive", "n-pair"}
    miner : {"semi-hard", "hardest", "all"}
        Finds the triplets in batches of inputs and labels.
    **options
        Arguments of the loss: margin, form, squared, temperature, distance.

    Raises
    ------
    UsageError
        For an unknown loss or option.
    """

    def __init__(
        self, tower: Module, loss: LossName = "triplet", miner: MinerName = "semi-hard", **options: Any
    ) -> None:
        known = find(loss, "labels").options
        wrong = [name for name in options if name not in known]
        if wrong:
            raise UsageError(unknown(f"option of {loss}", wrong[0], known))
        self.tower, self.loss, self.miner, self.options = tower, loss, miner, options

    def fit(
        self,
        loader: Iterable[Any],
        validation: Iterable[Any] | None = None,
        schedule: Schedule | None = None,
        callbacks: Callbacks | None = None,
    ) -> History:
        """Train the tower and leave it with the weights of the best epoch.

        Parameters
        ----------
        loader : iterable of batches
            Such as a DataLoader; it is iterated once an epoch. A batch is one of::

                (inputs, labels)                    a 1-D tensor of integers: pairs and triplets are found in the batch
                (a, b, same)                        contrastive: pairs, and whether each is similar
                (anchor, positive, negative)        triplet
                (anchor, positive)                  n-pair: each pair of another class

        validation : iterable of batches (inputs, labels), optional
            Held out. Their MAP@R decides which epoch is the best and when training stops.
        schedule : Schedule, optional
        callbacks : Callbacks, optional

        Returns
        -------
        History

        Raises
        ------
        DataError
            Where a loss is not finite, or a batch has another form. The tower then has the weights of the last complete
            epoch.
        MissingExtra
            Where torch is not installed.
        """
        torch = need("torch", extra="learn")
        weights = dict(self.tower.named_parameters()) | dict(self.tower.named_buffers())
        held_out = [] if validation is None else list(validation)

        def judge() -> Quality:
            labels = torch.cat([labels for _, labels in held_out]).cpu().numpy() if held_out else np.empty(0)
            codes = np.unique(labels, return_inverse=True)[1]
            if not len(codes) or np.bincount(codes).max() < 2:
                raise DataError(f"validation: {len(codes)} rows, no two of one class; recall@1 needs two")
            return quality(self.embed([inputs for inputs, _ in held_out]), codes)

        training = self.tower.training
        self.tower.train()
        try:
            return optimize(
                weights,
                lambda _: loader,
                self._loss_of,
                None if validation is None else judge,
                schedule or Schedule(),
                callbacks=callbacks,
            )
        finally:
            self.tower.train(training)

    def embed(self, inputs: Tensor | Iterable[Tensor]) -> NDArray[np.float32]:
        """Return the embeddings of a tensor of inputs, or of an iterable of such batches: float32 (n, dim)."""
        torch = need("torch", extra="learn")
        training = self.tower.training
        self.tower.eval()
        try:
            with torch.no_grad():
                batches = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
                return np.concatenate([self.tower(self._to_device(one)).float().cpu().numpy() for one in batches])
        finally:
            self.tower.train(training)

    def _to_device(self, inputs: Tensor) -> Tensor:
        return inputs.to(next(iter(self.tower.parameters())).device)

    def _loss_of(self, batch: Iterable[Tensor]) -> Tensor:
        """The loss of a batch in any of the forms that `fit` takes."""
        torch = need("torch", extra="learn")
        parts: Sequence[Tensor] = list(batch)
        if len(parts) == 2 and parts[1].dim() == 1 and not parts[1].is_floating_point():
            embedded = self.tower(self._to_device(parts[0]))
            return label_loss(self.loss, embedded, self._to_device(parts[1]), self.miner, **self.options)
        wanted = N_PARTS[self.loss]
        if len(parts) != wanted:
            raise DataError(
                f"a batch has {len(parts)} parts, but {self.loss} takes (inputs, labels), or "
                f"{'a pair and whether it is similar' if self.loss == 'contrastive' else f'{wanted} inputs'}"
            )
        sides = parts[:2] if self.loss == "contrastive" else parts
        embedded = self.tower(torch.cat([self._to_device(one) for one in sides])).split([len(one) for one in sides])
        if self.loss == "contrastive":
            return pair_loss(embedded[0], embedded[1], self._to_device(parts[2]), **self.options)
        if self.loss == "triplet":
            return triplet(embedded[0], embedded[1], embedded[2], reduction="nonzero_mean", **self.options)
        return n_pair(embedded[0], embedded[1], reduction="mean", **self.options)

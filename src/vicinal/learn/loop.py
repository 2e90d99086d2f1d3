"""The training loop: it lowers a loss batch by batch, watches held-out quality, stops early, and resumes.

Everything random comes from the seed and the number of the epoch. A run that was stopped and resumes from its
checkpoint therefore ends with the same weights as a run that was not stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import DataError, UsageError, need
from vicinal.knn.checkpoint import Checkpoint, interrupts_held
from vicinal.learn import state
from vicinal.learn.evaluation import Quality

if TYPE_CHECKING:
    from torch import Tensor

    Batch = Any  # whatever `epoch` yields and `loss_of` takes

LARGEST_RATE = 1e30  # torch's floats overflow beyond it
LARGEST_SEED = 2**43 - 1  # torch takes (seed << 20) + epoch as an unsigned 64-bit number


@dataclass(frozen=True)
class Callbacks:
    """Progress callbacks.

    Attributes
    ----------
    progress : callable, optional
        Called after each batch with the rows done, the rows in all, and a text: epoch, loss and held-out recall@1.
    on_epoch : callable, optional
        Called after each epoch with that text.
    """

    progress: Callable[[int, int, str], None] | None = None
    on_epoch: Callable[[str], None] | None = None


@dataclass(frozen=True)
class Schedule:
    """How long and at which rate to train.

    Parameters
    ----------
    epochs : int
        At most so many epochs.
    patience : int
        Training stops after so many epochs without a better held-out score. The weights of the best epoch are kept.
    learning_rate, weight_decay : float
        Of AdamW.
    seed : int
        The same seed gives the same result.

    Raises
    ------
    UsageError
        Where a value is out of range.
    """

    epochs: int = 50
    patience: int = 5
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise UsageError(f"{name}: expected a whole number above 0, got {getattr(self, name)!r}")
        for name, what in (("learning_rate", "above 0"), ("weight_decay", "of at least 0")):
            rate = getattr(self, name)
            usable = isinstance(rate, int | float) and not isinstance(rate, bool) and 0 <= rate <= LARGEST_RATE
            if not usable or (name == "learning_rate" and rate == 0):
                raise UsageError(f"{name}: expected a number {what} and at most {LARGEST_RATE:g}, got {rate!r}")
        if not isinstance(self.seed, int) or not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"seed: expected a whole number from 0 to {LARGEST_SEED}, got {self.seed!r}")


@dataclass
class History:
    """The course of training, one entry an epoch; epoch 0 is the state before training.

    Attributes
    ----------
    losses : list of float
        The mean loss of each epoch; NaN for epoch 0.
    recalls : list of float
        The held-out recall@1 after each epoch; NaN where nothing is held out.
    scores : list of float
        The held-out score after each epoch, which decides which epoch is the best; NaN where nothing is held out.
    best : int
        The epoch whose weights were kept.
    """

    losses: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: int = 0

    @property
    def epochs_run(self) -> int:
        """The number of epochs that were trained."""
        return len(self.losses) - 1

    def add(self, loss: float, quality: Quality | None) -> None:
        """Append an epoch."""
        self.losses.append(loss)
        self.recalls.append(float("nan") if quality is None else quality.recall)
        self.scores.append(float("nan") if quality is None else quality.score)


def optimize(
    weights: dict[str, Tensor],
    epoch: Callable[[int], Iterable[Batch]],
    loss_of: Callable[[Batch], Tensor],
    judge: Callable[[], Quality] | None,
    schedule: Schedule,
    checkpoint: Checkpoint | None = None,
    callbacks: Callbacks | None = None,
    n_rows: int = 0,
) -> History:
    """Train the weights in place and return the course of training.

    At the end the weights are those of the epoch with the best held-out score.

    Parameters
    ----------
    weights : dict of str to Tensor
        Tensors that require a gradient are trained; the others are buffers, which are kept beside them.
    epoch : callable
        The number of an epoch -> its batches; the same batches for the same number.
    loss_of : callable
        A batch -> a tensor of one number.
    judge : callable or None
        Returns the quality of the present weights. None where nothing is held out: the last epoch is kept.
    schedule : Schedule
    checkpoint : Checkpoint, optional
        Where the state is saved after each epoch and at Ctrl-C; a state that is there is resumed.
    callbacks : Callbacks, optional
    n_rows : int
        The rows of an epoch, for the progress, where the length of a batch is its number of rows; otherwise 0.

    Raises
    ------
    DataError
        Where a loss or a gradient is not finite; the message names epoch and step. The weights and the checkpoint are
        then those of the last complete epoch.
    UsageError
        Where no weight requires a gradient.
    """
    torch = need("torch", extra="learn")
    free = {name: tensor for name, tensor in weights.items() if tensor.requires_grad}
    if not free:
        raise UsageError("weights: none of them requires a gradient, so there is nothing to learn")
    optimizer = torch.optim.AdamW(free.values(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    history, best, begun = History(), state.copied(weights), state.Begun()
    saved = None if checkpoint is None else checkpoint.load()
    if saved is None:
        history.add(float("nan"), None if judge is None else judge())
    else:
        history = History(**state.history_of(saved))
        best, begun = state.restore(saved, weights, optimizer), state.begun_of(saved)
    run = _Epochs(weights, free, optimizer, schedule, checkpoint, callbacks or Callbacks(), n_rows)
    for number in range(len(history.losses), schedule.epochs + 1):
        if judge is not None and number - 1 - history.best >= schedule.patience:
            break
        try:
            loss = run.train(number, epoch(number), loss_of, history, begun)
            quality = None if judge is None else judge()
        except KeyboardInterrupt:
            if checkpoint is not None and begun.random:
                checkpoint.save(state.packed(history, weights, best, optimizer, begun))
            raise
        begun = state.Begun()
        history.add(loss, quality)
        if judge is None or history.scores[-1] > history.scores[history.best]:
            history.best, best = number, state.copied(weights)
        if run.callbacks.on_epoch is not None:
            run.callbacks.on_epoch(_summary(number, history.losses[-1], history.recalls[-1]))
        if checkpoint is not None:
            checkpoint.save(state.packed(history, weights, best, optimizer))
    state.put(weights, best)
    return history


@dataclass(frozen=True, eq=False)
class _Epochs:
    """What stays the same from one epoch to the next."""

    weights: dict[str, Tensor]
    free: dict[str, Tensor]
    optimizer: Any
    schedule: Schedule
    checkpoint: Checkpoint | None
    callbacks: Callbacks
    n_rows: int

    def train(
        self,
        number: int,
        batches: Iterable[Batch],
        loss_of: Callable[[Batch], Tensor],
        history: History,
        begun: state.Begun,
    ) -> float:
        """Train one epoch, or the rest of one, and return its mean loss; `begun` is kept up to date.

        Ctrl-C interrupts between two batches.
        """
        torch = need("torch", extra="learn")
        before = state.copied(self.weights)
        with torch.random.fork_rng(devices=[]), interrupts_held() as pressed:
            torch.manual_seed((self.schedule.seed << 20) + number)
            left = begun.rest_of(batches)
            for step, batch in enumerate(left, start=begun.steps + 1):
                loss = loss_of(batch)
                self.optimizer.zero_grad()
                loss.backward()
                value = float(loss.detach())
                if not np.isfinite(value) or not self._gradients_are_finite():
                    state.put(self.weights, before)
                    raise self._not_finite(number, step, value)
                self.optimizer.step()
                begun.add(value, len(batch) if self.n_rows else 0)
                if pressed():
                    begun.keep_random()
                    raise KeyboardInterrupt
                if self.callbacks.progress is not None:
                    done = (number - 1) * self.n_rows + min(self.n_rows, begun.rows)
                    text = _summary(number, begun.total / begun.steps, history.recalls[-1])
                    self.callbacks.progress(done, self.schedule.epochs * self.n_rows, text)
            begun.keep_random()
        if not begun.steps:
            raise DataError(f"epoch {number}: found no batch; give batches that can be iterated anew in each epoch")
        return begun.total / begun.steps

    def _gradients_are_finite(self) -> bool:
        torch = need("torch", extra="learn")
        return all(one.grad is None or bool(torch.isfinite(one.grad).all()) for one in self.free.values())

    def _not_finite(self, number: int, step: int, value: float) -> DataError:
        """The error of a loss or gradient that is not finite."""
        kept = ""
        if self.checkpoint is not None and self.checkpoint.folder.exists():
            kept = f"; the state before epoch {number} is kept in {self.checkpoint.folder}"
        what = f"the loss is {value}" if not np.isfinite(value) else "a gradient is not finite"
        return DataError(
            f"epoch {number}, step {step}: {what}; look for NaN or huge values in that batch, or lower the learning "
            f"rate ({self.schedule.learning_rate:g}){kept}"
        )


def _summary(number: int, loss: float, recall: float) -> str:
    """The text that progress callbacks get."""
    held_out = "nothing held out" if np.isnan(recall) else f"held-out recall@1 {recall:.4f}"
    return f"epoch {number}, loss {loss:.4f}, {held_out}"

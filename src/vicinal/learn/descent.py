"""The one training loop: batches in, a loss down, held-out quality watched; stopped early, resumed, or told to stop.

Everything random comes from the seed and the epoch's number, so that a run that was stopped and goes on from its
checkpoint ends where it would have ended.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vicinal.analysis.diagnostics import map_at_r, recall_at
from vicinal.errors import DataError, UsageError, need, unknown
from vicinal.indexes.exact import Exact
from vicinal.knn.checkpoint import Checkpoint
from vicinal.learn.losses import as_distance, contrastive, find, n_pair, triplet
from vicinal.learn.mining import MINERS, all_pairs, n_pairs

Tensor = Any  # torch is an extra
FASTEST = 1e30  # of the rates: beyond it torch's floats overflow
LISTS = ("losses", "recalls", "scores")  # of a course


@dataclass(frozen=True)
class Watch:
    """Who is told how it goes.

    progress : called after each batch with (rows done, rows in all, the loss and the held-out recall@1 in words)
    epochs   : called after each epoch with those words
    """

    progress: Callable[[int, int, str], None] | None = None
    epochs: Callable[[str], None] | None = None


SILENT = Watch()


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    epochs   : at most
    patience : epochs without a better score on what is held out, after which it ends; the best epoch's weights are kept
    learning_rate, weight_decay : of AdamW
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
        if not 0 < self.learning_rate <= FASTEST or not 0 <= self.weight_decay <= FASTEST:
            raise UsageError(
                f"expected learning_rate above 0 and weight_decay of at least 0, both at most {FASTEST:g}, got "
                f"{self.learning_rate!r} and {self.weight_decay!r}"
            )


@dataclass(frozen=True)
class Seen:
    """How good the weights are on what is held out: recall@1, which is told, and the score that decides.

    recall@1 takes few values and is soon near 1, where it says nothing more; the score looks at all mates of a row.
    """

    recall: float
    score: float


def look(vectors: np.ndarray, codes: np.ndarray, threads: int | None = None) -> Seen:
    """recall@1 of rows among themselves, and MAP@R as the score.

    vectors : (n, dim); codes: int (n,), from 0
    """
    k = min(len(codes) - 1, max(1, int(np.bincount(codes).max()) - 1))
    found = Exact(threads=threads).fit(vectors).neighbors(k)
    return Seen(recall_at(found, codes, 1), map_at_r(found, codes))


@dataclass
class Course:
    """What happened, epoch by epoch; epoch 0 is the start.

    losses  : the mean loss of each epoch, NaN for the start
    recalls : the held-out recall@1 after each epoch; NaN where nothing is held out
    scores  : the held-out score after each epoch, by which the best one is told; NaN likewise
    best    : the epoch whose weights were kept
    """

    losses: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: int = 0


def descend(
    weights: dict[str, Tensor],
    epoch: Callable[[int], Iterable[Any]],
    loss_of: Callable[[Any], Tensor],
    judge: Callable[[], Seen] | None,
    schedule: Schedule,
    checkpoint: Checkpoint | None = None,
    watch: Watch = SILENT,
    rows: int = 0,
) -> Course:
    """Changes the weights, in place, to those of the epoch with the best held-out score.

    weights    : name -> tensor that asks for a gradient, or a buffer that does not and is only kept
    epoch      : number -> the batches of that epoch; the same for the same number
    loss_of    : batch -> a tensor of one number
    judge      : how good the present weights are; None where nothing is held out: the last epoch stays
    checkpoint : where the state is kept after each epoch, and gone on from
    rows       : of an epoch, for the progress, where a batch is as long as it has rows; 0 where it is not
    Raises     DataError where a loss or a gradient is not finite, naming epoch and batch; the weights are then those
               of the last whole epoch, and so is the checkpoint
    """
    torch = need("torch", extra="learn")
    free = {name: tensor for name, tensor in weights.items() if tensor.requires_grad}
    if not free:
        raise UsageError("nothing to learn: no weight asks for a gradient")
    descent = torch.optim.AdamW(free.values(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    course, kept = Course(), _copy(weights)
    state = None if checkpoint is None else checkpoint.load()
    nothing = Seen(float("nan"), float("nan"))
    if state is None:
        _note(course, float("nan"), nothing if judge is None else judge())
    else:
        lists = [[float("nan") if one is None else one for one in state[name]] for name in LISTS]
        course = Course(lists[0], lists[1], lists[2], state["best"])
        kept = _restore(state, weights, free, descent)
    for number in range(len(course.losses), schedule.epochs + 1):
        if judge is not None and number - 1 - course.best >= schedule.patience:
            break
        before, total, count, seen = _copy(weights), 0.0, 0, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((schedule.seed << 20) + number)
            for at, batch in enumerate(epoch(number), start=1):
                loss = loss_of(batch)
                descent.zero_grad()
                loss.backward()
                value = float(loss.detach())
                finite = np.isfinite(value) and all(
                    one.grad is None or bool(torch.isfinite(one.grad).all()) for one in free.values()
                )
                if not finite:
                    _put(weights, before)
                    where = ""
                    if checkpoint is not None and checkpoint.folder.exists():
                        where = f"; the state before epoch {number} is kept in {checkpoint.folder}"
                    what = f"the loss is {value}" if not np.isfinite(value) else "a gradient is not finite"
                    raise DataError(
                        f"epoch {number}, step {at}: {what}; look for NaN or huge values in that batch, or lower the "
                        f"learning rate ({schedule.learning_rate:g}){where}"
                    )
                descent.step()
                total, count = total + value, count + 1
                if watch.progress is not None:
                    seen += len(batch) if rows else 0
                    done = (number - 1) * rows + min(rows, seen)
                    watch.progress(done, schedule.epochs * rows, _said(number, total / count, course.recalls[-1]))
        if not count:
            raise DataError(f"epoch {number}: there was no batch to learn from; batches must come anew each epoch")
        _note(course, total / count, nothing if judge is None else judge())
        if judge is None or course.scores[-1] > course.scores[course.best]:
            course.best, kept = number, _copy(weights)
        if watch.epochs is not None:
            watch.epochs(_said(number, course.losses[-1], course.recalls[-1]))
        if checkpoint is not None:
            checkpoint.save(_state(course, weights, kept, free, descent))
    _put(weights, kept)
    return course


def _note(course: Course, loss: float, seen: Seen) -> None:
    course.losses.append(loss)
    course.recalls.append(seen.recall)
    course.scores.append(seen.score)


def _said(number: int, loss: float, recall: float) -> str:
    held = "nothing held out" if np.isnan(recall) else f"held-out recall@1 {recall:.4f}"
    return f"epoch {number}, loss {loss:.4f}, {held}"


def _copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def _put(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    with need("torch", extra="learn").no_grad():
        for name, tensor in weights.items():
            tensor.copy_(values[name])


def state_arrays(weights: dict[str, Tensor]) -> tuple[str, ...]:
    """The names of the arrays that a checkpoint of these weights holds."""
    free = [name for name, tensor in weights.items() if tensor.requires_grad]
    moments = [f"{what}.{name}" for name in free for what in ("mean", "square", "step")]
    return (*(f"{what}.{name}" for name in weights for what in ("now", "best")), *moments)


def _state(course: Course, weights: Any, kept: Any, free: Any, descent: Any) -> dict[str, Any]:
    """What a checkpoint keeps; JSON has no NaN."""
    state: dict[str, Any] = {"best": course.best}
    for name in LISTS:
        state[name] = [None if np.isnan(one) else one for one in getattr(course, name)]
    for name, tensor in weights.items():
        state[f"now.{name}"] = tensor.detach().cpu().numpy()
        state[f"best.{name}"] = kept[name].cpu().numpy()
    for name, tensor in free.items():
        of = descent.state[tensor]
        for key, what in (("exp_avg", "mean"), ("exp_avg_sq", "square"), ("step", "step")):
            state[f"{what}.{name}"] = np.atleast_1d(of[key].detach().cpu().numpy()) if of else np.zeros(1)
    return state


def _restore(state: dict[str, Any], weights: Any, free: Any, descent: Any) -> dict[str, Tensor]:
    torch = need("torch", extra="learn")

    def tensor(name: str, like: Tensor) -> Tensor:
        return torch.from_numpy(np.array(state[name])).to(like.device, like.dtype).reshape(like.shape)

    _put(weights, {name: tensor(f"now.{name}", one) for name, one in weights.items()})
    for name, one in free.items():
        step = torch.from_numpy(np.array(state[f"step.{name}"])).float().reshape(())
        if float(step):
            moments = {"exp_avg": tensor(f"mean.{name}", one), "exp_avg_sq": tensor(f"square.{name}", one)}
            descent.state[one] = {"step": step, **moments}
    return {name: tensor(f"best.{name}", one) for name, one in weights.items()}


def loss_of_labels(name: str, embedded: Tensor, labels: Tensor, miner: str = "semi-hard", **options: Any) -> Tensor:
    """One number for a batch of embeddings and their classes: the loss over the pairs or triplets that are in it.

    name  : contrastive (all pairs), triplet (of `miner`), n-pair (one anchor and one positive a class; rows of classes
            with a single row in the batch are negatives of all)
    Means are over items with a loss above zero; for contrastive those of similar and of dissimilar pairs are added.
    """
    find(name, "labels")
    if name == "contrastive":
        i, j, same = all_pairs(labels)
        return _both(contrastive(embedded[i], embedded[j], same, **options), same)
    if name == "n-pair":
        first, second = n_pairs(labels)
        return n_pair(embedded[first], embedded[second], _others(embedded, labels, second), reduction="mean", **options)
    if miner not in MINERS:
        raise UsageError(unknown("miner", miner, MINERS))
    detached = embedded.detach()
    distances = as_distance(options.get("distance", "euclidean")).matrix(detached, detached)
    anchor, positive, negative = MINERS[miner](distances, labels)
    return triplet(embedded[anchor], embedded[positive], embedded[negative], reduction="nonzero_mean", **options)


def _others(embedded: Tensor, labels: Tensor, second: Tensor) -> Tensor:
    """The negatives of each anchor where rows without a mate are among them; else None, for the others' positives."""
    torch = need("torch", extra="learn")
    _, code, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    lone = torch.nonzero(sizes[code] == 1, as_tuple=True)[0]
    if not len(lone):
        return None
    n = len(second)
    apart = ~torch.eye(n, dtype=torch.bool, device=second.device)
    positives = second.expand(n, n)[apart].reshape(n, n - 1)
    return embedded[torch.cat([positives, lone.expand(n, len(lone))], dim=1)]


def loss_of_pairs(a: Tensor, b: Tensor, same: Tensor, **options: Any) -> Tensor:
    """One number for a batch of pairs: contrastive, means as in `loss_of_labels`."""
    return _both(contrastive(a, b, same, **options), same)


def _both(values: Tensor, same: Tensor) -> Tensor:
    parts = [values[kind] for kind in (same.bool(), ~same.bool())]
    return sum(part.sum() / max(1, int((part.detach() > 0).sum())) for part in parts)


class SiameseNetwork:
    """One tower for both sides: any torch module, learned from batches of raw inputs.

    tower   : a torch.nn.Module that gives embeddings (n, dim)
    loss    : contrastive, triplet or n-pair
    miner   : of triplets, where batches are inputs and labels
    options : of the loss: margin, form, squared, temperature, distance

    `fit(loader)` takes any iterable of batches, such as a DataLoader, each one of
        (inputs, labels)                    a 1-D tensor of whole numbers: pairs and triplets are found in the batch
        (a, b, same)                        contrastive: pairs, and whether each is similar
        (anchor, positive, negative)        triplet
        (anchor, positive)                  n-pair: each of another class

    Raises  MissingExtra where torch is not installed
    """

    def __init__(self, tower: Any, loss: str = "triplet", miner: str = "semi-hard", **options: Any) -> None:
        one = find(loss, "labels")
        wrong = [name for name in options if name not in one.options]
        if wrong:
            raise UsageError(unknown(f"option of {loss}", wrong[0], one.options))
        self.tower, self.loss, self.miner, self.options = tower, loss, miner, options

    def fit(
        self,
        loader: Iterable[Any],
        validation: Iterable[Any] | None = None,
        schedule: Schedule | None = None,
        watch: Watch = SILENT,
    ) -> Course:
        """Learns, and leaves the tower with the weights of the best epoch.

        loader     : walked once an epoch
        validation : batches (inputs, labels) that are held out; their MAP@R stops learning early
        Raises     DataError where a loss is not finite: the tower has the weights of the last whole epoch
        """
        torch = need("torch", extra="learn")
        weights = dict(self.tower.named_parameters()) | dict(self.tower.named_buffers())
        held_out = None if validation is None else list(validation)

        def judge() -> Seen:
            assert held_out is not None
            labels = torch.cat([labels for _, labels in held_out]).cpu().numpy()
            codes = np.unique(labels, return_inverse=True)[1]
            if not len(codes) or np.bincount(codes).max() < 2:
                raise DataError(f"validation: {len(codes)} rows, no two of one class; recall@1 needs two")
            return look(self.embed([inputs for inputs, _ in held_out]), codes)

        training = self.tower.training
        self.tower.train()
        try:
            watched = None if held_out is None else judge
            return descend(weights, lambda _: loader, self._loss, watched, schedule or Schedule(), None, watch)
        finally:
            self.tower.train(training)

    def embed(self, inputs: Any) -> np.ndarray:
        """The embeddings of a tensor of inputs, or of an iterable of such batches: float32 (n, dim)."""
        torch = need("torch", extra="learn")
        training = self.tower.training
        self.tower.eval()
        try:
            with torch.no_grad():
                batches = [inputs] if isinstance(inputs, torch.Tensor) else list(inputs)
                return np.concatenate([self.tower(self._here(one)).float().cpu().numpy() for one in batches])
        finally:
            self.tower.train(training)

    def _here(self, inputs: Tensor) -> Tensor:
        """The inputs on the tower's device."""
        return inputs.to(next(iter(self.tower.parameters())).device)

    def _loss(self, batch: Any) -> Tensor:
        torch = need("torch", extra="learn")
        parts: list[Any] = list(batch)
        if len(parts) == 2 and parts[1].dim() == 1 and not parts[1].is_floating_point():
            embedded = self.tower(self._here(parts[0]))
            return loss_of_labels(self.loss, embedded, self._here(parts[1]), self.miner, **self.options)
        wanted = {"contrastive": 3, "triplet": 3, "n-pair": 2}[self.loss]
        if len(parts) != wanted:
            raise DataError(
                f"a batch has {len(parts)} parts, but {self.loss} takes (inputs, labels), or "
                f"{'a pair and whether it is similar' if self.loss == 'contrastive' else f'{wanted} inputs'}"
            )
        sides = parts[:2] if self.loss == "contrastive" else parts
        found: Any = self.tower(torch.cat([self._here(one) for one in sides])).split([len(one) for one in sides])
        if self.loss == "contrastive":
            return loss_of_pairs(found[0], found[1], self._here(parts[2]), **self.options)
        if self.loss == "triplet":
            return triplet(found[0], found[1], found[2], reduction="nonzero_mean", **self.options)
        return n_pair(found[0], found[1], reduction="mean", **self.options)

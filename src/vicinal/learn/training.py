"""Learning heads: from embeddings and labels, pairs or a second set of embeddings, to heads and a table of figures.

Some rows are held out before training: to decide when to stop, and for the table, which shows rows of classes that were
learned from and rows of classes that were not. All figures come from exact Euclidean neighbours.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vicinal.data.embeddings import OnInvalid
from vicinal.errors import UsageError, kept_in, need
from vicinal.knn.checkpoint import Checkpoint
from vicinal.learn import evaluation, supervision
from vicinal.learn.evaluation import HeldOut
from vicinal.learn.heads import Head, HeadKind, Heads
from vicinal.learn.inputs import labels_of, pairs_of, read_rows, read_sides
from vicinal.learn.loop import Callbacks, History, Schedule, optimize
from vicinal.learn.losses import DistanceName, Form, LossName, Source
from vicinal.learn.mining import MinerName
from vicinal.learn.plan import Plan, check_options, check_scope, source_of
from vicinal.learn.state import array_names
from vicinal.learn.supervision import Problem
from vicinal.storage import atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


DEFAULT_LOSS: dict[Source, LossName] = {"labels": "triplet", "pairs": "contrastive", "joint": "clip"}


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """Trained heads, the table of figures on held-out rows, and the course of training.

    Attributes
    ----------
    heads : Heads
        One head, or the two heads of a joint space, with the settings and figures of the run.
    table : list of HeldOut
        The figures before and after: on held-out rows of classes that were learned from and, where there are 8 classes
        or more, on classes that were held out whole. Empty where there were too few rows to hold any out.
    history : History
        Loss and held-out quality, epoch by epoch.
    unusable : dict of int to str
        The rows that were left out, by number, and why.
    """

    heads: Heads
    table: list[HeldOut]
    history: History
    unusable: dict[int, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        heads = ", ".join(repr(head) for head in self.heads.towers)
        return f"TrainingResult({heads}, epochs={len(self.history.losses) - 1}, best={self.history.best})"

    @property
    def head(self) -> Head:
        """The only head; raises UsageError for a joint space, whose heads `heads.tower(name)` gives."""
        return self.heads.tower()

    def transform(self, X: ArrayLike, tower: str | None = None) -> NDArray[np.float32]:  # noqa: N803
        """Return the learned embedding of each row, float32 (n, dim).

        Parameters
        ----------
        X : array_like, shape (n, dim_in)
        tower : str, optional
            Which of the two heads of a joint space to apply.

        Raises
        ------
        DataError
            Where the dimension differs, or a row holds NaN or infinity.
        UsageError
            Where a tower must be chosen.
        """
        return self.heads.tower(tower).apply(X, "X")

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the heads as a folder, for `apply`, `Heads.load` and `vicinal apply`.

        Raises
        ------
        UsageError
            Where the folder exists and `overwrite` is false, or holds files that vicinal did not write.
        """
        self.heads.save(folder, overwrite)

    def records(self) -> list[dict[str, Any]]:
        """Return the table as one dict a figure, such as `pandas.DataFrame` takes.

        The keys are part, rows, classes, measure, before, after and chance.
        """
        return [
            {
                "part": part.name,
                "rows": part.rows,
                "classes": part.classes,
                "measure": measure,
                "before": before,
                "after": after,
                "chance": part.chance.get(measure),
            }
            for part in self.table
            for measure, (before, after) in part.figures.items()
        ]

    def __str__(self) -> str:
        return "\n".join(evaluation.lines(self.table))


def train(
    data: object = None,
    labels: object = None,
    *,
    embeddings: object = None,
    encoding: object = None,
    pairs: str | Path | tuple[ArrayLike, ArrayLike] | None = None,
    ids: object = None,
    joint: tuple[object, object] | None = None,
    loss: LossName | None = None,
    head: HeadKind = "linear",
    dim: int | None = None,
    hidden: int | None = None,
    normalize: bool = True,
    margin: float | None = None,
    form: Form | None = None,
    squared: bool | None = None,
    temperature: float | None = None,
    distance: DistanceName | None = None,
    miner: MinerName | None = None,
    batch_size: int = 128,
    per_class: int | None = None,
    allow_small_classes: bool = False,
    epochs: int = 50,
    patience: int = 5,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    seed: int = 0,
    on_invalid: OnInvalid = "error",
    output: str | Path | None = None,
    overwrite: bool = False,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    on_epoch: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Learn a head that brings similar rows together, and measure it on rows that were held out.

    Give exactly one of `labels`, `pairs` and `joint`. The head is a map from embeddings to embeddings; Euclidean
    distances of what it returns are the learned metric. `vicinal learn` is the same function as a command. This
    function is long because each of its options is a parameter.

    Parameters
    ----------
    data : array_like, path, or table, optional
        Embeddings (an array of shape (n, dim) or a `.npy` file), a data set file, or a table in memory. None with
        `joint`.
    labels : str or array_like of shape (n,), optional
        The class of each row: a column of the data set, FILE[:FIELD] (the default field is "label"), or values. Rows of
        classes that have a single row are left out with a warning.
    embeddings : str, path, or array_like, optional
        Where the embeddings of a data set are: a column of a table, a `.npy` file, or an array.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    pairs : str, Path, or tuple of array_like
        Similar and dissimilar pairs: a file with the fields a and b (ids) and same (true or false), or a tuple of row
        numbers (n_pairs, 2) and truth values (n_pairs,).
    ids : str or sequence, optional
        The ids that a file of pairs uses: a column of the data set (default "id"), FILE[:FIELD], or one a row; row
        numbers where there are none.
    joint : tuple of two arrays or paths
        Two sets of embeddings; row i of one belongs to row i of the other. Two heads into one space are learned. They
        are called after the files, or "first" and "second".
    loss : {"contrastive", "triplet", "n-pair", "clip"}, optional
        By default "triplet" for labels, "contrastive" for pairs and "clip" for joint. See `vicinal.learn.losses`.
    head : {"linear", "mlp"}
        A linear map, or a linear map plus a network of one hidden layer.
    dim : int, optional
        The dimension of the output. By default that of the embeddings (with `joint`: the smaller one).
    hidden : int, optional
        The size of the hidden layer of "mlp". By default the dimension of the embeddings.
    normalize : bool
        Whether the output is scaled to length 1.
    margin : float, optional
        Of "contrastive" (default 1) and "triplet" (default 0.2).
    form : {"squared", "hadsell"}, optional
        Of "contrastive": max(0, m - d^2), or max(0, m - d)^2.
    squared : bool, optional
        Of "triplet": whether distances are squared (default True).
    temperature : float, optional
        Of "n-pair" (default 0.07).
    distance : {"euclidean", "cosine", "inner_product"}, optional
        What the loss measures. By default "cosine" for "n-pair" and "clip", otherwise "euclidean".
    miner : {"semi-hard", "hardest", "all"}, optional
        Which triplets of a batch "triplet" takes (default "semi-hard").
    batch_size : int
        Rows, or pairs, of a batch.
    per_class : int, optional
        Rows of a class in a batch, with `labels` (default 4).
    allow_small_classes : bool
        Whether rows of classes that have a single row are used as negatives, with `labels`.
    epochs : int
        At most so many epochs.
    patience : int
        Training stops after so many epochs without a better MAP@R on the watched rows; the best epoch is kept.
    learning_rate, weight_decay : float
        Of AdamW.
    seed : int
        Of the split, the batches and the initial weights. The same seed gives the same result.
    on_invalid : {"error", "null", "skip"}
        Rows that hold NaN or infinity, and rows without a label: "error" refuses them, "null" and "skip" leave them
        out. Pairs that name such a row are refused.
    output : str or Path, optional
        A folder to write the heads to, as `TrainingResult.save` does.
    overwrite : bool
        Whether an output that exists is replaced.
    checkpoint : str or Path, optional
        The folder in which the state is kept after each epoch; the same call resumes from it. By default
        OUTPUT.checkpoint, or none without an output. It is removed once the output is written.
    device : str, optional
        Where torch computes, such as "cpu" or "cuda". By default the best that there is.
    threads : int, optional
        By default the cores of the machine.
    progress : callable, optional
        Called after each batch with the rows done, the rows in all, and a text.
    on_epoch : callable, optional
        Called after each epoch with that text: epoch, loss and held-out recall@1.

    Returns
    -------
    TrainingResult

    Raises
    ------
    UsageError
        Where an argument is missing, unknown, out of range or has no effect in this run.
    DataError
        Where the inputs cannot be read or do not fit together, or a loss is not finite.
    MissingExtra
        Where torch is not installed.

    Warns
    -----
    UserWarning
        Where a figure on held-out rows fell, no epoch was better than the start, or there was too little to hold out.

    Examples
    --------
    >>> import numpy as np
    >>> from vicinal import learn
    >>> random = np.random.default_rng(0)
    >>> labels = np.arange(400) % 20
    >>> centres = random.normal(size=(20, 6)) * [1, 1, 1, 0, 0, 0]
    >>> vectors = centres[labels] + random.normal(size=(400, 6)) * [0.2, 0.2, 0.2, 2, 2, 2]
    >>> result = learn.train(vectors, labels, epochs=3, learning_rate=0.02, device="cpu")
    >>> [part.name for part in result.table]
    ['held-out rows', 'held-out classes']
    >>> before, after = result.table[1].figures["MAP@R"]
    >>> after > before + 0.1
    True
    >>> result.transform(vectors).shape
    (400, 6)
    """
    source = source_of(data, labels, pairs, joint)
    loss = loss or DEFAULT_LOSS[source]
    options = {
        "margin": margin,
        "temperature": temperature,
        "form": form,
        "squared": squared,
        "distance": distance,
    }
    options = check_options(options, loss, source)
    given = {"miner": miner is not None, "hidden": hidden is not None, "per_class": per_class is not None}
    check_scope({**given, "allow_small_classes": allow_small_classes, "ids": ids is not None}, loss, head, source)
    schedule = Schedule(epochs, patience, learning_rate, weight_decay, seed)
    plan = Plan(
        loss,
        options,
        head,
        dim,
        hidden,
        normalize,
        miner or Plan.miner,
        Plan.per_class if per_class is None else per_class,
        batch_size,
        allow_small_classes,
        schedule,
        device,
        threads,
    )
    if output is not None:
        atomic.check_folder(output, overwrite)
        checkpoint = checkpoint or f"{str(output).rstrip('/')}.checkpoint"
    with _threads(plan.threads), kept_in(checkpoint):
        problem, unusable = _problem(data, (embeddings, encoding), labels, pairs, ids, joint, plan, on_invalid)
        result = replace(fit(problem, plan, checkpoint, Callbacks(progress, on_epoch)), unusable=unusable)
    if output is not None:
        result.save(output, overwrite)
        if checkpoint is not None:
            atomic.remove_kept(checkpoint)
    return result


def _problem(
    data: Any, source: Any, labels: Any, pairs: Any, ids: Any, joint: Any, plan: Plan, on_invalid: OnInvalid
) -> tuple[Problem, dict[int, str]]:
    """Load the inputs; the rows that were left out, and why."""
    if joint is not None:
        if len(joint) != 2:
            raise UsageError(f"joint: expected two sets of embeddings, got {len(joint)}")
        paths = [one for one in joint if isinstance(one, str | Path)]
        names = [Path(one).stem for one in paths]
        first, second = names if len(set(names)) == 2 else ("first", "second")
        one, other, unusable = read_sides((joint[0], joint[1]), (first, second), source[1], on_invalid)
        return supervision.from_joint((one, other), (first, second), plan), unusable
    if pairs is not None and not isinstance(pairs, str | Path) and ids is not None:
        raise UsageError("ids: apply to a file of pairs only; an array of pairs holds row numbers")
    rows = read_rows(data, source, labels, ids, on_invalid)
    if labels is not None:
        return supervision.from_labels(rows.vectors, *labels_of(rows), plan), rows.unusable
    return supervision.from_pairs(rows.vectors, *pairs_of(pairs, rows, ids), plan), rows.unusable


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use so many threads."""
    torch = need("torch", extra="learn")
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)


def fit(
    problem: Problem,
    plan: Plan,
    checkpoint: str | Path | None = None,
    callbacks: Callbacks | None = None,
) -> TrainingResult:
    """Solve a problem, measure the result, and warn where it made something worse.

    Raises
    ------
    DataError
        Where a loss or a gradient is not finite.
    UsageError
        Where the checkpoint holds the state of another run.
    """
    kept = None
    if checkpoint is not None:
        kept = Checkpoint(checkpoint, {**problem.inputs, **plan.settings}, array_names(problem.weights))
    history = optimize(
        problem.weights,
        problem.batches,
        problem.loss_of,
        problem.judge,
        plan.schedule,
        kept,
        callbacks,
        problem.n_rows,
    )
    heads = tuple(tower.head() for tower in problem.towers)
    return _result(heads, history, plan, problem.measure())


def _result(heads: tuple[Head, ...], history: History, plan: Plan, table: list[HeldOut]) -> TrainingResult:
    """The result, with a warning for each part of the table where learning made something worse."""
    for part in table:
        worse = evaluation.figures_that_fell(part)
        if worse:
            warnings.warn(f"learning made {part.name} worse: {', '.join(worse)}", stacklevel=4)
    if history.best == 0:
        warnings.warn("no epoch was better on the watched rows than the start, so the head is the start", stacklevel=4)
    about = {
        **plan.settings,
        "epochs_run": history.epochs_run,
        "best_epoch": history.best,
        "table": [asdict(part) for part in table],
    }
    return TrainingResult(Heads(heads, about), table, history)

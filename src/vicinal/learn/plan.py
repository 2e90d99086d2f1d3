"""What is learned and how: the settings of a run, checked."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from vicinal.errors import UsageError, unknown
from vicinal.learn.heads import KINDS, HeadKind
from vicinal.learn.loop import Schedule
from vicinal.learn.losses import LossName, Source, find
from vicinal.learn.mining import MINERS, MinerName


@dataclass(frozen=True)
class Plan:
    """The settings of a run; `train` describes each of them.

    Raises
    ------
    UsageError
        Where a setting is unknown or out of range.
    """

    loss: LossName
    options: dict[str, Any] = field(default_factory=dict)
    head: HeadKind = "linear"
    dim: int | None = None
    hidden: int | None = None
    normalize: bool = True
    miner: MinerName = "semi-hard"
    per_class: int = 4
    batch_size: int = 128
    allow_small_classes: bool = False
    schedule: Schedule = field(default_factory=Schedule)
    device: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.head not in KINDS:
            raise UsageError(unknown("head", self.head, KINDS))
        if self.miner not in MINERS:
            raise UsageError(unknown("miner", self.miner, MINERS))
        for name in ("dim", "hidden", "per_class", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1):
                raise UsageError(f"{name}: expected a whole number above 0, got {value!r}")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that decide the result, for manifests and checkpoints.

        The keys are those of format version 1, so that saved heads and checkpoints can be compared.
        """
        return {
            "loss": self.loss,
            "options": self.options,
            "kind": self.head,
            "dim": self.dim,
            "hidden": self.hidden,
            "normalize": self.normalize,
            "miner": self.miner,
            "m": self.per_class,
            "batch_size": self.batch_size,
            "alone": self.allow_small_classes,
            **asdict(self.schedule),
            "decided_by": "mean reciprocal rank" if self.loss == "clip" else "MAP@R",
        }


def check_options(options: dict[str, Any], loss: str, source: Source) -> dict[str, Any]:
    """Return the options of the loss that are not None.

    Raises
    ------
    UsageError
        Where the loss cannot learn from the source, has no such option, or a value is out of range.
    """
    known = find(loss, source).options
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{name}: the loss {loss} has no such option; its options are {', '.join(known)}")
        if name in ("margin", "temperature") and not (_is_number(value) and value > 0):
            raise UsageError(f"{name}: expected a number above 0, got {value!r}")
    return given


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def check_scope(given: dict[str, bool], loss: str, head: str, source: Source) -> None:
    """Raise UsageError where a setting was given that has no effect in this run."""
    for name, applies, where in (
        ("miner", loss == "triplet", "the loss triplet"),
        ("hidden", head == "mlp", "the head mlp"),
        ("per_class", source == "labels", "labels"),
        ("allow_small_classes", source == "labels", "labels"),
        ("ids", source == "pairs", "pairs"),
    ):
        if given[name] and not applies:
            raise UsageError(f"{name}: applies to {where} only; leave it out")


def source_of(data: Any, labels: Any, pairs: Any, joint: Any) -> Source:
    """Return which of the three sources was given."""
    named: dict[Source, Any] = {"labels": labels, "pairs": pairs, "joint": joint}
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        raise UsageError(
            f"expected one of labels, pairs and joint, got {' and '.join(given) or 'none'}; give one of --labels, "
            "--pairs and --joint (in Python: labels=, pairs= and joint=)"
        )
    if data is None and given[0] != "joint":
        raise UsageError(f"{given[0]}: needs the embeddings too; give them as data, the first argument")
    if data is not None and given[0] == "joint":
        raise UsageError("joint: holds both sets of embeddings, so data, the first argument, must be left out")
    return given[0]

"""The first phase of a selection: the arguments, checked before anything is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vicinal.analysis.duplicates import LINKS, check_radius
from vicinal.data import tables
from vicinal.data.usable import check_on_invalid
from vicinal.errors import UsageError, unknown
from vicinal.knn.arguments import check_k, check_threads
from vicinal.knn.metrics import Metric, find
from vicinal.storage import atomic
from vicinal.tasks.arguments import check_copy, choice
from vicinal.tasks.duplicates.grouping import Rules
from vicinal.tasks.select.strategies import BY_NAME, Strategy
from vicinal.typing import StartProgress


@dataclass(frozen=True, eq=False)
class Arguments:
    """The arguments of `select`, as the caller gave them."""

    data: object
    scores: object
    keep: object
    strategy: str
    by: str | None
    embeddings: object
    neighbors: object
    k: int
    metric: str | Metric
    quality: object
    dedup: float | None
    link: str
    quota: object
    ids: object
    on_invalid: str
    threads: int | None
    progress: StartProgress | None
    output: str | Path | None
    decisions: str | Path | None
    overwrite: bool

    @property
    def inputs(self) -> tuple[object, ...]:
        """The arguments that may name files to be read."""
        return self.data, self.scores, self.embeddings, self.neighbors, self.quality, self.quota, self.ids


@dataclass(frozen=True, eq=False)
class Plan:
    """A selection whose arguments have passed their checks.

    Attributes
    ----------
    keep : int or Fraction
        A number of rows, or a share of them.
    rules : Rules or None
        What a duplicate is.
    on_invalid : {"null", "skip", "error"}
    output, decisions : Path or None
        Where the chosen rows and the decisions are written.
    """

    keep: int | Fraction
    strategy: Strategy
    metric: Metric
    rules: Rules | None
    on_invalid: str
    k: int
    threads: int | None
    progress: StartProgress | None
    output: Path | None
    decisions: Path | None
    overwrite: bool

    def start(self, name: str) -> Callable[..., None] | None:
        """The callback of a pass that begins, or None."""
        return None if self.progress is None else self.progress(name)


def check(arguments: Arguments) -> Plan:
    """Return the plan of a selection, or raise UsageError where an argument cannot be used."""
    if arguments.strategy not in BY_NAME:
        raise UsageError(f"strategy: {unknown('strategy', arguments.strategy, BY_NAME)}")
    strategy, metric = BY_NAME[arguments.strategy], find(arguments.metric)
    keep = _share_or_count(arguments.keep)
    k = check_k(arguments.k)
    threads = check_threads(arguments.threads)
    output = None if arguments.output is None else Path(arguments.output)
    decisions = None if arguments.decisions is None else Path(arguments.decisions)
    if output is not None and decisions is None:
        decisions = Path(f"{output}.decisions.jsonl")
    _check_outputs(arguments, output, decisions)
    if strategy.needs == "scores" and arguments.scores is None:
        raise UsageError(
            f"scores: missing, but strategy {strategy.name!r} needs them; give a file that `vicinal score` wrote, or "
            "one score a row"
        )
    if arguments.by is not None and arguments.scores is None:
        raise UsageError(f"by: chooses one of several scores, but no scores are given; leave {arguments.by!r} out")
    if strategy.needs != "scores" and metric.product:
        raise UsageError(
            f"metric: strategy {strategy.name!r} needs a metric that measures a distance, got {metric.name!r}; take "
            "cosine or euclidean"
        )
    choice(arguments.link, "link", LINKS)
    rules = None
    if arguments.dedup is not None:
        radius = check_radius(arguments.dedup, metric, "dedup")
        rules = Rules(radius, metric, arguments.link, "first" if arguments.quality is None else "best", threads)
    elif arguments.link != "greedy":
        raise UsageError("link: says how dedup groups rows, but dedup is missing; give a radius, or leave link out")
    return Plan(
        keep, strategy, metric, rules, check_on_invalid(arguments.on_invalid), k, threads, arguments.progress, output,
        decisions, arguments.overwrite,
    )  # fmt: skip


def _check_outputs(arguments: Arguments, output: Path | None, decisions: Path | None) -> None:
    if output is not None:
        check_copy(arguments.data, output, "Selection.take_from")
    if decisions is not None and tables.suffix(decisions) not in tables.LINES:
        raise UsageError(f"{decisions}: expected a name that ends in .jsonl or .jsonl.gz for the decisions")
    if output is not None and decisions is not None and output.absolute() == decisions.absolute():
        raise UsageError(f'decisions: expected another file than the output, got "{output}" for both')
    for path in filter(None, (output, decisions)):
        atomic.refuse_input(path, arguments.inputs)
        atomic.check_file(path, arguments.overwrite)


def count_of(keep: object, n: int) -> int:
    """Return how many of n rows a number, a share or a percentage is: a share is rounded half up, to at least 1.

    Parameters
    ----------
    keep : int, float, or str
        A number of rows (7), a share above 0 and below 1 (0.1), or the text of either, or a percentage ("10%").
    n : int

    Raises
    ------
    UsageError
        It is none of these, it is 1.0 (which may mean one row or all), or it is more than n.

    Examples
    --------
    >>> count_of(7, 45), count_of(0.1, 45), count_of("10%", 45), count_of("7", 45)
    (7, 5, 5, 7)
    """
    number = keep if isinstance(keep, Fraction) else _share_or_count(keep)
    if isinstance(number, Fraction):
        return max(1, math.floor(n * number + Fraction(1, 2)))
    if number > n:
        raise UsageError(f"keep: {number} rows were requested, but there are {n}; give at most {n}")
    return number


def _share_or_count(keep: object) -> int | Fraction:
    """A number of rows as an int, a share of them as a Fraction."""
    text = str(keep).strip() if isinstance(keep, str | int | float | np.number) and not isinstance(keep, bool) else ""
    percent = text.endswith("%")
    digits = text.removesuffix("%")
    if not percent and digits.isascii() and digits.isdigit() and len(digits) < 4000 and int(digits):
        return int(digits)
    try:
        number = float(digits)
    except ValueError:
        number = math.nan
    if not percent and number == 1:
        raise UsageError(f'keep: {keep} may mean one row or all rows; write 1 for one row, "100%" for all')
    if not 0 < number <= (100 if percent else 1):
        shown = f'"{keep}"' if isinstance(keep, str) else repr(keep)
        raise UsageError(
            f'keep: expected a number of rows, a share below 1 such as 0.1, or a percentage such as "10%", got {shown}'
        )
    return Fraction(str(number)) / (100 if percent else 1)

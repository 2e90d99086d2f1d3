"""The first phase of a selection: the arguments, checked before anything is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.analysis.duplicates import LINKS, check_radius
from vicinal.data import tables
from vicinal.data.usable import check_on_invalid
from vicinal.errors import UsageError, unknown
from vicinal.knn.arguments import check_k, check_threads
from vicinal.knn.metrics import Metric, find
from vicinal.knn.recall import Recall, check_recall
from vicinal.tasks.arguments import check_copy, check_outputs, choice, number, seed_of, whole_number
from vicinal.tasks.duplicates.grouping import Rules, with_recall
from vicinal.tasks.score import kept
from vicinal.tasks.select.question import THRESHOLD, Settings
from vicinal.tasks.select.strategies import BY_NAME, Strategy
from vicinal.typing import StartProgress

# Arguments that only some strategies take.
OPTIONS = ("quality", "k", "neighbors", "target", "alpha", "threshold", "bandwidth", "clusters", "seed", "recall")
REMEDIES = {
    "scores": "give a file that `vicinal score` wrote, or one score a row",
    "quality": "give a number a row, high is good",
    "target": "give the embeddings of the rows to select towards: a .npy file or an array",
}


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
    k: int | None
    metric: str | Metric | None
    quality: object
    dedup: float | None
    link: str
    quota: object
    target: object
    alpha: float | None
    threshold: float | None
    bandwidth: float | None
    clusters: int | None
    seed: int | None
    ids: object
    on_invalid: str
    threads: int | None
    progress: StartProgress | None
    output: str | Path | None
    decisions: str | Path | None
    overwrite: bool
    encoding: object = None
    recall: object = None
    marks: object = None

    @property
    def inputs(self) -> tuple[object, ...]:
        """The arguments that may name files to be read."""
        own = (self.data, self.scores, self.embeddings, self.neighbors, self.quality, self.quota, self.target, self.ids)
        return *own, self.marks


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
    settings : Settings
        The numbers that the strategy takes.
    graph : kept.Graph or None
        The nearest others of each row, where they were given.
    output, decisions : Path or None
        Where the chosen rows and the decisions are written.
    recalls : list of Recall
        Those of the neighbours that the strategy used are added to it.
    """

    keep: int | Fraction
    strategy: Strategy
    metric: Metric
    rules: Rules | None
    on_invalid: str
    settings: Settings
    threads: int | None
    progress: StartProgress | None
    output: Path | None
    decisions: Path | None
    overwrite: bool
    graph: kept.Graph | None = None
    recalls: list[Recall] = field(default_factory=list)

    def start(self, name: str) -> Callable[..., None] | None:
        """The callback of a pass that begins, or None."""
        return None if self.progress is None else self.progress(name)


def with_run(arguments: Arguments) -> Arguments:
    """The arguments with what their run knows: the embeddings and, for a dedup beside its scores, the neighbours."""
    neighbors, wanted = arguments.neighbors, None if arguments.metric is None else find(arguments.metric)
    free = arguments.embeddings is None and arguments.k is None and arguments.recall is None
    if neighbors is None and arguments.dedup is not None and free and kept.is_run(arguments.scores):
        neighbors = arguments.scores
    if not free or not kept.is_run(neighbors):
        return arguments
    graph = kept.open_graph(neighbors, wanted)
    embeddings = kept.own_embeddings(graph, arguments.data, None)
    if embeddings is None:
        return arguments
    return replace(arguments, neighbors=neighbors, embeddings=embeddings)


def check(arguments: Arguments) -> Plan:
    """Return the plan of a selection, or raise UsageError where an argument cannot be used."""
    if arguments.strategy not in BY_NAME:
        raise UsageError(f"strategy: {unknown('strategy', arguments.strategy, BY_NAME)}")
    strategy = BY_NAME[arguments.strategy]
    takes = "neighbors" in strategy.takes or arguments.dedup is not None  # otherwise `check_strategy` refuses them
    graph = None
    if takes and arguments.k is None and arguments.neighbors is not None:
        graph = kept.open_graph(arguments.neighbors, None if arguments.metric is None else find(arguments.metric))
    metric = _metric(arguments, strategy, graph)
    keep = _share_or_count(arguments.keep)
    settings = settings_of(arguments)
    threads = check_threads(arguments.threads)
    output = None if arguments.output is None else Path(arguments.output)
    decisions = None if arguments.decisions is None else Path(arguments.decisions)
    if output is not None and decisions is None:
        decisions = Path(f"{output}.decisions.jsonl")
    _check_outputs(arguments, output, decisions)
    check_strategy(arguments, strategy, metric)
    rules = _rules(arguments, metric, threads)
    if graph is not None and rules is None:
        devices.refuse("neighbors are given, so that no pass runs")
    return Plan(
        keep, strategy, metric, rules, check_on_invalid(arguments.on_invalid), settings,
        threads, arguments.progress, output, decisions, arguments.overwrite, graph,
    )  # fmt: skip


def _metric(arguments: Arguments, strategy: Strategy, graph: kept.Graph | None) -> Metric:
    """The metric: as given, or that of the neighbours, or euclidean.

    Raises    UsageError where euclidean is none that the strategy is defined for
    """
    if arguments.metric is not None:
        return find(arguments.metric)
    if graph is not None:
        return graph.metric
    if strategy.metrics and "euclidean" not in strategy.metrics:
        raise UsageError(
            f"metric: missing; strategy {strategy.name!r} is defined for {' and '.join(strategy.metrics)} alone; give "
            f"{strategy.metrics[-1]}"
        )
    return find("euclidean")


def _rules(arguments: Arguments, metric: Metric, threads: int | None) -> Rules | None:
    """What a duplicate is; None without `dedup`."""
    choice(arguments.link, "link", LINKS)
    if arguments.dedup is not None:
        radius = check_radius(arguments.dedup, metric, "dedup")
        rules = Rules(radius, metric, arguments.link, "first" if arguments.quality is None else "best", threads)
        return with_recall(rules, arguments.recall, arguments.neighbors)
    if arguments.link != "greedy":
        raise UsageError(
            "link: says how dedup groups rows, but dedup is missing; give --dedup RADIUS (in Python: dedup=), or leave "
            "link out"
        )
    return None


def settings_of(arguments: Arguments) -> Settings:
    """Return the numbers that strategies take, each checked, whether or not the strategy takes it."""
    given: dict[str, Any] = {}
    if arguments.k is not None:
        given["k"] = check_k(arguments.k)
    if arguments.recall is not None:
        given["recall"] = check_recall(arguments.recall)
    if arguments.seed is not None:
        given["seed"] = seed_of(arguments.seed)
    if arguments.alpha is not None:
        given["alpha"] = number(arguments.alpha, "alpha", "a number from 0 to 1", lambda value: 0 <= value <= 1)
    if arguments.bandwidth is not None:
        given["bandwidth"] = number(
            arguments.bandwidth, "bandwidth", "a finite number above 0", lambda value: 0 < value < math.inf
        )
    if arguments.threshold is not None:
        given["threshold"] = number(
            arguments.threshold, "threshold", "a finite number from 0 on", lambda value: 0 <= value < math.inf
        )
    if arguments.clusters is not None:
        given["clusters"] = whole_number(arguments.clusters, "clusters")
    return Settings(**given)


def check_strategy(arguments: Arguments, strategy: Strategy, metric: Metric, given: bool = False) -> None:
    """Raise UsageError where a strategy lacks an argument, or cannot honour one.

    With `given`, the arguments are those of several strategies: each takes its own, and has a default for the others.
    """
    if not given:
        _check_arguments(arguments, strategy)
    if strategy.needs not in ("scores", "nothing") and metric.product:
        raise UsageError(
            f"metric: strategy {strategy.name!r} needs a metric that measures a distance, got {metric.name!r}; take "
            "cosine or euclidean"
        )
    if strategy.metrics and metric.name not in strategy.metrics:
        raise UsageError(
            f"metric: strategy {strategy.name!r} is defined for {' and '.join(strategy.metrics)}, got {metric.name!r}; "
            f"take {strategy.metrics[-1]}"
        )
    if strategy.name == "deita" and arguments.threshold is None and metric.name != "cosine":
        raise UsageError(
            f"threshold: missing; the default {THRESHOLD:g} is a cosine distance, but the metric is {metric.name!r}; "
            "give one in its unit, or take cosine"
        )


def _check_arguments(arguments: Arguments, strategy: Strategy) -> None:
    if (strategy.needs == "scores" or "scores" in strategy.requires) and arguments.scores is None:
        raise UsageError(
            f"scores: missing, but strategy {strategy.name!r} needs them; give a file that `vicinal score` wrote, or "
            "one score a row"
        )
    if arguments.by is not None and arguments.scores is None:
        raise UsageError(f"by: chooses one of several scores, but no scores are given; leave {arguments.by!r} out")
    for name in strategy.requires:
        if getattr(arguments, name) is None:
            raise UsageError(f"{name}: missing, but strategy {strategy.name!r} needs it; {REMEDIES[name]}")
    for name in OPTIONS:
        if name in ("neighbors", "recall") and arguments.dedup is not None:
            continue
        if getattr(arguments, name) is not None and name not in strategy.takes:
            others = [other.name for other in BY_NAME.values() if name in other.takes]
            raise UsageError(
                f"{name}: strategy {strategy.name!r} does not take it; leave it out, or choose one of "
                f"{', '.join(others)}"
            )
    for name in ("k", "recall"):
        if getattr(arguments, name) is not None and arguments.neighbors is not None:
            raise UsageError(f"{name}: the neighbours are given, so that none are searched; leave {name} out")


def _check_outputs(arguments: Arguments, output: Path | None, decisions: Path | None) -> None:
    if output is not None:
        check_copy(arguments.data, output, "Selection.take_from", of_embeddings=True)
    if decisions is not None and tables.suffix(decisions) not in tables.LINES:
        raise UsageError(f"{decisions}: expected a name that ends in .jsonl or .jsonl.gz for the decisions")
    check_outputs({"output": output, "decisions": decisions}, arguments.inputs, arguments.overwrite)


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
    asked = keep if isinstance(keep, Fraction) else _share_or_count(keep)
    if isinstance(asked, Fraction):
        return max(1, math.floor(n * asked + Fraction(1, 2)))
    if asked > n:
        raise UsageError(f"keep: {asked} rows were requested, but there are {n}; give at most {n}")
    return asked


def _share_or_count(keep: object) -> int | Fraction:
    """A number of rows as an int, a share of them as a Fraction."""
    text = str(keep).strip() if isinstance(keep, str | int | float | np.number) and not isinstance(keep, bool) else ""
    percent = text.endswith("%")
    digits = text.removesuffix("%")
    if not percent and digits.isascii() and digits.isdigit() and len(digits) < 4000 and int(digits):
        return int(digits)
    try:
        share = float(digits)
    except ValueError:
        share = math.nan
    if not percent and share == 1:
        raise UsageError(f'keep: {keep} may mean one row or all rows; write 1 for one row, "100%" for all')
    if not 0 < share <= (100 if percent else 1):
        shown = f'"{keep}"' if isinstance(keep, str) else repr(keep)
        raise UsageError(
            f'keep: expected a number of rows, a share below 1 such as 0.1, or a percentage such as "10%", got {shown}'
        )
    return Fraction(str(share)) / (100 if percent else 1)

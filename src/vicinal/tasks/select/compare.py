"""Compare strategies on labelled rows: what classifiers learn from the rows that each one chooses."""

import os
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.data import dataset
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.labels import Labels, from_values
from vicinal.data.usable import counted, kind_of, usable
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.arguments import check_threads
from vicinal.knn.metrics import Metric, find
from vicinal.tasks.arguments import check_outputs, several, whole_number
from vicinal.tasks.select import trials
from vicinal.tasks.select.comparison import Comparison
from vicinal.tasks.select.plan import Arguments, check_strategy, count_of, settings_of
from vicinal.tasks.select.question import Settings
from vicinal.tasks.select.scores import numbers_of
from vicinal.tasks.select.strategies import BY_NAME, CENTRED, Strategy
from vicinal.tasks.select.trials import VARIANTS, Trial
from vicinal.typing import MetricLike, PathLike, StartProgress

KEEP = ("1%", "5%", "10%", "30%")
# Random rows, of each class its share: what herding and moderate, which know the classes, have to beat.
BY_CLASS = replace(BY_NAME["random"], name="random by class", by_class=True, nested=0.0)
COMPARED = {**BY_NAME, BY_CLASS.name: BY_CLASS}


@dataclass(frozen=True, eq=False)
class _Plan:
    """A comparison whose arguments have passed their checks."""

    strategies: list[Strategy]
    keep: list[object]
    variants: list[str]
    seeds: int
    settings: Settings
    metric: Metric
    threads: int | None


@devices.takes_device
def compare_selections(
    data: object,
    *,
    labels: object,
    compare: str | Sequence[str],
    keep: object = KEEP,
    variants: str | Sequence[str] = "plain",
    seeds: int = 5,
    scores: object = None,
    quality: object = None,
    embeddings: object = None,
    encoding: object = None,
    target: object = None,
    metric: MetricLike = "euclidean",
    k: int | None = None,
    alpha: float | None = None,
    threshold: float | None = None,
    bandwidth: float | None = None,
    clusters: int | None = None,
    ids: object = None,
    on_invalid: OnInvalid = "null",
    threads: int | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    output: PathLike | None = None,
    overwrite: bool = False,
) -> Comparison:
    """Return how well classifiers do that learn from the rows which each strategy chooses, against random rows.

    For each seed a fifth of the rows is held out for the test, and a twentieth (without its labels) as the target of
    tsds. From the others each strategy chooses; a linear classifier (ridge regression of the classes) and a vote of the
    5 nearest rows learn from its choice and label the test rows.

    Parameters
    ----------
    data : array_like, path, or table
        As in `select`.
    labels : str or array_like
        A label a row: a column name, FILE:FIELD, or the values.
    compare : str or sequence of str
        Strategies of `select`, as a list or with commas between them; "all" for every one. random is always there.
        "random by class" draws its share of each class: herding and moderate, which are given the labels as their
        classes, are to be measured by it.
    keep : object
        One number, share or percentage of the rows that can be chosen, or several, as a list or with commas.
    variants : str or sequence of str
        - "plain": the rows as they are.
        - "imbalance": of the rows that can be chosen, classes keep from all to a tenth of their rows.
        - "duplicates": near-copies of a twentieth of the rows are added until they are 30 % of all.
        - "noise": 10 % of the labels are changed to another class.

        "all" for every one. The test rows stay as they are.
    seeds : int
        How many times; at least 2.
    scores : str or array_like, optional
        A score a row for highest, lowest, middle and deita; by default the mean distance to the k nearest.
    quality : str or array_like, optional
        A number a row for qdit, high is good; by default the share of the k nearest rows with the same label. The other
        strategies are compared without a quality.
    embeddings : str, path, or array_like, optional
        As in `select`.
    encoding : str or (str, array_like), optional
        As in `select`.
    target : path or array_like, optional
        The embeddings that tsds selects towards; by default those of the rows that are held out for it.
    metric : str or Metric
        Cosine, under which the rows are scaled to length 1, or euclidean.
    k, alpha, threshold, bandwidth, clusters : optional
        As in `select`.
    ids : str or sequence, optional
    on_invalid : {"null", "skip", "error"}
        Rows without a valid embedding, label or quality: left out with a warning ("null" and "skip"), or an error.
    threads : int, optional
        The number of threads; by default, the number of cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with a name; returns a callback that takes (trials done, trials in all).
    output : path, optional
        A `.json` file for the results.
    overwrite : bool
        Whether it may exist; it is replaced.

    Returns
    -------
    Comparison

    Raises
    ------
    UsageError
        An argument cannot be used, or a strategy is not defined for the metric.
    DataError
        The data cannot be read, or there are too few rows to choose from.

    Examples
    --------
    >>> rows = np.concatenate([np.eye(2) + shift for shift in np.linspace(0, 0.3, 60)])
    >>> found = compare_selections(rows, labels=["a", "b"] * 60, compare="k-center", keep=9, seeds=3)
    >>> [(row["strategy"], row["linear accuracy"]) for row in found.rows]
    [('random', 1.0), ('k-center', 1.0)]
    """
    start = time.perf_counter()
    asked = Arguments(
        data, scores, keep, "random", None, embeddings, None, k, metric, quality, None, "greedy", None, target, alpha,
        threshold, bandwidth, clusters, None, ids, on_invalid, threads, progress, None, None, overwrite, encoding,
    )  # fmt: skip
    plan = _check(asked, labels, compare, keep, variants, seeds, output)
    wanted = {
        "labels": (labels, kind_of("label", on_invalid)),
        "quality": (quality, kind_of("number", on_invalid)),
        "scores": (scores, "any"),
    }
    whole = dataset.read(data, embeddings, ids=ids, fields=wanted, encoding=encoding)
    use = usable(whole, load(whole.embeddings, rows=whole, metric=plan.metric, on_invalid=on_invalid), on_invalid)
    if use.reasons:
        warnings.warn(f"{whole.name}: {len(use.reasons)} rows are left out ({counted(use.reasons)})", stacklevel=2)
    rows, loaded = use.rows, use.vectors
    towards = None if target is None else load(target, metric=plan.metric, name="target", like=loaded).vectors
    known = from_values(rows.values["labels"], rows.ids, rows.places["labels"])
    columns = {
        "scores": numbers_of(rows.values["scores"], rows.places["scores"]) if "scores" in rows.values else None,
        "quality": np.array(rows.values["quality"], dtype=np.float64) if "quality" in rows.values else None,
    }
    if columns["scores"] is not None and np.isnan(columns["scores"]).any():
        raise DataError(f"{rows.places['scores']}: expected a score in every row; remove the rows without one")
    found = list(_trials(plan, loaded.vectors, known, columns, towards, progress))
    settings = {"n": len(rows), "classes": len(known.classes), "metric": plan.metric.name, "seeds": seeds}
    comparison = Comparison([strategy.name for strategy in plan.strategies], found, settings)
    comparison.seconds = time.perf_counter() - start
    if output is not None:
        comparison.save(output, overwrite)
    return comparison


def _check(
    asked: Arguments,
    labels: object,
    compare: str | Sequence[str],
    keep: object,
    variants: str | Sequence[str],
    seeds: int,
    output: PathLike | None,
) -> _Plan:
    if labels is None:
        raise UsageError(
            "labels: missing, but strategies are compared by what classifiers learn; name a field of labels"
        )
    metric = find(asked.metric or "euclidean")
    if metric.name not in CENTRED:
        raise UsageError(f"metric: strategies are compared under {' and '.join(CENTRED)}, got {metric.name!r}")
    names = _names(compare, "compare", list(COMPARED))
    strategies = [COMPARED[name] for name in ("random", *(name for name in names if name != "random"))]
    for strategy in strategies:
        check_strategy(asked, strategy, metric, given=True)
    if whole_number(seeds, "seeds") < 2:
        raise UsageError("seeds: expected at least 2, so that there is a standard error, got 1")
    if output is not None and not os.fspath(output).endswith(".json"):
        raise UsageError(f"output: expected a name that ends in .json for the comparison, got {os.fspath(output)}")
    check_outputs({"output": output}, asked.inputs, asked.overwrite)
    shares = keep.split(",") if isinstance(keep, str) else keep if isinstance(keep, list | tuple) else [keep]
    for share in shares:
        count_of(share, 1 << 60)
    return _Plan(
        strategies,
        [share.strip() if isinstance(share, str) else share for share in shares],
        _names(variants, "variants", list(VARIANTS)),
        seeds,
        settings_of(asked),
        metric,
        check_threads(asked.threads),
    )


def _names(given: str | Sequence[str], argument: str, choices: list[str]) -> list[str]:
    """Names in a list or with commas between them, each once, in the order given; "all" for every one."""
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else several(given, argument) or []
    for name in names:
        if name not in choices and name != "all":
            raise UsageError(f"{argument}: {unknown('name', name, [*choices, 'all'])}")
    return choices if "all" in names else list(dict.fromkeys(names))


def _trials(
    plan: _Plan,
    vectors: np.ndarray,
    labels: Labels,
    columns: dict[str, np.ndarray | None],
    target: np.ndarray | None,
    progress: StartProgress | None,
) -> Iterator[dict[str, Any]]:
    """The figures of every strategy, number of rows, variant and seed."""
    callback = None if progress is None else progress("trials")
    total = len(plan.variants) * plan.seeds * len(plan.strategies)
    done = 0
    for variant in plan.variants:
        for seed in range(plan.seeds):
            trial = Trial.of(vectors, labels.codes, variant, seed, plan.metric, columns, target)
            counts = [count_of(share, len(trial.vectors)) for share in plan.keep]
            questions = trials.Questions(trial, replace(plan.settings, seed=seed), plan.metric, plan.threads)
            for strategy in plan.strategies:
                for share, rows in zip(plan.keep, questions.choices(strategy, counts), strict=True):
                    about = {"variant": variant, "keep": share, "strategy": strategy.name, "seed": seed}
                    yield {**about, "kept": len(rows), **trial.figures(rows)}
                done += 1
                if callback is not None:
                    callback(done, total)

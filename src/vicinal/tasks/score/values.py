"""The values of each scorer, from the answers to its questions or from saved neighbours."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vicinal.analysis import score_table
from vicinal.analysis.distinct import nearest_distinct
from vicinal.errors import UsageError
from vicinal.knn.arguments import at_most
from vicinal.knn.metrics import BY_NAME, Metric, find
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.score.passes import Answer, copies_of
from vicinal.tasks.score.plan import Plan, Question, Scorer
from vicinal.tasks.score.results import Scored

TOO_LARGE = "a distance too large for float32; scale the embeddings down"
NO_RATIO = "the median of all rows is 0, so there is no ratio to it"


def of_answers(plan: Plan, answers: Mapping[Question, Answer]) -> tuple[Scored, ...]:
    """Return the values of each scorer of a plan."""
    return tuple(_scored(scorer, answers[scorer.question]) for scorer in plan.scorers)


def of_saved(plan: Plan, saved: Neighbors, place: str, invalid: dict[int, str]) -> tuple[Scored, ...]:
    """Return the values of each scorer of a plan, from saved neighbours.

    Parameters
    ----------
    plan : Plan
    saved : Neighbors
    place : str
        What messages call them: their folder, or the argument.
    invalid : dict of int to str
        Rows that have no neighbours, and why.

    Raises
    ------
    UsageError
        They are not the neighbours that a scorer needs.
    """
    return tuple(_of_saved(scorer, saved, place, invalid) for scorer in plan.scorers)


def _of_saved(scorer: Scorer, saved: Neighbors, place: str, invalid: dict[int, str]) -> Scored:
    metric = _metric_of(saved, scorer.metric)
    if scorer.metric_given and metric.name != scorer.metric.name:
        raise UsageError(
            f"{place}: holds {metric.name} neighbours, expected {scorer.metric.name}; compute them again with "
            f"--metric {scorer.metric.name} (in Python: metric={scorer.metric.name!r}), or leave the metric out"
        )
    if unfit := scorer.score.unfit(metric):
        raise UsageError(f"{place}: {scorer.label}: {unfit}")
    k = scorer.k
    if k > saved.k:
        if saved.k < len(saved) - len(invalid) - 1:
            raise UsageError(
                f"{place}: holds {saved.k} neighbours a row, expected at least k = {k}; compute them again with "
                f"-k {k} (in Python: k={k}), or give a smaller k"
            )
        k = at_most(k, saved.k)
    few = np.flatnonzero((saved.indices[:, :k] < 0).any(axis=1))
    errors = invalid | {int(row): f"fewer than {k} neighbours" for row in few if row not in invalid}
    copies = copies_of(saved, metric)
    view = nearest_distinct(saved, k, copies) if scorer.score.distinct else None
    answer = Answer(saved, f"saved neighbours ({place})", 0.0, None, errors, copies, view)
    return _scored(replace(scorer, metric=metric), answer)


def _metric_of(saved: Neighbors, default: Metric) -> Metric:
    """The metric of saved neighbours; one that is not in the table is a length, as mahalanobis is."""
    if saved.metric is None:
        return default
    return BY_NAME.get(saved.metric, replace(find("euclidean"), name=saved.metric))


def _scored(scorer: Scorer, answer: Answer) -> Scored:
    """One scorer's values.

    A row without a value is an error (known before, or a distance beyond float32), or undefined for this score.
    """
    score, k = scorer.score, min(scorer.k, answer.neighbors.k)
    source = answer.distinct if score.distinct and answer.distinct is not None else answer.neighbors
    values = score.compute(source, k).astype(np.float64)
    errors, undefined = dict(answer.errors), {}
    overflow = np.isinf(answer.neighbors.distances[:, k - 1])
    for row in np.flatnonzero(~np.isfinite(values) | overflow):
        if row not in errors and (overflow[row] or not score.undefined):
            errors[int(row)] = TOO_LARGE
        elif row not in errors:
            undefined[int(row)] = score.undefined
    values[[*errors, *undefined]] = np.nan
    if scorer.form:
        values = score_table.FORMS[scorer.form](values)
        for row in np.flatnonzero(~np.isfinite(values)):
            if row not in errors and row not in undefined:
                undefined[int(row)] = NO_RATIO
        values[[*errors, *undefined]] = np.nan
    also = {name: compute(answer.neighbors, answer.copies) for name, compute in score.also.items()}
    return Scored(
        scorer=scorer,
        k=k,
        dim=answer.dim,
        engine=answer.engine,
        seconds=answer.seconds,
        values=values.astype(np.float32),
        neighbors=source,
        copies=answer.copies,
        errors=errors,
        undefined=undefined,
        also=also,
    )

"""What the passes of a run read: vectors, references and groups, checked before the first pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vicinal.data import hints, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings, OnInvalid, load
from vicinal.data.usable import usable
from vicinal.errors import UsageError
from vicinal.knn.arguments import at_most
from vicinal.knn.joined import chosen
from vicinal.knn.metrics import Metric
from vicinal.knn.vectors import refuse_invalid
from vicinal.tasks.score.plan import EMBEDDINGS, GROUPS, REFERENCE, Key, Plan, Question, Scorer


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of each neighbour search of a plan.

    Attributes
    ----------
    vectors : dict of Question to Embeddings
        One row a sample.
    references : dict of Question to Embeddings
        Of the questions that have a reference.
    groups : dict of str to ndarray
        A whole number a row, the same for rows of one group.
    lonely : dict of Question to dict of int to str
        Rows with fewer than k rows outside their group, and why they have no score.
    on_invalid : {"error", "null"}
    """

    vectors: dict[Question, Embeddings]
    references: dict[Question, Embeddings]
    groups: dict[str, np.ndarray]
    lonely: dict[Question, dict[int, str]] = field(default_factory=dict)
    on_invalid: OnInvalid = "error"


def check(
    plan: Plan,
    rows: Dataset,
    groups: Mapping[str, list[Any]],
    sources: Mapping[Key, object],
    on_invalid: OnInvalid,
    in_place: bool = False,
) -> Inputs:
    """Return what the plan reads, after every check that needs no pass.

    Parameters
    ----------
    plan : Plan
    rows : Dataset
        The rows that the embeddings belong to.
    groups : mapping of str to list
        The name of each group field -> one value a row.
    sources : mapping of Path or str to object
        What arguments hold, and arrays that stand for files. Other files are read.
    on_invalid : {"error", "null", "skip"}
    in_place : bool
        Whether the passes read rows where they lie, so that shards need not be one array.

    Raises
    ------
    UsageError
        There are no embeddings.
    DataError
        Embeddings, a reference or groups cannot be used.
    """
    vectors: dict[Question, Embeddings] = {}
    references: dict[Question, Embeddings] = {}
    loaded: dict[tuple[Key, Metric], Embeddings] = {}
    for question, members in plan.questions.items():
        key = (question.embeddings, question.metric)
        if key not in loaded:
            source = sources.get(question.embeddings, members[0].embeddings)
            if source is None or (isinstance(source, str) and source == EMBEDDINGS):
                source = rows.own_embeddings()
            if source is None:
                raise no_embeddings(rows)
            loaded[key] = load(
                source,
                rows=rows,
                metric=question.metric,
                on_invalid=on_invalid,
                name=EMBEDDINGS,
                at_least=2,
                in_place=in_place,
            )
        vectors[question] = loaded[key]
        if question.reference is not None:
            source = sources.get(question.reference, members[0].reference)
            references[question] = load(
                source,
                metric=question.metric,
                name=REFERENCE,
                like=loaded[key],
                encoding=rows.encoding,
                in_place=in_place,
            )
    codes = {name: tables.numbered(["" if one is None else one for one in values]) for name, values in groups.items()}
    for question, found in vectors.items():
        without = {row: "no group" for row, one in enumerate(groups.get(question.groups or "", ())) if one is None}
        if without:
            vectors[question] = replace(found, invalid=without | found.invalid)
    lonely = {
        question: _lonely(members, codes[question.groups], vectors[question])
        for question, members in plan.questions.items()
        if question.groups is not None and question.reference is None
    }
    if on_invalid == "error":
        for wrong in lonely.values():
            refuse_invalid(wrong, rows.ids, rows.name)
    return Inputs(vectors, references, codes, lonely, on_invalid)


def without_invalid(
    plan: Plan, rows: Dataset, inputs: Inputs, others: Mapping[int, str]
) -> tuple[Dataset, Inputs, np.ndarray]:
    """Return the rows that every question can use, what the plan reads of them, and their numbers, int64.

    `others` are the rows that measures of the whole set cannot use, and why.

    Raises
    ------
    DataError
        There are fewer than two.
    """
    invalid = dict(others)
    for one in inputs.vectors.values():
        invalid |= one.invalid
    first = next(iter(inputs.vectors.values()), Embeddings(np.empty((len(rows), 1)), rows.name))
    whole = replace(first, invalid=invalid)
    use = usable(replace(rows, values={}), whole, "skip", at_least=2)
    parts = {
        id(one): replace(one, vectors=chosen(one.vectors, use.left), invalid={}) for one in inputs.vectors.values()
    }
    vectors = {question: parts[id(one)] for question, one in inputs.vectors.items()}
    groups = {name: codes[use.left] for name, codes in inputs.groups.items()}
    lonely = {
        question: _lonely(plan.questions[question], groups[question.groups], vectors[question])
        for question in inputs.lonely
        if question.groups is not None
    }
    return use.rows, Inputs(vectors, inputs.references, groups, lonely, "null"), use.left


def no_embeddings(rows: Dataset) -> UsageError:
    """Return the error for a data set that comes without embeddings."""
    return UsageError(
        f"embeddings: expected a .npy file with one row for each of the {len(rows)} rows of {rows.name} (in Python "
        f"also an array or a column), got nothing{hints.of_plain_table(rows.table)}"
    )


def fields_of(plan: Plan, groups: object) -> dict[str, tuple[str, object]]:
    """The name of each group field -> its name among the columns that are read, and the column or its values."""
    names = plan.group_fields
    given = groups is not None and not isinstance(groups, str)
    return {name: (GROUPS if len(names) == 1 else name, groups if given else name) for name in names}


def _lonely(members: list[Scorer], groups: np.ndarray, vectors: Embeddings) -> dict[int, str]:
    """The rows that have fewer than k others outside their own group."""
    n = len(vectors)
    k = at_most(max(one.k for one in members), n - len(vectors.invalid) - 1)
    valid = np.ones(n, dtype=bool)
    valid[list(vectors.invalid)] = False
    others = valid.sum() - np.bincount(groups[valid], minlength=groups.max(initial=0) + 1)[groups]
    reason = f"fewer than {k} neighbours outside its own {members[0].groups!r}"
    return {int(row): reason for row in np.flatnonzero(valid & (others < k))}

"""The labels of a curation: those of two experts, and the model's."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vicinal.data import labels, tables
from vicinal.data.embeddings import OnInvalid
from vicinal.data.usable import kind_of
from vicinal.errors import DataError, UsageError, some
from vicinal.typing import Id

Judge = str | Mapping[Any, labels.Label]


def judges_of(experts: Sequence[Judge] | None, known: int, on_invalid: OnInvalid) -> list[dict[Id, labels.Label]]:
    """Return the labels of the two experts, by id; they must be given where `known` rows, not 0, were measured."""
    if experts is None:
        if known:
            raise UsageError(
                f"experts: missing; {known} rows were asked, so give two experts' labels of them: --experts "
                "ONE:FIELD TWO:FIELD (in Python: experts=(...))"
            )
        return [{}, {}]
    if isinstance(experts, str) or len(experts) != 2:
        raise UsageError("experts: expected the labels of two experts, each FILE:FIELD (in Python also a mapping)")
    found = []
    for judge in experts:
        place = "experts"
        if isinstance(judge, str | os.PathLike):
            path, name = labels.parse(os.fspath(judge), "experts")
            place = f"{path}:{name}"
            ids, _, columns = tables.read_columns(path, wanted={name: kind_of("label", on_invalid)})
            judge = dict(zip(ids, columns[name], strict=True))
        if on_invalid != "error":
            judge = {one: label for one, label in judge.items() if label is not None}
        found.append(dict(judge))
        labels.from_values(list(judge.values()), list(judge), place, several=False)
    return found


def codes_of(model: list[labels.Label], judges: list[dict[Id, labels.Label]]) -> np.ndarray:
    """Return the model's labels, which must be among those that experts use and of one kind."""
    known = set(model)
    strange = sorted({str(label) for judge in judges for label in judge.values() if label not in known})
    if strange and judges and not known & {label for judge in judges for label in judge.values()}:
        raise DataError(f"experts: none of their labels ({some(strange)}) is one of the model's ({some(list(known))})")
    return np.array(model)

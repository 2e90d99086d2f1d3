"""Labels of two files or columns for the same rows, matched by id."""

from pathlib import Path

import numpy as np

from vicinal.data.labels import Labels
from vicinal.data.results import Columns
from vicinal.data.tables import read_columns
from vicinal.errors import DataError, some
from vicinal.typing import Id


def matched(labels: Labels, other: Labels, only: set[Id] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that both label, and the other's labels for them as codes.

    Parameters
    ----------
    labels, other : Labels
        Each with ids that are all different.
    only : set of int or str, optional
        The ids that count; all by default.

    Returns
    -------
    rows : ndarray of int64, shape (n_both,)
        Rows of `labels`.
    codes : ndarray of int64, shape (n_both,)
        The codes of `labels` for labels that both use, higher ones for labels that only `other` uses.

    Raises
    ------
    DataError
        An id is repeated, or the two have no id or no label in common.
    """
    _check_ids(labels, other)
    place = {one: row for row, one in enumerate(other.ids)}
    rows = [row for row, one in enumerate(labels.ids) if one in place and (only is None or one in only)]
    if not rows:
        counted = "" if only is None else " that counts"
        raise DataError(
            f"{other.place}: none of its ids ({some(other.ids)}){counted} is one of {labels.place} ({some(labels.ids)})"
        )
    codes = codes_as_in(labels, other)
    return np.array(rows), codes[[place[labels.ids[row]] for row in rows]]


def codes_as_in(labels: Labels, other: Labels) -> np.ndarray:
    """Return the codes of `other`'s rows as `labels` numbers its classes.

    Returns
    -------
    ndarray of int64, shape (n,)
        Labels that only `other` uses have codes above those of `labels`.

    Raises
    ------
    DataError
        The two have no label in common.
    """
    code = {label: number for number, label in enumerate(labels.classes)}
    if not set(code) & set(other.classes):
        raise DataError(
            f"{other.place}: none of its labels ({some(other.classes)}) is one of {labels.place} "
            f"({some(labels.classes)}); write them alike"
        )
    codes = np.array([code.setdefault(label, len(code)) for label in other.classes])
    return np.asarray(codes[other.codes])


def _check_ids(labels: Labels, other: Labels) -> None:
    for one in (labels, other):
        if len(set(one.ids)) < len(one.ids):
            raise DataError(
                f"{one.place}: ids occur more than once, so labels cannot be matched by id; make them distinct"
            )
    numbered = any(one.ids == list(range(len(one.ids))) for one in (labels, other))
    if len(labels) != len(other) and numbered:
        raise DataError(
            f"{labels.place} has {len(labels)} rows and {other.place} {len(other)}, and one of them names its "
            "rows by their numbers, as a file without ids does; give both the same ids"
        )


def ids_of_pairs(pairs: Path | Columns, split: str | None) -> set[Id]:
    """Return the ids of the rows in boundary pairs.

    Parameters
    ----------
    pairs : Path or Columns
        A file that `vicinal diagnose --write-pairs` wrote, or `Diagnosis.boundary_pairs`.
    split : {"train", "evaluation"} or None
        Only the pairs of one part.

    Raises
    ------
    DataError
        The file is no such table, or has no pairs of the part.
    """
    if isinstance(pairs, Columns):
        place, first, columns = "pairs", pairs.ids, dict(pairs)
    else:
        place = str(pairs)
        first, _, columns = read_columns(pairs, "id", {"other_id": "label", "split": "label"})
    parts = zip(first, columns["other_id"], columns["split"], strict=True)
    ids = {one for *both, part in parts if split in (None, part) for one in both}
    if not ids:
        raise DataError(f"{place}: found no pairs" + (f" of the part {split}" if split else ""))
    return ids

"""Two judges of the same rows: their labels beside each other, by id."""

from pathlib import Path

import numpy as np

from vicinal.data.labels import Labels
from vicinal.data.tables import Id, read_columns
from vicinal.errors import DataError, some


def matched(labels: Labels, other: Labels, only: set[Id] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The rows that both judges label, and the other's labels of them as codes that continue those of `labels`.

    only    : the ids that count; None for all
    Returns   int64 (n_both,), rows of `labels`, and int64 (n_both,)
    Raises    DataError where an id is there twice, or the two files have no id or no label in common
    """
    place = {one: row for row, one in enumerate(other.ids)}
    for name, ids in ((labels.place, labels.ids), (other.place, other.ids)):
        if len(set(ids)) < len(ids):
            raise DataError(f"{name}: ids occur more than once, so labels cannot be matched by id; make them distinct")
    if len(labels.ids) != len(other.ids) and any(one.ids == list(range(len(one.ids))) for one in (labels, other)):
        raise DataError(
            f"{labels.place} has {len(labels.ids)} rows and {other.place} {len(other.ids)}, and one of them names its "
            "rows by their numbers, as a file without ids does; give both the same ids"
        )
    rows = [row for row, one in enumerate(labels.ids) if one in place and (only is None or one in only)]
    if not rows:
        counted = "" if only is None else " that counts"
        raise DataError(
            f"{other.place}: none of its ids ({some(other.ids)}){counted} is one of {labels.place} ({some(labels.ids)})"
        )
    code = {label: number for number, label in enumerate(labels.classes)}
    if not set(code) & set(other.classes):
        raise DataError(
            f"{other.place}: none of its labels ({some(other.classes)}) is one of {labels.place} "
            f"({some(labels.classes)}); write them alike"
        )
    codes = np.array([code.setdefault(label, len(code)) for label in other.classes])
    return np.array(rows), codes[other.codes[[place[labels.ids[row]] for row in rows]]]


def ids_of_pairs(path: Path, split: str | None) -> set[Id]:
    """The ids of the rows in boundary pairs that were written as a table, of one part or of both.

    Raises    DataError where the file is no such table, or has no pairs of the part
    """
    first, _, columns = read_columns(path, "id", {"other_id": "label", "split": "label"})
    parts = zip(first, columns["other_id"], columns["split"], strict=True)
    ids = {one for *both, part in parts if split in (None, part) for one in both}
    if not ids:
        raise DataError(f"{path}: found no pairs" + (f" of the part {split}" if split else ""))
    return ids

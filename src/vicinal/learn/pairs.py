"""Pairs of a file: which rows are similar, and which are not."""

from pathlib import Path

import numpy as np

from vicinal.data.tables import read_rows, suffix
from vicinal.errors import DataError, some
from vicinal.typing import Id


def read_pairs(path: str | Path, ids: list[Id], source: str) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a file with the fields a, b (ids) and same (true or false).

    ids, source : the id of each row, and what they are the ids of, for messages
    Returns       row numbers int64 (n_pairs, 2), and whether each is similar
    Raises        DataError with file and line where a field is missing or an id unknown; UsageError for the suffix
    """
    text = suffix(path) == ".csv"
    number = {(str(one) if text else one): row for row, one in enumerate(ids)}
    truths = {"true": True, "false": False, "1": True, "0": False}
    pairs, same = [], []
    for line, row in read_rows(path):
        named = []
        for side in ("a", "b"):
            found = row.get(side)
            if isinstance(found, list | dict | bool) or found not in number:
                what = f"no id {found!r}" if side in row else f"no field {side!r}"
                raise DataError(
                    f"{path}:{line}: {what}: expected one of the {len(ids)} ids of {source}: {some(ids, 3)}; "
                    "--ids FILE names the data set whose ids pairs speak of"
                )
            named.append(number[found])
        truth = truths.get(str(row.get("same")).lower())
        if truth is None:
            raise DataError(f"{path}:{line}: same: expected true or false, found {row.get('same')!r}")
        if named[0] == named[1]:
            raise DataError(f"{path}:{line}: a and b are the same row ({row['a']!r}); a pair needs two")
        pairs.append(named)
        same.append(truth)
    if not pairs or all(same) or not any(same):
        kind = "there are none" if not pairs else f"all {len(same)} are {'similar' if same[0] else 'dissimilar'}"
        raise DataError(f"{path}: both similar and dissimilar pairs are needed, but {kind}")
    return np.array(pairs, dtype=np.int64), np.array(same)

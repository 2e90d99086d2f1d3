"""The result of `vicinal.duplicates`: one row a sample, and the groups."""

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.results import Columns
from vicinal.data.usable import Usable
from vicinal.errors import UsageError
from vicinal.knn.recall import recall_fields, recall_note
from vicinal.storage import atomic
from vicinal.tasks.duplicates.grouping import Rules


def check_groups_file(output: str | Path, overwrite: bool) -> None:
    """Raise UsageError where groups cannot be written to a file."""
    if tables.suffix(output) not in tables.LINES:
        raise UsageError(f"{output}: a group is a list of rows; expected a name that ends in .jsonl or .jsonl.gz")
    atomic.check_file(output, overwrite)


class Duplicates(Columns):
    """The near-duplicates of a data set: one row a sample, in the input's order.

    Columns, by name (`result["duplicate"]`), each an array of length n:

    - `group` (int64): the row number of the first row of the sample's group; a sample without duplicates is a group of
      its own.
    - `representative` (int64): the row number of the row that stays for the group.
    - `size` (int64): the number of rows of the group.
    - `distance` (float32): the distance to the representative, in the metric's unit.
    - `duplicate` (bool): whether the sample is dropped, because it is not its group's representative.
    - `match` (list of str or None): how a dropped sample is like its representative: "copy": the same vector and the
      same text; "same vector": only the vector, or there is no text to compare; "near": neither.

    A sample whose embedding is invalid (`on_invalid="null"`) has group and representative -1, size 0, distance NaN, and
    is kept; under "skip" it is no row of the result.

    Attributes
    ----------
    ids : list of int or str
    metric : str
    radius : float
        In the metric's unit.
    link : {"greedy", "single"}
    beyond : int
        The number of removed rows that are farther than the radius from their representative; 0 but for link "single".
    other_text : int
        With radius 0, the number of rows that stay although a row that stays has the same vector, because their texts
        differ.
    recall : Recall or None
        Of the pairs within the radius where a recall was given, or of approximate neighbours that were given; None for
        exact pairs.
    unusable : dict of int to str
        The rows of the data without a usable embedding or value, by number, and why.
    skipped : bool
        Whether these rows are left out of the result.
    seconds : float
        The time that `duplicates` took.
    """

    def __init__(
        self, columns: dict[str, Any], rules: Rules, usable: Usable, n: int, beyond: int = 0, other_text: int = 0
    ) -> None:
        super().__init__(usable.ids, columns, {"match": "string"})
        self.other_text = other_text
        self.metric, self.radius, self.link, self.beyond = rules.metric.name, rules.radius, rules.link, beyond
        self.recall = rules.found
        self.unusable, self.skipped, self.seconds = usable.reasons, usable.skip, 0.0
        self._data_rows, self._n_data = usable.of_result, n

    def __repr__(self) -> str:
        return (
            f"Duplicates(n={len(self)}, groups={self.n_groups}, removed={len(self.removed)}, metric={self.metric!r}, "
            f"radius={self.radius:g}{recall_note(self.recall, ', ')})"
        )

    @property
    def kept(self) -> np.ndarray:
        """The numbers of the rows that are kept, ascending, int64."""
        return np.flatnonzero(~self["duplicate"])

    @property
    def removed(self) -> np.ndarray:
        """The numbers of the rows that are dropped, ascending, int64."""
        return np.flatnonzero(self["duplicate"])

    @property
    def n_groups(self) -> int:
        """The number of groups of at least two rows."""
        return int(((self["group"] == np.arange(len(self))) & (self["size"] > 1)).sum())

    @cached_property
    def groups(self) -> list[dict[str, Any]]:
        """The groups of at least two rows, ordered by their first row, as the command writes them.

        Each is a mapping of representative (an id), size, ids, rows, distances (to the representative, one a row), and
        matches (one a row, None for the representative).
        """
        return list(self._group_records())

    def _group_records(self) -> Iterator[dict[str, Any]]:
        members = np.flatnonzero(self["size"] > 1)
        group = self["group"][members]
        members = members[np.argsort(group, kind="stable")]
        ends = np.cumsum(self["size"][np.unique(group)])
        for rows in np.split(members, ends[:-1]) if len(members) else ():
            yield {
                "representative": self.ids[self["representative"][rows[0]]],
                "size": len(rows),
                "ids": [self.ids[row] for row in rows],
                "rows": rows.tolist(),
                "distances": [float(str(one)) for one in self["distance"][rows]],
                "matches": [self["match"][row] for row in rows],
            }

    def drop_from(self, table: Any) -> Any:
        """Return a table without the duplicates.

        Parameters
        ----------
        table : pandas.DataFrame, polars.DataFrame, pyarrow.Table, datasets.Dataset, mapping of columns, or array
            With the same rows as the data, in the same order.

        Returns
        -------
        table
            Of the same kind.

        Raises
        ------
        UsageError
            The table has another number of rows.
        """
        return frames.take(table, self._data_rows[self.kept], self._n_data)

    def write_groups(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the groups to a `.jsonl` or `.jsonl.gz` file, a line a group; it appears whole or not at all.

        Raises
        ------
        UsageError
            The file exists and `overwrite` is false, or its name has another ending.
        """
        check_groups_file(path, overwrite)
        with tables.table_writer(path, overwrite) as table:
            for record in self.groups:
                table.add(record)

    def summary(self) -> dict[str, Any]:
        """Return the counts that `vicinal duplicates --json` prints.

        groups, rows in them, removable rows, how many of them are copies, have the same vector alone and are near, the
        rows that stay because of their text alone, those removed beyond the radius, unusable rows, and seconds.
        """
        counts = Counter(self["match"])
        return {
            "groups": self.n_groups,
            "rows": int((self["size"] > 1).sum()),
            "removable": len(self.removed),
            "copies": counts["copy"],
            "same_vector": counts["same vector"],
            "near": counts["near"],
            "other_text": self.other_text,
            "beyond_radius": self.beyond,
            "unusable": len(self.unusable),
            "seconds": round(self.seconds, 3),
            **recall_fields(self.recall),
        }

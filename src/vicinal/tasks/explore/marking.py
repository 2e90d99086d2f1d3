"""The file of marks: a line is added for each mark, so that nothing is lost where the server is killed."""

import json
import os
from pathlib import Path
from threading import Lock
from typing import Any

from vicinal.errors import UsageError
from vicinal.tasks.select.marks import MARKS, read_marks
from vicinal.typing import Id

LONGEST_LABEL = 500


class MarksFile:
    """The marks of the rows of a data set, in a file that `vicinal.select` takes.

    Parameters
    ----------
    path : Path
        Read where it exists.
    ids : list of int or str
    name : str
        What messages call the data set.
    """

    def __init__(self, path: Path, ids: list[Id], name: str) -> None:
        self.path, self._ids, self._lock = path, ids, Lock()
        if not path.parent.is_dir():
            raise UsageError(f"{path}: its folder does not exist; create it, or name another file")
        self._marks: dict[int, dict[str, Any]] = {}
        if path.exists():
            known = read_marks(path, ids, name)
            for row in (*known.keep, *known.drop):
                self._marks[row] = {"mark": "keep" if row in set(known.keep) else "drop"}
            for row, label in known.labels.items():
                self._marks.setdefault(row, {})["label"] = label

    def all(self) -> list[dict[str, Any]]:
        """Return the marks that are there: row, and mark or label or both."""
        with self._lock:
            return [{"row": row, **mark} for row, mark in sorted(self._marks.items())]

    def add(self, row: object, mark: dict[str, Any]) -> dict[str, Any]:
        """Add a mark or a label of a row, and return what the row is marked with now.

        Raises
        ------
        UsageError
            There is no such row, or the mark is no mark.
        """
        if isinstance(row, bool) or not isinstance(row, int) or not 0 <= row < len(self._ids):
            raise UsageError(f"row: expected a row from 0 to {len(self._ids) - 1}, got {row!r}")
        if len(mark) != 1 or not set(mark) <= {"mark", "label"}:
            raise UsageError("mark: expected a mark or a label")
        name, value = next(iter(mark.items()))
        if name == "mark" and value not in (*MARKS, None):
            raise UsageError(f'mark: expected "keep", "drop" or null, got {value!r}')
        if name == "label" and value is not None and (not isinstance(value, str) or len(value) > LONGEST_LABEL):
            raise UsageError(f"label: expected a text of at most {LONGEST_LABEL} letters, or null")
        line = json.dumps({"id": self._ids[row], "row": row, name: value}) + "\n"
        with self._lock:
            with open(self.path, "ab+") as file:
                if file.tell():  # a line that an editor left without its end is ended first
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else "\n" + line
                file.write(line.encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
            own = self._marks.setdefault(row, {})
            if value in (None, ""):
                own.pop(name, None)
            else:
                own[name] = value
            if not own:
                del self._marks[row]
            return dict(own)

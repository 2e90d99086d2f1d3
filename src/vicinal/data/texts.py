"""The texts of a few rows of a data set, as a terminal shows them."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from vicinal.data.formats import lines_of, opened, suffix
from vicinal.data.readers import read_rows
from vicinal.layout import one_line

FIELDS = ("text", "instruction", "prompt", "question", "title", "content", "input", "output", "completion", "response")
"""The fields that are shown of a row, in this order; of a row without them all that is text."""
LONGEST = 1000


def shown(row: Mapping[str, Any], without: str = "id") -> str:
    """Return what is shown of a row, as one line.

    >>> shown({"id": "x7", "prompt": "a cat", "output": "it\\nmeows", "source": "web"})
    'a cat / it meows'
    """
    names = [name for name in FIELDS if isinstance(row.get(name), str)]
    names = names or [name for name, value in row.items() if isinstance(value, str) and name != without]
    return " / ".join(filter(None, (one_line(row[name][:LONGEST]) for name in names)))


def texts_of_rows(path: str | Path, rows: Collection[int]) -> dict[int, str]:
    """Return what is shown of rows, by their numbers; only these lines of a .jsonl are parsed."""
    wanted = {int(row) for row in rows}
    return {at: shown(row) for at, row in _rows(path, wanted)} if wanted else {}


def texts_of_ids(path: str | Path, ids: Collection[object], field: str = "id") -> dict[object, str]:
    """Return what is shown of the rows of ids; a row without an id is named by its number."""
    wanted, found = set(ids), dict[object, str]()
    if wanted:
        for at, (_, row) in enumerate(read_rows(path)):
            own = row.get(field)
            name = at if own is None else own
            for key in (name, str(name)):  # a CSV's ids are texts
                if key in wanted and key not in found:
                    found[key] = shown(row, field)
    return found


def _rows(path: str | Path, wanted: set[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    last = max(wanted)
    if suffix(path) not in (".jsonl", ".jsonl.gz"):
        for at, (_, row) in enumerate(read_rows(path)):
            if at in wanted:
                yield at, row
            if at == last:
                return
        return
    with opened(path) as file:
        for number, line in lines_of(path, file):
            if number - 1 in wanted:
                yield number - 1, json.loads(line.decode("utf-8-sig"))
            if number - 1 == last:
                return

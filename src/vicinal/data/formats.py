"""The formats of data sets and tables, by the ending of a file's name: `.jsonl`, `.jsonl.gz`, `.csv` and `.parquet`."""

import gzip
import json
from pathlib import Path
from typing import IO

from vicinal.errors import UsageError

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
LINES = (".jsonl", ".jsonl.gz")
Bytes = IO[bytes] | gzip.GzipFile


def suffix(path: str | Path) -> str:
    """Return the one of `SUFFIXES` that a file's name ends in.

    Raises
    ------
    UsageError
        It ends in none of them; the message names the choices.

    Examples
    --------
    >>> suffix("data.JSONL.gz")
    '.jsonl.gz'
    """
    for known in SUFFIXES:
        if str(path).lower().endswith(known):
            return known
    raise UsageError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")


def excerpt(value: object) -> str:
    """Return the start of a value as JSON, for messages."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."

"""The formats of data sets and tables, by the ending of a file's name: `.jsonl`, `.jsonl.gz`, `.csv` and `.parquet`."""

import gzip
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vicinal.errors import DataError, UsageError
from vicinal.typing import PathLike

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
LINES = (".jsonl", ".jsonl.gz")
Bytes = IO[bytes] | gzip.GzipFile
LONGEST_LINE = 1 << 28  # bytes: a longer line would be several times as large in memory, and is hardly a row
HALF_PAIR = re.compile("[\ud800-\udfff]")


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


def opened(path: PathLike) -> Bytes:
    """Open a file to be read; one whose name ends in `.gz` is unpacked."""
    return gzip.open(path, "rb") if os.fspath(path).lower().endswith(".gz") else open(path, "rb")


@contextmanager
def packed(file: IO[bytes], name: PathLike) -> Iterator[Bytes]:
    """Yield a file to write to, which packs what is written where `name` ends in `.gz`.

    The header has no time and no name, so that the same rows make the same bytes.
    """
    if os.fspath(name).lower().endswith(".gz"):
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as target:
            yield target
    else:
        yield file


def lines_of(path: str | Path, file: Bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a file with its number, from 1.

    Raises
    ------
    DataError
        A line is longer than `LONGEST_LINE`.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise DataError(
                f"{path}:{number}: found a line of more than {LONGEST_LINE:,} bytes, the longest that is read; "
                "expected a row on each line"
            )
        yield number, line


def whole_text(value: Any) -> Any:
    """Return a value of JSON in which half a surrogate pair, which no UTF-8 holds, is the replacement character.

    >>> whole_text({"a": ["x\\ud800", 1]})
    {'a': ['x\ufffd', 1]}
    """
    if isinstance(value, str):
        return HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, list):
        return [whole_text(one) for one in value]
    return {whole_text(name): whole_text(one) for name, one in value.items()} if isinstance(value, dict) else value

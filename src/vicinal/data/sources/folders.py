"""Folders of files: what Hugging Face's `save_to_disk` writes, and shards such as `emb-00.npy`, `emb-01.npy`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from vicinal.data.sources import columns
from vicinal.data.sources.found import LOG, Found
from vicinal.errors import DataError, UsageError, some
from vicinal.knn.joined import Joined

STATE, SPLITS = "state.json", "dataset_dict.json"
Read = Callable[[Path, str], Found]


def is_saved_to_disk(path: Path) -> bool:
    """Whether a folder is one that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    return (path / STATE).is_file() or (path / SPLITS).is_file()


def open_saved(path: Path) -> Any:
    """The table of a folder that `Dataset.save_to_disk` wrote, in the order of its state.json.

    Raises
    ------
    DataError
        A file of it is missing or damaged.
    UsageError
        It holds several splits.
    """
    import pyarrow

    if (path / SPLITS).is_file():
        splits = _json(path / SPLITS).get("splits") or []
        if len(splits) != 1:
            raise UsageError(
                f"{path}: holds the splits {some(splits, 9)}; name the folder of one, such as "
                f"{path / str(splits[0] if splits else 'train')}"
            )
        return open_saved(path / str(splits[0]))
    try:
        names = [str(one["filename"]) for one in _json(path / STATE)["_data_files"]]
    except (KeyError, TypeError):
        raise DataError(f"{path / STATE}: names no data files; save the data set again with save_to_disk") from None
    LOG.debug("%s: %d files in the order of %s", path, len(names), STATE)
    if not names:
        raise DataError(f"{path}: holds no rows")
    return pyarrow.concat_tables([columns.open_arrow(path / Path(name).name) for name in names])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None


def read_saved(path: Path, key: str) -> Found:
    """The vectors of a column of a folder of `save_to_disk`."""
    table = open_saved(path)
    name = columns.vector_column(path, table.schema, key)
    return columns.found(table.column(name), path, name)


def natural(path: Path) -> list[Any]:
    """What sorts file names by the numbers in them.

    >>> sorted([Path("e-10.npy"), Path("e-9.npy")], key=natural)
    [PosixPath('e-9.npy'), PosixPath('e-10.npy')]
    """
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def shards(path: Path, key: str, endings: tuple[str, ...]) -> tuple[list[Path], str]:
    """The shards of a folder in their order, and the key of each.

    Parameters
    ----------
    path : Path
    key : str
        A pattern of file names such as "emb-*.npy", or the column of each file.
    endings : tuple of str
        Those that a reader exists for.

    Raises
    ------
    UsageError
        No file, or files of several kinds.
    """
    pattern = key if "*" in key else "*"
    files = sorted((one for one in path.glob(pattern) if one.name.lower().endswith(endings)), key=natural)
    kinds = sorted({one.suffix.lower() for one in files})
    if len(kinds) != 1:
        found = f"files of several kinds ({', '.join(kinds)})" if kinds else "no file of embeddings"
        raise UsageError(
            f"{path}: expected a folder of shards, found {found}; name the shards by a pattern, such as "
            f"{path}:*{kinds[0] if kinds else '.npy'}"
        )
    LOG.info("%s: %d files in the order of their names: %s", path, len(files), some([one.name for one in files], 3))
    return files, "" if pattern == key else key


def read_shards(path: Path, files: list[Path], key: str, read: Read) -> Found:
    """The rows of all shards, one after the other, as a `Joined`."""
    parts = [read(file, key) for file in files]
    if len(parts) == 1:
        return parts[0]
    first = parts[0].values
    for file, part in zip(files, parts, strict=True):
        if part.values.ndim != 2 or part.values.shape[1:] != first.shape[1:] or part.values.dtype != first.dtype:
            raise DataError(
                f"{file}: found {part.values.dtype} of shape {part.values.shape}, {files[0]} holds {first.dtype} of "
                f"shape {first.shape}; all shards need one type and one dim"
            )
    starts = np.cumsum([0, *(len(part.values) for part in parts)])
    missing = {
        start + row: why
        for start, part in zip(starts.tolist(), parts, strict=False)
        for row, why in part.missing.items()
    }
    ids = [name for part in parts for name in part.ids or ()]
    values = cast(np.ndarray, Joined([part.values for part in parts]))
    return Found(values, parts[0].key, missing, ids or None, parts[0].encoding)

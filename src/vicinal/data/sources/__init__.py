"""Embeddings in files and folders: one table of readers, by the ending of the name.

A reader takes a path and a key, and gives a `Found`: the values as they are stored. Dtype, shape and rows are checked
by `vicinal.data.embeddings`, once for all sources.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vicinal.data.formats import LINES, SUFFIXES
from vicinal.data.sources import archives, columns, folders, lines, plain, words
from vicinal.data.sources.found import LOG, Found, exists, split
from vicinal.errors import DataError, UsageError, VicinalError, some
from vicinal.storage.manifests import MANIFEST

__all__ = [
    "LOG",
    "READERS",
    "TABLES",
    "Found",
    "Reader",
    "exists",
    "is_data_file",
    "is_source",
    "is_table",
    "open_table",
    "own_fields",
    "own_spec",
    "read",
    "split",
]


@dataclass(frozen=True)
class Reader:
    """A format of embeddings.

    Attributes
    ----------
    name : str
        The format, for messages and for the page in docs/.
    endings : tuple of str
        Of the file's name, in lower case.
    read : callable
        (path, key) -> Found.
    key : str
        What KEY names in FILE:KEY; empty where a file holds one array.
    extra : str
        The extra of vicinal that reading needs; empty where the base package reads it.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path, str], Found]
    key: str = ""
    extra: str = ""


READERS = (
    Reader("NumPy", (".npy",), plain.read_npy),
    Reader("NumPy archive", (".npz",), archives.read_npz, key="array"),
    Reader("safetensors", (".safetensors",), archives.read_safetensors, key="tensor", extra="safetensors"),
    Reader("Parquet", (".parquet",), columns.read_parquet, key="column"),
    Reader("Arrow, Feather", (".arrow", ".feather", ".ipc"), columns.read_arrow, key="column"),
    Reader("Lance", (".lance",), columns.read_lance, key="column", extra="lance"),
    Reader("JSON lines", LINES, lines.read_lines, key="field"),
    Reader("HDF5, ann-benchmarks, VIBE", (".hdf5", ".h5"), archives.read_hdf5, key="data set", extra="hdf5"),
    Reader("zarr", (".zarr",), archives.read_zarr, key="array", extra="zarr"),
    Reader("TEXMEX", tuple(plain.VECS), plain.read_vecs),
    Reader("big-ann-benchmarks", tuple(plain.BINS), plain.read_bin),
    Reader("word2vec binary", (".bin", ".bin.gz"), words.read_word_bytes),
    Reader("word2vec text, GloVe", (".vec", ".txt", ".vec.gz", ".txt.gz"), words.read_words),
    Reader("PyTorch tensors", (".pt", ".pth"), archives.read_pt, key="tensor", extra="learn"),
)
TABLES = (".parquet", ".arrow", ".feather", ".ipc", ".lance")
"""The endings of files whose columns are those of a table."""
ENDINGS = tuple(ending for reader in READERS for ending in reader.endings)


def reader_of(path: Path) -> Reader | None:
    """The reader for the ending of a file's name; None where there is none."""
    return next((reader for reader in READERS if path.name.lower().endswith(reader.endings)), None)


def is_source(spec: object) -> bool:
    """Whether a text is the path of something that may hold embeddings, as FILE or FILE:KEY."""
    if not isinstance(spec, str | os.PathLike):
        return False
    path, key = split(spec)
    if not path.exists():
        return reader_of(path) is not None
    if path.is_dir():
        return reader_of(path) is not None or not (path / MANIFEST).is_file()
    return path.is_file() and (reader_of(path) is not None or not key)


def is_data_file(data: object) -> bool:
    """Whether an argument is the path of a data set file, as FILE or FILE:FIELD, rather than of embeddings alone."""
    return isinstance(data, str | os.PathLike) and str(split(data)[0]).lower().endswith(SUFFIXES)


def is_table(path: Path) -> bool:
    """Whether a path names a table in one of Arrow's formats, whose columns hold more than the vectors."""
    if path.is_dir() and path.suffix.lower() not in (".lance", ".zarr"):
        return folders.is_saved_to_disk(path) or bool(_shards_of_tables(path))
    return path.suffix.lower() in TABLES and path.exists()


def _shards_of_tables(path: Path) -> list[Path]:
    endings = {one.suffix.lower() for one in path.iterdir() if one.name.lower().endswith(ENDINGS)}
    return folders.shards(path, "", TABLES)[0] if endings and endings <= set(TABLES) else []


def open_table(path: Path) -> object:
    """The table of a path for which `is_table` is true, as a pyarrow.Table.

    Raises
    ------
    DataError
        It is damaged.
    """
    import pyarrow

    if path.is_dir() and path.suffix.lower() != ".lance":
        if folders.is_saved_to_disk(path):
            return folders.open_saved(path)
        try:
            return pyarrow.concat_tables([columns.open_table(one) for one in _shards_of_tables(path)])
        except pyarrow.ArrowException as error:
            raise DataError(f"{path}: its files have different columns: {error}") from None
    return columns.open_table(path)


def own_fields(path: Path) -> list[str]:
    """The fields of a data set file that can hold embeddings: by its schema, or by its first line."""
    name = path.name.lower()
    if name.endswith(".parquet"):
        return columns.vector_columns(path)
    return lines.vector_fields(path) if name.endswith(LINES) else []


def own_spec(path: Path) -> str | None:
    """Return FILE:FIELD of a data set file's only field that can hold embeddings, and say so; None without one.

    Raises
    ------
    UsageError
        There are several.
    """
    fields = own_fields(path)
    if len(fields) > 1:
        raise UsageError(
            f"embeddings: {path} has several fields of vectors ({some(fields, 9)}); name one: --embeddings "
            f":{fields[0]} (in Python: embeddings=':{fields[0]}')"
        )
    if not fields:
        return None
    LOG.info("%s: embeddings are taken from the field %r", path, fields[0])
    return f"{path}:{fields[0]}"


def read(spec: str | os.PathLike[str], argument: str = "embeddings") -> tuple[Found, Path]:
    """Return the embeddings of a file or a folder, and its path.

    Parameters
    ----------
    spec : path
        FILE or FILE:KEY, or a folder of shards.
    argument : str
        The argument that names it, for messages.

    Raises
    ------
    UsageError
        There is nothing of that name, no reader for it, or no such key.
    DataError
        It cannot be read.
    """
    path, key = split(spec)
    if not path.exists():
        raise UsageError(f'{argument}: expected a file, got "{spec}": there is nothing at {path.absolute()}')
    try:
        return _read(path, key, argument), path
    except VicinalError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read(path: Path, key: str, argument: str) -> Found:
    reader = reader_of(path)
    if path.is_dir() and (reader is None or reader.name not in ("Lance", "zarr")):
        if folders.is_saved_to_disk(path):
            return folders.read_saved(path, key)
        if (path / "zarr.json").is_file() or (path / ".zarray").is_file():
            return archives.read_zarr(path, key)
        if (path / MANIFEST).is_file():
            raise UsageError(
                f"{argument}: expected embeddings, got {path}, a folder that vicinal saved; name its source"
            )
        files, part = folders.shards(path, key, ENDINGS)
        return folders.read_shards(path, files, part, lambda file, part: _read(file, part, argument))
    if reader is None and path.is_file() and _starts_as_npy(path):
        return plain.read_npy(path, key)
    if reader is None or not (path.is_file() or path.is_dir()):
        if path.exists() and not path.is_dir() and not path.is_file():
            link = f", a link to {os.path.realpath(path)}" if path.is_symlink() else ""
            raise UsageError(f'{argument}: expected embeddings, got "{path}"{link}: a device or a pipe, no plain file')
        what = "a file" if path.is_file() else "no plain file"
        raise UsageError(
            f'{argument}: expected embeddings, got "{path}": {what} whose name ends in none of {", ".join(ENDINGS)}'
        )
    return reader.read(path, key)


def _starts_as_npy(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(6) == b"\x93NUMPY"

"""Texts in, embeddings out, with a note that says what they were made from.

The work is done in blocks. Where an output is named, each finished block is kept in the folder `OUTPUT.part`, so that
the same call continues after an interruption.
"""

import contextlib
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import __version__
from vicinal.data import dataset, frames, models, provenance
from vicinal.data.dataset import Dataset
from vicinal.data.results import Columns
from vicinal.distributed.engines import Encoder, Engine
from vicinal.errors import DataError, UsageError, kept_in, some, unknown
from vicinal.knn.blocks import blocks
from vicinal.storage import atomic, manifests, npy, space
from vicinal.tasks.kept_blocks import Work, open_work
from vicinal.typing import Id, Progress, StartProgress

DTYPES = ("float32", "float16")
BLOCK_ROWS = 512
IN_MEMORY = "(data in memory)"


class Embedded(Columns):
    """Embeddings of texts: one row a text, in the input's order.

    Attributes
    ----------
    vectors : ndarray, shape (n, dim)
        float32 or float16.
    note : dict
        What they were made from: the data and its SHA-256, the model, the fields, the rows that were cut short
        (`cut_rows`) and those without text (`empty_rows`).

    `numpy.asarray(embedded)` gives the vectors; the column "embedding" holds them in a table.
    """

    def __init__(self, ids: Sequence[Id], vectors: np.ndarray, note: dict[str, Any]) -> None:
        super().__init__(ids, {"embedding": vectors})
        self.vectors, self.note = vectors, note

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.vectors, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Embedded(n={len(self)}, dim={self.vectors.shape[1]}, dtype={self.vectors.dtype})"


@dataclass(frozen=True)
class _Texts:
    """What is to be embedded: each distinct text once, so that equal texts have equal embeddings.

    texts    : the distinct texts, in the order of their first rows
    of_row   : int64 (n,), the text of each row
    question : what decides the embeddings; kept work of another question is refused
    """

    texts: list[str]
    of_row: np.ndarray
    ids: list[Id]
    place: str
    question: dict[str, Any]

    def rows_of(self, texts: list[int]) -> list[int]:
        """The rows of some texts, ascending."""
        return np.flatnonzero(np.isin(self.of_row, texts)).tolist()


def embed(
    data: object,
    model: str,
    *,
    fields: str | Sequence[str] | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    normalize: bool = False,
    batch_size: int = 64,
    device: str | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    ids: object = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    progress: StartProgress | None = None,
) -> Embedded:
    """Return the embeddings of texts, by a model of sentence-transformers.

    Parameters
    ----------
    data : sequence of str, path, or table
        The texts; or a data set file or a table in memory, whose texts are in `fields`.
    model : str
        A folder that holds a model, or a name that sentence-transformers knows.
    fields : str or sequence of str, optional
        The fields that make the text of a row, joined by line ends; empty ones are left out.
    dtype : {"float32", "float16"}
    normalize : bool
        Whether rows are scaled to length 1.
    batch_size : int
        Texts that the model takes at a time.
    device : str, optional
        Where the model runs: "cpu", "cuda", ...; the best one by default.
    engine : {"local", "ray"}
        Whether the model runs in this process, or on all nodes of a Ray cluster, which must see it under the same path
        or name. Nodes with other processors may round otherwise.
    address : str, optional
        Of the cluster: HOST:PORT, or "auto" on one of its nodes; see `vicinal.distributed.neighbors`.
    ids : str or sequence, optional
        The column of ids (default "id"), or the ids.
    output : path, optional
        A `.npy` to write; the note is written beside it, as `OUTPUT.json`. Work that is stopped is kept in the folder
        `OUTPUT.part`, and the same call continues from it.
    overwrite : bool
        Whether files that exist are replaced.
    progress : callable, optional
        Called with the name of the work; returns a function that is called with (rows done, rows in all).

    Returns
    -------
    Embedded

    Raises
    ------
    UsageError, DataError, MissingExtra

    Examples
    --------
    >>> vicinal.embed(["a small dog", "interest rates"], "all-MiniLM-L6-v2").vectors.shape  # doctest: +SKIP
    (2, 384)
    """
    if dtype not in DTYPES:
        raise UsageError(f"dtype: {unknown('dtype', dtype, DTYPES)}")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size: expected a whole number above 0, got {batch_size!r}")
    where = Engine(engine, address)
    _check_output(output, overwrite)
    wanted = [fields] if isinstance(fields, str) else list(fields or ())
    settings = {"dtype": dtype, "normalized": normalize, "batch_size": batch_size}
    task = _texts_of(data, wanted, ids, model, settings)
    folder = None if output is None else Path(f"{output}.part")
    work = open_work(folder, len(task.texts), dtype, task.question)
    encoder = where.encoder(model, task.question["model_sha256"], device, normalize, batch_size)
    if folder is not None:
        folder.mkdir(exist_ok=True)
    report = None if progress is None else progress(f"embedding {Path(task.place).name}")
    with kept_in(folder):
        longest = _encode_blocks(task, work, encoder, report)
    note = _note_of(task, work, longest)
    assert work.array is not None
    if output is not None and folder is not None:
        _write(Path(output), note, work.array, task.of_row, overwrite)
        shutil.rmtree(folder, ignore_errors=True)
        return Embedded(task.ids, np.load(output, mmap_mode="r"), note)
    whole = work.array if len(work.array) == len(task.of_row) else work.array[task.of_row]
    return Embedded(task.ids, whole, note)


def _check_output(output: str | Path | None, overwrite: bool) -> None:
    if output is None:
        return
    if Path(output).suffix != ".npy":
        raise UsageError(f"{output}: expected a name that ends in .npy")
    for path in (Path(output), provenance.note_path(output)):
        atomic.check_file(path, overwrite)


def _texts_of(data: object, fields: list[str], ids: object, model: str, settings: dict[str, Any]) -> _Texts:
    """Read the texts and say what decides their embeddings."""
    if not isinstance(data, str | os.PathLike) and not frames.is_table(data):
        if fields:
            raise UsageError("fields: the data are texts already; leave fields out")
        values = list(data) if isinstance(data, Sequence) or hasattr(data, "__iter__") else []
        rows = dataset.read(np.empty((len(values), 1), dtype=np.float32), ids=ids) if values else Dataset("data", [])
        texts = _as_texts(values, rows, "data")
    else:
        if not fields:
            raise UsageError("fields: expected the names of the fields that hold the texts, got none")
        for name in fields if frames.is_table(data) else ():
            frames.column(data, name, "fields")
        rows = dataset.read(data, ids=ids, fields={name: (name, "text") for name in fields})
        for name in fields:
            if len(rows) and all(value in (None, "") for value in rows.values[name]):
                raise DataError(f"{rows.name}: no row has text in the field {name!r}; name one that has with --field")
        columns = [_as_texts(rows.values[name], rows, name) for name in fields]
        texts = ["\n".join(filter(None, row)) for row in zip(*columns, strict=True)]
    if not texts:
        raise DataError(f"{rows.name}: holds no rows; there is nothing to embed")
    folder = Path(model).is_dir()
    question = {
        "data": IN_MEMORY if rows.path is None else str(rows.path.resolve()),
        "data_sha256": _hash_of_texts(texts) if rows.path is None else manifests.sha256(rows.path),
        "ids_sha256": provenance.hash_of(rows.ids),
        "rows": len(texts),
        "model": str(Path(model).resolve()) if folder else model,
        "model_sha256": models.hash_of_model(Path(model)) if folder else None,
        "fields": fields,
        **settings,
    }
    number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    of_row = np.array([number[text] for text in texts], dtype=np.int64)
    return _Texts(list(number), of_row, rows.ids, str(rows.path or rows.name), question)


def _as_texts(values: list[Any], rows: Dataset, field: str) -> list[str]:
    """Values as texts: numbers as JSON writes them, and null as no text; warns of the rows where that is so."""
    other = [row for row, value in enumerate(values) if not isinstance(value, str)]
    if other:
        named = some([rows.ids[row] for row in other])
        warnings.warn(
            f"{rows.name}: {len(other)} of {len(values)} rows hold a number or null in {field!r}, which is embedded as "
            f"text, null as none: {named}",
            stacklevel=4,
        )
    return [
        value if isinstance(value, str) else _as_text(value, f"{field}: row {row}") for row, value in enumerate(values)
    ]


def _as_text(value: Any, place: str) -> str:
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or isinstance(plain, int | float):
        return "" if plain is None or plain != plain else json.dumps(plain)
    raise DataError(f"{place}: expected text or a number, found {type(value).__name__}")


def _hash_of_texts(texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text).encode("ascii") + b"\n")
    return digest.hexdigest()


def _encode_blocks(task: _Texts, work: Work, encoder: Encoder, report: Progress | None) -> int | None:
    """Embed what is left, and return how many tokens of a text the model reads."""
    n, longest = len(task.texts), None
    if report is not None and work.done:
        report(work.done, n)
    left = list(blocks(n, BLOCK_ROWS, work.done)) or [slice(n, n)]
    with contextlib.closing(encoder.encoded(task.texts[block] for block in left)) as found:
        for block, made in zip(left, found, strict=True):
            longest = made.longest
            if block.start == n:
                continue
            stored = work.rows(block.start, made.vectors)
            if not np.isfinite(stored).all():
                if work.folder is not None:
                    shutil.rmtree(work.folder)  # the same call would fail here again
                raise _not_finite(stored, made.vectors, block.start, task)
            work.keep(block.stop, [block.start + place for place in made.cut])
            if report is not None:
                report(work.done, n)
    return longest


def _not_finite(stored: np.ndarray, vectors: np.ndarray, start: int, task: _Texts) -> Exception:
    row = int(np.flatnonzero(~np.isfinite(stored).all(axis=1))[0])
    first = task.rows_of([start + row])[0]
    place = f"{task.place}: row {first}, {task.ids[first]}"
    if np.isfinite(vectors[row]).all():
        return UsageError(f"{place}: its embedding is too large for {stored.dtype}; use --dtype float32")
    return DataError(f"{place}: the model gave an embedding that is not finite; look at its text")


def _note_of(task: _Texts, work: Work, longest: int | None) -> dict[str, Any]:
    """Return the note of the finished work, and warn of texts that were cut short or empty."""
    empty = task.rows_of([number for number, text in enumerate(task.texts) if not text.strip()])
    cut = task.rows_of(work.cut)
    for rows, what in ((empty, "no text: all of them get the same embedding"), (cut, "were cut short")):
        if rows:
            named = some([task.ids[row] for row in rows])
            warnings.warn(f"{task.place}: {len(rows)} of {len(task.ids)} rows: {what}: {named}", stacklevel=3)
    assert work.array is not None
    return {
        "format": provenance.FORMAT,
        "format_version": provenance.FORMAT_VERSION,
        "vicinal": __version__,
        **task.question,
        "dim": work.array.shape[1],
        "longest": longest,
        "cut_rows": cut,
        "empty_rows": empty,
    }


def _write(output: Path, note: dict[str, Any], array: np.ndarray, of_row: np.ndarray, overwrite: bool) -> None:
    note_file = provenance.note_path(output)
    with atomic.whole_file(note_file, overwrite) as note_text:
        note_text.write((json.dumps(note, indent=2) + "\n").encode())
        with atomic.whole_file(output, overwrite) as file:
            space.require(output, len(of_row) * array[0].nbytes)
            npy.write_header(file, array.dtype, (len(of_row), array.shape[1]))
            for block in blocks(len(of_row), BLOCK_ROWS):
                file.write(array[of_row[block]].tobytes())
        with contextlib.suppress(OSError):
            note_file.unlink()  # never an old note beside a new array

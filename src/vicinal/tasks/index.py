"""Indexes of data sets: build one, add and remove rows, describe it, and write a set of ann-benchmarks."""

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.data import dataset, frames, provenance
from vicinal.data.embeddings import Embeddings, OnInvalid, load, warn_of_unlike
from vicinal.errors import UsageError
from vicinal.indexes import Index, annbenchmarks, choose, load_index
from vicinal.indexes import folder as folders
from vicinal.knn.metrics import find
from vicinal.storage import atomic, locks
from vicinal.tasks.arguments import check_outputs, seed_of, several
from vicinal.typing import Id, IndexName, MetricLike, MetricName, PathLike


@devices.takes_device
def index(
    type: IndexName = "auto",
    metric: MetricLike | None = None,
    threads: int | None = None,
    *,
    device: str | None = None,
    data: object = None,
    embeddings: object = None,
    encoding: object = None,
    ids: object = None,
    payload: object = None,
    on_invalid: OnInvalid = "error",
    settings: dict[str, Any] | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    **parameters: Any,
) -> Index:
    """Return an index: empty, to `fit`; or, where data are given, of these data.

    Parameters
    ----------
    type : str
        "auto" (chosen from the size, the dim, the metric and the memory when it is fitted) or "exact", "kdtree",
        "balltree", "graph", "hnsw", "ivf", "ivfpq", "pq", "binary", "annoy".
    metric : str or Metric, optional
        "euclidean" by default; of a set of ann-benchmarks, its own.
    threads : int, optional
        The machine's cores by default.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    data : array_like, path, or table, optional
        Embeddings, or a data set whose embeddings are in `embeddings`. Its ids and columns come with it. A path that
        ends in .hdf5 is read as a set of ann-benchmarks.
    embeddings : str, path, or array_like, optional
        The embeddings of `data`: a column, a `.npy` file or an array. Without `data`, they stand alone.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    ids : str or sequence, optional
        The column of ids (default "id"), or the ids.
    payload : table or mapping, optional
        Columns that filters and results name; those of the data set by default.
    on_invalid : {"error", "null", "skip"}
        "null" and "skip" leave rows out that no distance is defined for; the others keep their row numbers.
    settings : dict, optional
        Parameters of the index type, such as {"ef_search": 100}; the same as further keyword arguments.
    output : path, optional
        A folder to save the index in.
    overwrite : bool
        Whether an index in `output` is replaced.
    **parameters
        Parameters of the index type, such as M=16 for "hnsw".

    Returns
    -------
    Index

    Raises
    ------
    UsageError
        A name or a parameter is unknown, or `output` exists.
    DataError
        The data cannot be read, or do not fit together.

    Examples
    --------
    >>> index("hnsw", "cosine", M=16).settings["M"]
    16
    >>> table = {"id": ["a", "b"], "embedding": [[0.0], [3.0]], "kind": ["x", "y"]}
    >>> built = index("exact", data=table)
    >>> built.ids.of(built.search([[2.9]], k=1, where='kind = "x"').indices)
    [['a']]
    """
    if output is not None:
        atomic.check_folder(output, overwrite)
    source, given, own_metric = _source(data, embeddings)
    if own_metric is not None and metric is not None and find(metric).name != own_metric:
        place = embeddings if data is None else data
        raise UsageError(f"metric: {place} is of {own_metric}, got {metric}")
    twice = sorted(set(settings or {}) & set(parameters))
    if twice:
        raise UsageError(f"{twice[0]}: given as an argument and in settings; give it once")
    empty = choose.index(type, find(metric or own_metric or "euclidean"), threads, **(settings or {}), **parameters)
    if type not in ("auto", "exact"):
        devices.refuse(f"an index of type {type} is built on the processor")
    if source is None:
        if output is not None or ids is not None or payload is not None:
            raise UsageError("data: expected the rows of the index, since output, ids or payload are given; got none")
        return empty
    rows = dataset.read(source, given, ids=ids, unique_ids=True, encoding=encoding)
    loaded = load(rows.embeddings, rows=rows, metric=empty.metric, on_invalid=on_invalid)
    built = empty.fit(
        loaded.vectors, "error" if on_invalid == "error" else "null", ids=_ids_of(rows), payload=_payload(rows, payload)
    )
    built.embedding = None if loaded.path is None else provenance.model_of(loaded.path)
    if output is not None:
        built.save(output, overwrite)
    return built


def add_to_index(
    index: Index | str | Path,
    data: object,
    embeddings: object = None,
    *,
    encoding: object = None,
    ids: object = None,
    payload: object = None,
    output: str | Path | None = None,
) -> Index:
    """Add rows to an index and return it; an index in a folder is saved again.

    Parameters
    ----------
    index : Index or path
        A folder is replaced by the longer index, or left as it is where `output` is given.
    data, embeddings, encoding, ids, payload : as for `vicinal.index`
    output : path, optional
        A folder that does not exist yet.

    Returns
    -------
    Index

    Raises
    ------
    DataError
        The dims differ, the embeddings were made by another model, an id is given twice, or a row is invalid.
    UsageError
        This type of index cannot grow.
    """
    with _alone(index, output):
        opened, folder = open_index(index)
        if output is not None:
            atomic.check_folder(output, overwrite=False)
        rows = dataset.read(data, embeddings, ids=ids, unique_ids=True, encoding=encoding)
        loaded = load(rows.embeddings, rows=rows, metric=opened.metric)
        refuse_other_model(loaded, opened, folder)
        warn_of_codes(loaded, opened)
        opened.add(loaded.vectors, _ids_of(rows), _payload(rows, payload))
        return _saved(opened, folder, output)


def _alone(index: Index | str | Path, output: str | Path | None) -> AbstractContextManager[None]:
    """Hold the folder of an index that is loaded, changed and saved again."""
    return nullcontext() if isinstance(index, Index) or output is not None else locks.changing(index)


def remove_from_index(
    index: Index | str | Path,
    ids: Iterable[Id] = (),
    *,
    ids_file: str | Path | None = None,
    where: str | None = None,
    output: str | Path | None = None,
) -> Index:
    """Remove rows from an index and return it; an index in a folder is saved again.

    Parameters
    ----------
    index : Index or path
    ids : iterable of int or str
        A text of digits names the whole number where no row has the text as its id.
    ids_file : path, optional
        A file with an id on each line.
    where : str, optional
        All rows that this filter matches.
    output : path, optional
        A folder that does not exist yet, in place of the index's own.

    Returns
    -------
    Index

    Raises
    ------
    DataError
        No row has an id.
    UsageError
        Nothing was named, or the filter matches no row.
    """
    with _alone(index, output):
        return _without_rows(index, ids, ids_file, where, output)


def _without_rows(
    index: Index | str | Path,
    ids: Iterable[Id],
    ids_file: PathLike | None,
    where: str | None,
    output: PathLike | None,
) -> Index:
    opened, folder = open_index(index)
    if output is not None:
        atomic.check_folder(output, overwrite=False)
    wanted = [id_of(opened, one) for one in several(ids, "ids") or ()]
    if ids_file is not None:
        try:
            lines = Path(ids_file).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"ids_file: {ids_file}: cannot be read: {error}") from None
        wanted += [id_of(opened, line.removesuffix("\r")) for line in lines if line.strip()]
    if where is not None:
        wanted += opened.ids.of(opened.rows(where))
    if not wanted:
        problem = "where matches no row" if where is not None else "none were given"
        raise UsageError(
            f"ids: expected ids, a file of ids, or a filter that matches rows; {problem}; give --id, --ids or --where "
            "(in Python: ids=, ids_file= or where=)"
        )
    opened.remove(list(dict.fromkeys(wanted)))
    return _saved(opened, folder, output)


def describe_index(folder: str | Path) -> dict[str, Any]:
    """Return what a saved index holds: type, metric, rows, dim, parameters, sizes, columns, engine.

    Every checksum is verified.

    Parameters
    ----------
    folder : path
        What `vicinal.index` or `Index.save` wrote.

    Returns
    -------
    dict

    Raises
    ------
    DataError
        The folder is no index, or is damaged.
    """
    about = folders.about(folder)
    opened = load_index(folder)
    about["columns"] = {} if opened.payload is None else {one.name: str(one.type) for one in opened.payload.schema}
    about["engine"] = opened.engine if len(opened) else "none"
    return about


def export_benchmark(
    data: object,
    output: str | Path,
    *,
    metric: MetricName = "euclidean",
    test: object = 1000,
    seed: int = 0,
    encoding: object = None,
    overwrite: bool = False,
) -> tuple[int, int]:
    """Write a data set in the form of ann-benchmarks: rows, queries and the exact neighbours of the queries.

    Parameters
    ----------
    data : array_like, path, or table
        The embeddings.
    output : path
        The .hdf5 file.
    metric : str
        "euclidean", "cosine" or "hamming".
    test : int, path or array_like
        How many rows to set aside as queries, or the queries.
    seed : int
        Of the choice of rows.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    overwrite : bool
        Whether a file that exists is replaced.

    Returns
    -------
    (int, int)
        How many rows and how many queries were written.

    Raises
    ------
    UsageError
        An argument cannot be used, or the output exists or is an input.
    MissingExtra
        h5py (`pip install 'vicinal[hdf5]'`) is not installed.
    """
    name = find(metric).name
    annbenchmarks.check_metric(name)
    seed = seed_of(seed)
    check_outputs({"output": output}, (data, test), overwrite)
    rows = dataset.read(data, encoding=encoding)
    train = load(rows.embeddings, rows=rows, metric=name, at_least=2)
    if isinstance(test, int | np.integer) and not isinstance(test, bool):
        if not 1 <= test < len(train):
            raise UsageError(f"test: expected a number from 1 to {len(train) - 1}, fewer than the rows, got {test}")
        chosen = np.zeros(len(train), dtype=bool)
        chosen[np.random.default_rng(seed).choice(len(train), int(test), replace=False)] = True
        stored, queries = train.vectors[~chosen], train.vectors[chosen]
    else:
        stored, queries = train.vectors, load(test, metric=name, name="test", like=train, encoding=encoding).vectors
    annbenchmarks.write(output, stored, queries, name, overwrite)
    return len(stored), len(queries)


def open_index(index: Index | str | Path, threads: int | None = None) -> tuple[Index, Path | None]:
    """Return an index and the folder that it was loaded from."""
    if isinstance(index, str | os.PathLike):
        return load_index(index, threads), Path(index)
    return index, None


def refuse_other_model(loaded: Embeddings, index: Index, folder: Path | None) -> None:
    """Raise DataError where embeddings were made by another model than those of an index."""
    if loaded.path is not None:
        provenance.verify_model(loaded.path, index.embedding, f"the rows of {folder or 'the index'}")


def warn_of_codes(loaded: Embeddings, index: Index) -> None:
    """Warn where bytes join an index of other numbers: they may be codes that were to be decoded."""
    stored = index.vectors
    if isinstance(stored, np.ndarray):
        warn_of_unlike(loaded.vectors, stored.dtype, loaded.name, "the index")


def id_of(index: Index, value: Id) -> Id:
    """Return an id as it was given, or as a whole number where it is text of digits that no row has as its id."""
    if not isinstance(value, str) or index.ids.find(value) is not None:
        return value
    digits = value.removeprefix("-")
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) < 4000 else value


def _source(data: object, embeddings: object) -> tuple[object, object, str | None]:
    """The rows, their embeddings if they lie elsewhere, and the metric of a set of ann-benchmarks."""
    source, given = (embeddings, None) if data is None else (data, embeddings)
    for place, one in enumerate((source, given)):
        if isinstance(one, str | os.PathLike) and annbenchmarks.is_set(os.fspath(one)):
            read = annbenchmarks.read(os.fspath(one))
            return (read.train, given, read.metric) if place == 0 else (source, read.train, read.metric)
    return source, given, None


def _payload(rows: dataset.Dataset, payload: object) -> object:
    """The columns of an index: those that were given, or those of the data set."""
    if payload is None:
        return rows.columns()
    if frames.is_table(payload) and not isinstance(payload, Mapping):
        return {name: frames.column(payload, name) for name in frames.column_names(payload)}
    return payload


def _ids_of(rows: dataset.Dataset) -> list[Id] | None:
    """The ids of rows as an index takes them; None where they are the row numbers."""
    return None if rows.ids == list(range(len(rows))) else rows.ids


def _saved(index: Index, folder: Path | None, output: PathLike | None) -> Index:
    target = output or folder
    if target is not None:
        index.save(target, overwrite=output is None)
    return index

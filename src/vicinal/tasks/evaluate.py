"""The recall, error, speed and size of approximate indexes, against the exact result."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.data import dataset
from vicinal.data.embeddings import load
from vicinal.errors import DataError, UsageError
from vicinal.indexes import Index, annbenchmarks
from vicinal.indexes.evaluation import Evaluation, Questions, questions
from vicinal.indexes.evaluation import evaluate as evaluate_one
from vicinal.indexes.evaluation import sweep as sweep_settings
from vicinal.knn.arguments import check_k
from vicinal.tasks import index as tasks
from vicinal.tasks import pictures
from vicinal.tasks.arguments import seed_of, whole_number


@devices.takes_device
def evaluate(
    indexes: Index | str | Path | Sequence[Index | str | Path],
    *,
    k: int = 10,
    queries: object = None,
    encoding: object = None,
    n_queries: int = 1000,
    seed: int = 0,
    sweep: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    device: str | None = None,
    callback: Callable[[str, Evaluation], None] | None = None,
) -> list[tuple[str, Evaluation]]:
    """Return the recall, error, speed and size of indexes over the same rows.

    Parameters
    ----------
    indexes : Index, path, or a sequence of them
    k : int
        Recall is the share of the true k nearest that were found.
    queries : array_like or path, optional
        The queries, or a set of ann-benchmarks (.hdf5); rows of the index, chosen at random, by default.
    encoding : str or (str, array_like), optional
        How the queries are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    n_queries : int
        How many rows are chosen.
    seed : int
        Of their choice.
    sweep : path, optional
        A picture (.svg, .png, .pdf) of recall against speed over the search parameter, which is written.
    overwrite : bool
        Whether a picture that exists is replaced.
    threads : int, optional
        Of indexes that are loaded here.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    callback : callable, optional
        Called with the name and the evaluation of each setting as soon as it is measured.

    Returns
    -------
    list of (str, Evaluation)
        The name of the index (its folder, or its representation) and its measurements, one for each setting.

    Raises
    ------
    DataError
        The indexes are not over the same rows, or none of them holds vectors to compute the truth from.
    """
    check_k(k)
    n_queries, seed = whole_number(n_queries, "n_queries"), seed_of(seed)
    if sweep is not None:
        pictures.check(str(sweep), overwrite)
    listed = [indexes] if isinstance(indexes, Index | str | Path) else list(indexes)
    if not listed:
        raise UsageError("indexes: expected at least one index, got an empty list")
    opened = {
        str(one) if isinstance(one, str | Path) else repr(one): tasks.open_index(one, threads)[0] for one in listed
    }
    asked = _questions(opened, (queries, encoding), k, n_queries, seed)
    found: list[tuple[str, Evaluation]] = []
    for name, index in opened.items():
        for one in _settings(index, asked, sweep is not None):
            found.append((name, one))
            if callback is not None:
                callback(name, one)
    if sweep is not None:
        curves = [
            (Path(name).name, [(one.recall, one.queries_per_second) for other, one in found if other == name])
            for name in opened
        ]
        pictures.save(pictures.recall_and_speed(curves, k), str(sweep), overwrite)
    return found


def _settings(index: Index, asked: Questions, several: bool) -> Iterator[Evaluation]:
    if several:
        yield from sweep_settings(index, asked)
    else:
        yield evaluate_one(index, asked)


def _questions(
    indexes: dict[str, Index], asked_by: tuple[object, object], k: int, n_queries: int, seed: int
) -> Questions:
    """The queries for every index, and their true neighbours; `asked_by` are the queries and their encoding."""
    queries, encoding = asked_by
    first, one = next(iter(indexes.items()))
    for name, index in indexes.items():
        shown = [f"{one.metric.name}, {len(one)} rows of dim {one.dim}" for one in (one, index)]
        if shown[0] != shown[1] or not np.array_equal(one.rows(), index.rows()):
            raise DataError(f"{name} is of {shown[1]}, {first} of {shown[0]}: expected indexes over the same rows")
    if isinstance(queries, str | Path) and annbenchmarks.is_set(queries):
        return _benchmark(queries, first, one, k)
    whole = {name: index for name, index in indexes.items() if isinstance(index.vectors, np.ndarray)}
    if not whole:
        raise DataError(
            f"{first}: holds codes alone, so that there is no truth to compare with; name an index with vectors of the "
            "same rows beside it, or a set of ann-benchmarks by --queries"
        )
    source, one = next(iter(whole.items()))
    given = None
    if queries is not None:
        read = dataset.read(queries, argument="queries", encoding=encoding)
        loaded = load(read.embeddings, rows=read, metric=one.metric, name="queries")
        tasks.refuse_other_model(loaded, one, Path(source))
        tasks.warn_of_codes(loaded, one)
        given = loaded.vectors
    asked = questions(one, k, given, n_queries, seed)
    for name, index in whole.items():
        if asked.rows is not None:
            there = np.asarray(index.vectors[asked.rows], dtype=np.float64)
            off = np.abs(there - asked.queries).max()
            if off > 1e-2 * np.abs(there).max():
                raise DataError(f"{name} and {source} hold other vectors: expected indexes over the same rows")
    return asked


def _benchmark(path: str | Path, name: str, index: Index, k: int) -> Questions:
    read: Any = annbenchmarks.read(path)
    if read.metric != index.metric.name or len(read.train) != len(index) or read.distances.shape[1] < k:
        raise DataError(
            f"{path}: found {read.metric}, {len(read.train)} rows, {read.distances.shape[1]} neighbours; {name} is of "
            f"{index.metric.name}, {len(index)} rows, and k is {k}"
        )
    return Questions(read.test, None, read.distances[:, :k], read.train)

"""Indexes: vectors go in, `Neighbors` come out. `index.py` says what each offers; `INDEXES` is the list of them."""

from vicinal.indexes.engines.annoy import Annoy
from vicinal.indexes.engines.bits import Binary
from vicinal.indexes.engines.codes import IVFPQ, PQ
from vicinal.indexes.engines.graph import Graph
from vicinal.indexes.engines.hnsw import HNSW
from vicinal.indexes.engines.lists import IVF
from vicinal.indexes.engines.trees import BallTree, KDTree
from vicinal.indexes.exact import Exact
from vicinal.indexes.index import Index
from vicinal.typing import PathLike

INDEXES: tuple[type[Index], ...] = (Exact, KDTree, BallTree, Graph, HNSW, IVF, IVFPQ, PQ, Binary, Annoy)
BY_NAME = {kind.name: kind for kind in INDEXES}
Index.kinds = INDEXES

__all__ = [
    "BY_NAME",
    "HNSW",
    "INDEXES",
    "IVF",
    "IVFPQ",
    "PQ",
    "Annoy",
    "BallTree",
    "Binary",
    "Exact",
    "Graph",
    "Index",
    "KDTree",
    "load_index",
]


def load_index(folder: PathLike, threads: int | None = None) -> Index:
    """Return the index that a folder holds, of any kind.

    Parameters
    ----------
    folder : path
        What `Index.save` or `vicinal index build` wrote.
    threads : int, optional
        By default the cores of the machine.

    Returns
    -------
    Index

    Raises
    ------
    DataError
        The folder is no index, or is damaged.
    """
    return Index.load(folder, threads)

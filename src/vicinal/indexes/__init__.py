"""Indexes: vectors go in, `Neighbors` come out. `contract.py` says what each offers; `INDEXES` is the list of them."""

from vicinal.indexes.annoy_index import Annoy
from vicinal.indexes.binary import Binary
from vicinal.indexes.contract import Index
from vicinal.indexes.exact import Exact
from vicinal.indexes.faiss_indexes import HNSW, IVF, IVFPQ, PQ
from vicinal.indexes.folder import load_index
from vicinal.indexes.trees import BallTree, KDTree

INDEXES: tuple[type[Index], ...] = (Exact, KDTree, BallTree, HNSW, IVF, IVFPQ, PQ, Binary, Annoy)
BY_NAME = {kind.name: kind for kind in INDEXES}

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
    "Index",
    "KDTree",
    "load_index",
]

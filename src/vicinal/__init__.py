"""vicinal knows a data set by its neighbours.

The public names are imported when they are first asked for, so that `import vicinal` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.indexes import HNSW, IVF, IVFPQ, PQ, Annoy, BallTree, Binary, Exact, Index, KDTree, load_index
    from vicinal.indexes.choose import index
    from vicinal.indexes.exemplar_svm import ExemplarSVM
    from vicinal.knn.exact import neighbors
    from vicinal.knn.metrics import mahalanobis
    from vicinal.knn.neighbors import Neighbors
    from vicinal.retrieval.collection import Collection
    from vicinal.tasks.score.scorers import KNNScorer

__version__ = "0.1.0"

_HOME = {
    "Annoy": "vicinal.indexes",
    "BallTree": "vicinal.indexes",
    "Binary": "vicinal.indexes",
    "Exact": "vicinal.indexes.exact",
    "HNSW": "vicinal.indexes",
    "IVF": "vicinal.indexes",
    "Collection": "vicinal.retrieval.collection",
    "ExemplarSVM": "vicinal.indexes.exemplar_svm",
    "IVFPQ": "vicinal.indexes",
    "Index": "vicinal.indexes",
    "KDTree": "vicinal.indexes",
    "KNNScorer": "vicinal.tasks.score.scorers",
    "Neighbors": "vicinal.knn.neighbors",
    "PQ": "vicinal.indexes",
    "index": "vicinal.indexes.choose",
    "load_index": "vicinal.indexes",
    "mahalanobis": "vicinal.knn.metrics",
    "neighbors": "vicinal.knn.exact",
}
__all__ = [
    "HNSW",
    "IVF",
    "IVFPQ",
    "PQ",
    "Annoy",
    "BallTree",
    "Binary",
    "Collection",
    "Exact",
    "ExemplarSVM",
    "Index",
    "KDTree",
    "KNNScorer",
    "Neighbors",
    "index",
    "load_index",
    "mahalanobis",
    "neighbors",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vicinal' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

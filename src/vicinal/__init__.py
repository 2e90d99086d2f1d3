"""vicinal knows a data set by its neighbours.

The public names are imported when they are first asked for, so that `import vicinal` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.graph import Neighbors
    from vicinal.indexes.exact import Exact, neighbors
    from vicinal.metrics import mahalanobis
    from vicinal.scorers import KNNScorer

__version__ = "0.1.0"

_HOME = {
    "Exact": "vicinal.indexes.exact",
    "KNNScorer": "vicinal.scorers",
    "Neighbors": "vicinal.graph",
    "mahalanobis": "vicinal.metrics",
    "neighbors": "vicinal.indexes.exact",
}
__all__ = ["Exact", "KNNScorer", "Neighbors", "mahalanobis", "neighbors"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vicinal' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

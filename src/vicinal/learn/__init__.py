"""Metric learning: similar rows pulled together, dissimilar ones pushed apart, then plain Euclidean neighbours.

`mahalanobis` learns linear metrics in NumPy and SciPy, as scikit-learn transformers. What is here is imported when it
is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.learn.mahalanobis import ITML, LDA, LMNN, MMC, NCA, RCA, WithinClassWhitening

_HOME = {
    "ITML": "mahalanobis",
    "LDA": "mahalanobis",
    "LMNN": "mahalanobis",
    "MMC": "mahalanobis",
    "NCA": "mahalanobis",
    "RCA": "mahalanobis",
    "WithinClassWhitening": "mahalanobis",
}
__all__ = ["ITML", "LDA", "LMNN", "MMC", "NCA", "RCA", "WithinClassWhitening"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vicinal.learn' has no attribute {name!r}")
    return getattr(import_module(f"vicinal.learn.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

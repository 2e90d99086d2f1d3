"""Metric learning: similar rows pulled together, dissimilar ones pushed apart, then plain Euclidean neighbours.

`mahalanobis` learns linear metrics in NumPy and SciPy, as scikit-learn transformers. `losses` and `mining` are
functions for torch; `descent` is the training loop, with `SiameseNetwork` for raw inputs; `learning` is the job of
`vicinal learn`, from an embedding file to `heads` and a table of before and after. What is here is imported when it is
first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.learn.descent import Schedule, SiameseNetwork
    from vicinal.learn.heads import Head, Heads
    from vicinal.learn.losses import clip, contrastive, n_pair, triplet
    from vicinal.learn.mahalanobis import ITML, LDA, LMNN, MMC, NCA, RCA, WithinClassWhitening
    from vicinal.learn.mining import MPerClass

_HOME = {
    "Head": "heads",
    "Heads": "heads",
    "ITML": "mahalanobis",
    "LDA": "mahalanobis",
    "LMNN": "mahalanobis",
    "MMC": "mahalanobis",
    "MPerClass": "mining",
    "NCA": "mahalanobis",
    "RCA": "mahalanobis",
    "Schedule": "descent",
    "SiameseNetwork": "descent",
    "WithinClassWhitening": "mahalanobis",
    "clip": "losses",
    "contrastive": "losses",
    "n_pair": "losses",
    "triplet": "losses",
}
__all__ = [
    "ITML",
    "LDA",
    "LMNN",
    "MMC",
    "NCA",
    "RCA",
    "Head",
    "Heads",
    "MPerClass",
    "Schedule",
    "SiameseNetwork",
    "WithinClassWhitening",
    "clip",
    "contrastive",
    "n_pair",
    "triplet",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vicinal.learn' has no attribute {name!r}")
    return getattr(import_module(f"vicinal.learn.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

"""Metric learning: bring similar rows together, move dissimilar ones apart, then use plain Euclidean neighbours.

Two ways lead to a metric:

- `train` learns a head, a linear map or a small network, from labels, pairs, or a second set of embeddings, and
  measures it on held-out rows. `apply` applies it, without torch. The commands `vicinal learn` and
  `vicinal apply` call these functions.
- `NCA`, `LMNN`, `ITML`, `MMC`, `RCA`, `LDA` and `WithinClassWhitening` learn Mahalanobis metrics. They are scikit-learn
  transformers and need no torch.

For training loops of your own there are the losses `contrastive`, `triplet`, `n_pair` and `clip`, the sampler
`MPerClass`, and `SiameseNetwork`, which trains any torch module. Names are imported at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.learn.applying import apply
    from vicinal.learn.evaluation import HeldOut
    from vicinal.learn.heads import Head, Heads
    from vicinal.learn.lmnn import LMNN
    from vicinal.learn.loop import Callbacks, History, Schedule
    from vicinal.learn.losses import clip, contrastive, n_pair, triplet
    from vicinal.learn.mining import MPerClass
    from vicinal.learn.pairwise import ITML, MMC
    from vicinal.learn.scikit_learners import LDA, NCA
    from vicinal.learn.siamese import SiameseNetwork
    from vicinal.learn.training import TrainingResult, train
    from vicinal.learn.whitening import RCA, WithinClassWhitening

_MODULES = {
    "Callbacks": "loop",
    "Head": "heads",
    "Heads": "heads",
    "HeldOut": "evaluation",
    "History": "loop",
    "ITML": "pairwise",
    "LDA": "scikit_learners",
    "LMNN": "lmnn",
    "MMC": "pairwise",
    "MPerClass": "mining",
    "NCA": "scikit_learners",
    "RCA": "whitening",
    "Schedule": "loop",
    "SiameseNetwork": "siamese",
    "TrainingResult": "training",
    "WithinClassWhitening": "whitening",
    "apply": "applying",
    "clip": "losses",
    "contrastive": "losses",
    "n_pair": "losses",
    "train": "training",
    "triplet": "losses",
}
__all__ = [
    "ITML",
    "LDA",
    "LMNN",
    "MMC",
    "NCA",
    "RCA",
    "Callbacks",
    "Head",
    "Heads",
    "HeldOut",
    "History",
    "MPerClass",
    "Schedule",
    "SiameseNetwork",
    "TrainingResult",
    "WithinClassWhitening",
    "apply",
    "clip",
    "contrastive",
    "n_pair",
    "train",
    "triplet",
]


if not TYPE_CHECKING:  # a type checker would take any name of a module that has __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'vicinal.learn' has no attribute {name!r}")
        return getattr(import_module(f"vicinal.learn.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])

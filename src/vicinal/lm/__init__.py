"""kNN-LM: a language model whose next-word distribution is mixed with that of the nearest contexts it has seen.

`interpolation` is the arithmetic, `datastore` the keys and values on disk, `transformer` the models of Hugging Face's
transformers, `evaluation` the choice of lambda and T and the perplexity. Khandelwal, Levy, Jurafsky, Zettlemoyer &
Lewis 2020.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.lm.datastore import Datastore
    from vicinal.lm.interpolation import interpolate, target_logp
    from vicinal.lm.transformer import KNNLM

_HOME = {
    "Datastore": "datastore",
    "KNNLM": "transformer",
    "interpolate": "interpolation",
    "target_logp": "interpolation",
}
__all__ = ["KNNLM", "Datastore", "interpolate", "target_logp"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'vicinal.lm' has no attribute {name!r}")
    return getattr(import_module(f"vicinal.lm.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])

"""kNN-LM: a language model whose next-token distribution is mixed with that of the nearest contexts of a text.

`build` makes a `Datastore` of the contexts of a text; `evaluate` measures the perplexity of a model with and without
neighbours. These are the commands `vicinal lm build` and `vicinal lm eval`. `KNNLM` is a model with neighbours, for
generation; `interpolate` and `target_logp` are the mixture itself, in NumPy, for any model. Models are those of Hugging
Face's transformers. Names are imported at first use.

References
----------
Khandelwal, Levy, Jurafsky, Zettlemoyer & Lewis 2020.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.lm.datastore import Datastore
    from vicinal.lm.evaluation import Evaluation, build, evaluate
    from vicinal.lm.interpolation import interpolate, target_logp
    from vicinal.lm.mixture import KNNLM

_MODULES = {
    "Datastore": "datastore",
    "Evaluation": "evaluation",
    "KNNLM": "mixture",
    "build": "evaluation",
    "evaluate": "evaluation",
    "interpolate": "interpolation",
    "target_logp": "interpolation",
}
__all__ = ["KNNLM", "Datastore", "Evaluation", "build", "evaluate", "interpolate", "target_logp"]


if not TYPE_CHECKING:  # a type checker would take any name of a module that has __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'vicinal.lm' has no attribute {name!r}")
        return getattr(import_module(f"vicinal.lm.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])

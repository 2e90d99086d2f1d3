"""scikit-learn's nearest-neighbour estimators on exact search, and three estimators that scikit-learn does not have.

The estimators of scikit-learn (`NearestNeighbors`, `KNeighborsClassifier`, ...) have the same keywords, attributes and
methods here: change the import. `KNeighborsClassifierCV` and `KNeighborsRegressorCV` choose k by leave-one-out from one
neighbour search. `GenerativeKNNClassifier` estimates class densities. Names are imported at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal.estimators.choose_k import KNeighborsClassifierCV, KNeighborsRegressorCV
    from vicinal.estimators.generative import GenerativeKNNClassifier
    from vicinal.estimators.stock import (
        KNeighborsClassifier,
        KNeighborsRegressor,
        KNeighborsTransformer,
        LocalOutlierFactor,
        NearestNeighbors,
        RadiusNeighborsClassifier,
        RadiusNeighborsRegressor,
    )

_MODULES = {
    "GenerativeKNNClassifier": "generative",
    "KNeighborsClassifier": "stock",
    "KNeighborsClassifierCV": "choose_k",
    "KNeighborsRegressor": "stock",
    "KNeighborsRegressorCV": "choose_k",
    "KNeighborsTransformer": "stock",
    "LocalOutlierFactor": "stock",
    "NearestNeighbors": "stock",
    "RadiusNeighborsClassifier": "stock",
    "RadiusNeighborsRegressor": "stock",
}
__all__ = [
    "GenerativeKNNClassifier",
    "KNeighborsClassifier",
    "KNeighborsClassifierCV",
    "KNeighborsRegressor",
    "KNeighborsRegressorCV",
    "KNeighborsTransformer",
    "LocalOutlierFactor",
    "NearestNeighbors",
    "RadiusNeighborsClassifier",
    "RadiusNeighborsRegressor",
]


if not TYPE_CHECKING:  # a type checker would take any name of a module that has __getattr__

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'vicinal.estimators' has no attribute {name!r}")
        return getattr(import_module(f"vicinal.estimators.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])

"""scikit-learn's faces of the neighbours."""

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

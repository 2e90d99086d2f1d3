"""vicinal knows a data set by its neighbours.

One function a job: `score`, `duplicates`, `dedup`, `select`, `filter`, `neighbors`, `index`, `search`, `outliers`,
`classify`, `regress`, `choose_k`, `diagnose`, `kappa`, `embed`, `report`. Each takes an array, a path or a table, and
returns a result object.
`vicinal.learn`, `vicinal.lm`, `vicinal.sql` and `vicinal.estimators` hold metric learning, kNN-LM, SQL and the
estimators of scikit-learn.

The public names are imported when they are first used, so that `import vicinal` itself costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vicinal import analysis as analysis
    from vicinal import data as data
    from vicinal import distributed as distributed
    from vicinal import errors as errors
    from vicinal import estimators as estimators
    from vicinal import indexes as indexes
    from vicinal import knn as knn
    from vicinal import learn as learn
    from vicinal import lm as lm
    from vicinal import retrieval as retrieval
    from vicinal import sql as sql
    from vicinal import storage as storage
    from vicinal import tasks as tasks
    from vicinal import typing as typing
    from vicinal.analysis.forms import percentile, ratio_to_median
    from vicinal.analysis.score_table import SCORES, Score
    from vicinal.analysis.scores import (
        hubness,
        kth_distance,
        local_intrinsic_dimension,
        local_outlier_factor,
        log_density,
        mean_distance,
        mean_distinct_distance,
        median_distance,
    )
    from vicinal.data.results import Columns
    from vicinal.errors import DataError, DiskFull, MissingExtra, NotFitted, UsageError, VicinalError
    from vicinal.indexes import (
        HNSW,
        IVF,
        IVFPQ,
        PQ,
        Annoy,
        BallTree,
        Binary,
        Exact,
        Graph,
        Index,
        KDTree,
        load_index,
    )
    from vicinal.indexes.evaluation import Evaluation
    from vicinal.indexes.exemplar_svm import ExemplarSVM
    from vicinal.knn.metrics import METRICS, Metric, mahalanobis
    from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
    from vicinal.progress import show_progress
    from vicinal.retrieval.collection import Collection
    from vicinal.tasks.curate import Curation, curate
    from vicinal.tasks.diagnose.diagnose import diagnose
    from vicinal.tasks.diagnose.diagnosis import Diagnosis
    from vicinal.tasks.diagnose.kappa import Kappa, kappa
    from vicinal.tasks.diversity import Diversity, diversity
    from vicinal.tasks.duplicates import Duplicates, RadiusCurve, duplicates
    from vicinal.tasks.duplicates.dedup import Deduplicated, dedup
    from vicinal.tasks.embed import Embedded, embed
    from vicinal.tasks.evaluate import evaluate
    from vicinal.tasks.explore import explore
    from vicinal.tasks.filter import Filtered, filter
    from vicinal.tasks.index import add_to_index, describe_index, export_benchmark, index, remove_from_index
    from vicinal.tasks.info import info
    from vicinal.tasks.neighbors import DataNeighbors, neighbors
    from vicinal.tasks.predict.choose_k import choose_k
    from vicinal.tasks.predict.classify import Predictions, classify
    from vicinal.tasks.predict.curve import Curve
    from vicinal.tasks.predict.outliers import Outliers, outliers
    from vicinal.tasks.predict.regress import PredictedValues, regress
    from vicinal.tasks.report import Page, report
    from vicinal.tasks.score import Scores, score
    from vicinal.tasks.score.scorers import KNNScorer
    from vicinal.tasks.search import Hits, search
    from vicinal.tasks.select import select
    from vicinal.tasks.select.compare import compare_selections
    from vicinal.tasks.select.comparison import Comparison
    from vicinal.tasks.select.selection import Selection

__version__ = "0.1.0"

_PACKAGES = (
    "analysis",
    "data",
    "distributed",
    "errors",
    "estimators",
    "indexes",
    "knn",
    "learn",
    "lm",
    "retrieval",
    "sql",
    "storage",
    "tasks",
    "typing",
)
_MODULES = {
    "Annoy": "vicinal.indexes",
    "BallTree": "vicinal.indexes",
    "Binary": "vicinal.indexes",
    "Collection": "vicinal.retrieval.collection",
    "Columns": "vicinal.data.results",
    "Comparison": "vicinal.tasks.select.comparison",
    "Curation": "vicinal.tasks.curate",
    "Curve": "vicinal.tasks.predict.curve",
    "DataError": "vicinal.errors",
    "DataNeighbors": "vicinal.tasks.neighbors",
    "Diagnosis": "vicinal.tasks.diagnose.diagnosis",
    "Deduplicated": "vicinal.tasks.duplicates.dedup",
    "DiskFull": "vicinal.errors",
    "Diversity": "vicinal.tasks.diversity",
    "Duplicates": "vicinal.tasks.duplicates",
    "Embedded": "vicinal.tasks.embed",
    "Evaluation": "vicinal.indexes.evaluation",
    "Exact": "vicinal.indexes",
    "ExemplarSVM": "vicinal.indexes.exemplar_svm",
    "Filtered": "vicinal.tasks.filter",
    "Graph": "vicinal.indexes",
    "HNSW": "vicinal.indexes",
    "Hits": "vicinal.tasks.search",
    "IVF": "vicinal.indexes",
    "IVFPQ": "vicinal.indexes",
    "Index": "vicinal.indexes",
    "KDTree": "vicinal.indexes",
    "KNNScorer": "vicinal.tasks.score.scorers",
    "Kappa": "vicinal.tasks.diagnose.kappa",
    "METRICS": "vicinal.knn.metrics",
    "Metric": "vicinal.knn.metrics",
    "MissingExtra": "vicinal.errors",
    "Neighbors": "vicinal.knn.neighbors",
    "NotFitted": "vicinal.errors",
    "Outliers": "vicinal.tasks.predict.outliers",
    "PQ": "vicinal.indexes",
    "Page": "vicinal.tasks.report",
    "PredictedValues": "vicinal.tasks.predict.regress",
    "Predictions": "vicinal.tasks.predict.classify",
    "RadiusCurve": "vicinal.tasks.duplicates",
    "RadiusNeighbors": "vicinal.knn.neighbors",
    "SCORES": "vicinal.analysis.score_table",
    "Score": "vicinal.analysis.score_table",
    "Scores": "vicinal.tasks.score",
    "Selection": "vicinal.tasks.select.selection",
    "UsageError": "vicinal.errors",
    "VicinalError": "vicinal.errors",
    "add_to_index": "vicinal.tasks.index",
    "choose_k": "vicinal.tasks.predict.choose_k",
    "classify": "vicinal.tasks.predict.classify",
    "compare_selections": "vicinal.tasks.select.compare",
    "curate": "vicinal.tasks.curate",
    "describe_index": "vicinal.tasks.index",
    "diagnose": "vicinal.tasks.diagnose.diagnose",
    "dedup": "vicinal.tasks.duplicates.dedup",
    "diversity": "vicinal.tasks.diversity",
    "duplicates": "vicinal.tasks.duplicates",
    "filter": "vicinal.tasks.filter",
    "embed": "vicinal.tasks.embed",
    "evaluate": "vicinal.tasks.evaluate",
    "export_benchmark": "vicinal.tasks.index",
    "hubness": "vicinal.analysis.scores",
    "index": "vicinal.tasks.index",
    "info": "vicinal.tasks.info",
    "kappa": "vicinal.tasks.diagnose.kappa",
    "kth_distance": "vicinal.analysis.scores",
    "load_index": "vicinal.indexes",
    "local_intrinsic_dimension": "vicinal.analysis.scores",
    "local_outlier_factor": "vicinal.analysis.scores",
    "log_density": "vicinal.analysis.scores",
    "mahalanobis": "vicinal.knn.metrics",
    "mean_distance": "vicinal.analysis.scores",
    "mean_distinct_distance": "vicinal.analysis.scores",
    "median_distance": "vicinal.analysis.scores",
    "neighbors": "vicinal.tasks.neighbors",
    "outliers": "vicinal.tasks.predict.outliers",
    "percentile": "vicinal.analysis.forms",
    "ratio_to_median": "vicinal.analysis.forms",
    "regress": "vicinal.tasks.predict.regress",
    "remove_from_index": "vicinal.tasks.index",
    "report": "vicinal.tasks.report",
    "explore": "vicinal.tasks.explore",
    "score": "vicinal.tasks.score",
    "search": "vicinal.tasks.search",
    "select": "vicinal.tasks.select",
    "show_progress": "vicinal.progress",
}
__all__ = [
    "HNSW",
    "IVF",
    "IVFPQ",
    "METRICS",
    "PQ",
    "SCORES",
    "Annoy",
    "BallTree",
    "Binary",
    "Collection",
    "Columns",
    "Comparison",
    "Curation",
    "Curve",
    "DataError",
    "DataNeighbors",
    "Deduplicated",
    "Diagnosis",
    "DiskFull",
    "Diversity",
    "Duplicates",
    "Embedded",
    "Evaluation",
    "Exact",
    "ExemplarSVM",
    "Filtered",
    "Graph",
    "Hits",
    "Index",
    "KDTree",
    "KNNScorer",
    "Kappa",
    "Metric",
    "MissingExtra",
    "Neighbors",
    "NotFitted",
    "Outliers",
    "Page",
    "PredictedValues",
    "Predictions",
    "RadiusCurve",
    "RadiusNeighbors",
    "Score",
    "Scores",
    "Selection",
    "UsageError",
    "VicinalError",
    "add_to_index",
    "choose_k",
    "classify",
    "compare_selections",
    "curate",
    "dedup",
    "describe_index",
    "diagnose",
    "diversity",
    "duplicates",
    "embed",
    "evaluate",
    "explore",
    "export_benchmark",
    "filter",
    "hubness",
    "index",
    "info",
    "kappa",
    "kth_distance",
    "load_index",
    "local_intrinsic_dimension",
    "local_outlier_factor",
    "log_density",
    "mahalanobis",
    "mean_distance",
    "mean_distinct_distance",
    "median_distance",
    "neighbors",
    "outliers",
    "percentile",
    "ratio_to_median",
    "regress",
    "remove_from_index",
    "report",
    "score",
    "search",
    "select",
    "show_progress",
]


if not TYPE_CHECKING:  # a type checker would take any name of a module that has __getattr__

    def __getattr__(name: str) -> Any:
        if name in _PACKAGES:
            return import_module(f"vicinal.{name}")
        if name not in _MODULES:
            raise AttributeError(f"module 'vicinal' has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, *_PACKAGES])

"""One trial of a comparison: rows to choose from, rows held out, and what classifiers learn from a choice."""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vicinal.analysis.forms import percentile
from vicinal.analysis.scores import mean_distance
from vicinal.analysis.selection import shares
from vicinal.errors import DataError
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.select.question import Question, Settings
from vicinal.tasks.select.strategies import Strategy

VARIANTS = ("plain", "imbalance", "duplicates", "noise")
TEST, TARGET = 0.2, 0.05
LEAST_SHARE, DUPLICATES, COPIED, NOISE = 0.1, 0.3, 0.05, 0.1
VOTERS = 5


@dataclass(frozen=True, eq=False)
class Trial:
    """The rows of one seed and variant.

    Attributes
    ----------
    vectors : ndarray of float32, shape (n, dim)
        The rows to choose from; of length 1 under cosine.
    labels : ndarray of int64, shape (n,)
    scores, quality : ndarray of float64, shape (n,), or None
    target : ndarray, shape (n_target, dim)
        The rows that tsds selects towards.
    test, test_labels : ndarray
        The rows that are held out.
    n_classes : int
    """

    vectors: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    quality: np.ndarray | None
    target: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    n_classes: int

    @classmethod
    def of(
        cls,
        vectors: np.ndarray,
        labels: np.ndarray,
        variant: str,
        seed: int,
        metric: Metric,
        columns: dict[str, np.ndarray | None],
        target: np.ndarray | None,
    ) -> "Trial":
        """The trial of a seed: the same rows are held out in every variant."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(labels))
        n_test, n_target = round(TEST * len(labels)), round(TARGET * len(labels))
        if min(n_test, n_target) < 1 or len(labels) - n_test - n_target < 2:
            raise DataError(f"found {len(labels)} rows, expected at least 10 to hold some out")
        prepared = metric.prepare(vectors).astype(np.float32)
        test, aim = order[:n_test], order[n_test : n_test + n_target]
        rows = np.sort(order[n_test + n_target :])
        if variant == "imbalance":
            rows = rows[_thinned(labels[rows], random)]
        codes, values = labels[rows], prepared[rows]
        if variant == "duplicates":
            copies = _copied(len(rows), random)
            noise = random.normal(size=(len(copies), values.shape[1])).astype(np.float32)
            scale = np.float32(1e-3) * np.linalg.norm(values[copies], axis=1, keepdims=True)
            values = np.concatenate([values, values[copies] + noise * scale / np.sqrt(values.shape[1])])
            rows, codes = np.append(rows, rows[copies]), np.append(codes, codes[copies])
        elif variant == "noise":
            codes = _relabelled(codes, random)
        given = {name: None if column is None else column[rows] for name, column in columns.items()}
        towards = prepared[aim] if target is None else metric.prepare(target).astype(np.float32)
        n_classes = int(labels.max()) + 1
        return cls(values, codes, given["scores"], given["quality"], towards, prepared[test], labels[test], n_classes)

    def figures(self, rows: np.ndarray) -> dict[str, float]:
        """Return the accuracy and the macro F1 of both classifiers that learn from some of the rows."""
        found = {}
        for name, predicted in (("linear", self._by_ridge(rows)), ("knn", self._by_votes(rows))):
            found[f"{name} accuracy"] = float(np.mean(predicted == self.test_labels))
            found[f"{name} macro F1"] = _macro_f1(self.test_labels, predicted, self.n_classes)
        return found

    def _by_ridge(self, rows: np.ndarray) -> np.ndarray:
        from sklearn.linear_model import RidgeClassifier

        if len(set(self.labels[rows].tolist())) < 2:
            return np.full(len(self.test), self.labels[rows[0]])
        predicted: np.ndarray = RidgeClassifier().fit(self.vectors[rows], self.labels[rows]).predict(self.test)
        return predicted

    def _by_votes(self, rows: np.ndarray) -> np.ndarray:
        found = ExactSearch.of(self.vectors[rows]).search(self.test, min(VOTERS, len(rows)))
        votes = np.zeros((len(self.test), self.n_classes))
        for place in range(found.k):  # the nearer of two rows has the greater vote where classes are level
            label = self.labels[rows[found.indices[:, place]]]
            votes[np.arange(len(votes)), label] += 1 + 1e-6 * (VOTERS - place)
        labels: np.ndarray = votes.argmax(axis=1)
        return labels


class Questions:
    """The questions of one trial to every strategy; neighbours are searched once."""

    def __init__(self, trial: Trial, settings: Settings, metric: Metric, threads: int | None) -> None:
        self._trial, self._settings, self._metric, self._threads = trial, settings, metric, threads

    @cached_property
    def _graph(self) -> Neighbors:
        index = ExactSearch.of(self._trial.vectors, self._metric, self._threads)
        return index.neighbors(min(self._settings.k, len(self._trial.vectors) - 1))

    @cached_property
    def _scores(self) -> np.ndarray:
        given = self._trial.scores
        return mean_distance(self._graph, self._graph.k).astype(np.float64) if given is None else given

    @cached_property
    def _quality(self) -> np.ndarray:
        labels, given = self._trial.labels, self._trial.quality
        agreeing = (labels[self._graph.indices] == labels[:, None]).mean(axis=1) if given is None else given
        return percentile(agreeing) / 100

    def choices(self, strategy: Strategy, counts: list[int]) -> list[np.ndarray]:
        """Return the rows that a strategy chooses for each count."""
        with warnings.catch_warnings():  # deita's, that too few rows are far apart, would come for every trial
            warnings.simplefilter("ignore", UserWarning)
            if max(counts) > strategy.nested * len(self._trial.vectors):
                return [strategy.choose(self._question(strategy, count)).order for count in counts]
            order = strategy.choose(self._question(strategy, max(counts))).order
            return [order[:count] for count in counts]

    def _question(self, strategy: Strategy, count: int) -> Question:
        trial, n = self._trial, len(self._trial.vectors)
        groups = np.unique(trial.labels, return_inverse=True)[1]
        return Question(
            keep=count,
            weight=self._quality if "quality" in strategy.requires else np.ones(n),
            groups=groups if strategy.by_class else None,
            seats=shares(groups, count) if strategy.by_class else None,
            scores=self._scores if strategy.needs == "scores" or "scores" in strategy.requires else None,
            vectors=trial.vectors,
            target=trial.target,
            graph=self._graph if strategy.needs == "neighbors" else None,
            settings=self._settings,
            metric=self._metric,
            threads=self._threads,
            start=lambda _: None,
        )


def _thinned(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Some of the rows, ascending: of the first class all, of the last a tenth, shares between them falling evenly.

    The classes are in a random order; each keeps at least 2 rows, or all that it has.
    """
    n_classes = int(labels.max()) + 1
    share = LEAST_SHARE ** (random.permutation(n_classes) / max(1, n_classes - 1))
    place = np.empty(len(labels), dtype=np.int64)
    shuffled = random.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    starts = np.searchsorted(labels[order], np.arange(n_classes))
    place[order] = np.arange(len(labels)) - starts[labels[order]]
    kept = np.maximum(2, np.round(share * np.bincount(labels, minlength=n_classes)))
    return np.flatnonzero(place < kept[labels])


def _copied(n: int, random: np.random.Generator) -> np.ndarray:
    """The rows whose copies make up 30 % of all: drawn again and again from a twentieth of the rows."""
    originals = random.choice(n, max(1, round(COPIED * n)), replace=False)
    return random.choice(originals, round(n * DUPLICATES / (1 - DUPLICATES)))


def _relabelled(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The labels, a tenth of them changed to another class."""
    n_classes = int(labels.max()) + 1
    wrong = random.choice(len(labels), round(NOISE * len(labels)), replace=False)
    changed = labels.copy()
    changed[wrong] = (labels[wrong] + random.integers(1, n_classes, size=len(wrong))) % n_classes
    return changed


def _macro_f1(true: np.ndarray, told: np.ndarray, n_classes: int) -> float:
    """The mean F1 over the classes that occur in either."""
    right = np.bincount(true[true == told], minlength=n_classes)
    both = np.bincount(true, minlength=n_classes) + np.bincount(told, minlength=n_classes)
    return float(np.mean(2 * right[both > 0] / both[both > 0]))

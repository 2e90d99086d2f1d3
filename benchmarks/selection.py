"""Does choosing rows help? A small classifier on 10 % of a labelled set, chosen by each strategy, against random.

    python -m benchmarks.selection                                     the 5,000 glosses of examples/
    python -m benchmarks.selection --data D.jsonl --embeddings E.npy --label FIELD --share 0.1

For each seed a fifth of the rows is held out for the test, stratified by label. From the others each strategy chooses
its share; a logistic regression on the embeddings learns from it. What is printed is the mean accuracy and macro F1 on
the held-out rows, with the standard deviation over the seeds, as a table in Markdown. Scores are KNNScorer's, k = 10,
cosine.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import train_test_split

from vicinal import Exact
from vicinal.analysis import forms, scores, selection
from vicinal.data import tables
from vicinal.knn.neighbors import Neighbors

HOME = Path(__file__).parent.parent / "examples" / "wordnet"
K = 10

Choose = Callable[[np.ndarray, Neighbors, np.ndarray, int, int], np.ndarray]


def by_score(merit: Callable[[np.ndarray], np.ndarray], quota: bool) -> Choose:
    """A strategy that goes by scores."""

    def choose(_: np.ndarray, graph: Neighbors, labels: np.ndarray, keep: int, __: int) -> np.ndarray:
        place = forms.percentile(scores.mean_distance(graph, K)) / 100
        groups = (labels, selection.shares(labels, keep)) if quota else (None, None)
        return selection.by_merit(merit(place), keep, *groups).order

    return choose


def randomly(_: np.ndarray, graph: Neighbors, __: np.ndarray, keep: int, seed: int) -> np.ndarray:
    """Any rows."""
    return np.random.default_rng(seed).choice(len(graph), keep, replace=False)


def k_center(vectors: np.ndarray, _: Neighbors, __: np.ndarray, keep: int, seed: int) -> np.ndarray:
    """Farthest points."""
    return selection.k_center(vectors, keep, "cosine").order


def facility(quota: bool) -> Choose:
    """The rows that serve the others best."""

    def choose(_: np.ndarray, graph: Neighbors, labels: np.ndarray, keep: int, __: int) -> np.ndarray:
        groups = (labels, selection.shares(labels, keep)) if quota else (None, None)
        return selection.facility_location(graph, keep, None, *groups).order

    return choose


STRATEGIES: dict[str, Choose] = {
    "random": randomly,
    "highest": by_score(lambda p: p, quota=False),
    "lowest": by_score(lambda p: 1 - p, quota=False),
    "middle": by_score(lambda p: 1 - abs(2 * p - 1), quota=False),
    "middle, quota by label": by_score(lambda p: 1 - abs(2 * p - 1), quota=True),
    "k-center": k_center,
    "facility": facility(quota=False),
    "facility, quota by label": facility(quota=True),
}


def main() -> None:
    """Runs every strategy with every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(HOME / "glosses.jsonl"))
    parser.add_argument("--embeddings", default=str(HOME / "embeddings.npy"))
    parser.add_argument("--label", default="label")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", help="the figures as JSON")
    asked = parser.parse_args()
    _, _, columns = tables.read_columns(asked.data, "id", {asked.label: "label"})
    vectors = np.load(asked.embeddings)
    names, labels = np.unique(columns[asked.label], return_inverse=True)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in STRATEGIES}
    for seed in range(asked.seeds):
        pool, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=seed)
        keep = round(asked.share * len(pool))
        graph = Exact("cosine").fit(vectors[pool]).neighbors(K)
        for name, choose in STRATEGIES.items():
            rows = pool[choose(vectors[pool], graph, labels[pool], keep, seed)]
            model = LogisticRegression(C=10, max_iter=300)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(vectors[rows].astype(np.float32), labels[rows])
            told = model.predict(vectors[test].astype(np.float32))
            macro = f1_score(labels[test], told, average="macro", zero_division=0)
            found[name].append((float(accuracy_score(labels[test], told)), float(macro)))
            print(seed, name, found[name][-1], flush=True)
    print(f"\n{len(labels):,} rows, {len(names)} labels, {keep:,} chosen of {len(pool):,}, {asked.seeds} seeds\n")
    print("| strategy | accuracy, % | macro F1, % |\n|---|---|---|")
    for name, figures in found.items():
        cells = [f"{100 * np.mean(part):.1f} ± {100 * np.std(part, ddof=1):.1f}" for part in zip(*figures, strict=True)]
        print(f"| {name} | {' | '.join(cells)} |")
    if asked.output:
        Path(asked.output).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

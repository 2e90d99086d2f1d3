"""Exemplar-SVM ranking: how fast beside LinearSVC, and how good beside cosine k-NN.

OPENBLAS_NUM_THREADS=1 python -m benchmarks.exemplar --speed
python -m benchmarks.exemplar --quality glosses=emb.npy:data.jsonl.gz:label tasks=emb2.npy:data2.jsonl.gz:task
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks import environment

from vicinal import ExemplarSVM
from vicinal.data.tables import read_rows

RESULTS = Path(__file__).parent / "results"


def reference(vectors: np.ndarray, positive: int, C: float) -> np.ndarray:  # noqa: N803
    """Decision values as the notebook gets them."""
    from sklearn.svm import LinearSVC

    labels = np.zeros(len(vectors))
    labels[positive] = 1
    svm = LinearSVC(class_weight="balanced", max_iter=10_000, tol=1e-6, C=C)
    return svm.fit(vectors, labels).decision_function(vectors)


def clustered(n: int, dim: int, clusters: int = 100, spread: float = 0.7) -> np.ndarray:
    """Rows of length 1 around random centres."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(clusters, dim))
    rows = centres[random.integers(clusters, size=n)] + spread * random.normal(size=(n, dim))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def seconds(work: Any) -> tuple[float, Any]:
    """How many seconds of processor time a call takes, and what it gives.

    LinearSVC has one thread; run with OPENBLAS_NUM_THREADS=1, ours has one too, and other work does not count.
    """
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def speed() -> list[dict[str, Any]]:
    """The three cases, each beside LinearSVC in the same run."""
    rows = []
    random = np.random.RandomState(42)
    data = random.randn(1000, 1536)
    data /= np.linalg.norm(data, axis=1, keepdims=True)
    queries = random.randn(1000, 1536)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    ours, found = seconds(lambda: list(ExemplarSVM(0.1).fit(data).rank_each(list(queries), 10)))
    few, truth = seconds(lambda: [reference(np.vstack([query, data]), 0, 0.1) for query in queries[:20]])
    error = max(np.abs(t[1:][f.indices] - f.decisions).max() for t, f in zip(truth, found, strict=False))
    rows.append(
        {"case": "1,000 queries, 1,000 x 1536", "C": 0.1, "ours": ours, "theirs": few * 50, "error": float(error)}
    )
    print(rows[-1], f"ratio {few * 50 / ours:.1f} (LinearSVC: 20 queries, times 50)", flush=True)
    data = clustered(20_000, 256)
    for C in (0.01, 0.1, 1.0):  # noqa: N806
        svm = ExemplarSVM(C)
        ours, found = seconds(lambda svm=svm: svm.fit(data).rank(17, 10))
        later, _ = seconds(lambda svm=svm: svm.rank(99, 10))
        theirs, values = seconds(lambda C=C: reference(data, 17, C))  # noqa: N803
        error = float(np.abs(values[found.indices] - found.decisions).max())
        case = {"case": "one query with the fit, 20,000 x 256", "C": C, "ours": ours, "later": later}
        rows.append({**case, "theirs": theirs, "error": error})
        print(rows[-1], f"ratio {theirs / ours:.1f}, later {theirs / later:.1f}", flush=True)
    data = clustered(100_000, 384)
    for C in (0.01, 0.1, 1.0):  # noqa: N806
        svm = ExemplarSVM(C)
        first, _ = seconds(lambda svm=svm: svm.fit(data).rank(0, 10))
        rest = [seconds(lambda svm=svm, row=row: svm.rank(row, 10))[0] for row in range(7, 77, 7)]
        case = {"case": "100,000 x 384", "C": C, "first": first}
        rows.append({**case, "ours": max(rest), "median": float(np.median(rest))})
        print(rows[-1], flush=True)
    return rows


def quality(name: str, vectors: np.ndarray, labels: np.ndarray, n_queries: int, examples: int) -> list[dict[str, Any]]:
    """precision@10 and MAP@R of each ranking; a query is so many rows of one class, and the others are to be found."""
    rows = vectors.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    random = np.random.default_rng(0)
    asked = []
    for row in random.choice(np.flatnonzero(counts[numbers] > 10 + examples), n_queries, replace=False):
        same = np.flatnonzero(numbers == numbers[row])
        asked.append(np.append(row, random.choice(same[same != row], examples - 1, replace=False)))

    def by_similarity(pick: Any) -> Any:
        def order(query: np.ndarray, most: int) -> np.ndarray:
            found = np.lexsort((np.arange(len(rows)), -pick(rows @ rows[query].T)))
            return found[~np.isin(found, query)][:most]

        return order

    rankers: list[tuple[str, Any]] = [("cosine k-NN", by_similarity(lambda near: near.max(axis=1)))]
    if examples > 1:
        rankers = [
            ("cosine to the nearest example", rankers[0][1]),
            ("cosine to the mean of the examples", by_similarity(lambda near: near.mean(axis=1))),
        ]
    for C in (0.01, 0.1, 1.0):  # noqa: N806
        svm = ExemplarSVM(C).fit(rows)
        rankers.append((f"exemplar SVM, C = {C}", lambda query, most, svm=svm: svm.rank(query, most).indices))
    ridge = ExemplarSVM(0.1, loss="squared").fit(rows)
    rankers.append(("ridge, C = 0.1", lambda query, most: ridge.rank(query, most).indices))
    table = []
    for title, order in rankers:
        precision, average = [], []
        for query in asked:
            relevant = int(counts[numbers[query[0]]]) - examples
            hit = numbers[order(query, max(10, relevant))] == numbers[query[0]]
            precision.append(hit[:10].mean())
            first = hit[:relevant]
            average.append((np.cumsum(first) / np.arange(1, len(first) + 1) * first).sum() / relevant)
        row = {"data": name, "n": len(rows), "dim": rows.shape[1], "examples": examples, "ranking": title}
        table.append({**row, "queries": n_queries, "precision@10": float(np.mean(precision))})
        table[-1]["MAP@R"] = float(np.mean(average))
        table[-1]["precision_error"] = float(np.std(precision) / np.sqrt(n_queries))
        print(table[-1], flush=True)
    return table


def read(path: str, field: str, n: int) -> np.ndarray:
    """The labels of a data set."""
    labels = np.array([str(row[field]) for _, row in read_rows(path)])
    assert len(labels) == n, (path, len(labels), n)
    return labels


def main() -> None:
    """Measures, prints, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--quality", nargs="*", metavar="NAME=EMB.npy:DATA:FIELD")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--examples", type=int, nargs="*", default=[1, 10], help="so many rows of a class a query")
    asked = parser.parse_args()
    if asked.speed:
        (RESULTS / "exemplar-speed.json").write_text(json.dumps(speed(), indent=1) + "\n")
    if asked.quality is not None:
        from sklearn.datasets import load_digits

        digits = load_digits()
        sets = [("digits, pixels", digits.data, digits.target)]
        for one in asked.quality:
            name, _, places = one.partition("=")
            embeddings, data, field = places.rsplit(":", 2)
            vectors = np.load(embeddings)
            sets.append((name, vectors, read(data, field, len(vectors))))
        table = [row for one in sets for examples in asked.examples for row in quality(*one, asked.queries, examples)]
        (RESULTS / "exemplar-quality.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    environment.clear()
    main()

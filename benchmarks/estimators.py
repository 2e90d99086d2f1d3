"""The estimators beside scikit-learn's, in one run on the same data; and label errors planted and found.

python -m benchmarks.estimators                          MNIST, and clusters in 384 dimensions; a few minutes
python -m benchmarks.estimators --embeddings a.npy       the outlier factor on up to 50,000 rows of these instead
python -m benchmarks.estimators --labelled a.npy a.jsonl:label
                                                         label errors also in these
"""

import argparse
import gzip
import json
import os
import platform
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import sklearn
from benchmarks import environment
from benchmarks.measuring import timed
from benchmarks.sets import _ArraysOnly
from sklearn import neighbors as theirs
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from vicinal import estimators as ours
from vicinal import neighbors
from vicinal.analysis.label_review import label_errors
from vicinal.data.labels import read_labels
from vicinal.knn.kernels.native import isas
from vicinal.typing import MetricName

RESULT = Path(__file__).parent / "results" / "estimators" / "results.json"
SEED = 20_26
NOISE = 0.05


def mnist() -> tuple[np.ndarray, np.ndarray]:
    """The 70,000 digits, float32 (70000, 784), values 0 to 1, and what they show."""
    found = find_spec("mnist")
    path = Path(next(iter((found and found.submodule_search_locations) or ["absent"]))) / "data" / "mnist.pkl.gz"
    with gzip.open(path) as stream:
        parts = _ArraysOnly(stream, encoding="latin1").load()
    vectors = np.concatenate([part[0] for part in parts]).astype(np.float32)
    return vectors, np.concatenate([part[1] for part in parts])


def beside(work: str, one: Any, other: Any, turns: int) -> dict[str, Any]:
    """Medians of seconds, and of CPU seconds of all threads, of ours and of scikit-learn's; with their answers.

    The two take turns, ours first and last. CPU seconds hardly change where other work shares the machine.
    """
    taken: dict[str, list[float]] = {name: [] for name in ("ours_s", "ours_cpu_s", "theirs_s", "theirs_cpu_s")}
    answers: list[Any] = [None, None]
    for turn in range(2 * turns + 1):
        who = turn % 2
        before = time.process_time()
        seconds, answers[who] = timed((one, other)[who])
        for name, value in (("s", seconds), ("cpu_s", time.process_time() - before)):
            taken[f"{('ours', 'theirs')[who]}_{name}"].append(value)
    medians = {name: median(values) for name, values in taken.items()}
    row: dict[str, Any] = {"work": work} | {name: round(value, 3) for name, value in medians.items()}
    row["times_faster"] = round(medians["theirs_s"] / medians["ours_s"], 1)
    row["times_less_cpu"] = round(medians["theirs_cpu_s"] / medians["ours_cpu_s"], 1)
    print(row, flush=True)
    return {**row, "answers": tuple(answers)}


def predicting(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Predict 10,000 x 784 against 60,000 rows, k = 5, by brute force; fitting is not counted, as it is done once."""
    models = [kind.KNeighborsClassifier(algorithm="brute").fit(x[:60_000], y[:60_000]) for kind in (ours, theirs)]
    asked = x[60_000:]
    work = "predict 10,000 x 784 against 60,000"
    row = beside(work, lambda: models[0].predict(asked), lambda: models[1].predict(asked), 2)
    one, other = row.pop("answers")
    return {**row, "differ": int((one != other).sum()), "accuracy": round(float((one == y[60_000:]).mean()), 4)}


def outlying(x: np.ndarray) -> dict[str, Any]:
    """LocalOutlierFactor().fit on up to 50,000 rows."""
    rows = np.ascontiguousarray(x[:50_000], dtype=np.float32)
    work = f"LocalOutlierFactor {len(rows):,} x {rows.shape[1]}"
    row = beside(work, lambda: ours.LocalOutlierFactor().fit(rows), lambda: theirs.LocalOutlierFactor().fit(rows), 2)
    one, other = (model.negative_outlier_factor_ for model in row.pop("answers"))
    return {**row, "largest_difference": float(np.abs(one / other - 1).max())}


def choosing(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Choose k among 30 on 10,000 x 784: leave-one-out from one pass, and five folds of a grid search."""
    x, y, ks = x[:10_000], y[:10_000], range(1, 31)
    row = beside(
        "choose k among 30 on 10,000 x 784",
        lambda: ours.KNeighborsClassifierCV(ks=ks, weights="uniform").fit(x, y),
        lambda: GridSearchCV(theirs.KNeighborsClassifier(), {"n_neighbors": list(ks)}, cv=5).fit(x, y),
        1,
    )
    one, grid = row.pop("answers")
    alone = theirs.KNeighborsClassifier(one.n_neighbors_).fit(x, y)
    row |= {"k": one.n_neighbors_, "leave_one_out": one.best_score_}
    row |= {"grid_k": grid.best_params_["n_neighbors"], "five_folds": grid.best_score_}
    return {**row, "leave_one_out_of_theirs": float((alone.predict(None) == y).mean())}


def planted(name: str, x: np.ndarray, y: np.ndarray, metric: MetricName) -> dict[str, Any]:
    """Label 5 % of the rows wrongly, at random, and look for them."""
    random = np.random.default_rng(SEED)
    classes = int(y.max()) + 1
    wrong = np.zeros(len(y), dtype=bool)
    wrong[random.choice(len(y), int(NOISE * len(y)), replace=False)] = True
    noisy = np.where(wrong, (y + random.integers(1, classes, len(y))) % classes, y)
    found = label_errors(neighbors(x, 30, metric), noisy, classes, 30)
    hit = wrong[found.rows]
    row = {"data": name, "rows": len(y), "classes": classes, "planted": int(wrong.sum()), "flagged": len(found)}
    row |= {"precision": round(float(hit.mean()), 3), "recall": round(float(hit.sum() / wrong.sum()), 3)}
    row |= {"precision_of_first_100": round(float(hit[:100].mean()), 3)}
    right = (found.suggested == y[found.rows])[hit].mean()
    print(row | {"suggested_right": round(float(right), 3)}, flush=True)
    return row | {"suggested_right": round(float(right), 3)}


def main() -> None:
    """Runs everything and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--labelled", nargs=2, action="append", default=[], metavar=("NPY", "FILE:FIELD"))
    parser.add_argument("--works", nargs="*", default=["speed", "errors"], choices=["speed", "errors"])
    asked = parser.parse_args()
    x, y = mnist()
    random = np.random.default_rng(SEED)
    rows = random.normal(size=(1000, 384))[random.integers(0, 1000, 50_000)] + random.normal(size=(50_000, 384))
    if asked.embeddings is not None:
        rows = np.load(asked.embeddings)
    warnings.filterwarnings("ignore", message="Duplicate values")  # of the outlier factor; both say so
    told: dict[str, Any] = {"cpu": cpu(), "isa": isas()[0], "cores": len(os.sched_getaffinity(0))}
    told |= {"python": platform.python_version(), "scikit_learn": sklearn.__version__, "numpy": np.__version__}
    if "speed" in asked.works:
        told["speed"] = [predicting(x, y), outlying(rows), choosing(x, y)]
    if "errors" in asked.works:
        digits = load_digits()
        told["errors"] = [planted("digits", digits.data, digits.target, "euclidean")]
        told["errors"].append(planted("MNIST", x[:20_000], y[:20_000], "euclidean"))
        for path, spec in asked.labelled:
            vectors = np.load(path)
            labels = read_labels(spec, "--labelled", len(vectors), path)
            told["errors"].append(planted(Path(path).stem, vectors, labels.codes, "cosine"))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {}
    RESULT.write_text(json.dumps({**before, **told}, indent=1) + "\n", encoding="utf-8")


def cpu() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    environment.clear()
    main()

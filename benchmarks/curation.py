"""The curation loop end to end, on labels that are known: noisy judges stand in for experts, a linear model learns.

    python -m benchmarks.curation

Data: the WordNet glosses of examples/, person against the rest. The model begins with 40 rows whose labels are drawn by
a judge; each round adds the train rows that both judges agree on, and labels everything again. A judge gives the true
label with probability 0.95, and always the same one for a row. Beside it the same number of rows drawn at random.
The kappa of the table is the model's with the true labels of all other rows: what the loop itself cannot see.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import vicinal
from vicinal.analysis.agreement import cohen_kappa

FOLDER = Path(__file__).parent.parent / "examples" / "wordnet"
START, COUNT, ROUNDS, SEEDS, ERROR = 40, 25, 6, 5, 0.05


def labels_of(vectors: np.ndarray, rows: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The labels of all rows by a linear model that learned from some."""
    model = LogisticRegression(C=10, class_weight="balanced", max_iter=1000)
    return np.asarray(model.fit(vectors[rows], given).predict(vectors))


def truly(found: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Kappa with the truth on the rows that the model did not learn from."""
    others = np.setdiff1d(np.arange(len(truth)), known)
    return cohen_kappa(found[others], truth[others]).value


def one_run(vectors: np.ndarray, truth: np.ndarray, seed: int) -> list[tuple[int, float, float, float, float]]:
    """Rows labelled, then the true kappa of the loop's model and of random rows', the kappas that the loop sees."""
    random = np.random.default_rng(seed)
    judges = [np.where(random.random(len(truth)) < ERROR, 1 - truth, truth) for _ in range(2)]
    experts = [dict(enumerate(judge.tolist())) for judge in judges]
    order = random.permutation(len(truth))
    start = order[:START]
    model, lines = labels_of(vectors, start, judges[0][start]), []
    plain = model
    with tempfile.TemporaryDirectory() as folder:
        asked = 0
        for turn in range(ROUNDS + 1):
            found = vicinal.curate(
                vectors, labels=model.tolist(), state=f"{folder}/s", experts=experts if turn else None, count=COUNT,
                patience=ROUNDS + 1,
            )  # fmt: skip
            rows = np.concatenate([start, np.array(found.train.ids, dtype=int)])
            given = np.concatenate([judges[0][start], np.array(found.train["label"], dtype=int)])
            if turn:
                model = labels_of(vectors, rows, given)
                drawn = order[: START + asked]
                agreed = drawn[(judges[0][drawn] == judges[1][drawn]) | (np.arange(len(drawn)) < START)]
                plain = labels_of(vectors, agreed, judges[0][agreed])
                seen = found.rounds[-1]
                curve = (truly(model, truth, rows), truly(plain, truth, agreed))
                lines.append((asked, *curve, seen.model, seen.experts))
            else:
                lines.append((0, truly(model, truth, rows), truly(plain, truth, rows), float("nan"), float("nan")))
            asked += len(found.to_label)
            if found.stop:
                break
    return lines


def main() -> None:
    """Print the curve, the mean and the standard error over seeds."""
    lines = (FOLDER / "glosses.jsonl").read_text(encoding="utf-8").splitlines()
    truth = np.array([json.loads(line)["label"] == "noun.person" for line in lines]).astype(int)
    vectors = np.load(FOLDER / "embeddings.npy").astype(np.float32)
    runs = [one_run(vectors, truth, seed) for seed in range(SEEDS)]
    print(
        "| rows labelled | kappa, curated | kappa, random rows | seen: model | seen: experts |\n|---|---|---|---|---|"
    )
    for turn in range(max(map(len, runs))):
        part = np.array([run[turn] for run in runs if len(run) > turn])
        mean, error = part.mean(axis=0), part.std(axis=0, ddof=1) / len(part) ** 0.5 if len(part) > 1 else part[0] * 0
        cells = " | ".join(f"{mean[i]:.3f} +- {error[i]:.3f}" for i in range(1, 5))
        print(f"| {mean[0]:.0f} ({len(part)} runs) | {cells} |", flush=True)


if __name__ == "__main__":
    main()

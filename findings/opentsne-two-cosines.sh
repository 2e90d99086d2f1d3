#!/usr/bin/env bash
# openTSNE's metric="cosine" is another distance from 1,000 rows on, and a row becomes its own neighbour among copies.
#
# Versions:  openTSNE 1.0.4, scikit-learn 1.9.1, numpy 2.4.6
# Expected:  TSNE(metric="cosine") and its affinities compare rows by one distance, 1 - cos, and neighbours are other rows,
#            however many rows there are; the method that is chosen for them changes the time.
# Behaviour: below 1,000 rows scikit-learn finds the neighbours, and the distance is 1 - cos. From 1,000 on it is Annoy, whose
#            "angular" distance is the root of 2 (1 - cos). The affinities are made of the squares, so that one more row gives
#            another embedding of all the others, and a bandwidth or a threshold that fits the one does not fit the other.
#            The first neighbour that Annoy gives is taken for the row itself and dropped: of rows that occur four times, it
#            is a copy for three of four, which then have themselves as a neighbour, with a weight.
# Output seen (the distance from row 0 to its nearest row by the index that "auto" chooses, over 1 - cos, and over the root of
# 2 (1 - cos); rows that are among their own neighbours where each row occurs four times):
#   999 rows: Sklearn, 1.0 and 0.2; 0 are their own neighbours
#   1000 rows: Annoy, 4.93 and 1.0; 750 are their own neighbours
# So neighbours are found beforehand, without the row itself, and given as PrecomputedNeighbors.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "openTSNE==1.0.4" "scikit-learn==1.9.1" "numpy==2.4.6"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from openTSNE.affinity import PerplexityBasedNN

random = np.random.default_rng(0)
rows = random.normal(size=(1000, 8))
unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)


def index_of(data: np.ndarray):
    made = PerplexityBasedNN(data, perplexity=10, metric="cosine", n_jobs=1, random_state=0).knn_index
    return type(made)(data, k=5, metric="cosine", n_jobs=1, random_state=0)


def described(n: int) -> str:
    index = index_of(rows[:n])
    indices, distances = index.build()
    cosine = 1 - float(unit[0] @ unit[indices[0, 0]])
    ratios = [round(float(distances[0, 0]) / one, 2) for one in (cosine, (2 * cosine) ** 0.5)]
    copies, _ = index_of(np.repeat(rows[:250], 4, axis=0)[:n]).build()
    own = int((copies == np.arange(n)[:, None]).any(axis=1).sum())
    return f"{n} rows: {type(index).__name__}, {ratios[0]} and {ratios[1]}; {own} are their own neighbours"


seen = [described(999), described(1000)]
print("\n".join(seen))
expected = [
    "999 rows: Sklearn, 1.0 and 0.2; 0 are their own neighbours",
    "1000 rows: Annoy, 4.93 and 1.0; 750 are their own neighbours",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

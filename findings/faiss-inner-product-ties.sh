#!/usr/bin/env bash
# faiss lists equal inner products with the highest row first, and equal Euclidean distances with the lowest first.
#
# Versions:  faiss-cpu 1.15.1, numpy 2.4.6
# Expected:  of rows that are exactly as near, the same ones are kept and in the same order whichever metric ranks them: unit
#            rows have the same neighbours by L2 and by inner product.
# Behaviour: five unit rows, stored four times over: row 0 is found as 0, 5, 10, 15 by L2 and as 15, 10, 5, 0 by inner product;
#            with k = 1 inner product gives 0. So whoever drops the first column as the row itself drops a copy instead.
# Output seen:
#   L2, k = 4:            [0, 5, 10, 15]
#   inner product, k = 4: [15, 10, 5, 0]
#   L2, k = 2:            [0, 5]
#   inner product, k = 2: [5, 0]
#   inner product, k = 1: [0]
# So a row is left out of its own result by its number, never by its place.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "faiss-cpu==1.15.1" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import faiss
import numpy as np

rows = np.tile(np.eye(5, 8, dtype=np.float32), (4, 1))  # rows i, i + 5, i + 10, i + 15 are equal, of length 1


def first(metric: int, k: int) -> list[int]:
    return faiss.knn(rows, rows, k, metric=metric)[1][0].tolist()


seen = [
    f"L2, k = 4:            {first(faiss.METRIC_L2, 4)}",
    f"inner product, k = 4: {first(faiss.METRIC_INNER_PRODUCT, 4)}",
    f"L2, k = 2:            {first(faiss.METRIC_L2, 2)}",
    f"inner product, k = 2: {first(faiss.METRIC_INNER_PRODUCT, 2)}",
    f"inner product, k = 1: {first(faiss.METRIC_INNER_PRODUCT, 1)}",
]
print("\n".join(seen))
expected = [
    "L2, k = 4:            [0, 5, 10, 15]",
    "inner product, k = 4: [15, 10, 5, 0]",
    "L2, k = 2:            [0, 5]",
    "inner product, k = 2: [5, 0]",
    "inner product, k = 1: [0]",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

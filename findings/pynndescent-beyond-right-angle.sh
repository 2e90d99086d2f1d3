#!/usr/bin/env bash
# PyNNDescent gives every row beyond a right angle the cosine distance 1, so that its neighbours there are arbitrary ones.
#
# Versions:  pynndescent 0.7.0, numpy 2.4.6
# Expected:  metric="cosine" is 1 - cos, between 0 and 2, and metric="inner_product" minus the inner product; the k nearest
#            of a query are the k nearest by it, but for the few that an approximate search misses.
# Behaviour: the search ranks by the logarithm of the cosine or of the product, which a negative one does not have: all rows
#            beyond a right angle are equally far. Their distance comes back as 1, or as 0 of inner_product, and which of
#            them are found has nothing to do with their angle. An outlier, whose neighbours all lie there, gets distance 1
#            and chance neighbours, and a threshold between 1 and 2 never applies.
# Output seen (2,000 rows on one side of the origin, 50 queries; the share of the ten nearest that is found, the distances
# that come back, and the least true distance of the rows that are found):
#   cosine, same side: 1.00 found, 0.00 to 0.10, true from 0.00
#   cosine, other side: 0.06 found, 1.00 to 1.00, true from 1.23
#   inner_product, same side: 0.98 found, -56.86 to -21.11, true from -56.86
#   inner_product, other side: 0.04 found, 0.00 to 0.00, true from 7.41
# So whoever needs rows beyond a right angle normalizes them and takes metric="euclidean".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pynndescent==0.7.0" "numpy==2.4.6"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from pynndescent import NNDescent

random = np.random.default_rng(0)
rows = random.normal(size=(2000, 8)).astype(np.float32)
rows[:, 0] = np.abs(rows[:, 0]) + 4
near = random.normal(size=(50, 8)).astype(np.float32)
near[:, 0] += 5
far = near - np.float32([10, 0, 0, 0, 0, 0, 0, 0])


def described(index: NNDescent, metric: str, queries: np.ndarray) -> tuple[float, float, float, float]:
    """The share that is found, the least and greatest distance that comes back, and the least true one."""
    products = queries.astype(float) @ rows.T.astype(float)
    lengths = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(rows, axis=1)
    true = 1 - products / lengths if metric == "cosine" else -products
    indices, distances = index.query(queries, k=10, epsilon=0.3)
    nearest = np.argsort(true, axis=1)[:, :10]
    share = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(indices, nearest)])
    return share, distances.min(), distances.max(), np.take_along_axis(true, indices, axis=1).min()


results = {}
for metric in ("cosine", "inner_product"):
    index = NNDescent(rows, metric=metric, random_state=0)
    for side, queries in (("same", near), ("other", far)):
        results[metric, side] = described(index, metric, queries)
for (metric, side), (share, least, greatest, true) in results.items():
    print(f"{metric}, {side} side: {share:.2f} found, {least:.2f} to {greatest:.2f}, true from {true:.2f}")
same = all(results[metric, "same"][0] > 0.9 for metric in ("cosine", "inner_product"))
other = all(results[metric, "other"][0] < 0.3 for metric in ("cosine", "inner_product"))
equal = results["cosine", "other"][1:3] == (1, 1) and results["inner_product", "other"][1:3] == (0, 0)
apart = results["cosine", "other"][3] > 1.1 and results["inner_product", "other"][3] > 5
raise SystemExit(0 if same and other and equal and apart else "the behaviour has changed")
PYTHON

#!/usr/bin/env bash
# SciPy's distance functions of two uint8 or int8 vectors wrap around; cdist of the same vectors is right.
#
# Versions:  scipy 1.17.1, numpy 2.4.6
# Expected:  distance.euclidean(u, v) is cdist([u], [v])[0, 0] and the root of distance.sqeuclidean(u, v), whatever type
#            the numbers of SIFT descriptors, of pixels or of int8 embeddings have; or such types are refused.
# Behaviour: cdist and pdist compare float64. Of the functions of two vectors, euclidean, minkowski, cityblock, chebyshev
#            and cosine subtract and multiply bytes as they are, modulo 256, without an error or a warning: from 200 to 250
#            the distance is 206, and from 250 to 200 it is 50. sqeuclidean casts, and is right. canberra of int8 comes out
#            below 0 where a coordinate is -128, whose absolute value is -128 in int8.
# Output seen (the last lines: of 100 rows of 128 bytes, searched by themselves with noise, the ones that are found by the
# function of two vectors and by cdist):
#   uint8: euclidean(200, 250) 206.0, euclidean(250, 200) 50.0, sqeuclidean(200, 250) 2500.0
#   int8: euclidean(-128, 127) 1.0, sqeuclidean(-128, 127) 65025.0, canberra(-128, 1) -1.02
#   uint8, euclidean: 0 and 100
#   uint8, cityblock: 7 and 100
#   uint8, sqeuclidean: 100 and 100
# So bytes are cast before they are handed to these functions, or two vectors are compared by cdist.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "scipy==1.17.1" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from scipy.spatial import distance


def found(name: str) -> str:
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (100, 128)).astype(np.uint8)
    queries = np.clip(rows + random.normal(scale=30, size=rows.shape), 0, 255).astype(np.uint8)
    one = np.array([[getattr(distance, name)(query, row) for row in rows] for query in queries])
    both = distance.cdist(queries, rows, name)
    hits = [int((found.argmin(axis=1) == np.arange(100)).sum()) for found in (one, both)]
    return f"uint8, {name}: {hits[0]} and {hits[1]}"


u, v = np.array([200], np.uint8), np.array([250], np.uint8)
a, b, c = (np.array([value], np.int8) for value in (-128, 127, 1))
seen = [
    f"uint8: euclidean(200, 250) {distance.euclidean(u, v)}, euclidean(250, 200) {distance.euclidean(v, u)}, "
    f"sqeuclidean(200, 250) {float(distance.sqeuclidean(u, v))}",
    f"int8: euclidean(-128, 127) {distance.euclidean(a, b)}, sqeuclidean(-128, 127) {float(distance.sqeuclidean(a, b))}, "
    f"canberra(-128, 1) {distance.canberra(a, c):.2f}",
    found("euclidean"),
    found("cityblock"),
    found("sqeuclidean"),
]
print("\n".join(seen))
expected = [
    "uint8: euclidean(200, 250) 206.0, euclidean(250, 200) 50.0, sqeuclidean(200, 250) 2500.0",
    "int8: euclidean(-128, 127) 1.0, sqeuclidean(-128, 127) 65025.0, canberra(-128, 1) -1.02",
    "uint8, euclidean: 0 and 100",
    "uint8, cityblock: 7 and 100",
    "uint8, sqeuclidean: 100 and 100",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

#!/usr/bin/env bash
# scikit-learn's normalize turns float16 rows longer than 256 into zeros, and leaves rows shorter than 0.0098 as they are.
#
# Versions:  scikit-learn 1.9.1, numpy 2.4.6
# Expected:  normalize(rows) and Normalizer give rows of length 1 for every type that they take; cosine_similarity, which
#            normalizes by the same function, is right for the same rows.
# Behaviour: float16 is the one type that normalize neither refuses nor casts, and it sums the squares in it. The sum
#            overflows above 65,504, a length of 256, which hidden states of language models exceed: each coordinate is
#            divided by infinity. A length below ten times the type's epsilon counts as that of a zero row. Neither says so.
#            cosine_similarity casts to float64 first.
# Output seen (one direction of 768 coordinates; the length after normalize of float16 and of float32, and the cosine of
# the row to itself):
#   length 0.009: 0.009, 1, 1
#   length 1: 1, 1, 1
#   length 250: 1, 1, 1
#   length 300: 0, 1, 1
# So half precision is cast to float32 before rows are normalized.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "scikit-learn==1.9.1" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import normalize

direction = np.random.default_rng(0).normal(size=(1, 768))
direction /= np.linalg.norm(direction)


def described(length: float) -> str:
    row = (length * direction).astype(np.float16)
    lengths = [np.linalg.norm(normalize(row.astype(kind)).astype(float)) for kind in (np.float16, np.float32)]
    return f"length {length}: {', '.join(f'{float(one):.2g}' for one in (*lengths, cosine_similarity(row)[0, 0]))}"


seen = [described(length) for length in (0.009, 1, 250, 300)]
print("\n".join(seen))
expected = [
    "length 0.009: 0.009, 1, 1",
    "length 1: 1, 1, 1",
    "length 250: 1, 1, 1",
    "length 300: 0, 1, 1",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

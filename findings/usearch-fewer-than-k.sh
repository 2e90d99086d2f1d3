#!/usr/bin/env bash
# A batch search of usearch for more rows than are stored fills its keys up with 0, which is a stored key.
#
# Versions:  usearch 2.26.6, numpy 2.4.6
# Expected:  places that no row fills are marked by a key that cannot be one (faiss: -1), or the array is shorter, as
#            the answer to a single query is.
# Behaviour: matches.keys of a batch has k columns. Beyond the stored rows it holds 0, the number of the first row, so
#            code that reads keys alone finds row 0 again and again; only matches.counts says where to stop. A batch of
#            one query is answered as a single one, without the first axis.
# Output seen:
#   one query:            [10, 11, 12]
#   a batch of two:       [10, 11, 12, 0, 0], counts [3, 3]
#   key 0 is stored, too: [0, 1, 2, 0, 0], counts [3, 3]
#   a batch of one:       keys of shape (3,), as of one query
# So answers of usearch are cut to counts before they are compared.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "usearch==2.26.6" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from usearch.index import Index

rows = np.arange(3, dtype=np.float32)[:, None] * np.ones(4, dtype=np.float32)


def index(start: int) -> Index:
    made = Index(ndim=4, metric="l2sq", dtype="f32")
    made.add(np.arange(start, start + 3), rows)
    return made


one, batch = index(10).search(rows[0], 5), index(10).search(rows[:2], 5)
zero, short = index(0).search(rows[:2], 5), index(0).search(rows[:1], 5)
seen = [
    f"one query:            {one.keys.tolist()}",
    f"a batch of two:       {batch.keys[0].tolist()}, counts {batch.counts.tolist()}",
    f"key 0 is stored, too: {zero.keys[0].tolist()}, counts {zero.counts.tolist()}",
    f"a batch of one:       keys of shape {short.keys.shape}, as of one query",
]
print("\n".join(seen))
expected = [
    "one query:            [10, 11, 12]",
    "a batch of two:       [10, 11, 12, 0, 0], counts [3, 3]",
    "key 0 is stored, too: [0, 1, 2, 0, 0], counts [3, 3]",
    "a batch of one:       keys of shape (3,), as of one query",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

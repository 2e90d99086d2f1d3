#!/usr/bin/env bash
# An index of usearch takes uint8 vectors as packed bits and int8 vectors as 127ths, whatever its own dtype is.
#
# Versions:  usearch 2.26.6, numpy 2.4.6
# Expected:  index.add of uint8 or int8 rows to an index of float32 stores these numbers, as it does with float64 rows; or
#            it refuses them, as it does with int32 and uint16.
# Behaviour: of a uint8 row of 8 numbers, the eight bits of the first are stored and the other seven numbers are dropped,
#            without an error or a warning: SIFT and other sets of bytes (.u8bin, .bvecs) are searched by an eighth of their
#            data. An int8 row is divided by 127. The exhaustive search() of the same uint8 rows gives distances NaN.
# Output seen:
#   stored as float32: [16, 56, 213, 125, 74, 111, 249, 250]
#   stored as float64: [16, 56, 213, 125, 74, 111, 249, 250]
#   stored as uint8:   [0, 0, 0, 1, 0, 0, 0, 0]
#   stored as int8:    [0.1259843, 0.4409449]
#   as int32:          ValueError
#   search(), uint8:   [nan]
# So bytes are made float32 before usearch takes them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "usearch==2.26.6" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
from usearch.index import Index, MetricKind, search

row = np.array([16, 56, 213, 125, 74, 111, 249, 250])


def stored(values: np.ndarray) -> list[float]:
    index = Index(ndim=values.size, metric="l2sq", dtype="f32")
    index.add(np.array([7]), values[None])
    return index[7].tolist()


seen = [
    f"stored as float32: {[int(one) for one in stored(row.astype(np.float32))]}",
    f"stored as float64: {[int(one) for one in stored(row.astype(np.float64))]}",
    f"stored as uint8:   {[int(one) for one in stored(row.astype(np.uint8))]}",
    f"stored as int8:    {[round(one, 7) for one in stored(row[:2].astype(np.int8))]}",
]
try:
    seen.append(f"as int32:          {stored(row.astype(np.int32))}")
except ValueError as error:
    seen.append(f"as int32:          {type(error).__name__}")
rows = row[None].astype(np.uint8)
seen.append(f"search(), uint8:   {search(rows, rows, 1, MetricKind.L2sq, exact=True).distances.ravel().tolist()}")
print("\n".join(seen))
expected = [
    "stored as float32: [16, 56, 213, 125, 74, 111, 249, 250]",
    "stored as float64: [16, 56, 213, 125, 74, 111, 249, 250]",
    "stored as uint8:   [0, 0, 0, 1, 0, 0, 0, 0]",
    "stored as int8:    [0.1259843, 0.4409449]",
    "as int32:          ValueError",
    "search(), uint8:   [nan]",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

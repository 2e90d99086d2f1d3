#!/usr/bin/env bash
# Voyager's E4M3 has no number between .0068 and .0156, and does not keep the order of what lies there.
#
# Versions:  voyager 2.2.3, ml_dtypes 0.6.0, numpy 2.4.6
# Expected:  StorageDataType.E4M3 keeps the numbers of the 8-bit format of that name: steps of 2^-9 from 0 to 2^-6, so that
#            a number of the format comes back as it was, and any other number with an error of at most half a step.
# Behaviour: the steps below 2^-6 are 2^-10, and there are seven of them, up to 7/1024. What lies between 7.5/1024 and
#            11.5/1024 becomes 7/1024 or 16/1024 by turns, so that of two numbers the smaller one may come back as the
#            larger. Unit vectors get worse with their dim, because their coordinates get smaller: at 1,536 the error is 9 %
#            of the length, and 3 % in the format itself; at 3,072 it is 13 % and 3 %.
# Output seen:
#   of the format's 127 numbers from 0 to 448, others come back for: 8/1024 10/1024 12/1024 14/1024
#   7.2 7.7 8.2 8.7 9.2 9.7 10.2 10.7 11.2 11.7 of 1024 come back as: 7 16 7 16 7 16 7 16 7 16
#   error of a unit vector of 384:   voyager .04, the format .03
#   error of a unit vector of 1536:  voyager .09, the format .03
#   error of a unit vector of 3072:  voyager .13, the format .03
# So Voyager's Float8 (127ths) is the better byte for unit vectors, and E4M3 for coordinates above .02.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    "voyager==2.2.3" "ml_dtypes==0.6.0" "numpy==2.4.6"
cd "$folder"
venv/bin/python - <<'PYTHON'
import ml_dtypes
import numpy as np
from voyager import Index, Space, StorageDataType


def stored(values: np.ndarray) -> np.ndarray:
    index = Index(Space.Euclidean, len(values), storage_data_type=StorageDataType.E4M3)
    index.add_items(values[None])
    return index.get_vector(0)


def short(number: float) -> str:
    return f"{number:.2f}".lstrip("0")


numbers = np.arange(127, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
between = [7.2, 7.7, 8.2, 8.7, 9.2, 9.7, 10.2, 10.7, 11.2, 11.7]
back = stored(np.array(between, np.float32) / 1024)
others = numbers[stored(numbers) != numbers]
seen = [
    f"of the format's {len(numbers)} numbers from 0 to {numbers.max():.0f}, others come back for: "
    + " ".join(f"{number * 1024:.0f}/1024" for number in others),
    f"{' '.join(map(str, between))} of 1024 come back as: {' '.join(f'{number * 1024:.0f}' for number in back)}",
]
for dim in (384, 1536, 3072):
    vector = np.random.default_rng(0).normal(size=dim)
    vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    error = np.linalg.norm(stored(vector) - vector)
    least = np.linalg.norm(vector.astype(ml_dtypes.float8_e4m3fn).astype(np.float32) - vector)
    seen.append(f"error of a unit vector of {f'{dim}:':6} voyager {short(error)}, the format {short(least)}")
print("\n".join(seen))
expected = [
    "of the format's 127 numbers from 0 to 448, others come back for: 8/1024 10/1024 12/1024 14/1024",
    "7.2 7.7 8.2 8.7 9.2 9.7 10.2 10.7 11.2 11.7 of 1024 come back as: 7 16 7 16 7 16 7 16 7 16",
    "error of a unit vector of 384:   voyager .04, the format .03",
    "error of a unit vector of 1536:  voyager .09, the format .03",
    "error of a unit vector of 3072:  voyager .13, the format .03",
]
raise SystemExit(0 if seen == expected else "the behaviour has changed")
PYTHON

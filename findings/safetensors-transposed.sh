#!/usr/bin/env bash
# safetensors writes the numbers of a transposed NumPy array in the wrong order, without an error.
#
# Versions:  safetensors 0.8.0, numpy 2.4.6
# Expected:  save_file and save of any NumPy array keep its values, as numpy.save does; or they refuse an array that is not
#            C-contiguous, as safetensors.torch does.
# Behaviour: of an array in Fortran order the memory is written as it lies, under the array's own shape: a (3, 2) array comes
#            back with its numbers shuffled. Transposes are such arrays, and so are numpy.asfortranarray, the columns that
#            pandas' to_numpy() gives, and embeddings that were computed as (dim, n). numpy.save keeps the order beside the
#            values.
# Output seen:
#   given:             [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   numpy.save:        [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   safetensors:       [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
#   ascontiguousarray: [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
#   DataFrame:         [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
# So arrays go through numpy.ascontiguousarray before safetensors takes them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "safetensors==0.8.0" "numpy==2.4.6" "pandas==3.1.1"
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

given = np.arange(6, dtype=np.float32).reshape(2, 3).T


def back(array: np.ndarray) -> list[list[float]]:
    save_file({"e": array}, "e.safetensors")
    return load_file("e.safetensors")["e"].tolist()


np.save("e.npy", given)
frame = pd.DataFrame({"x": given[:, 0], "y": given[:, 1]})
seen = [
    f"given:             {given.tolist()}",
    f"numpy.save:        {np.load('e.npy').tolist()}",
    f"safetensors:       {back(given)}",
    f"ascontiguousarray: {back(np.ascontiguousarray(given))}",
    f"DataFrame:         {back(frame.to_numpy())}",
]
print("\n".join(seen))
right, wrong = [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]], [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
expected = [right, right, wrong, right, wrong]
raise SystemExit(0 if [one[19:] for one in seen] == [str(one) for one in expected] else "the behaviour has changed")
PYTHON

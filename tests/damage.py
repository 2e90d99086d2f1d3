"""Load damaged index folders one by one and print the outcome of each; runs in a process of its own."""

import sys

import numpy as np

from vicinal.errors import DataError
from vicinal.indexes import load_index as load

for folder in sys.argv[1:]:
    try:
        index = load(folder, threads=1)
        found = index.search(index.vectors[: min(3, len(index.vectors))], 5)
        assert np.isfinite(found.distances[found.indices >= 0]).all()
        print("loaded", flush=True)
    except DataError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        print(f"refused {error}", flush=True)

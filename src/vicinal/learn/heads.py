"""Heads: small maps from embeddings to learned embeddings, kept as plain arrays and applied without torch.

A head gives A x + b, and for a small network also C relu(H x + h), scaled to length 1 where it was learned so. A folder
holds one head, or the two of a joint space, each array as a `.npy` with its checksum in the manifest.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import __version__
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.metrics import find
from vicinal.knn.vectors import BLOCK_BYTES, as_vectors, invalid_rows, refuse_invalid
from vicinal.storage import atomic, manifests, npy
from vicinal.storage.manifests import FolderKind

HEAD = FolderKind("vicinal.head", 1, "a head", "vicinal learn", "learn again")
KINDS = {"linear": ("A", "b"), "mlp": ("A", "b", "H", "h", "C")}


@dataclass(frozen=True, eq=False)
class Head:
    """A learned map.

    arrays    : float32: A (dim_out, dim_in), b (dim_out,); of a small network also H (hidden, dim_in), h (hidden,) and
                C (dim_out, hidden)
    normalize : whether what comes out has length 1
    name      : which tower of a joint space it is
    """

    arrays: dict[str, np.ndarray]
    normalize: bool = True
    name: str = "head"

    def __post_init__(self) -> None:
        if tuple(self.arrays) not in KINDS.values():
            raise DataError(f"a head has the arrays {' or '.join(map(str, KINDS.values()))}, found {list(self.arrays)}")
        out, dim = self.arrays["A"].shape
        shapes = {"A": (out, dim), "b": (out,)}
        if "H" in self.arrays:
            hidden = len(self.arrays["H"])
            shapes |= {"H": (hidden, dim), "h": (hidden,), "C": (out, hidden)}
        for name, array in self.arrays.items():
            if array.shape != shapes[name] or array.dtype != np.float32 or not np.isfinite(array).all():
                raise DataError(f"{name}: expected finite float32 {shapes[name]}, found {array.dtype} {array.shape}")

    @property
    def kind(self) -> str:
        """linear or mlp."""
        return "mlp" if "H" in self.arrays else "linear"

    @property
    def dim_in(self) -> int:
        """How many coordinates it takes."""
        return self.arrays["A"].shape[1]

    @property
    def dim_out(self) -> int:
        """How many coordinates it gives."""
        return self.arrays["A"].shape[0]

    def apply(self, vectors: object, name: str = "vectors") -> np.ndarray:
        """The learned embedding of each row, float32 (n, dim_out).

        Raises    DataError where the dims differ, or a row is NaN or infinite; `name` says whose they are.

        >>> Head({"A": np.float32([[0, 2]]), "b": np.float32([1])}, normalize=False).apply([[5.0, 3.0]]).tolist()
        [[7.0]]
        """
        rows = self.check(vectors, name)
        out = np.empty((len(rows), self.dim_out), dtype=np.float32)
        for start in range(0, len(rows), self.step):
            out[start : start + self.step] = self.block(rows[start : start + self.step])
        return out

    def check(self, vectors: object, name: str = "vectors") -> np.ndarray:
        """The rows as an array, where the head can be applied to all of them."""
        rows = as_vectors(vectors, name, at_least=0)
        if rows.shape[1] != self.dim_in:
            raise DataError(f"{name}: found dim {rows.shape[1]}, but the {self.name} was learned on dim {self.dim_in}")
        refuse_invalid(invalid_rows(rows, find("euclidean")), range(len(rows)), name, remedy="")
        return rows

    @property
    def step(self) -> int:
        """Rows at a time."""
        return max(1, BLOCK_BYTES // (4 * max(self.dim_in, self.dim_out, len(self.arrays.get("H", ())))))

    def block(self, rows: np.ndarray) -> np.ndarray:
        """The learned embedding of a few rows that were checked."""
        a = self.arrays
        x = np.asarray(rows, dtype=np.float32)
        z = x @ a["A"].T + a["b"]
        if "H" in a:
            z += np.maximum(x @ a["H"].T + a["h"], 0) @ a["C"].T
        return unit(z) if self.normalize else z


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32, however long or short they were; rows of zeros stay.

    >>> (5 * unit(np.float32([[3e30, 4e30], [0, 0]]))).round(3).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """
    z = np.asarray(rows, dtype=np.float32)
    largest = np.abs(z).max(axis=1, keepdims=True, initial=0)
    largest[largest == 0] = 1
    z = np.divide(z, largest)  # no square overflows
    length = np.sqrt((z * z).sum(axis=1, keepdims=True))
    length[length == 0] = 1
    return np.divide(z, length)


@dataclass(frozen=True)
class Heads:
    """The heads of a folder: one, or two towers; and what is known of how they were learned."""

    towers: tuple[Head, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Writes the folder, whole or not at all."""
        with atomic.whole_folder(folder, overwrite) as part:
            arrays = {f"{head.name}.{name}": array for head in self.towers for name, array in head.arrays.items()}
            fields = {
                "vicinal": __version__,
                "towers": [
                    {"name": one.name, "kind": one.kind, "normalize": one.normalize, "dim": [one.dim_in, one.dim_out]}
                    for one in self.towers
                ],
                "about": self.about,
            }
            manifests.write(part, HEAD, fields, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> "Heads":
        """What `save` wrote; checksums are verified first.

        Raises    DataError, naming the file, where the folder is none of ours, of a newer format, or damaged
        """
        manifest = manifests.read(folder, HEAD)
        try:
            towers = []
            for one in manifest.field("towers", list):
                arrays = {name: np.array(manifest.array(f"{one['name']}.{name}")) for name in KINDS[one["kind"]]}
                towers.append(Head(arrays, bool(one["normalize"]), one["name"]))
            return cls(tuple(towers), manifest.field("about", dict))
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(f"{manifest.file}: damaged ({type(error).__name__}: {error}); {HEAD.remedy}") from None

    def tower(self, name: str | None, folder: str | Path) -> Head:
        """The head of this name; the only one where there is one.

        Raises    UsageError, naming the towers, where there are two and none is named
        """
        names = [one.name for one in self.towers]
        if name is None and len(names) == 1:
            return self.towers[0]
        if name is None:
            raise UsageError(f"{folder}: holds the towers {' and '.join(names)}; name one with --tower")
        if name not in names:
            raise UsageError(f"{folder}: {unknown('tower', name, names)}")
        return self.towers[names.index(name)]


def apply_to_file(
    folder: str | Path,
    embeddings: str | Path,
    output: str | Path,
    tower: str | None = None,
    dtype: str = "float32",
    overwrite: bool = False,
) -> tuple[int, int]:
    """Applies a head to a `.npy`, block by block; the output appears whole or not at all.

    Returns   how many rows of how many coordinates were written
    Raises    as `Heads.load`, `Heads.tower` and `Head.apply`
    """
    output = Path(output)
    if output.suffix != ".npy":
        raise UsageError(f"{output}: expected a name that ends in .npy")
    atomic.check_file(output, overwrite)
    head = Heads.load(folder).tower(tower, folder)
    rows = head.check(npy.load_npy(embeddings), str(embeddings))
    shape = (len(rows), head.dim_out)
    with atomic.whole_file(output, overwrite) as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), head.step):
            with np.errstate(over="ignore", invalid="ignore"):
                block = head.block(rows[start : start + head.step]).astype(dtype)
            wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(wrong):
                raise DataError(
                    f"{embeddings}: row {start + wrong[0]}: what the head gives is too large for {dtype}; "
                    + ("use --dtype float32" if dtype == "float16" else "its values are far beyond those learned from")
                )
            file.write(block.tobytes())
    return shape

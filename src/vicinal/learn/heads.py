"""Heads: maps from embeddings to learned embeddings, stored as plain arrays and applied without torch.

A head computes A x + b; a small network adds C relu(H x + h). The result is scaled to length 1 where the head was
trained so. A folder holds one head, or the two heads of a joint space: each array is a `.npy` file whose checksum is in
the manifest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vicinal import __version__
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.blocks import blocks
from vicinal.knn.metrics import find
from vicinal.knn.vectors import BLOCK_BYTES, as_vectors, invalid_rows, refuse_invalid
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind

HeadKind = Literal["linear", "mlp"]

HEAD = FolderKind("vicinal.head", 1, "a head", "vicinal learn", "learn again")
KINDS: dict[HeadKind, tuple[str, ...]] = {"linear": ("A", "b"), "mlp": ("A", "b", "H", "h", "C")}


TOWER = {"name": str, "kind": str, "normalize": bool}


@dataclass(frozen=True, eq=False)
class Head:
    """A learned map of embeddings.

    Parameters
    ----------
    arrays : dict of str to ndarray of float32
        A (dim_out, dim_in) and b (dim_out,); for a small network also H (hidden, dim_in), h (hidden,) and
        C (dim_out, hidden).
    normalize : bool
        Whether the result is scaled to length 1.
    name : str
        Which of the two heads of a joint space it is.

    Raises
    ------
    DataError
        Where the arrays have other names, shapes or dtypes, or are not finite.
    """

    arrays: dict[str, NDArray[np.float32]]
    normalize: bool = True
    name: str = "head"

    def __post_init__(self) -> None:
        if tuple(self.arrays) not in KINDS.values():
            raise DataError(f"a head has the arrays {' or '.join(map(str, KINDS.values()))}, found {list(self.arrays)}")
        out, dim = self.arrays["A"].shape
        shapes: dict[str, tuple[int, ...]] = {"A": (out, dim), "b": (out,)}
        if "H" in self.arrays:
            hidden = len(self.arrays["H"])
            shapes |= {"H": (hidden, dim), "h": (hidden,), "C": (out, hidden)}
        for name, array in self.arrays.items():
            if array.shape != shapes[name] or array.dtype != np.float32 or not np.isfinite(array).all():
                raise DataError(f"{name}: expected finite float32 {shapes[name]}, found {array.dtype} {array.shape}")

    def __repr__(self) -> str:
        return f"Head({self.name!r}, {self.kind}, {self.dim_in} -> {self.dim_out}, normalize={self.normalize})"

    @property
    def kind(self) -> HeadKind:
        """Either "linear" or "mlp"."""
        return "mlp" if "H" in self.arrays else "linear"

    @property
    def dim_in(self) -> int:
        """The dimension of the embeddings that it takes."""
        return int(self.arrays["A"].shape[1])

    @property
    def dim_out(self) -> int:
        """The dimension of the embeddings that it returns."""
        return int(self.arrays["A"].shape[0])

    def apply(self, vectors: ArrayLike, name: str = "vectors") -> NDArray[np.float32]:
        """Return the learned embedding of each row.

        Parameters
        ----------
        vectors : array_like, shape (n, dim_in)
        name : str
            What an error calls them.

        Returns
        -------
        ndarray of float32, shape (n, dim_out)

        Raises
        ------
        DataError
            Where the dimension differs, or a row holds NaN or infinity.

        Examples
        --------
        >>> Head({"A": np.float32([[0, 2]]), "b": np.float32([1])}, normalize=False).apply([[5.0, 3.0]]).tolist()
        [[7.0]]
        """
        rows = self.check(vectors, name)
        out = np.empty((len(rows), self.dim_out), dtype=np.float32)
        for start, block in self.blocks(rows):
            out[start : start + len(block)] = block
        return out

    def check(self, vectors: ArrayLike, name: str = "vectors") -> NDArray[Any]:
        """Return the rows as an array, or raise DataError where the head cannot be applied to all of them."""
        rows = as_vectors(vectors, name, at_least=0)
        self.check_dim(rows, name)
        refuse_invalid(invalid_rows(rows, find("euclidean")), range(len(rows)), name, remedy="")
        return rows

    def check_dim(self, rows: NDArray[Any], name: str) -> None:
        """Raise DataError where rows have another dim than those that the head was learned on."""
        if rows.shape[1] != self.dim_in:
            raise DataError(
                f"{name}: found dim {rows.shape[1]}, but the {self.name} was learned on dim {self.dim_in}; give "
                "embeddings of the same model"
            )

    def blocks(self, rows: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the learned embeddings of checked rows block by block, each with the number of its first row."""
        a = self.arrays
        widest = max(self.dim_in, self.dim_out, len(a.get("H", ())))
        for block in blocks(len(rows), BLOCK_BYTES // (4 * widest)):
            x = np.asarray(rows[block], dtype=np.float32)
            z = x @ a["A"].T + a["b"]
            if "H" in a:
                z += np.maximum(x @ a["H"].T + a["h"], 0) @ a["C"].T
            yield block.start, unit(z) if self.normalize else z


def unit(rows: ArrayLike) -> NDArray[np.float32]:
    """Return the rows scaled to length 1, in float32; rows of zeros are returned as they are.

    Very long and very short rows are scaled without overflow or underflow.

    Examples
    --------
    >>> (5 * unit(np.float32([[3e30, 4e30], [0, 0]]))).round(3).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """
    z = np.asarray(rows, dtype=np.float32)
    largest = np.abs(z).max(axis=1, keepdims=True, initial=0)
    largest[largest == 0] = 1
    z = np.divide(z, largest)  # no square overflows
    length = np.sqrt((z * z).sum(axis=1, keepdims=True))
    length[length == 0] = 1
    scaled: NDArray[np.float32] = np.divide(z, length)
    return scaled


@dataclass(frozen=True)
class Heads:
    """The heads of a folder, and the settings and figures of their training.

    Parameters
    ----------
    towers : tuple of Head
        One head, or the two heads of a joint space.
    about : dict
        Anything that JSON can hold.
    """

    towers: tuple[Head, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the folder; it appears complete or not at all.

        Raises
        ------
        UsageError
            Where the folder exists and `overwrite` is false, or holds files that vicinal did not write.
        """
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
        """Read a folder that `save` wrote; the checksums are verified first.

        Raises
        ------
        DataError
            Where the folder has another format or a newer version, or is damaged; the message names the file.
        """
        manifest = manifests.read(folder, HEAD)
        try:
            towers = []
            for one in manifest.record("towers", [TOWER]):
                if one["kind"] not in KINDS or one["name"] in (".", "..") or set("/\\\0") & set(one["name"]):
                    raise HEAD.refusal(manifest.file, f": towers: found {one['kind']!r} named {one['name']!r}")
                arrays = {name: np.array(manifest.array(f"{one['name']}.{name}")) for name in KINDS[one["kind"]]}
                towers.append(Head(arrays, bool(one["normalize"]), one["name"]))
            if not towers:
                raise HEAD.refusal(manifest.file, ": towers: found none")
            return cls(tuple(towers), manifest.field("about", dict))
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(f"{manifest.file}: damaged ({type(error).__name__}: {error}); {HEAD.remedy}") from None

    def tower(self, name: str | None = None, folder: str | Path | None = None) -> Head:
        """Return the head of a name; None is the only head.

        Parameters
        ----------
        name : str, optional
        folder : str or Path, optional
            What an error calls them.

        Raises
        ------
        UsageError
            Where there are two heads and no name is given, or no head has the name; the message lists the names.
        """
        names = [one.name for one in self.towers]
        where = f"{folder}: " if folder is not None else ""
        if name is None and len(names) == 1:
            return self.towers[0]
        if name is None:
            raise UsageError(
                f"{where}holds the towers {' and '.join(names)}; choose one with --tower "
                f"(in Python: tower={names[0]!r})"
            )
        if name not in names:
            raise UsageError(f"{where}{unknown('tower', name, names)}")
        return self.towers[names.index(name)]

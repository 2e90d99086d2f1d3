"""The one result that everything else is arithmetic on: for each row, its nearest rows and how far they are."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vicinal import files
from vicinal.errors import DataError, UsageError

FORMAT, FORMAT_VERSION = "vicinal.neighbors", 1


@dataclass(frozen=True, eq=False)
class Neighbors:
    """The k nearest stored rows of each row, nearest first.

    indices   : int64 (n, k), row numbers from 0; -1 where fewer than k rows were there
    distances : float32 (n, k), ascending, in the metric's unit; inf where the index is -1
    metric    : the name of the metric, where it is known
    order     : by (distance, row number); both arrays are read-only
    Raises    DataError where the shapes differ or are not 2-D.

    >>> Neighbors([[1, 2]], [[0.5, 1.0]]).nearest(1).indices
    array([[1]])
    """

    indices: np.ndarray
    distances: np.ndarray
    metric: str | None = None

    def __post_init__(self) -> None:
        indices = np.ascontiguousarray(self.indices, dtype=np.int64)
        with np.errstate(over="ignore"):  # a distance beyond float32 is inf
            distances = np.ascontiguousarray(self.distances, dtype=np.float32)
        if indices.ndim != 2 or indices.shape != distances.shape:
            raise DataError(
                f"neighbours need two 2-D arrays of one shape, found indices {indices.shape} and "
                f"distances {distances.shape}"
            )
        for name, array in (("indices", indices), ("distances", distances)):
            view = array.view()
            view.setflags(write=False)
            object.__setattr__(self, name, view)

    @property
    def k(self) -> int:
        """How many neighbours each row has a place for."""
        return self.indices.shape[1]

    def __len__(self) -> int:
        return self.indices.shape[0]

    def __repr__(self) -> str:
        return f"Neighbors(n={len(self)}, k={self.k}, metric={self.metric!r})"

    def nearest(self, k: int) -> "Neighbors":
        """The first k of each row's neighbours; no new pass is needed for a smaller k.

        Raises    UsageError where k is not within 1 to this result's own k.
        """
        if not 1 <= k <= self.k:
            raise UsageError(f"k = {k} neighbours were asked of a result that holds {self.k} a row")
        return Neighbors(self.indices[:, :k], self.distances[:, :k], self.metric)

    def merge(self, *others: "Neighbors", k: int | None = None) -> "Neighbors":
        """The k nearest of this and other results for the same rows, e.g. from the parts of a stored set.

        A row that several results name is kept once, at the smallest of its distances. k defaults to the largest k.

        Raises    DataError where the numbers of rows or the metrics differ.
        """
        results: Sequence[Neighbors] = (self, *others)
        if len({len(result) for result in results}) > 1 or len({result.metric for result in results}) > 1:
            raise DataError(f"only results for the same rows and metric can be merged, found {list(results)}")
        k = max(result.k for result in results) if k is None else k
        indices = np.concatenate([result.indices for result in results], axis=1)
        distances = np.concatenate([result.distances for result in results], axis=1)
        # A row named twice: all but its nearest mention become empty places, which sort to the end.
        order = np.lexsort((distances, indices))
        indices, distances = _take(indices, order), _take(distances, order)
        again = np.zeros(indices.shape, dtype=bool)
        again[:, 1:] = indices[:, 1:] == indices[:, :-1]
        indices = np.where(again | (indices < 0), -1, indices)
        distances = np.where(indices < 0, np.float32(np.inf), distances)
        order = np.lexsort((np.where(indices < 0, np.iinfo(np.int64).max, indices), distances))[:, :k]
        return Neighbors(_take(indices, order), _take(distances, order), self.metric)

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Writes a folder with a JSON manifest and two plain `.npy` files; it appears whole or not at all.

        Raises    UsageError where the folder exists and `overwrite` is false.
        """
        with files.whole_folder(folder, overwrite) as part:
            manifest = {
                "format": FORMAT,
                "format_version": FORMAT_VERSION,
                "metric": self.metric,
                "n": len(self),
                "k": self.k,
                "parts": files.save_arrays(part, {"indices": self.indices, "distances": self.distances}),
            }
            (part / files.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> "Neighbors":
        """The result that `save` wrote; its checksums are verified before an array is parsed.

        Raises    DataError, naming the file, where the folder is not one of ours, is of a newer format, or is damaged.
        """
        folder = Path(folder)
        manifest = _manifest(folder / files.MANIFEST)
        arrays = {}
        for name in ("indices", "distances"):
            file = folder / f"{name}.npy"
            part = manifest["parts"][file.name]
            if not file.is_file():
                raise DataError(f"{file}: missing; the folder is not whole: save the neighbours again")
            if files.sha256(file) != part["sha256"]:
                raise DataError(f"{file}: damaged: its checksum is not the manifest's; save the neighbours again")
            arrays[name] = files.load_npy(file)
        shape = (manifest["n"], manifest["k"])
        if arrays["indices"].shape != shape:
            raise DataError(f"{folder}: the manifest says shape {shape}, the arrays {arrays['indices'].shape}")
        return cls(arrays["indices"], arrays["distances"], manifest["metric"])


def _take(array: np.ndarray, order: np.ndarray) -> np.ndarray:
    return np.take_along_axis(array, order, axis=1)


def _manifest(file: Path) -> dict:
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT
        version = manifest["format_version"]
        whole = (
            known
            and {"metric", "n", "k"} <= manifest.keys()
            and {"indices.npy", "distances.npy"} <= set(manifest["parts"])
        )
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}); expected a folder written by `vicinal neighbors`"
        ) from None
    except (ValueError, KeyError, TypeError):
        known, version, whole = False, None, False
    if known and version != FORMAT_VERSION:
        raise DataError(f"{file}: format version {version!r}, this vicinal reads {FORMAT_VERSION}: update vicinal")
    if not whole:
        raise DataError(f"{file}: not a manifest of saved neighbours; expected a folder of `vicinal neighbors`")
    return manifest

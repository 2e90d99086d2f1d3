"""An index as a folder: a manifest, plain `.npy` arrays, and the engine's own file.

    manifest.json    format version, type, metric, n, dim, dtype, parameters; of each part its SHA-256 and size
    vectors.npy      the vectors as they were given (not of an index of codes alone)
    removed.npy      which rows are removed or invalid, where any are
    first.npy, members.npy, starts.npy    which rows are copies of which, where the engine needs to know
    ids.json         the user's ids, where there are any
    payload.arrow    the columns, where there are any
    engine.faiss     or engine.annoy, where the engine is not built again on load

Every checksum is verified before any parser sees a byte, nothing is unpickled, and no parser may make an array larger
than its file. The folder is written beside its name and swapped in by a rename.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, UsageError, VicinalError, some, unknown
from vicinal.indexes.contract import Index
from vicinal.indexes.payload import Ids
from vicinal.knn.copies import Copies
from vicinal.knn.metrics import BY_NAME
from vicinal.knn.vectors import invalid_rows
from vicinal.storage import atomic, manifests, npy

FORMAT, FORMAT_VERSION = "vicinal.index", 1
PARTS = {
    "vectors.npy",
    "removed.npy",
    "first.npy",
    "members.npy",
    "starts.npy",
    "centre.npy",
    "ids.json",
    "payload.arrow",
    "engine.faiss",
    "engine.annoy",
}


def save(index: Index, folder: str | Path, overwrite: bool = False) -> None:
    """Writes an index; the folder appears whole or not at all.

    Raises    UsageError where it exists and `overwrite` is false, or its metric is not one of the table's
    """
    stored = index.vectors
    if index.metric.name not in BY_NAME:
        raise UsageError(
            f"an index of the metric {index.metric.name} is not saved: save it of whitened vectors instead"
        )
    with atomic.whole_folder(folder, overwrite) as part:
        arrays: dict[str, np.ndarray] = {}
        if isinstance(stored, np.ndarray):
            arrays["vectors"] = np.ascontiguousarray(stored)
        if index._dead is not None and index._dead.any():
            arrays["removed"] = index._dead
        if index._copies is not None and (index._copies.any or len(index._copies.first) < index.n_rows):
            for name in ("first", "members", "starts"):
                arrays[name] = getattr(index._copies, name)
        if index._centre is not None:
            arrays["centre"] = index._centre
        parts = manifests.save_arrays(part, arrays)
        if index.ids.given:
            names = index.ids.of(np.arange(index.n_rows))
            (part / "ids.json").write_text(json.dumps(names), encoding="ascii")
        if index.payload is not None:
            _write_payload(part / "payload.arrow", index.payload)
        if len(index):
            index._write(part)
        for file in sorted(part.iterdir()):
            entry = parts.setdefault(file.name, {"sha256": manifests.sha256(file)})
            entry["bytes"] = file.stat().st_size
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "type": index.name,
            "metric": index.metric.name,
            "n": index.n_rows,
            "live": len(index),
            "dim": index.dim,
            "dtype": str(stored.dtype),
            "parameters": index.settings,
            "invalid": {str(row): reason for row, reason in index.invalid.items()},
            "error": getattr(index, "error", None),
            "scale": index._scale,
            "embedding": index.embedding,
            "parts": parts,
        }
        (part / manifests.MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _write_payload(file: Path, table: Any) -> None:
    import pyarrow

    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of an index, looked at but for the parts that it names.

    Raises    DataError, naming the file, where it is none of ours, of a newer format, or names what it cannot
    """
    from vicinal.indexes import INDEXES

    file = Path(folder) / manifests.MANIFEST
    manifest = manifests.read_manifest(folder, FORMAT, FORMAT_VERSION, "an index", "vicinal index build")
    kinds = {kind.name: kind for kind in INDEXES}
    if manifest.get("type") not in kinds:
        raise DataError(f"{file}: {unknown('type', manifest.get('type'), kinds)}")
    if manifest.get("metric") not in BY_NAME:
        raise DataError(f"{file}: {unknown('metric', manifest.get('metric'), BY_NAME)}")
    whole = all(type(manifest.get(name)) is int and manifest[name] >= 0 for name in ("n", "live", "dim"))
    whole = whole and isinstance(manifest.get("parameters"), dict) and isinstance(manifest.get("parts"), dict)
    whole = whole and all(
        name in PARTS
        and isinstance(part, dict)
        and isinstance(part.get("sha256"), str)
        and type(part.get("bytes")) is int
        for name, part in manifest["parts"].items()
    )
    if not whole or not manifest["live"] <= manifest["n"]:
        raise DataError(f"{file}: damaged: its counts, parameters or parts are not what an index has; build it again")
    return manifest


def load_index(folder: str | Path, threads: int | None = None, kind: type[Index] = Index) -> Index:
    """The index of a folder.

    kind     : the type that is expected; Index for any
    Raises   DataError, naming the file, where the folder is another type's, of a newer format, not whole, or damaged
    """
    from vicinal.indexes import INDEXES

    folder = Path(folder)
    manifest = read_manifest(folder)
    (found,) = [one for one in INDEXES if one.name == manifest["type"]]
    if not issubclass(found, kind):
        raise DataError(
            f"{folder}: found an index of type {found.name}, expected {kind.name}; use {found.__name__}.load"
        )
    parts = {name: folder / name for name in manifest["parts"]}
    for name, path in parts.items():
        if not path.is_file():
            raise DataError(f"{path}: missing; the folder is not whole: build the index again")
        if (
            path.stat().st_size != manifest["parts"][name]["bytes"]
            or manifests.sha256(path) != manifest["parts"][name]["sha256"]
        ):
            raise DataError(f"{path}: damaged: its checksum is not the manifest's; build the index again")
    try:
        index = found(metric=manifest["metric"], threads=threads, **manifest["parameters"])
        _fill(index, manifest, parts, folder)
    except VicinalError as error:
        raise error if isinstance(error, DataError) else DataError(f"{folder}: {error}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, MemoryError, OverflowError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{folder}: not a whole index ({type(error).__name__}: {reason}); build it again") from None
    return index


def _fill(index: Index, manifest: dict[str, Any], parts: dict[str, Path], folder: Path) -> None:
    n, dim = manifest["n"], manifest["dim"]
    arrays = {path.stem: npy.load_npy(path) for path in parts.values() if path.suffix == ".npy"}

    def array(name: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
        found = arrays[name]
        if (
            found.dtype.kind not in kind
            or len(found.shape) != len(shape)
            or any(want not in (None, have) for have, want in zip(found.shape, shape, strict=True))
        ):
            raise DataError(f"{parts[f'{name}.npy']}: found {found.dtype} of shape {found.shape}, expected {shape}")
        return found

    index._n = n
    if "vectors" in arrays:
        index._store = index._as_rows(array("vectors", "fiu", (n, dim)), str(parts["vectors.npy"]), at_least=0)
    index._dead = array("removed", "b", (n,)).copy() if "removed" in arrays else None
    index._centre = array("centre", "f", (dim,)).copy() if "centre" in arrays else None
    index._scale = manifest.get("scale", 1.0)  # not in the folders of the first releases
    if type(index._scale) is not float or not 0 < index._scale < np.inf:
        raise DataError(f"{folder}: scale: expected a number above 0, found {index._scale!r}; build the index again")
    index.invalid = {int(row): str(reason) for row, reason in manifest.get("invalid", {}).items()}
    if len(index) != manifest["live"]:
        raise DataError(f"{folder}: found {len(index)} live rows, the manifest says {manifest['live']}; build it again")
    index.embedding = manifest.get("embedding")
    if not isinstance(index.embedding, dict | None):
        raise DataError(f"{folder}: embedding: expected the name of a model; build the index again")
    if "vectors" in arrays:
        wrong = [row for row in invalid_rows(index._store, index.metric) if index._dead is None or not index._dead[row]]
        if wrong:
            raise DataError(f"{parts['vectors.npy']}: damaged: rows that cannot be used: {some(wrong)}; build it again")
    if "ids.json" in parts:
        names = json.loads(parts["ids.json"].read_text(encoding="ascii"))
        if not isinstance(names, list) or len(names) != n:
            raise DataError(f"{parts['ids.json']}: expected {n} ids; build the index again")
        index._ids = Ids(names, index._dead)
    else:
        index._ids = Ids(n)
    if "payload.arrow" in parts:
        index.payload = _payload(parts["payload.arrow"], n)
    if "first" in arrays:
        first, members, starts = (array(name, "i", (None,)).astype(np.int64) for name in ("first", "members", "starts"))
        if not _fits(first, members, starts, n):
            raise DataError(f"{folder}: its table of copies does not fit {n} rows; build the index again")
        group = np.repeat(np.arange(len(first)), np.diff(starts))
        copies = Copies(first, group, members, starts)
    else:
        rows = np.arange(n)
        copies = Copies(rows, rows, rows, np.arange(n + 1))
    index._restore(copies, parts, manifest)


def _fits(first: np.ndarray, members: np.ndarray, starts: np.ndarray, n: int) -> bool:
    if len(starts) != len(first) + 1 or starts[0] != 0 or starts[-1] != len(members) or (np.diff(starts) < 1).any():
        return False
    if not len(members):
        return True
    inside = members.min() >= 0 and members.max() < n and len(np.unique(members)) == len(members)
    return bool(inside and (np.diff(first) > 0).all() and (members[starts[:-1]] == first).all())


def _payload(file: Path, n: int) -> Any:
    import pyarrow

    try:
        with pyarrow.memory_map(str(file)) as source:
            table = pyarrow.ipc.open_file(source).read_all()
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, MemoryError) as error:
        raise DataError(f"{file}: not a readable table ({error}); build the index again") from None
    if table.num_columns and table.num_rows != n:
        raise DataError(f"{file}: found {table.num_rows} rows, expected {n}; build the index again")
    return table

"""An index as a folder: a manifest, plain `.npy` arrays, and the engine's own file.

    manifest.json    format version, type, metric, n, dim, dtype, parameters; of each part its SHA-256 and size
    vectors.npy      the vectors as they were given (not of an index of codes alone)
    removed.npy      which rows are removed or invalid, where any are
    first.npy, members.npy, starts.npy    which rows are copies of which, where the engine needs to know
    centre.npy       what is subtracted from vectors before the engine sees them
    ids.json         the user's ids, where there are any
    payload.arrow    the columns, where there are any
    engine.faiss     or engine.annoy or engine.graph, where the engine is not built again on load

Every checksum is verified before a file is parsed, nothing is unpickled, and no parser may make an array larger than
its file. The folder is written beside its final name and renamed when it is complete.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, VicinalError, unknown
from vicinal.indexes.state import EngineState, IndexState
from vicinal.knn.copies import Copies
from vicinal.knn.metrics import BY_NAME
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind, Manifest
from vicinal.typing import Id, PathLike

INDEX = FolderKind("vicinal.index", 1, "an index", "vicinal index build", "build the index again")
ENGINE_FILES = ("engine.faiss", "engine.annoy", "engine.graph")
MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, MemoryError, OverflowError)
IDS, PAYLOAD = "ids.json", "payload.arrow"


def write(state: IndexState, folder: PathLike, overwrite: bool = False, loaded: str | None = None) -> str | None:
    """Write an index; the folder appears whole or not at all. Returns its identity.

    loaded : the identity of the folder that the index was loaded from, where it is this one

    Raises
    ------
    UsageError
        Where it exists and `overwrite` is false, or is no longer what was loaded.
    """
    copies, arrays = state.engine.copies, {}
    if state.vectors is not None:
        arrays["vectors"] = np.ascontiguousarray(state.vectors)
    if state.removed is not None and state.removed.any():
        arrays["removed"] = state.removed
    if copies is not None:
        arrays |= {"first": copies.first, "members": copies.members, "starts": copies.starts}
    if state.engine.centre is not None:
        arrays["centre"] = state.engine.centre
    fields = {
        "type": state.type,
        "metric": state.metric,
        "n": state.n,
        "live": state.n_live,
        "dim": state.dim,
        "dtype": state.dtype,
        "parameters": state.settings,
        "invalid": {str(row): reason for row, reason in state.invalid.items()},
        "error": state.engine.error,
        "scale": state.engine.scale,
        "embedding": state.embedding,
    }
    with atomic.whole_folder(folder, overwrite, loaded) as part:
        if state.ids is not None:
            (part / IDS).write_text(json.dumps(state.ids), encoding="ascii")
        if state.payload is not None:
            _write_payload(part / PAYLOAD, state.payload)
        if state.engine.write is not None:
            state.engine.write(part)
        manifests.write(part, INDEX, fields, arrays)
        written = manifests.identity(part)
    return written


def about(folder: PathLike) -> dict[str, Any]:
    """The description of an index in its manifest; the index itself is not read.

    Raises
    ------
    DataError
        As `read`, but for parts.
    """
    manifest = manifests.read(folder, INDEX)
    live, invalid = manifest.count("live"), manifest.field("invalid", dict, {})
    sizes = manifest.sizes()
    return {
        "type": manifest.field("type", str),
        "metric": manifest.field("metric", str),
        "rows": live,
        "dim": manifest.count("dim"),
        "dtype": manifest.field("dtype", str),
        "parameters": manifest.field("parameters", dict),
        "embedding": manifest.optional("embedding", dict),
        "error": manifest.optional("error", dict),
        "removed": manifest.count("n") - live - len(invalid),
        "invalid": len(invalid),
        "bytes": sum(sizes.values()),
        "bytes_a_row": round(sum(sizes.values()) / max(1, live), 1),
        "parts": sizes,
    }


def read(folder: PathLike) -> IndexState:
    """The state of an index that `write` wrote; arrays are memory-mapped.

    Raises
    ------
    DataError
        Naming the file, where the folder is no index, of a newer format, incomplete, or damaged.
    """
    manifest = manifests.read(folder, INDEX)
    metric = manifest.field("metric", str)
    if metric not in BY_NAME:
        raise DataError(f"{manifest.file}: {unknown('metric', metric, BY_NAME)}")
    n, dim, live = (manifest.count(name) for name in ("n", "dim", "live"))
    removed = manifest.array("removed", "b", (n,)).copy() if "removed.npy" in manifest.parts else None
    state = IndexState(
        type=manifest.field("type", str),
        metric=metric,
        settings=manifest.field("parameters", dict),
        n=n,
        dim=dim,
        dtype=manifest.field("dtype", str),
        vectors=manifest.array("vectors", "fiu", (n, dim)) if "vectors.npy" in manifest.parts else None,
        removed=removed,
        invalid=_invalid(manifest),
        ids=_ids(manifest, n) if IDS in manifest.parts else None,
        payload=_payload(manifest, n) if PAYLOAD in manifest.parts else None,
        embedding=manifest.optional("embedding", dict),
        engine=_engine(manifest, n, dim),
    )
    if state.n_live != live:
        raise DataError(f"{manifest.file}: found {state.n_live} live rows, the manifest says {live}; {INDEX.remedy}")
    return state


@contextmanager
def naming(folder: PathLike) -> Iterator[None]:
    """Turn every fault of a state that was read from a folder into a DataError that names the folder."""
    try:
        yield
    except VicinalError as error:
        raise DataError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from None
    except MALFORMED as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{folder}: not a complete index ({type(error).__name__}: {reason}); {INDEX.remedy}") from None


def _engine(manifest: Manifest, n: int, dim: int) -> EngineState:
    scale = manifest.field("scale", float, 1.0)  # folders of the first releases have none
    if not 0 < scale < np.inf:
        raise DataError(f"{manifest.file}: scale: expected a number above 0, found {scale!r}; {INDEX.remedy}")
    return EngineState(
        copies=_copies(manifest, n) if "first.npy" in manifest.parts else None,
        centre=manifest.array("centre", "f", (dim,)).copy() if "centre.npy" in manifest.parts else None,
        scale=scale,
        error=manifest.optional("error", dict),
        files={name: manifest.path(name) for name in ENGINE_FILES if name in manifest.parts},
    )


def _invalid(manifest: Manifest) -> dict[int, str]:
    reasons = manifest.field("invalid", dict, {})
    try:
        return {int(row): str(reason) for row, reason in reasons.items()}
    except ValueError:
        raise INDEX.refusal(manifest.file, ": invalid: expected reasons by row number") from None


def _copies(manifest: Manifest, n: int) -> Copies:
    first, members, starts = (
        manifest.array(name, "i", (None,)).astype(np.int64) for name in ("first", "members", "starts")
    )
    if not _fits(first, members, starts, n):
        raise DataError(f"{manifest.folder}: its table of copies does not fit {n} rows; {INDEX.remedy}")
    return Copies(first, np.repeat(np.arange(len(first)), np.diff(starts)), members, starts)


def _fits(first: np.ndarray, members: np.ndarray, starts: np.ndarray, n: int) -> bool:
    """Whether the groups hold different rows of n, the lowest first."""
    if len(starts) != len(first) + 1 or starts[0] != 0 or starts[-1] != len(members) or (np.diff(starts) < 1).any():
        return False
    if not len(members):
        return True
    inside = members.min() >= 0 and members.max() < n and len(np.unique(members)) == len(members)
    return bool(inside and (np.diff(first) > 0).all() and (members[starts[:-1]] == first).all())


def _ids(manifest: Manifest, n: int) -> list[Id]:
    path = manifest.path(IDS)
    try:
        names = json.loads(path.read_text(encoding="ascii"))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or len(names) != n:
        raise DataError(f"{path}: expected {n} ids; {INDEX.remedy}")
    return names


def _write_payload(file: Path, table: Any) -> None:
    import pyarrow

    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _payload(manifest: Manifest, n: int) -> Any:
    import pyarrow

    path = manifest.path(PAYLOAD)
    try:
        with pyarrow.memory_map(str(path)) as source:
            table = pyarrow.ipc.open_file(source).read_all()
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, MemoryError) as error:
        raise DataError(f"{path}: not a readable table ({error}); {INDEX.remedy}") from None
    if table.num_columns and table.num_rows != n:
        raise DataError(f"{path}: found {table.num_rows} rows, expected {n}; {INDEX.remedy}")
    return table

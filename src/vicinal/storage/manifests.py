"""The manifest of a saved folder: its format, its version, and the checksum of each part."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError

MANIFEST = "manifest.json"
MANIFEST_AT_MOST = 1 << 24  # bytes


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a manifest of ours, and besides it only parts that the manifest names."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known = {MANIFEST, *manifest["parts"]}
        return manifest["format"].startswith("vicinal.") and {file.name for file in folder.iterdir()} <= known
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_manifest(folder: str | Path, form: str, version: int, what: str, command: str) -> dict[str, Any]:
    """The manifest of a folder of ours, of that format and version; what else it must hold, its reader knows.

    what, command : what such a folder holds, and which command writes it
    Raises          DataError, naming the file, where it cannot be read, or is none of ours, or of another version
    """
    file = Path(folder) / MANIFEST
    try:
        if file.stat().st_size > MANIFEST_AT_MOST:
            raise DataError(f"{file}: {file.stat().st_size} bytes, expected at most {MANIFEST_AT_MOST}")
        manifest = json.loads(file.read_text(encoding="utf-8"))
        ours, found = manifest["format"] == form, manifest["format_version"]
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read ({error.strerror}); expected a folder written by `{command}`"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        ours, found = False, None
    if not ours:
        raise other_manifest(file, what, command)
    if found != version:
        raise DataError(f"{file}: format version {found!r}, this vicinal reads {version}: update vicinal")
    return manifest


def other_manifest(file: Path, what: str, command: str) -> DataError:
    """What to say of a manifest that is not what it should be."""
    return DataError(f"{file}: not a manifest of {what}; expected a folder of `{command}`")


def save_arrays(folder: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Writes each array as `<name>.npy` and gives the manifest's entry of each: sha256, shape, dtype."""
    parts = {}
    for name, array in arrays.items():
        file = folder / f"{name}.npy"
        np.save(file, array, allow_pickle=False)
        parts[file.name] = {"sha256": sha256(file), "shape": list(array.shape), "dtype": str(array.dtype)}
    return parts

"""The manifest of a saved folder: one writer and one reader for every kind of folder.

A folder holds `manifest.json` and its parts: arrays as `.npy`, and other files. The manifest names the format and its
version, the fields of its kind, and of each part the SHA-256, the size and, of an array, dtype and shape. The reader
verifies a part's checksum before anything parses the part, and gives fields and arrays only in the type and shape that
the caller expects.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vicinal.errors import DataError, VicinalError
from vicinal.storage import npy, space
from vicinal.typing import PathLike

MANIFEST = "manifest.json"
MANIFEST_AT_MOST = 1 << 24  # bytes
KINDS = {"f": "float", "i": "int", "u": "unsigned int", "b": "bool"}
FieldType = TypeVar("FieldType")


@dataclass(frozen=True)
class FolderKind:
    """One kind of saved folder.

    format, version : what its manifest says
    what            : what such a folder holds, for messages: "saved neighbours"
    command         : the command that writes one
    remedy          : what to do where a folder is damaged: "save the neighbours again"
    error           : the class of the errors
    """

    format: str
    version: int
    what: str
    command: str
    remedy: str
    error: type[VicinalError] = DataError

    def refusal(self, file: Path, why: str = "") -> VicinalError:
        """The error for a manifest of another kind, or whose fields are not those of this one."""
        return self.error(f"{file}: not a manifest of {self.what}{why}; expected a folder of `{self.command}`")


def sha256(path: PathLike) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(folder: PathLike) -> str | None:
    """The SHA-256 of a saved folder's manifest, which names the checksums of all else; None where there is none."""
    try:
        return sha256(Path(folder) / MANIFEST)
    except OSError:
        return None


def format_of(folder: PathLike) -> str | None:
    """The format that a saved folder's manifest names; None where there is no manifest that can be read."""
    file = Path(folder) / MANIFEST
    try:
        if not file.is_file() or file.stat().st_size > MANIFEST_AT_MOST:
            return None
        found = json.loads(file.read_text(encoding="utf-8"))["format"]
        return found if isinstance(found, str) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def is_ours(folder: Path) -> bool:
    """Whether a folder holds a manifest of vicinal, and besides it only parts that the manifest names."""
    try:
        if not (folder / MANIFEST).is_file():  # a pipe would be waited for
            return False
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known = {MANIFEST, *manifest["parts"]}
        return manifest["format"].startswith("vicinal.") and {file.name for file in folder.iterdir()} <= known
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def write(
    folder: Path, kind: FolderKind, fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write arrays as `<name>.npy`, and the manifest that names them and every other file of the folder.

    Parameters
    ----------
    folder : Path
        As `storage.atomic.whole_folder` gives it; files that are there already become parts.
    fields : mapping of str to JSON values
    arrays : mapping of str to ndarray
    """
    parts: dict[str, dict[str, Any]] = {}
    sizes = [np.asanyarray(array).nbytes for array in (arrays or {}).values()]
    space.require(folder, sum(sizes), max(sizes, default=0))
    for name, array in (arrays or {}).items():
        place = folder / f"{name}.npy"
        with space.naming(place, array.nbytes), open(place, "wb") as opened:
            npy.write_npy(opened, array)
        parts[f"{name}.npy"] = {"shape": list(array.shape), "dtype": str(array.dtype)}
    for file in sorted(folder.iterdir()):
        part = parts.setdefault(file.name, {})
        parts[file.name] = {"sha256": sha256(file), "bytes": file.stat().st_size, **part}
    manifest = {"format": kind.format, "format_version": kind.version, **fields, "parts": parts}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


class Manifest:
    """A folder's manifest, whose fields and parts are given in the types that the caller expects.

    Every fault is an error of the folder's kind that names the file and the remedy.
    """

    def __init__(self, folder: Path, kind: FolderKind, content: dict[str, Any]) -> None:
        self.folder, self.kind, self._content = folder, kind, content
        self._parts: dict[str, dict[str, Any]] = content["parts"]

    @property
    def file(self) -> Path:
        """The file of the manifest itself."""
        return self.folder / MANIFEST

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the files that the folder holds."""
        return tuple(self._parts)

    def sizes(self) -> dict[str, int]:
        """The size of each part in bytes."""
        return {name: (self.folder / name).stat().st_size for name in self._parts}

    def __contains__(self, name: str) -> bool:
        return name in self._content

    def field(self, name: str, kind: type[FieldType], *default: FieldType) -> FieldType:
        """A field of this type; the default, if one is given, where the manifest lacks it.

        bool is no int here, and null is no field.
        """
        value: Any = self._content.get(name)
        if value is None and default:
            return default[0]
        if kind is float and type(value) is int:
            value = float(value)  # JSON does not tell 1 from 1.0
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._wrong(name, kind.__name__)
        return value

    def _wrong(self, name: str, expected: str) -> VicinalError:
        found = repr(self._content[name])[:40] if name in self else "nothing"
        return self.kind.refusal(self.file, f": {name}: expected {expected}, found {found}")

    def record(self, name: str, form: Any) -> Any:
        """A field that holds lists and records, once every value in it has its type.

        form : a type; a tuple of types; a list of one form; or a dict of names and forms, of which none may be missing
        """
        self._check(self._content.get(name), form, name)
        return self._content[name]

    def _check(self, value: Any, form: Any, place: str) -> None:
        """Raise the error for a value whose type, or that of a value in it, is not that of the form."""
        kinds = form if isinstance(form, tuple) else (type(form) if isinstance(form, list | dict) else form,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise self.kind.refusal(self.file, f": {place}: expected {expected}, found {repr(value)[:40]}")
        if isinstance(form, list):
            for number, one in enumerate(value):
                self._check(one, form[0], f"{place}.{number}")
        if isinstance(form, dict):
            for key, inner in form.items():
                if key not in value:
                    raise self.kind.refusal(self.file, f": {place}.{key}: missing")
                self._check(value[key], inner, f"{place}.{key}")

    def optional(self, name: str, kind: type[FieldType]) -> FieldType | None:
        """A field of this type, or None where it is null or not there."""
        return None if self._content.get(name) is None else self.field(name, kind)

    def nullable(self, name: str, kind: type[FieldType]) -> FieldType | None:
        """A field of this type or null, which must be there."""
        if name not in self:
            raise self._wrong(name, f"{kind.__name__} or null")
        return self.optional(name, kind)

    def count(self, name: str) -> int:
        """A field that is a whole number of at least 0."""
        number = self.field(name, int)
        if number < 0:
            raise self._wrong(name, "a whole number of at least 0")
        return number

    def path(self, name: str, verify: bool = True) -> Path:
        """The path of a part, whose size and checksum are those of the manifest; they are not read without `verify`."""
        part, path = self._parts.get(name), self.folder / name
        if part is None:
            raise self.kind.refusal(self.file, f": it names no {name}")
        if path.exists() and not path.is_file():
            raise self.kind.error(f"{path}: no plain file, but a folder, a pipe or a device; {self.kind.remedy}")
        if not path.is_file():
            raise self.kind.error(f"{path}: missing; the folder is incomplete: {self.kind.remedy}")
        size = path.stat().st_size
        if verify and (part.get("bytes", size) != size or sha256(path) != part["sha256"]):
            raise self.kind.error(f"{path}: damaged: its checksum is not the manifest's; {self.kind.remedy}")
        return path

    def array(
        self,
        name: str,
        dtypes: str = "fiu",
        shape: tuple[int | None, ...] | None = None,
        verify: bool = True,
    ) -> np.ndarray:
        """The array of a part as a read-only memory map, once its checksum, dtype and shape are verified.

        Parameters
        ----------
        name : str
            Without the ending `.npy`.
        dtypes : str
            The kinds of dtype that are expected: f, i, u, b.
        shape : tuple
            None for a length that is not known; None for any shape.
        verify : bool
            Whether the checksum is compared; dtype and shape always are.
        """
        path = self.path(f"{name}.npy", verify)
        try:
            array = npy.load_npy(path)
        except DataError as error:
            raise self.kind.error(str(error)) from None
        wanted = array.shape if shape is None else shape
        if array.dtype.kind not in dtypes or len(array.shape) != len(wanted) or not _fits(array.shape, wanted):
            shown = ", ".join("any" if length is None else str(length) for length in wanted)
            kinds = " or ".join(KINDS[one] for one in dtypes)
            raise self.kind.error(
                f"{path}: found {array.dtype} of shape {array.shape}, expected {kinds} of shape ({shown}); "
                f"{self.kind.remedy}"
            )
        return array


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return all(want in (None, have) for have, want in zip(shape, wanted, strict=True))


def read(folder: PathLike, kind: FolderKind) -> Manifest:
    """The manifest of a folder of this kind.

    Raises
    ------
    VicinalError
        Of the kind's class, naming the file, where the manifest cannot be read, is of another kind or version, or names
        parts that are no plain files of the folder.
    """
    folder = Path(folder)
    file = folder / MANIFEST
    if file.exists() and not file.is_file():
        raise kind.error(f"{file}: no plain file, but a folder, a pipe or a device; {kind.remedy}")
    if file.exists() and (size := file.stat().st_size) > MANIFEST_AT_MOST:
        raise kind.error(f"{file}: {size} bytes, expected at most {MANIFEST_AT_MOST}; {kind.remedy}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        ours, version, parts = content["format"] == kind.format, content["format_version"], content["parts"]
    except OSError as error:
        raise kind.error(
            f"{file}: cannot be read ({error.strerror}); expected a folder written by `{kind.command}`"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise kind.refusal(file) from None
    if not ours:
        raise kind.refusal(file)
    if version != kind.version:
        raise kind.error(f"{file}: format version {version!r}, this vicinal reads {kind.version}: update vicinal")
    if not isinstance(parts, dict) or not all(_is_part(name, part) for name, part in parts.items()):
        raise kind.refusal(file, ": parts: expected file names, each with its sha256")
    return Manifest(folder, kind, content)


def _is_part(name: str, part: object) -> bool:
    """Whether a part is a plain file of the folder, with a checksum."""
    if name in ("", ".", "..", MANIFEST) or "/" in name or "\\" in name or "\0" in name or not isinstance(part, dict):
        return False
    return isinstance(part.get("sha256"), str) and type(part.get("bytes", 0)) is int

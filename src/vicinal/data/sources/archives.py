"""Files of named arrays: `.npz`, `.safetensors`, HDF5, zarr and the tensors of `.pt`."""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.sources.found import Found, chosen, copied
from vicinal.data.sources.plain import as_numbers
from vicinal.errors import DataError, VicinalError, need
from vicinal.indexes import annbenchmarks
from vicinal.knn import arrays
from vicinal.storage import npy

TENSORS = {  # of the format safetensors
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<V2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def read_npz(path: Path, key: str) -> Found:
    """One array of a `.npz`, mapped where it is stored without compression."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            name = chosen(path, key, {name: _shape_in(archive, path, one) for name, one in members.items()})
            place, member = f"{path}:{name}", members[name]
            if member.compress_type == zipfile.ZIP_STORED:
                array = npy.load_npy(path, _start_of(path, member), place)
                aligned = array.ctypes.data % max(1, array.dtype.alignment) == 0
                if not aligned:
                    copied(place, "its numbers do not begin at a multiple of their size", array.nbytes)
                return Found(as_numbers(array if aligned else np.array(array), place), name)
            copied(place, "it is compressed", member.file_size)
            with archive.open(member) as file:
                return Found(as_numbers(np.lib.format.read_array(file, allow_pickle=False), place), name)
    except VicinalError:
        raise
    # zlib's own errors of damaged data; RuntimeError of an encrypted member, NotImplementedError of a rare form
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, RuntimeError, zlib.error) as error:
        raise DataError(f"{path}: not a readable .npz archive: {error}") from None


def _shape_in(archive: zipfile.ZipFile, path: Path, member: zipfile.ZipInfo) -> str:
    with archive.open(member) as file:
        try:
            shape, _, dtype = npy.read_header(f"{path}:{member.filename}", file)
        except DataError:
            return "no array that can be read"
    return f"{dtype} {shape}"


def _start_of(path: Path, member: zipfile.ZipInfo) -> int:
    """The place of a stored member's first byte."""
    with open(path, "rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return int(member.header_offset + 30 + name + extra)


def read_safetensors(path: Path, key: str) -> Found:
    """One tensor of a `.safetensors`, mapped; bfloat16 becomes float32."""
    library = need("safetensors", extra="safetensors")
    try:
        with library.safe_open(path, framework="numpy") as file:  # checks the header against the file
            kinds = {name: (file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (library.SafetensorError, OSError) as error:
        raise DataError(f"{path}: not a readable .safetensors file: {error}") from None
    name = chosen(path, key, {name: f"{kind} {tuple(shape)}" for name, (kind, shape) in kinds.items()}, "tensor")
    kind, shape = kinds[name]
    if kind not in TENSORS:
        raise DataError(
            f"{path}:{name}: found the type {kind}, expected one of {', '.join(TENSORS)}; save it as float32, such as "
            "tensor.float()"
        )
    with open(path, "rb") as plain:
        (length,) = struct.unpack("<Q", plain.read(8))
        start = 8 + length + json.loads(plain.read(length))[name]["data_offsets"][0]
    if 0 in shape:
        return Found(np.empty(shape, dtype=TENSORS[kind]), name)
    array = npy.mapped(path, TENSORS[kind], start, tuple(shape))
    if array.ctypes.data % array.dtype.alignment:
        copied(path, "its numbers do not begin at a multiple of their size", array.nbytes)
        return Found(as_numbers(np.array(array), f"{path}:{name}"), name)
    return Found(as_numbers(array, f"{path}:{name}"), name)


def read_hdf5(path: Path, key: str) -> Found:
    """One data set of an HDF5 file, mapped where it is stored as one piece; of a set of ann-benchmarks, its rows."""
    library = need("h5py", extra="hdf5")
    try:
        with library.File(path, "r") as file:
            found: dict[str, str] = {}

            def visit(name: str, one: Any) -> None:
                if isinstance(one, library.Dataset):
                    found[name] = f"{one.dtype} {one.shape}"

            file.visititems(visit)
            is_set = set(found) >= annbenchmarks.PARTS
            name = chosen(path, key.strip("/") or ("train" if is_set else ""), found, "data set")
            bits = is_set and name in ("train", "test") and annbenchmarks.metric_of(file) == "hamming"
            array = _mapped(path, file[name])
            if bits and array.dtype == bool:
                copied(path, "its bits are packed")
                array = np.packbits(array, axis=1)
            return Found(array, name, encoding="ubinary" if bits else "")
    except OSError as error:
        raise DataError(f"{path}: not a readable HDF5 file: {error}") from None


def _mapped(path: Path, part: Any) -> np.ndarray:
    """A data set of HDF5: a memory map where its bytes lie in one piece, else a copy."""
    start = part.id.get_offset() if part.chunks is None and not part.external and not part.is_virtual else None
    if start is None or part.dtype.kind not in "fiu" or start % part.dtype.alignment or not part.size:
        copied(f"{path}:{part.name}", "it is stored in chunks", part.nbytes)
        return np.asarray(part[()])
    return npy.mapped(path, part.dtype, start, part.shape)


def read_zarr(path: Path, key: str) -> Found:
    """One array of a zarr store; its chunks are read whole, since the default ones hold a part of each row."""
    library = need("zarr", extra="zarr")
    try:
        node = library.open(path, mode="r")
    except Exception as error:  # zarr raises errors of many kinds for a folder that is no store
        raise DataError(f"{path}: not a readable zarr store: {error}") from None
    if not hasattr(node, "members"):
        name = chosen(path, key, {"": f"{node.dtype} {node.shape}"}) if key else ""
    else:
        parts = dict(_zarr_arrays(node))
        name = chosen(path, key.strip("/"), {name: f"{one.dtype} {one.shape}" for name, one in parts.items()})
        node = parts[name]
    copied(f"{path}:{name}" if name else path, "it is stored in chunks", node.nbytes)
    return Found(as_numbers(np.asarray(node[...]), str(path)), name)


def _zarr_arrays(group: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in sorted(group.members()):
        if hasattr(one, "members"):
            yield from _zarr_arrays(one, f"{inside}{name}/")
        else:
            yield f"{inside}{name}", one


def read_pt(path: Path, key: str) -> Found:
    """One tensor of a file of torch.save, read without running any code in it."""
    torch = need("torch", extra="learn")
    copied(path, "torch reads it so", path.stat().st_size)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles raise errors of many kinds
        reason = str(error).partition(". ")[0]  # what follows is terminal colours and the advice to trust the file
        raise DataError(
            f"{path}: not a file of tensors alone ({reason}); other objects are never opened: save the tensor itself "
            "with torch.save(tensor, file)"
        ) from None
    if isinstance(content, torch.Tensor):
        chosen(path, key, {"": ""}, "tensor")
        return Found(arrays.read(content, str(path))[0])
    tensors = dict(_tensors(content, torch))
    name = chosen(path, key, {name: f"{one.dtype} {tuple(one.shape)}" for name, one in tensors.items()}, "tensor")
    return Found(arrays.read(tensors[name], f"{path}:{name}")[0], name)


def _tensors(content: Any, torch: Any) -> Iterator[tuple[str, Any]]:
    """The tensors of a mapping or a list, by name or by number."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content if isinstance(content, list) else ())
    for name, one in pairs:
        if isinstance(one, torch.Tensor):
            yield str(name), one

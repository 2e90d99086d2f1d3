"""Columns of vectors as byte strings, and the distances between them, as in YDB's module Knn.

Sums of floating-point products are float32, in one fixed order of 32 lanes (`cpp/strings.hpp`), so that the C++ kernel
and numpy here give the same bits.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.knn.kernels.native import _native
from vicinal.sql.vectors.formats import (
    BY_BYTE,
    BY_NAME,
    FORMATS,
    Format,
    bit_length,
    described,
    elements,
    find_format,
    from_binary,
    to_binaries,
    to_binary,
    wide,
)

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "BY_BYTE",
    "BY_NAME",
    "DISTANCES",
    "FORMATS",
    "Format",
    "Strings",
    "bit_length",
    "described",
    "distance_column",
    "distances",
    "elements",
    "find_format",
    "from_binary",
    "to_binaries",
    "to_binary",
]
LANES = 32
DISTANCES = ("InnerProductSimilarity", "CosineSimilarity", "CosineDistance", "EuclideanDistance", "ManhattanDistance")
_strings: Any = getattr(_native, "Strings", None)


# Columns of strings, as Arrow arrays.


class Strings:
    """A column of byte strings by its Arrow buffers; `native` is the kernel's view of it, None without a kernel."""

    def __init__(self, array: "pyarrow.Array") -> None:
        import pyarrow

        if isinstance(array, pyarrow.ChunkedArray):
            array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
        if array.type != pyarrow.binary():
            array = array.cast(pyarrow.binary())
        self.n = len(array)
        present, offsets, data = array.buffers()
        self.offsets = np.frombuffer(offsets, np.int32)[array.offset : array.offset + self.n + 1]
        if len(self.offsets) == 0:  # Arrow may leave them out where there are no rows
            self.offsets = np.zeros(1, np.int32)
        self.bytes = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        self.present = None if present is None else np.frombuffer(present, np.uint8)
        self.first = array.offset
        self.native = _strings and _strings(self.offsets, self.bytes, self.present, self.first)

    @property
    def valid(self) -> np.ndarray:
        """Which rows are not null."""
        if self.present is None:
            return np.ones(self.n, bool)
        bits = np.unpackbits(self.present, bitorder="little")
        return np.asarray(bits[self.first : self.first + self.n], bool)

    def one(self, row: int) -> "Strings":
        """A column of one of the strings."""
        import pyarrow

        return Strings(pyarrow.array([self.value(row) if self.valid[row] else None], pyarrow.binary()))

    def value(self, row: int) -> bytes:
        """One string; of a null row any bytes."""
        return self.bytes[self.offsets[row] : self.offsets[row + 1]].tobytes()

    @property
    def without_format(self) -> np.ndarray:
        """Which rows hold a string that is no vector's: empty, or of no known format."""
        return np.asarray(self.valid & (_shapes(self)[1] == 0))


def distances(name: str, a: Strings, b: Strings, all_pairs: bool = False, isa: str = "") -> tuple[Any, Any]:
    """The distances of row i of a and row i of b, or of each row of a and the one row of b, or of all pairs.

    name    : as in Knn::<name>
    Returns   float32 (a.n, 1) or (a.n, b.n), and which of them are not null
    """
    if a.native:
        found: tuple[Any, Any] = _native.string_distances(name, a.native, b.native, isa, all_pairs)
        return found
    return by_numpy(name, a, b, all_pairs)


def by_numpy(name: str, a: Strings, b: Strings, all_pairs: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The same distances by numpy, to the same bits; slow, used where the kernel was not built."""
    if all_pairs:
        columns = [by_numpy(name, a, b.one(row)) for row in range(b.n)]
        if not columns:
            return np.zeros((a.n, 0), np.float32), np.zeros((a.n, 0), np.uint8)
        return np.hstack([found for found, _ in columns]), np.hstack([valid for _, valid in columns])
    out, valid = np.zeros((a.n, 1), np.float32), np.zeros((a.n, 1), np.uint8)
    one = b.n == 1
    sizes, formats = _shapes(a)
    other_sizes, other_formats = _shapes(b)
    alike = (formats > 0) & (formats == other_formats)
    rows = np.flatnonzero(alike)
    kinds = np.stack([formats, sizes, np.broadcast_to(other_sizes, sizes.shape)])[:, rows]
    for form_byte, size, other_size in np.unique(kinds, axis=1).T:
        these = rows[(kinds == [[form_byte], [size], [other_size]]).all(axis=0)]
        x = _bodies(a, these, size)
        y = _bodies(b, np.zeros(1, np.int64) if one else these, other_size)
        _fill(name, BY_BYTE[int(form_byte)], x, y, these, out, valid)
    return out, valid


def _shapes(column: Strings) -> tuple[np.ndarray, np.ndarray]:
    """Each string's number of bytes, and its format; 0 where it is null, empty or of no known format."""
    sizes = np.diff(column.offsets).astype(np.int64)
    there = column.valid & (sizes > 0)
    formats = np.zeros(column.n, np.int64)
    formats[there] = column.bytes[column.offsets[1:][there] - 1]
    formats[~np.isin(formats, list(BY_BYTE))] = 0
    return sizes, formats


def _bodies(column: Strings, rows: np.ndarray, size: int) -> np.ndarray:
    """The strings of some rows, all of `size` bytes, without their format bytes: uint8 (rows, size - 1)."""
    return np.asarray(column.bytes[column.offsets[rows].astype(np.int64)[:, None] + np.arange(size - 1)])


def _fill(
    name: str, form: Format, x: np.ndarray, y: np.ndarray, rows: np.ndarray, out: np.ndarray, valid: np.ndarray
) -> None:
    """The distances of strings of one format and one size on each side."""
    if form.name == "Bit":
        lengths = [np.array([bit_length(row) for row in side]) for side in (x, y)]
        fits = (lengths[0] >= 0) & (lengths[0] == lengths[1])
        if not fits.any():
            return
        found = _of_bits(name, x[:, :-1], y[:, :-1])
        out[rows[fits], 0], valid[rows[fits], 0] = found[fits], 1
        return
    # A length that is no multiple of the element's makes an empty vector.
    each = np.dtype(form.dtype).itemsize
    x, y = (side if side.shape[1] % each == 0 else side[:, :0] for side in (x, y))
    if x.shape[1] != y.shape[1]:
        return
    x, y = (np.ascontiguousarray(side).view(form.dtype) for side in (x, y))
    with np.errstate(over="ignore", invalid="ignore"):
        if form.element == "Float":
            out[rows, 0] = _of_floats(name, wide(x, form), wide(y, form))
        else:
            out[rows, 0] = _of_whole(name, x.astype(np.int64), y.astype(np.int64))
    valid[rows, 0] = 1


def lane_sum(terms: np.ndarray) -> np.ndarray:
    """The float32 sum over the last axis, in the order that `cpp/strings.hpp` fixes."""
    n, dim = terms.shape
    blocks = -(-dim // LANES)
    padded = np.zeros((n, blocks * LANES), np.float32)
    padded[:, :dim] = terms
    lanes = np.zeros((n, LANES), np.float32)
    for block in range(blocks):
        lanes += padded[:, block * LANES : (block + 1) * LANES]
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return np.asarray(lanes[:, 0])


def _of_floats(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if name == "InnerProductSimilarity":
        return lane_sum(x * y)
    if name == "ManhattanDistance":
        return lane_sum(np.abs(x - y))
    if name == "EuclideanDistance":
        return np.asarray(np.sqrt(lane_sum((x - y) * (x - y))))
    norm = np.sqrt(lane_sum(x * x) * lane_sum(y * y))
    return _cosine(name, lane_sum(x * y), norm)


def _of_whole(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _of_counts(name, (x * x).sum(1), (x * y).sum(1), (y * y).sum(1), ((x - y) ** 2).sum(1), np.abs(x - y).sum(1))


def _of_bits(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    def ones(bits: np.ndarray) -> np.ndarray:
        return np.asarray(np.bitwise_count(bits).sum(axis=1, dtype=np.int64))

    return _of_counts(name, ones(x), ones(x & y), ones(y), ones(x ^ y), ones(x ^ y))


def _of_counts(
    name: str, xx: np.ndarray, xy: np.ndarray, yy: np.ndarray, squared: np.ndarray, absolute: np.ndarray
) -> np.ndarray:
    if name == "InnerProductSimilarity":
        return xy.astype(np.float32)
    if name == "ManhattanDistance":
        return absolute.astype(np.float32)
    if name == "EuclideanDistance":
        root = np.floor(np.sqrt(squared.astype(np.float64))).astype(np.int64)
        root -= root * root > squared
        root += (root + 1) * (root + 1) <= squared
        return root.astype(np.float32)
    return _cosine(name, xy.astype(np.float32), np.sqrt((xx * yy).astype(np.float64)).astype(np.float32))


def _cosine(name: str, product: np.ndarray, norm: np.ndarray) -> np.ndarray:
    found = np.ones(np.broadcast_shapes(product.shape, norm.shape), np.float32)
    np.divide(product, norm, out=found, where=norm != 0)
    return np.float32(1) - found if name == "CosineDistance" else found


def distance_column(
    name: str, a: "pyarrow.Array", b: "pyarrow.Array | Strings", notices: list[str] | None = None
) -> "pyarrow.Array":
    """The distances of two columns, or of a column and one string, as an Arrow column.

    notices : gets a line where it is empty and two vectors have no distance
    """
    import pyarrow

    rows, others = Strings(a), b if isinstance(b, Strings) else Strings(b)
    found, valid = distances(name, rows, others)
    if valid.all():
        return pyarrow.Array.from_buffers(pyarrow.float32(), len(found), [None, pyarrow.py_buffer(found)])
    if notices is not None and not notices:
        notices += unlike(name, rows, others, np.asarray(valid)[:, 0] == 0)
    return pyarrow.array(found[:, 0], mask=valid[:, 0] == 0)


def unlike(name: str, a: Strings, b: Strings, missing: np.ndarray) -> list[str]:
    """A line about the first two vectors that are there and have no distance; none where one of each two is NULL.

    missing : which rows of a have no distance to b, which holds one string or as many as a
    """
    rows = np.flatnonzero(missing & a.valid & b.valid)
    if not len(rows):
        return []
    row = int(rows[0])
    one, other = (described(a.value(row)), described(b.value(row if b.n > 1 else 0)))
    return [f"Knn::{name} of {one} and {other} is NULL; pass a target of the length and format of the stored vectors"]


def binary_array(strings: np.ndarray) -> "pyarrow.Array":
    """Byte strings of one length, uint8 (n, bytes), as an Arrow column, without a copy."""
    import pyarrow

    n, size = strings.shape
    offsets = np.arange(n + 1, dtype=np.int32) * size
    return pyarrow.BinaryArray.from_buffers(
        pyarrow.binary(), n, [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(np.ascontiguousarray(strings))]
    )


def encode_column(lists: "pyarrow.Array", name: str) -> "pyarrow.Array":
    """A column of lists of numbers as a column of byte strings."""
    import pyarrow

    whole = _rectangle(lists)
    if whole is not None:
        return binary_array(to_binaries(whole, name))
    rows = lists.to_pylist()
    if any(row is not None and None in row for row in rows):
        raise UsageError(f"{name} vector: an element is NULL")
    found = [None if row is None else to_binary(np.asarray(row, np.float64), name) for row in rows]
    return pyarrow.array(found, pyarrow.binary())


def _rectangle(lists: "pyarrow.Array") -> np.ndarray | None:
    """Lists of one length without nulls as an array (n, dim), None for others."""
    import pyarrow.compute

    if isinstance(lists, pyarrow.ChunkedArray):
        lists = lists.combine_chunks()
    if not len(lists) or lists.null_count:
        return None
    lengths = pyarrow.compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    values = lists.flatten()
    if values.null_count or not lengths[0] or (lengths != lengths[0]).any():
        return None
    return np.asarray(values.to_numpy(zero_copy_only=False).reshape(len(lists), -1))


def decode_column(strings: "pyarrow.Array") -> "pyarrow.Array":
    """A column of byte strings as a column of lists of Float."""
    import pyarrow

    return pyarrow.array([from_binary(row) for row in strings.to_pylist()], pyarrow.list_(pyarrow.float32()))

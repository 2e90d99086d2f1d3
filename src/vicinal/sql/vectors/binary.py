"""Vectors as byte strings, and the distances between them, as in YDB's module Knn.

A string is the elements, little-endian, and one byte that names their format. A bit vector makes each 64 elements one
integer, the first element its highest bit, the tail in as few bytes as hold it; then a byte with the number of unused
bits, then the format. Sums of floating-point products are float32, in one fixed order of 32 lanes (`cpp/strings.hpp`),
so that the C++ kernel and numpy here give the same bits.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vicinal.errors import UsageError, unknown
from vicinal.knn.kernels.native import _native

if TYPE_CHECKING:
    import pyarrow

LANES = 32
DISTANCES = ("InnerProductSimilarity", "CosineSimilarity", "CosineDistance", "EuclideanDistance", "ManhattanDistance")
_strings: Any = getattr(_native, "Strings", None)


@dataclass(frozen=True)
class Format:
    """A format of a vector's elements."""

    name: str  # as in Knn::ToBinaryString<name>
    byte: int
    dtype: str  # of an element in the string
    element: str  # the YQL type of an element

    @property
    def tag(self) -> str:
        """What YDB tags such a string with."""
        return f"{self.name}Vector"


FORMATS = (
    Format("Float", 1, "<f4", "Float"),
    Format("Uint8", 2, "u1", "Uint8"),
    Format("Int8", 3, "i1", "Int8"),
    Format("Float16", 4, "<f2", "Float"),
    Format("BFloat16", 5, "<u2", "Float"),
    Format("Bit", 10, "u1", "Float"),
)
BY_NAME = {one.name: one for one in FORMATS}
BY_BYTE = {one.byte: one for one in FORMATS}


def find_format(name: str) -> Format:
    """The format of that name; UsageError names the choices.

    >>> find_format("Int8").byte
    3
    """
    if name not in BY_NAME:
        raise UsageError(unknown("vector format", name, BY_NAME))
    return BY_NAME[name]


def to_binary(vector: Any, name: str = "Float") -> bytes:
    """One vector as a byte string.

    vector : numbers (dim,); for Uint8 and Int8 whole numbers within the type
    Raises   UsageError where an element does not fit
    >>> to_binary([1.0, -2.0], "Int8").hex(), to_binary([1.0, -2.0, 3.0, 1.0], "Bit").hex()
    ('01fe03', '0b040a')
    """
    string: bytes = to_binaries(np.asarray(vector).reshape(1, -1), name)[0].tobytes()
    return string


def to_binaries(vectors: np.ndarray, name: str = "Float") -> np.ndarray:
    """Vectors (n, dim) as byte strings, uint8 (n, bytes)."""
    form = find_format(name)
    if form.name == "Bit":
        body = _pack_bits(vectors > 0)
    elif form.name == "BFloat16":
        body = _brain(np.asarray(vectors, np.float32)).view(np.uint8)
    elif form.name in ("Uint8", "Int8"):
        body = _whole(vectors, form).view(np.uint8)
    else:
        with np.errstate(over="ignore"):
            body = np.ascontiguousarray(vectors, form.dtype).view(np.uint8)
    out = np.empty((len(vectors), body.shape[1] + 1), np.uint8)
    out[:, :-1] = body
    out[:, -1] = form.byte
    return out


def _whole(vectors: np.ndarray, form: Format) -> np.ndarray:
    limits = np.iinfo(form.dtype)
    if vectors.dtype != form.dtype and vectors.size:
        with np.errstate(invalid="ignore"):
            outside = ~((vectors >= limits.min) & (vectors <= limits.max))  # NaN, too
        if outside.any():
            found = vectors[outside].flat[0]
            message = f"an element, {found}, lies outside {limits.min} to {limits.max}; scale the elements"
            raise UsageError(f"{form.name} vector: {message}")
        broken = vectors != np.trunc(vectors) if vectors.dtype.kind == "f" else outside
        if broken.any():
            raise UsageError(
                f"{form.name} vector: an element, {vectors[broken].flat[0]}, is not a whole number; round first"
            )
    return np.ascontiguousarray(vectors, form.dtype)


def _brain(vectors: np.ndarray) -> np.ndarray:
    """The upper halves of float32 values, rounded to the nearest, ties to even; NaN stays NaN."""
    bits = np.ascontiguousarray(vectors).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(vectors), (bits >> 16) | 0x40, rounded).astype("<u2")


def _pack_bits(ones: np.ndarray) -> np.ndarray:
    n, dim = ones.shape
    whole, tail = dim // 64 * 64, dim % 64
    words = np.packbits(ones[:, :whole].reshape(n, -1, 64), axis=2)[:, :, ::-1].reshape(n, -1)
    size = (tail + 7) // 8
    padded = np.zeros((n, size * 8), bool)
    padded[:, size * 8 - tail :] = ones[:, whole:]
    unused = np.full((n, 1), size * 8 - tail, np.uint8)
    return np.hstack([words, np.packbits(padded, axis=1)[:, ::-1], unused])


def from_binary(string: bytes | None) -> np.ndarray | None:
    """The elements of a byte string as float32 (dim,); None for NULL, an unknown format, or no elements.

    >>> from_binary(to_binary([1.0, -2.0], "Int8")).tolist(), from_binary(b"Invalid")
    ([1.0, -2.0], None)
    """
    form = BY_BYTE.get(string[-1]) if string else None
    if form is None or string is None:
        return None
    body = np.frombuffer(string, np.uint8)[:-1]
    if form.name == "Bit":
        n = bit_length(body)
        return _unpack_bits(body[:-1], n) if n > 0 else None
    if len(body) == 0 or len(body) % np.dtype(form.dtype).itemsize:
        return None
    return _wide(body.view(form.dtype), form)


def bit_length(body: np.ndarray) -> int:
    """The number of elements of a bit vector's string without its format byte; -1 where it is damaged."""
    if len(body) == 0:
        return 0
    return 8 * (len(body) - 1) - int(body[-1]) if body[-1] <= min(7, 8 * (len(body) - 1)) else -1


def _unpack_bits(packed: np.ndarray, n: int) -> np.ndarray:
    whole, tail = n // 64 * 8, n % 64
    words = np.unpackbits(packed[:whole].reshape(-1, 8)[:, ::-1], axis=1).ravel()
    rest = np.unpackbits(packed[whole:][::-1])
    return np.concatenate([words, rest[len(rest) - tail :]]).astype(np.float32)


def _wide(elements: np.ndarray, form: Format) -> np.ndarray:
    if form.name == "BFloat16":
        return (elements.astype(np.uint32) << 16).view(np.float32)
    return elements.astype(np.float32)


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
        columns = [by_numpy(name, a, _one(b, row)) for row in range(b.n)]
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


def _one(column: Strings, row: int) -> Strings:
    import pyarrow

    start, end = column.offsets[row : row + 2]
    value = column.bytes[start:end].tobytes() if column.valid[row] else None
    return Strings(pyarrow.array([value], pyarrow.binary()))


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
            out[rows, 0] = _of_floats(name, _wide(x, form), _wide(y, form))
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


def distance_column(name: str, a: "pyarrow.Array", b: "pyarrow.Array | Strings") -> "pyarrow.Array":
    """The distances of two columns, or of a column and one string, as an Arrow column."""
    import pyarrow

    found, valid = distances(name, Strings(a), b if isinstance(b, Strings) else Strings(b))
    if valid.all():
        return pyarrow.Array.from_buffers(pyarrow.float32(), len(found), [None, pyarrow.py_buffer(found)])
    return pyarrow.array(found[:, 0], mask=valid[:, 0] == 0)


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

    rows = lists.to_pylist()
    if any(row is not None and None in row for row in rows):
        raise UsageError(f"{name} vector: an element is NULL")
    found = [None if row is None else to_binary(np.asarray(row, np.float64), name) for row in rows]
    return pyarrow.array(found, pyarrow.binary())


def decode_column(strings: "pyarrow.Array") -> "pyarrow.Array":
    """A column of byte strings as a column of lists of Float."""
    import pyarrow

    return pyarrow.array([from_binary(row) for row in strings.to_pylist()], pyarrow.list_(pyarrow.float32()))

"""The formats of vectors as byte strings: encoding and decoding, as in YDB's module Knn.

A string is the elements, little-endian, and one byte that names their format. A bit vector makes each 64 elements one
integer, the first element its highest bit, the tail in as few bytes as hold it; then a byte with the number of unused
bits, then the format.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.errors import UsageError, unknown


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
    return wide(body.view(form.dtype), form)


def elements(bodies: np.ndarray, form: Format) -> np.ndarray:
    """The elements of strings of one length without their format bytes, uint8 (n, bytes), as float32 (n, dim)."""
    if form.name != "Bit":
        return wide(bodies.view(form.dtype), form)
    packed = bodies[:, :-1]
    n = 8 * packed.shape[1] - (int(bodies[0, -1]) if len(bodies) else 0)
    whole, tail = n // 64 * 8, n % 64
    words = np.unpackbits(packed[:, :whole].reshape(len(bodies), -1, 8)[:, :, ::-1], axis=2)
    rest = np.unpackbits(packed[:, whole:][:, ::-1], axis=1)
    return np.hstack([words.reshape(len(bodies), 8 * whole), rest[:, rest.shape[1] - tail :]]).astype(np.float32)


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


def wide(elements: np.ndarray, form: Format) -> np.ndarray:
    """The elements of a format other than Bit as float32."""
    if form.name == "BFloat16":
        return (elements.astype(np.uint32) << 16).view(np.float32)
    return elements.astype(np.float32)


def described(string: bytes) -> str:
    """A vector's length and format in words.

    >>> described(to_binary([1.0, 2.0], "Int8")), described(b"abc")
    ('an Int8 vector of 2 elements', 'a string of 3 bytes that is no vector')
    """
    vector = from_binary(string)
    if vector is None:
        return f"a string of {len(string)} bytes that is no vector"
    name = BY_BYTE[string[-1]].name
    return f"{'an' if name == 'Int8' else 'a'} {name} vector of {len(vector)} element{'s' * (len(vector) != 1)}"

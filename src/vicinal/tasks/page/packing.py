"""Columns as text that an HTML page can hold: compressed, then five characters for four bytes.

The characters are those from ( to | without <, which could end a script element; ! stands in its place. The page's
`columns.js` reads them back, each part when it is first needed.
"""

import zlib

import numpy as np

FIRST, REPLACED, BY = ord("("), ord("<"), ord("!")
LEVEL = 6


def packed(data: bytes) -> tuple[bytes, int]:
    """Return bytes as the page's text, and how many bytes they are when compressed.

    Examples
    --------
    >>> text, size = packed(b"abcd")
    >>> size, len(text), unpacked(text, size)
    (12, 15, b'abcd')
    """
    small = zlib.compress(data, LEVEL)
    words = np.frombuffer(small + bytes(-len(small) % 4), dtype="<u4").copy()
    digits = np.empty((len(words), 5), dtype=np.uint8)
    for place in range(5):
        words, digits[:, place] = np.divmod(words, 85)
    digits += FIRST
    digits[digits == REPLACED] = BY
    return digits.tobytes(), len(small)


def unpacked(text: bytes, size: int) -> bytes:
    """Return the bytes that `packed` was given."""
    digits = np.frombuffer(text, dtype=np.uint8).reshape(-1, 5).copy()
    digits[digits == BY] = REPLACED
    words = (digits.astype(np.uint64) - FIRST) @ (85 ** np.arange(5, dtype=np.uint64))
    return zlib.decompress(words.astype("<u4").tobytes()[:size])


def planes(values: np.ndarray) -> bytes:
    """Return an array's bytes with the first byte of all values first, then the second, which compresses better."""
    plain = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).reshape(-1)
    return plain.view(np.uint8).reshape(len(plain), values.dtype.itemsize).T.tobytes()

"""The values of YQL's literals: strings with escapes, numbers with suffixes, lists of numbers."""

import re
from typing import Any

import numpy as np

_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3]?[0-7]{1,2})|(.))", re.DOTALL)
_DIGITS = {b"x": 2, b"u": 4, b"U": 8}
_PLAIN = {ord("a"): 7, ord("b"): 8, ord("f"): 12, ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("v"): 11}
_SUFFIXES = {
    "": None,
    "u": "Uint32",
    "l": "Int64",
    "ul": "Uint64",
    "s": "Int16",
    "us": "Uint16",
    "t": "Int8",
    "ut": "Uint8",
}
_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|\d+)([a-zA-Z]*)")
_FLOAT = re.compile(r"((?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)([a-zA-Z]*)")

BITS = {
    "Int8": (-(1 << 7), (1 << 7) - 1),
    "Uint8": (0, (1 << 8) - 1),
    "Int16": (-(1 << 15), (1 << 15) - 1),
    "Uint16": (0, (1 << 16) - 1),
    "Int32": (-(1 << 31), (1 << 31) - 1),
    "Uint32": (0, (1 << 32) - 1),
    "Int64": (-(1 << 63), (1 << 63) - 1),
    "Uint64": (0, (1 << 64) - 1),
}


def unescape(text: str) -> bytes:
    r"""The bytes of a string's inside, C escapes resolved.

    Raises    ValueError where a backslash begins no escape.
    >>> unescape(r"a\n\x41\u00e9\\")
    b'a\nA\xc3\xa9\\'
    """
    raw = text.encode("utf-8", "surrogateescape")
    if b"\\" not in raw:
        return raw

    def one(found: re.Match[bytes]) -> bytes:
        two, four, eight, octal, other = found.groups()
        if two:
            return bytes([int(two, 16)])
        if four or eight:
            code = int(four or eight, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise ValueError(f"\\u{code:x} is no character; expected a code up to 10ffff, outside d800 to dfff")
            return chr(code).encode("utf-8")
        if octal:
            return bytes([int(octal, 8)])
        if other in (b"x", b"u", b"U"):
            raise ValueError(f"\\{other.decode()} needs {_DIGITS[other]} hexadecimal digits")
        return bytes([_PLAIN.get(other[0], other[0])])

    return _ESCAPE.sub(one, raw)


def read_string(token: str) -> tuple[bytes, str]:
    """A string literal's bytes and type: String, Utf8 or Json.

    Raises    ValueError where its suffix or an escape is none.
    >>> read_string('"a\\tb"u'), read_string("@@x@@@@y@@")
    ((b'a\\tb', 'Utf8'), (b'x@@y', 'String'))
    """
    mark = "@@" if token.startswith("@@") else token[0]
    end = token.rindex(mark)
    inside, suffix = token[len(mark) : end], token[end + len(mark) :]
    kinds = {"": "String", "s": "String", "u": "Utf8", "j": "Json"}
    if suffix.lower() not in kinds:
        raise ValueError(f"a string's suffix is s, u or j, found {suffix!r}")
    data = inside.replace("@@@@", "@@").encode("utf-8") if mark == "@@" else unescape(inside)
    kind = kinds[suffix.lower()]
    if kind != "String":
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"this {kind} literal is not valid UTF-8") from None
    return data, kind


def read_number(token: str) -> tuple[Any, str]:
    """A number literal's value and type; it may begin with a minus.

    Raises    ValueError where its suffix is none, or the value does not fit its type.
    >>> read_number("0xFF"), read_number("5ul"), read_number("1.5f"), read_number("3000000000"), read_number("-128t")
    ((255, 'Int32'), (5, 'Uint64'), (1.5, 'Float'), (3000000000, 'Int64'), (-128, 'Int8'))
    """
    minus = token.startswith("-")
    token = token[minus:]
    whole = _INTEGER.fullmatch(token)
    if whole and whole[2].lower() in _SUFFIXES:
        value = int(whole[1], 0) if whole[1][:2].lower() in ("0x", "0o", "0b") else int(whole[1])
        value = -value if minus else value
        kind = _SUFFIXES[whole[2].lower()]
        if kind is None:
            fits = (one for one in ("Int32", "Int64", "Uint64") if BITS[one][0] <= value <= BITS[one][1])
            kind = next(fits, "Int64" if minus else "Uint64")
        if not BITS[kind][0] <= value <= BITS[kind][1]:
            raise ValueError(
                f"{'-' * minus}{token} is outside {kind}, {BITS[kind][0]} to {BITS[kind][1]}; change its suffix"
            )
        return value, kind
    real = _FLOAT.fullmatch(token)
    if real is None or real[2].lower() not in ("", "f"):
        raise ValueError(f"expected a number, with no suffix or u, l, ul, s, us, t, ut or f, found {token}")
    with np.errstate(over="ignore"):
        number = float(np.float32(real[1])) if real[2] else float(real[1])
    if number in (float("inf"), float("-inf")):
        raise ValueError(
            f"{token} is beyond the largest {'Float' if real[2] else 'Double'}; write 1.0 / 0 for infinity"
        )
    return -number if minus else number, "Float" if real[2] else "Double"


def read_list(token: str) -> tuple[np.ndarray, str]:
    """A list of numbers: its values, and the type of its elements.

    Raises    ValueError as `read_number` does.
    >>> read_list("[1.5f, -2.f]"), read_list("[1, 2u]")
    ((array([ 1.5, -2. ], dtype=float32), 'Float'), (array([1, 2], dtype=uint32), 'Uint32'))
    """
    items = re.sub(r"\s+", "", token[1:-1]).strip(",").lower().split(",")
    if all(item[-1] == "f" and item[:2] != "0x" and item[:3] != "-0x" for item in items):
        with np.errstate(over="ignore"):
            values = np.array([item[:-1] for item in items], np.float32)
        if np.isfinite(values).all():
            return values, "Float"
    read = [read_number(item) for item in items]
    kind = max((kind for _, kind in read), key=LEVELS.index)
    numbers = [value for value, _ in read]
    if kind in BITS and not BITS[kind][0] <= min(numbers) <= max(numbers) <= BITS[kind][1]:
        raise ValueError(f"an element is outside {kind}, {BITS[kind][0]} to {BITS[kind][1]}")
    return np.array(numbers, NUMPY[kind]), kind


# Of two types in an operation, the later one here is the type of the result.
LEVELS = ("Int8", "Uint8", "Int16", "Uint16", "Int32", "Uint32", "Int64", "Uint64", "Float", "Double")
NUMPY = {kind: kind.lower().replace("double", "float64") if kind != "Float" else "float32" for kind in LEVELS}

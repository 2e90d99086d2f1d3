"""Arrays of other libraries and number formats as NumPy arrays of numbers.

NumPy has no bfloat16 and no float8: in memory they are dtypes of the package ml_dtypes or of torch, and in a `.npy`
file they are bytes without a name. A bfloat16 is the upper half of a float32, so that it is shifted there without a
loss.
"""

from typing import Any

import numpy as np

from vicinal.errors import DataError, some

NO_EMBEDDING = "no embedding (null)"
UNNAMED = (
    "which name no number type: NumPy writes float8_e4m3fn, float8_e8m0fnu, int4, uint4 and others of ml_dtypes alike "
    "as V1; read it as the type that it was written as and save float32: "
    "numpy.load(file).view(ml_dtypes.float8_e4m3fn).astype('float32')"
)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 bits, given as 2 bytes each.

    >>> from_bfloat16(np.array([0x3FC0, 0xC000], dtype=np.uint16)).tolist()
    [1.5, -2.0]
    """
    words = np.ascontiguousarray(bits).view("<u2").astype(np.uint32)
    words <<= 16
    return words.view(np.float32)


def read(values: object, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """The array of an object, and the reason of each row that holds nothing.

    Parameters
    ----------
    values : object
        An array of NumPy or of another library (`__array__`, `__dlpack__`, torch), or rows of equal length.
    name : str
        What errors call it.

    Returns
    -------
    array : ndarray
        The object's own memory where NumPy can read its numbers there; bfloat16 and float8 become float32.
    missing : dict of int to str
        Rows that are None or NaN in the place of a vector; they are NaN in the array.

    Raises
    ------
    DataError
        NumPy cannot read it, or its rows differ in length.
    """
    values = _on_host(values, name)
    try:
        array = np.asanyarray(values)
    except ValueError:  # rows of several lengths, or None among them
        array = _objects(values)
    except (TypeError, RuntimeError) as error:
        raise DataError(
            f"{name}: expected an array of numbers, found {type(values).__name__}, which NumPy cannot read ({error}); "
            "give a NumPy array"
        ) from None
    if array.dtype.kind == "O":
        return _stacked(array, name)
    return numbers(array, name), {}


def numbers(array: np.ndarray, name: str) -> np.ndarray:
    """An array whose dtype NumPy computes with: bfloat16 and the other types of ml_dtypes become float32.

    Raises
    ------
    DataError
        Its dtype names no number type.
    """
    kind = array.dtype
    if kind.type.__module__ == "ml_dtypes":
        return array.astype(np.float32)
    if kind.kind == "V" and kind.itemsize == 2 and kind.names is None:
        return from_bfloat16(array)
    if kind.kind == "V" and kind.itemsize == 1 and kind.names is None:
        raise DataError(f"{name}: found {array.shape} bytes of dtype V1, {UNNAMED}")
    return array


def _on_host(values: Any, name: str) -> Any:
    """A tensor of torch, or an object that has `__dlpack__` alone, as an array of NumPy."""
    package = type(values).__module__.partition(".")[0]
    if package == "scipy" and hasattr(values, "toarray"):
        raise DataError(f"{name}: found {type(values).__name__}, which is sparse; give .toarray() of it")
    if package == "torch" and hasattr(values, "detach"):
        tensor = values.detach()
        if str(tensor.layout) != "torch.strided":
            raise DataError(f"{name}: found a sparse tensor ({tensor.layout}); give .to_dense() of it")
        if tensor.is_quantized:
            raise DataError(f"{name}: found a quantized tensor ({tensor.dtype}); give .dequantize() of it")
        if tensor.is_meta:
            raise DataError(f"{name}: found a tensor on the device meta, which holds no values; load its values first")
        named = str(tensor.dtype).removeprefix("torch.")
        tensor = tensor.float() if named == "bfloat16" or named.startswith("float8") else tensor
        return tensor.cpu().resolve_conj().resolve_neg().numpy()
    if isinstance(values, list | tuple) and any(type(one).__module__.partition(".")[0] == "torch" for one in values):
        rows = [_on_host(one, f"{name}: row {row}") for row, one in enumerate(values)]
        return rows
    if hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
        try:
            return np.from_dlpack(values)
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            raise DataError(
                f"{name}: NumPy cannot read this {type(values).__name__} through DLPack ({error}); copy it to the CPU "
                "as float32 first"
            ) from None
    return values


def _objects(values: Any) -> np.ndarray:
    """Rows of several lengths as an array of objects, one a row."""
    rows = list(values)
    array = np.empty(len(rows), dtype=object)
    for place, row in enumerate(rows):
        array[place] = row
    return array


def _stacked(array: np.ndarray, name: str) -> tuple[np.ndarray, dict[int, str]]:
    """The rows of an array of objects as one array."""
    if array.ndim != 1:
        try:
            return array.astype(np.float64), {}
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{name}: found dtype object, expected float16, float32, float64 or integers: {error}"
            ) from None
    gone = [row for row, one in enumerate(array) if one is None or (isinstance(one, float) and np.isnan(one))]
    missing = dict.fromkeys(gone, NO_EMBEDDING)
    kept = [row for row in range(len(array)) if row not in missing]
    rows = [_row(array[row], f"{name}: row {row}") for row in kept]
    if not rows:
        return np.empty((len(array), 0)), missing
    odd = [row for row, one in zip(kept, rows, strict=True) if one.shape != rows[0].shape]
    if odd:
        raise DataError(
            f"{name}: expected a 2-D array of numbers (rows, dim), found rows that differ: row {kept[0]} has shape "
            f"{rows[0].shape}, {len(odd)} rows have another shape ({some(odd)}); embed them with one model"
        )
    stacked = np.stack(rows)
    if not missing:
        return stacked, {}
    whole = np.full((len(array), *stacked.shape[1:]), np.nan if stacked.dtype.kind == "f" else 0, dtype=stacked.dtype)
    whole[kept] = stacked
    return whole, missing


def _row(one: object, name: str) -> np.ndarray:
    """One row of an array of objects."""
    if isinstance(one, str | bytes):
        raise DataError(
            f"{name}: expected numbers, found the text {one[:40]!r}; turn texts of lists into lists first, such as "
            "[json.loads(text) for text in column]"
        )
    try:
        row = numbers(np.asarray(_on_host(one, name)), name)
        return row if row.dtype.kind != "O" else row.astype(np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: expected numbers, found {type(one).__name__}: {error}") from None

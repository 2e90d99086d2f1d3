"""Vectors in a field of a `.jsonl` file: a list of numbers, or base64 of float32 as APIs of OpenAI's kind return it."""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.formats import excerpt
from vicinal.data.readers import read_rows
from vicinal.data.sources.found import LOG, Found, chosen, copied
from vicinal.errors import DataError, UsageError, some
from vicinal.knn.arrays import NO_EMBEDDING

BLOCK = 4_096


def read_lines(path: Path, key: str) -> Found:
    """The vectors of a field of each line; `a.b.0` looks inside objects and lists."""
    blocks: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    missing: dict[int, str] = {}
    dim, first = -1, 0
    for number, (line, row) in enumerate(read_rows(path)):
        if not key:
            key = _field_of(path, row)
        value = _inside(row, key)
        if value is None:
            missing[number] = NO_EMBEDDING
            vector = np.empty(0)
        else:
            vector = _vector(value, f"{path}:{line}: {key}")
            if dim < 0:
                dim, first = len(vector), line
            elif len(vector) != dim:
                raise DataError(
                    f"{path}:{line}: {key}: found {len(vector)} numbers, line {first} has {dim}; embed them with one "
                    "model"
                )
        rows.append(vector)
        if len(rows) == BLOCK:
            blocks.append(_block(rows, dim))
            rows = []
            copied(path, "it is text", 2 * len(blocks) * blocks[-1].nbytes)  # they are joined at the end
    if rows:
        blocks.append(_block(rows, dim))
    if missing and dim < 0:
        raise UsageError(f"{path}: no line has the field {key!r}; name the field of embeddings, as {path}:FIELD")
    return Found(_joined(blocks), key, missing)


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    """All blocks as one array; a block of lines without a vector before the first one gets its dim here."""
    dim = max((block.shape[1] for block in blocks), default=0)
    wide = [block if block.shape[1] == dim else np.full((len(block), dim), np.nan) for block in blocks]
    return np.concatenate(wide) if wide else np.empty((0, 1))


def _block(rows: list[np.ndarray], dim: int) -> np.ndarray:
    gap = np.full(max(dim, 0), np.nan)
    return np.stack([row if len(row) else gap for row in rows])


def vector_fields(path: Path) -> list[str]:
    """The fields of the first line that can hold a vector."""
    for _, row in read_rows(path):
        return [name for name, value in row.items() if _is_vector(value)]
    return []


def _field_of(path: Path, row: dict[str, Any]) -> str:
    """The only field of a row that can hold a vector."""
    fitting = {name: f"{len(value)} numbers" for name, value in row.items() if _is_vector(value)}
    if not fitting:
        raise UsageError(
            f"{path}: expected a field with a list of numbers, found the fields {some(list(row), 9)}; name the field "
            f"of embeddings, as {path}:FIELD"
        )
    name = chosen(path, "", fitting, "field")
    LOG.info("%s: embeddings are taken from the field %r", path, name)
    return name


def _is_vector(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) in (int, float) for one in value)


def _inside(row: Any, key: str) -> Any:
    """The value of a field, or inside a field where the key has dots and no field has its name."""
    if key in row:
        return row[key]
    for part in key.split(".") if "." in key else ():
        if isinstance(row, list) and part.isdigit() and int(part) < len(row):
            row = row[int(part)]
        elif isinstance(row, dict):
            row = row.get(part)
        else:
            return None
    return row if "." in key else None


def _vector(value: object, place: str) -> np.ndarray:
    """A list of numbers, or base64 of float32 in little-endian order."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        if not data or len(data) % 4:
            raise DataError(f"{place}: expected a list of numbers or base64 of float32 numbers, found {excerpt(value)}")
        return np.frombuffer(data, dtype="<f4")
    if isinstance(value, list) and value:
        vector = np.array([np.nan if one is None else one for one in value] if None in value else value)
        if vector.ndim == 1 and vector.dtype.kind in "fiu":
            return vector
    raise DataError(f"{place}: expected a list of numbers, found {excerpt(value)}")

"""Values from outside as expressions that are known: what `$name` stands for."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.sql.faults import SqlError, fault
from vicinal.sql.types import FLOAT, STRING, TIMES, UTF8, Type, list_of, named
from vicinal.sql.vectors import binary


def declared(statement: Any, text: str, given: Mapping[str, Any]) -> Any:
    """The value given for a DECLARE, as a known expression of its type."""
    from vicinal.sql.compile.conversion import Conversion

    try:
        kind = named(statement.kind)
    except ValueError as error:
        raise fault(text, statement.kind.start, str(error)) from None
    if statement.name not in given:
        raise fault(text, statement.start, f"${statement.name} is declared, but no value is given for it")
    value = parameter(statement.name, given[statement.name], kind)
    try:
        return Conversion(text, _nothing).converted(value, kind, statement.start)
    except SqlError as error:
        raise fault(text, statement.start, f"${statement.name}: {error.message}") from None


def parameter(name: str, value: Any, kind: Type | None = None) -> Any:
    """A value from outside as a known expression."""
    from vicinal.sql.compile.conversion import Expression

    def known(found: Any, of: Type) -> Any:
        return Expression("", of, found, True)

    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return known(None, kind or Type("Null"))
    if isinstance(value, np.ndarray | list | tuple):
        return _array_parameter(name, value, kind, known)
    if isinstance(value, bytes | bytearray | memoryview):
        return known(bytes(value), STRING)
    if isinstance(value, str):
        if kind is not None and kind.name in ("String", "Json", *TIMES):
            return known(value.encode("utf-8"), STRING)
        return known(value, UTF8)
    if isinstance(value, bool):
        return known(value, Type("Bool"))
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise UsageError(f"${name}: {value} is beyond 64 bits")
        return known(value, Type("Int64" if value < 1 << 63 else "Uint64"))
    if isinstance(value, float):
        return known(value, kind if kind == FLOAT else Type("Double"))
    if isinstance(value, datetime):
        return known(value, Type("Timestamp"))
    if isinstance(value, date):
        return known(value, Type("Date"))
    raise UsageError(f"${name}: a value of type {type(value).__name__} cannot be passed")


def _array_parameter(name: str, value: Any, kind: Type | None, known: Any) -> Any:
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise UsageError(f"${name}: expected numbers of one dimension, found shape {array.shape} of {array.dtype}")
    if kind is not None and kind.item is not None:
        item = "Double" if array.dtype.kind == "f" else "Uint64" if array.dtype == np.uint64 else "Int64"
        if kind.item == FLOAT and array.dtype.kind == "f":
            return known(array.astype(np.float32), kind)
        return known(array, list_of(Type(item)))
    form = {"uint8": "Uint8", "int8": "Int8"}.get(str(array.dtype), "Float")
    return known(binary.to_binary(array, form), STRING)


def _nothing(*_: Any) -> Any:
    raise AssertionError("a parameter needs nothing")

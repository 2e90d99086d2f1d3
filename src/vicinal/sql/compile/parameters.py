"""Parameters: the values that a caller gives for `$name`s, as known expressions."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.sql.compile.select import Compiler
from vicinal.sql.compile.values import Expression, constant
from vicinal.sql.faults import SqlError, fault
from vicinal.sql.parse.statements import Declare
from vicinal.sql.types import BOOL, DOUBLE, FLOAT, INT64, NULL, STRING, TIMES, UINT64, UTF8, Type, list_of, named
from vicinal.sql.vectors import binary


def declared(statement: Declare, text: str, given: Mapping[str, Any]) -> Expression:
    """The value given for a DECLARE, of its type.

    Raises    SqlError where no value is given, or it does not fit.
    """
    name = statement.name
    try:
        kind = named(statement.kind)
    except ValueError as error:
        raise fault(text, statement.kind.start, str(error)) from None
    if name not in given:
        raise fault(
            text, statement.start, f"${name} is declared, but no value is given for it; pass the parameter {name}"
        )
    value = parameter(name, given[name], kind)
    try:
        return Compiler(text, {}, {}, _nothing, _nothing).converted(value, kind, statement.start)
    except SqlError as error:
        raise fault(text, statement.start, f"${name}: {error.message}") from None


def parameter(name: str, value: Any, kind: Type | None = None) -> Expression:
    """The value of a parameter.

    kind    : the declared type, None where there is none
    Raises    UsageError where there is no type for it
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return constant(None, kind or NULL)
    if isinstance(value, np.ndarray | list | tuple):
        return _array(name, value, kind)
    if isinstance(value, bytes | bytearray | memoryview):
        return constant(bytes(value), STRING)
    if isinstance(value, str):
        if kind is not None and kind.name in ("String", "Json", *TIMES):
            return constant(value.encode("utf-8"), STRING)
        return constant(value, UTF8)
    if isinstance(value, bool):
        return constant(value, BOOL)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise UsageError(f"${name}: {value} is beyond 64 bits; pass a float or a string")
        return constant(value, INT64 if value < 1 << 63 else UINT64)
    if isinstance(value, float):
        return constant(value, FLOAT if kind == FLOAT else DOUBLE)
    if isinstance(value, datetime):
        return constant(value, Type("Timestamp"))
    if isinstance(value, date):
        return constant(value, Type("Date"))
    raise UsageError(
        f"${name}: expected bytes, a string, a number, a date or numbers in a list, found {type(value).__name__}"
    )


def _array(name: str, value: Any, kind: Type | None) -> Expression:
    """Numbers: a list where that is declared, else a vector's byte string."""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise UsageError(f"${name}: expected numbers of one dimension, found shape {array.shape} of {array.dtype}")
    if kind is not None and kind.item is not None:
        if kind.item == FLOAT and array.dtype.kind == "f":
            return constant(array.astype(np.float32), kind)
        return constant(
            array, list_of(DOUBLE if array.dtype.kind == "f" else UINT64 if array.dtype == np.uint64 else INT64)
        )
    form = {"uint8": "Uint8", "int8": "Int8"}.get(str(array.dtype), "Float")
    return constant(binary.to_binary(array, form), STRING)


def _nothing(*_: Any) -> Any:
    raise AssertionError("a declared value needs no database")

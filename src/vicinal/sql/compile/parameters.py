"""Parameters: the values that a caller gives for `$name`s, as known expressions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

import numpy as np

from vicinal.errors import UsageError, unknown
from vicinal.sql.compile.select import Compiler
from vicinal.sql.compile.values import Expression, constant
from vicinal.sql.faults import MissingValue, SqlError, fault, place
from vicinal.sql.parse.statements import Declare
from vicinal.sql.types import (
    BOOL,
    DOUBLE,
    FLOAT,
    INT64,
    NULL,
    STRING,
    TIMES,
    UINT64,
    UTF8,
    Type,
    decimal,
    list_of,
    named,
    struct_of,
)
from vicinal.sql.vectors import binary


@dataclass(frozen=True, eq=False)
class Typed:
    """A value that comes with its type."""

    value: Any
    kind: Type


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
        message = f"${name} is declared, but no value is given for it; pass the parameter {name}"
        raise MissingValue(message, *place(text, statement.start))
    try:
        return fitted(name, given[name], kind, Compiler(text, {}, {}, _nothing, _nothing), statement.start)
    except SqlError as error:
        raise fault(text, statement.start, f"${name}: {error.message}") from None


def fitted(name: str, value: Any, kind: Type, compiler: Compiler, start: int = 0) -> Expression:
    """The value of a parameter as one of a declared type.

    Raises    SqlError where it does not fit, UsageError where no type of YQL fits it.
    """
    if isinstance(value, Typed):
        if not _fits(value.kind, kind):
            raise UsageError(f"${name}: expected {kind}, found {value.kind}; pass one of the declared type")
        return constant(value.value, kind)
    if value is None:
        return constant(None, kind)
    nested = kind.fields or (kind.item is not None and not (kind.item.numeric and _numeric(value)))
    if not nested:
        return compiler.converted(parameter(name, value, kind), kind, start)
    return constant(_taken(name, value, kind, compiler, start), kind)


def _fits(have: Type, kind: Type) -> bool:
    """Whether values of a type are of another one: members in another order, or nothing in them."""
    if have.name == "Null" or have == kind:
        return True
    if have.item is not None and kind.item is not None:
        return _fits(have.item, kind.item)
    if have.name != kind.name or len(have.fields) != len(kind.fields):
        return False
    members = dict(have.fields)
    return bool(have.fields) and all(one in members and _fits(members[one], of) for one, of in kind.fields)


def _taken(name: str, value: Any, kind: Type, compiler: Compiler, start: int) -> Any:
    """A value as Python's of that type."""
    if isinstance(value, str):
        _as_utf8(name, value)
    if value is None or type(value) is _AS_IT_IS.get(kind.name):
        return value
    if kind.item is not None:
        if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
            raise UsageError(f"${name}: expected a list for {kind}, found {type(value).__name__}")
        return [_taken(f"{name}[{place}]", one, kind.item, compiler, start) for place, one in enumerate(value)]
    if kind.fields:
        if not isinstance(value, Mapping):
            raise UsageError(f"${name}: expected a dict for {kind}, found {type(value).__name__}")
        strange = [one for one in value if kind.member(one) is None]
        if strange:
            raise UsageError(f"${name}: {unknown('member', str(strange[0]), [one for one, _ in kind.fields])}")
        return {one: _taken(f"{name}.{one}", value.get(one), member, compiler, start) for one, member in kind.fields}
    try:
        found = fitted(name, value, kind, compiler, start)
    except SqlError as error:
        raise UsageError(f"${name}: {error.message}") from None
    return found.value


_AS_IT_IS = {"Utf8": str, "String": bytes, "Bool": bool}  # the types whose every value of Python's fits


def parameter(name: str, value: Any, kind: Type | None = None) -> Expression:
    """The value of a parameter.

    kind    : the declared type, None where there is none
    Raises    UsageError where there is no type for it
    """
    if isinstance(value, Typed):
        return constant(value.value, value.kind)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return constant(None, kind or NULL)
    if isinstance(value, list | tuple) and _undeclared_type(value):
        return _undeclared(name, list(value))
    if isinstance(value, Mapping):
        return _undeclared(name, [value], alone=True)
    if isinstance(value, np.ndarray | list | tuple):
        return _array(name, value, kind)
    if isinstance(value, bytes | bytearray | memoryview):
        return constant(bytes(value), STRING)
    if isinstance(value, str):
        encoded = _as_utf8(name, value)
        if kind is not None and (kind.name == "Uuid" or kind.decimal):
            return _of_text(name, value, kind)
        if kind is not None and kind.name in ("String", "Json", "JsonDocument", *TIMES):
            return constant(encoded, STRING)
        return constant(value, UTF8)
    if isinstance(value, bool):
        return constant(value, BOOL)
    if isinstance(value, int):
        if kind is not None and kind.decimal:
            return _decimal(name, Decimal(value), kind)
        if not -(1 << 63) <= value < 1 << 64:
            raise UsageError(f"${name}: {value} is beyond 64 bits; pass a float or a string")
        return constant(value, INT64 if value < 1 << 63 else UINT64)
    if isinstance(value, float):
        return constant(value, FLOAT if kind == FLOAT else DOUBLE)
    if isinstance(value, datetime):
        value = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
        whole = kind is not None and kind.plain.name == "Datetime" and not value.microsecond
        return constant(value, Type("Datetime" if whole else "Timestamp"))
    if isinstance(value, date):
        return constant(value, Type("Date"))
    if isinstance(value, timedelta):
        return constant(value, Type("Interval"))
    if isinstance(value, UUID):
        return constant(value, Type("Uuid"))
    if isinstance(value, Decimal):
        return _decimal(name, value, kind if kind is not None and kind.decimal else decimal(22, 9))
    raise UsageError(
        f"${name}: expected bytes, a string, a number, a date or numbers in a list, found {type(value).__name__}"
    )


def _as_utf8(name: str, value: str) -> bytes:
    """A text in UTF-8; raises UsageError where it holds half a surrogate pair."""
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"${name}: half a surrogate pair, {value[error.start]!r}, at character {error.start}; expected text that "
            "UTF-8 can hold"
        ) from None


_NO_NUMBERS = (str, bytes, Mapping, date, timedelta, UUID, Decimal)


def _numeric(value: Any) -> bool:
    """Whether a value of a list of numbers has no NULL."""
    return isinstance(value, np.ndarray) or not isinstance(value, list | tuple) or None not in value


def _undeclared_type(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is none of numbers."""
    if any(isinstance(one, _NO_NUMBERS) for one in values):
        return True
    return any(one is not None for one in values) and all(one is None or isinstance(one, bool) for one in values)


class Vector(bytes):
    """A vector's byte string that a list of numbers became, with the numbers: IN compares with them."""

    numbers: Expression


def _of_text(name: str, text: str, kind: Type) -> Expression:
    """A Uuid or a Decimal that is written as text, as in JSON."""
    try:
        return constant(UUID(text), kind) if kind.name == "Uuid" else _decimal(name, Decimal(text), kind)
    except (ValueError, ArithmeticError):
        raise UsageError(f"${name}: expected {kind}, found {text!r}") from None


def _decimal(name: str, value: Decimal, kind: Type) -> Expression:
    """A Decimal with all its digits."""
    precision, scale = kind.digits
    exact = value.quantize(Decimal(1).scaleb(-scale), context=Context(prec=200)) if value.is_finite() else None
    if exact is None or exact != value or abs(exact) >= Decimal(10) ** (precision - scale):
        raise UsageError(f"${name}: {value} does not fit {kind}; declare a Decimal(precision, scale) that it fits")
    return constant(exact, kind)


def _undeclared(name: str, values: list[Any], alone: bool = False) -> Expression:
    """A list of strings or of dicts that no DECLARE gives a type, or one dict."""
    item = _kind_of(name, values)
    if item.numeric:
        raise UsageError(f"${name}: expected values of one type, found {values[0]!r} and others that are no numbers")
    kind = item if alone else list_of(item)
    return fitted(name, values[0] if alone else values, kind, Compiler("", {}, {}, _nothing, _nothing))


def _kind_of(name: str, values: list[Any]) -> Type:
    """The type of several values: that of the first which is not None, member by member for dicts."""
    first = next((one for one in values if one is not None), None)
    if isinstance(first, Mapping):
        fields = dict.fromkeys(one for row in values if isinstance(row, Mapping) for one in row)
        for one in fields:
            _as_utf8(name, str(one))
        each = ((one, _kind_of(f"{name}.{one}", [row.get(one) for row in values if row is not None])) for one in fields)
        return struct_of(each)
    return parameter(name, first).kind


def _array(name: str, value: Any, kind: Type | None) -> Expression:
    """Numbers: a list where that is declared, else a vector's byte string."""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise UsageError(f"${name}: expected numbers of one dimension, found shape {array.shape} of {array.dtype}")
    if kind is not None and kind.item is not None:
        if kind.item == FLOAT and array.dtype.kind == "f":
            return constant(array.astype(np.float32), kind)
        return _numbers(array)
    form = {"uint8": "Uint8", "int8": "Int8"}.get(str(array.dtype), "Float")
    vector = Vector(binary.to_binary(array, form))
    vector.numbers = _numbers(array)
    return constant(vector, STRING)


def _numbers(array: np.ndarray) -> Expression:
    """An array as a list of numbers."""
    return constant(
        array, list_of(DOUBLE if array.dtype.kind == "f" else UINT64 if array.dtype == np.uint64 else INT64)
    )


def _nothing(*_: Any) -> Any:
    raise AssertionError("a declared value needs no database")

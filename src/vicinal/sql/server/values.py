"""Types and values as YDB's messages, both ways."""

import struct
import uuid
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.sql.compile.parameters import Typed
from vicinal.sql.parse import literals
from vicinal.sql.server.messages import ydb_value_pb2
from vicinal.sql.types import NULL, Type, decimal, list_of, struct_of, tuple_of

EPOCH, FIRST_DAY = datetime(1970, 1, 1), date(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_WIDE = Context(prec=80)
_SPECIAL = {10**35 + 1: "NaN", 10**35: "Infinity", -(10**35): "-Infinity"}

_IDS = {
    **{name: name.upper() for name in literals.LEVELS},
    **{name: name.upper() for name in ("Bool", "Utf8", "String", "Json", "Uuid")},
    **{name: name.upper() for name in ("Date", "Datetime", "Timestamp", "Interval")},
    **{name: name.upper() for name in ("Date32", "Datetime64", "Timestamp64", "Interval64")},
    "JsonDocument": "JSON_DOCUMENT",
}
_BY_NAME = {name: ydb_value_pb2.Type.PrimitiveTypeId.Value(found) for name, found in _IDS.items()}
_BY_ID = {number: name for name, number in _BY_NAME.items()}

# The field in which a Value keeps each type.
FIELDS = {
    "Bool": "bool_value",
    **dict.fromkeys(("Int8", "Int16", "Int32", "Date32"), "int32_value"),
    **dict.fromkeys(("Uint8", "Uint16", "Uint32", "Date", "Datetime"), "uint32_value"),
    **dict.fromkeys(("Int64", "Interval", "Datetime64", "Timestamp64", "Interval64"), "int64_value"),
    **dict.fromkeys(("Uint64", "Timestamp"), "uint64_value"),
    **dict.fromkeys(("Utf8", "Json", "JsonDocument"), "text_value"),
    "String": "bytes_value",
    "Float": "float_value",
    "Double": "double_value",
}


# Types.


def type_message(kind: Type, optional: bool = False, gaps: bool = False) -> Any:
    """A type as YDB's message, as Optional where `optional`.

    gaps : whether a list may have elements that are NULL
    """
    message = ydb_value_pb2.Type()
    _fill(message.optional_type.item if optional else message, kind, gaps)
    return message


def _fill(message: Any, kind: Type, gaps: bool = False) -> None:
    if kind.item is not None:
        item = message.list_type.item
        _fill(item.optional_type.item if gaps else item, kind.item, gaps)
    elif kind.name == "Tuple":
        for _, member in kind.fields:
            _fill(message.tuple_type.elements.add().optional_type.item, member)
    elif kind.fields:
        for name, member in kind.fields:
            _fill(message.struct_type.members.add(name=name).type.optional_type.item, member)
    elif kind.name.startswith("Decimal"):
        message.decimal_type.precision, message.decimal_type.scale = kind.digits
    elif kind == NULL:
        message.null_type = 0
    else:
        message.type_id = _BY_NAME[kind.name]


def type_of(message: Any) -> Type:
    """The type that a message writes, without Optional.

    Raises    UsageError where we have no such type.
    """
    which = message.WhichOneof("type")
    if which == "type_id":
        if message.type_id not in _BY_ID:
            ids = ydb_value_pb2.Type.PrimitiveTypeId
            name = ids.Name(message.type_id) if message.type_id in ids.values() else str(message.type_id)
            raise UsageError(f"type {name} is not supported by this server; choose from {', '.join(_BY_NAME)}, Decimal")
        return Type(_BY_ID[message.type_id])
    if which == "optional_type":
        return type_of(message.optional_type.item)
    if which == "list_type":
        return list_of(type_of(message.list_type.item))
    if which == "struct_type":
        return struct_of((one.name, type_of(one.type)) for one in message.struct_type.members)
    if which == "tuple_type":
        return tuple_of(type_of(one) for one in message.tuple_type.elements)
    if which == "decimal_type":
        return decimal(message.decimal_type.precision, message.decimal_type.scale)
    if which == "tagged_type":
        return type_of(message.tagged_type.type)
    if which in ("null_type", "void_type"):
        return NULL
    if which == "empty_list_type":
        return list_of(NULL)
    raise UsageError(f"type {which} is not supported by this server")


# Values to messages.

Writer = Callable[[Any, Any], None]


def writer(kind: Type) -> Writer:
    """A function that writes a value of a type, or None, into a Value."""
    inner = _writer(kind)

    def write(message: Any, value: Any) -> None:
        if value is None:
            message.null_flag_value = 0
        else:
            inner(message, value)

    return write


def _writer(kind: Type) -> Writer:
    if kind.item is not None:
        item = writer(kind.item)

        def write_list(message: Any, value: Any) -> None:
            for one in value:
                item(message.items.add(), one)

        return write_list
    if kind.fields:
        members = [(name, writer(one)) for name, one in kind.fields]

        def write_struct(message: Any, value: Any) -> None:
            for name, one in members:
                one(message.items.add(), value[name])

        return write_struct
    if kind.name.startswith("Decimal"):
        return _decimal_writer(kind.digits[1])
    if kind.name == "Uuid":
        return _write_uuid
    field, convert = FIELDS.get(kind.name, "null_flag_value"), _CONVERT.get(kind.plain.name)

    def write(message: Any, value: Any) -> None:
        setattr(message, field, value if convert is None else convert(value))

    return write


def _interval(value: Any) -> int:
    if isinstance(value, timedelta):
        return int(value // _MICROSECOND)
    days = int(value.months) * 30 + int(value.days)
    return days * 86_400_000_000 + int(value.nanoseconds) // 1000  # as Arrow has it


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "Date": lambda value: (value - FIRST_DAY).days,
    "Datetime": lambda value: (value.replace(tzinfo=None) - EPOCH) // timedelta(seconds=1),
    "Timestamp": lambda value: (value.replace(tzinfo=None) - EPOCH) // _MICROSECOND,
    "Interval": _interval,
}


def _write_uuid(message: Any, value: Any) -> None:
    raw = (value if isinstance(value, uuid.UUID) else uuid.UUID(str(value))).bytes_le
    message.low_128, message.high_128 = struct.unpack("<QQ", raw)


def _decimal_writer(scale: int) -> Writer:
    def write(message: Any, value: Any) -> None:
        number = int(value.scaleb(scale, _WIDE).to_integral_value())
        message.high_128, message.low_128 = number >> 64 & (1 << 64) - 1, number & (1 << 64) - 1

    return write


# Messages to values.

Reader = Callable[[Any], Any]


def reader(kind: Type) -> Reader:
    """A function that reads a value of a type, or None, from a Value."""
    inner = _reader(kind)

    def read(message: Any) -> Any:
        which = message.WhichOneof("value")
        if which == "null_flag_value":
            return None
        return read(message.nested_value) if which == "nested_value" else inner(message)

    return read


def _reader(kind: Type) -> Reader:
    if kind.item is not None:
        return _list_reader(kind.item)
    if kind.fields:
        members = [(name, reader(one)) for name, one in kind.fields]

        def read_struct(message: Any) -> dict[str, Any]:
            if len(message.items) != len(members):
                raise UsageError(f"expected {len(members)} items for {kind}, found {len(message.items)}")
            return {name: one(item) for (name, one), item in zip(members, message.items, strict=True)}

        return read_struct
    if kind.name.startswith("Decimal"):
        scale = kind.digits[1]
        return lambda message: _decimal(message, scale)
    if kind.name == "Uuid":
        return lambda message: uuid.UUID(bytes_le=struct.pack("<QQ", message.low_128, message.high_128))
    if kind == NULL:
        return lambda _: None
    field, convert = FIELDS[kind.name], _CONVERT_BACK.get(kind.plain.name)
    limits = literals.BITS.get(kind.name) if kind.name in ("Int8", "Int16", "Uint8", "Uint16") else None

    def read(message: Any) -> Any:
        value = getattr(message, field)
        if limits and not limits[0] <= value <= limits[1]:
            raise UsageError(f"{value} does not fit {kind}, {limits[0]} to {limits[1]}")
        return value if convert is None else convert(value)

    return read


def _list_reader(item: Type) -> Reader:
    if item.numeric and item.name not in ("Int8", "Int16", "Uint8", "Uint16"):
        field, dtype = FIELDS[item.name], literals.NUMPY[item.name]

        def read_numbers(message: Any) -> Any:
            found = np.array([getattr(one, field) for one in message.items], dtype)
            if found.all() or not any(one.HasField("null_flag_value") for one in message.items):
                return found
            return [None if one.HasField("null_flag_value") else getattr(one, field) for one in message.items]

        return read_numbers
    read = reader(item)
    if item.numeric:
        return lambda message: np.array([read(one) for one in message.items], literals.NUMPY[item.name])
    return lambda message: [read(one) for one in message.items]


_CONVERT_BACK: dict[str, Callable[[Any], Any]] = {
    "Date": lambda value: FIRST_DAY + timedelta(days=value),
    "Datetime": lambda value: EPOCH + timedelta(seconds=value),
    "Timestamp": lambda value: EPOCH + timedelta(microseconds=value),
    "Interval": lambda value: timedelta(microseconds=value),
}


def _decimal(message: Any, scale: int) -> Decimal:
    number = message.high_128 << 64 | message.low_128
    number -= (1 << 128) if number >> 127 else 0
    if number in _SPECIAL:
        raise UsageError(f"Decimal: {_SPECIAL[number]} is not supported by this server; pass NULL")
    return Decimal(number).scaleb(-scale, _WIDE)


def parameters(given: Any) -> dict[str, Any]:
    """The values of a request's parameters by name."""
    found = {}
    for name, one in given.items():
        try:
            kind = type_of(one.type)
            found[name] = Typed(reader(kind)(one.value), kind)
        except (UsageError, ValueError, OverflowError) as error:
            raise UsageError(f"{name}: {error}") from None
    return found


def fill_rows(result: Any, rows: Iterable[tuple[Any, ...]], kinds: list[Type]) -> None:
    """Adds rows to a ResultSet."""
    writers = [writer(kind) for kind in kinds]
    add = result.rows.add
    for row in rows:
        items = add().items
        for write, value in zip(writers, row, strict=True):
            write(items.add(), value)

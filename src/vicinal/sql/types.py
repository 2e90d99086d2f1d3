"""YQL's types, and the types in which DuckDB keeps their values."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from vicinal.errors import need
from vicinal.sql.faults import outside
from vicinal.sql.parse.literals import BITS, LEVELS


@dataclass(frozen=True)
class Type:
    """A type of YQL.

    Attributes
    ----------
    name : str
        Such as Int32, String or List.
    item : Type or None
        The type of a List's elements.
    tag : str
        Such as FloatVector; empty where there is none.
    fields : tuple of (str, Type)
        The members of a Struct in order.
    """

    name: str
    item: "Type | None" = None
    tag: str = ""
    fields: tuple[tuple[str, "Type"], ...] = ()

    def __str__(self) -> str:
        if self.tag:
            return f'Tagged<{self.name}, "{self.tag}">'
        if self.name == "Tuple":
            return f"Tuple<{', '.join(str(kind) for _, kind in self.fields)}>"
        if self.fields:
            return f"Struct<{', '.join(f'{name}: {kind}' for name, kind in self.fields)}>"
        return f"List<{self.item}>" if self.item else self.name

    @property
    def numeric(self) -> bool:
        """Whether it is a type of numbers."""
        return self.name in LEVELS

    @property
    def whole(self) -> bool:
        """Whether it is a type of whole numbers."""
        return self.name in BITS

    @property
    def real(self) -> bool:
        """Whether it is Float or Double."""
        return self.name in ("Float", "Double")

    @property
    def untagged(self) -> "Type":
        """The type without its tag."""
        return replace(self, tag="") if self.tag else self

    @property
    def plain(self) -> "Type":
        """The type as which its values are kept and computed with."""
        return replace(self, name=AS[self.name]) if self.name in AS else self

    @property
    def duck(self) -> str:
        """The name of DuckDB's type."""
        if self.fields:
            members = (f"{_quoted(name)} {kind.duck}" for name, kind in self.fields)
            return f"STRUCT({', '.join(members)})"
        if self.name.startswith("Decimal"):
            return self.name.upper()
        return f"{self.item.duck}[]" if self.item else DUCK[self.name]

    @property
    def decimal(self) -> bool:
        """Whether it is a Decimal."""
        return self.name.startswith("Decimal(")

    @property
    def digits(self) -> tuple[int, int]:
        """The precision and scale of a Decimal."""
        precision, scale = self.name[len("Decimal(") : -1].split(",")
        return int(precision), int(scale)

    def member(self, name: str) -> "Type | None":
        """The type of a Struct's member, None where it has none of that name."""
        return dict(self.fields).get(name)


DUCK = {
    "Bool": "BOOLEAN",
    "Int8": "TINYINT",
    "Int16": "SMALLINT",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Uint8": "UTINYINT",
    "Uint16": "USMALLINT",
    "Uint32": "UINTEGER",
    "Uint64": "UBIGINT",
    "Float": "FLOAT",
    "Double": "DOUBLE",
    "Utf8": "VARCHAR",
    "String": "BLOB",
    "Json": "JSON",
    "Date": "DATE",
    "Datetime": "TIMESTAMP_S",
    "Timestamp": "TIMESTAMP",
    "Interval": "INTERVAL",
    "Uuid": "UUID",
    "Date32": "DATE",
    "Datetime64": "TIMESTAMP_S",
    "Timestamp64": "TIMESTAMP",
    "Interval64": "INTERVAL",
    "JsonDocument": "JSON",
    "Null": "INTEGER",
}
COLUMN_TYPES = tuple(name for name in DUCK if name != "Null")
_FROM_DUCK = {duck: name for name, duck in reversed(DUCK.items()) if name != "Null"}
_ALIASES = {
    **{"Text": "Utf8", "Bytes": "String", "Boolean": "Bool", "Tinyint": "Int8", "Smallint": "Int16"},
    **{"Int": "Int32", "Integer": "Int32", "Bigint": "Int64"},
}
# Types whose values are kept, compared and computed with as another's; they differ in the range that YDB gives them.
AS = {
    **{"Date32": "Date", "Datetime64": "Datetime", "Timestamp64": "Timestamp", "Interval64": "Interval"},
    "JsonDocument": "Json",
}
_BY_LOWER = {name.lower(): name for name in COLUMN_TYPES} | {name.lower(): to for name, to in _ALIASES.items()}

BOOL, INT64, UINT64 = Type("Bool"), Type("Int64"), Type("Uint64")
FLOAT, DOUBLE, UTF8, STRING, NULL = Type("Float"), Type("Double"), Type("Utf8"), Type("String"), Type("Null")
MOST_DIGITS = 35
TIMES = ("Date", "Datetime", "Timestamp")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def struct_of(fields: Iterable[tuple[str, Type]]) -> Type:
    """Struct<name: type, ...>."""
    return Type("Struct", fields=tuple((name, kind.untagged) for name, kind in fields))


def tuple_of(items: Iterable[Type]) -> Type:
    """Tuple<item, ...>, whose members are named 0, 1, ..."""
    return Type("Tuple", fields=tuple((str(place), kind.untagged) for place, kind in enumerate(items)))


def decimal(precision: int, scale: int) -> Type:
    """Decimal(precision, scale).

    Raises    ValueError where YQL has no such type.
    """
    if not (1 <= precision <= MOST_DIGITS and 0 <= scale <= precision):
        raise ValueError(f"Decimal({precision},{scale}): expected 1 to {MOST_DIGITS} digits, and a scale within them")
    return Type(f"Decimal({precision},{scale})")


def list_of(item: Type) -> Type:
    """List<item>."""
    return Type("List", item.untagged)


def from_duck(name: str) -> Type | None:
    """The type whose values DuckDB keeps in a type of that name, None where there is none."""
    if name.endswith("[]"):
        item = from_duck(name[:-2])
        return list_of(item) if item else None
    if name.startswith("DECIMAL("):
        precision, scale = (int(one) for one in name[8:-1].split(","))
        return decimal(precision, scale) if precision <= MOST_DIGITS else None
    return Type(_FROM_DUCK[name]) if name in _FROM_DUCK else None


def named(written: Any) -> Type:
    """The type that a `TypeName` writes; Optional is left out, as every value may be NULL.

    Raises    ValueError, naming the choices.
    """
    name = written.name
    if name.lower() == "optional" and len(written.items) == 1:
        return named(written.items[0])
    if name.lower() == "list" and len(written.items) == 1:
        return list_of(named(written.items[0]))
    if name.lower() == "struct" and written.items and len(written.members) == len(written.items):
        return struct_of(zip(written.members, map(named, written.items), strict=True))
    if name.lower() == "tuple" and written.items:
        return tuple_of(map(named, written.items))
    if name.lower() == "decimal" and len(written.members) == 2:
        return decimal(*map(int, written.members))
    if written.items or name.lower() not in _BY_LOWER:
        raise ValueError(outside(f"type {name}", f"choose from {', '.join(COLUMN_TYPES)}, List<...>, Struct<...>"))
    return Type(_BY_LOWER[name.lower()])


def arrow_type(kind: Type) -> Any:
    """The pyarrow type of a type of YQL."""
    pyarrow = need("pyarrow", extra="sql")
    if kind.item is not None:
        return pyarrow.list_(arrow_type(kind.item))
    if kind.fields:
        return pyarrow.struct([(name, arrow_type(one)) for name, one in kind.fields])
    kind = kind.plain
    named_types = {
        "Bool": pyarrow.bool_(),
        "Float": pyarrow.float32(),
        "Double": pyarrow.float64(),
        "String": pyarrow.binary(),
        "Date": pyarrow.date32(),
        "Datetime": pyarrow.timestamp("s"),
        "Timestamp": pyarrow.timestamp("us"),
        "Interval": pyarrow.duration("us"),
        "Uuid": pyarrow.uuid(),
        "Null": pyarrow.int32(),
    }
    if kind.name.startswith("Decimal"):
        return pyarrow.decimal128(*kind.digits)
    if kind.whole:
        return getattr(pyarrow, kind.name.lower())()
    return named_types.get(kind.name, pyarrow.string())

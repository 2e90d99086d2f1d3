"""YQL's types, and the types in which DuckDB keeps their values."""

from dataclasses import dataclass, replace
from typing import Any

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
    """

    name: str
    item: "Type | None" = None
    tag: str = ""

    def __str__(self) -> str:
        if self.tag:
            return f'Tagged<{self.name}, "{self.tag}">'
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
    def duck(self) -> str:
        """The name of DuckDB's type."""
        return f"{self.item.duck}[]" if self.item else DUCK[self.name]


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
    "Null": "INTEGER",
}
COLUMN_TYPES = tuple(name for name in DUCK if name != "Null")
_FROM_DUCK = {duck: name for name, duck in DUCK.items() if name != "Null"}
_ALIASES = {"Text": "Utf8", "Bytes": "String"}
_BY_LOWER = {name.lower(): name for name in COLUMN_TYPES} | {name.lower(): to for name, to in _ALIASES.items()}

BOOL, INT64, UINT64 = Type("Bool"), Type("Int64"), Type("Uint64")
FLOAT, DOUBLE, UTF8, STRING, NULL = Type("Float"), Type("Double"), Type("Utf8"), Type("String"), Type("Null")
TIMES = ("Date", "Datetime", "Timestamp")


def list_of(item: Type) -> Type:
    """List<item>."""
    return Type("List", item.untagged)


def from_duck(name: str) -> Type | None:
    """The type whose values DuckDB keeps in a type of that name, None where there is none."""
    if name.endswith("[]"):
        item = from_duck(name[:-2])
        return list_of(item) if item else None
    return Type(_FROM_DUCK[name]) if name in _FROM_DUCK else None


def named(written: Any) -> Type:
    """The type that a `TypeName` writes; Optional is left out, as every value may be NULL.

    Raises    ValueError, naming the choices.
    """
    name = written.name
    if name == "Optional" and len(written.items) == 1:
        return named(written.items[0])
    if name == "List" and len(written.items) == 1:
        return list_of(named(written.items[0]))
    if written.items or name.lower() not in _BY_LOWER:
        raise ValueError(outside(f"type {name}", f"choose from {', '.join(COLUMN_TYPES)}"))
    return Type(_BY_LOWER[name.lower()])

"""Tables of the caller's as read-only tables: copies in DuckDB's temporary schema, which end with the connection."""

from typing import Any

import pyarrow

from vicinal.errors import DataError, UsageError
from vicinal.sql.catalog import Column, Table, check_name, physical_name, quoted
from vicinal.sql.engine.connection import Connection
from vicinal.sql.parse.statements import Name
from vicinal.sql.types import MOST_DIGITS, STRING, Type, arrow_type, decimal, from_duck
from vicinal.sql.vectors import binary


def register(connection: Connection, name: str, source: Any) -> Table:
    """A table with the rows of a DataFrame or an Arrow table; columns of lists of numbers become vectors."""
    check_name(Name(name, 0), "")
    found = _arrow(name, source)
    columns: dict[str, Column] = {}
    arrays = []
    for field, values in zip(found.schema, found.columns, strict=True):
        kind, array = _column(name, field, values)
        physical = physical_name(field.name, {one.physical.lower() for one in columns.values()})
        columns[field.name] = Column(field.name, physical, kind, False)
        arrays.append(array)
    table = Table(name, f"~registered {name}", columns, (), registered=True)
    made = pyarrow.table(arrays, names=[one.physical for one in columns.values()])
    with connection.registered("~source", made):
        kinds = ", ".join(
            f"CAST({quoted(one.physical)} AS {one.kind.duck}) AS {quoted(one.physical)}" for one in columns.values()
        )
        connection.duck.execute(
            f'CREATE OR REPLACE TEMP TABLE {quoted(table.physical)} AS SELECT {kinds} FROM "~source"'
        )
    return table


def _arrow(name: str, source: Any) -> Any:
    """Anything with Arrow's C interface, or a DataFrame of pandas', as an Arrow table."""
    if hasattr(source, "__arrow_c_stream__"):
        try:
            found = pyarrow.table(source)
        except (ValueError, TypeError, pyarrow.ArrowException) as error:
            raise DataError(f"table {name}: cannot be read as an Arrow table: {error}") from None
        twice = [one for one in dict.fromkeys(found.column_names) if found.column_names.count(one) > 1]
        if twice or not found.column_names:
            what = f"found {twice[0]} twice" if twice else "found none"
            raise DataError(f"table {name}: expected columns of different names, {what}")
        return found
    raise UsageError(
        f"table {name}: expected a DataFrame or an Arrow table, found {type(source).__name__}; make one, such as "
        "pandas.DataFrame(...)"
    )


def _column(table: str, field: Any, values: Any) -> tuple[Type, Any]:
    """A column's type and its values as DuckDB takes them."""
    types, kind = pyarrow.types, field.type
    if types.is_dictionary(kind):
        kind, values = kind.value_type, values.cast(kind.value_type)
    elif types.is_timestamp(kind) and kind.tz:
        kind = pyarrow.timestamp(kind.unit)
        values = values.cast(kind)  # the moment in UTC, whatever the process's own zone is
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if lists and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        form = {"uint8": "Uint8", "int8": "Int8"}.get(str(kind.value_type), "Float")
        item = arrow_type(Type({"Uint8": "Uint8", "Int8": "Int8"}.get(form, "Float")))
        try:
            return STRING, binary.encode_column(values.cast(pyarrow.list_(item)).combine_chunks(), form)
        except (UsageError, pyarrow.ArrowException) as error:
            raise DataError(f"table {table}: column {field.name}: {error}") from None
    names = {
        "bool": "BOOLEAN",
        "float": "FLOAT",
        "double": "DOUBLE",
        "halffloat": "FLOAT",
        "date32[day]": "DATE",
        "null": "VARCHAR",
        **{f"{sign}int{bits}": f"{'U' if sign else ''}{word}" for sign in ("", "u") for bits, word in _WHOLE},
    }
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    raw = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    duck = "VARCHAR" if text else "BLOB" if raw else "TIMESTAMP" if types.is_timestamp(kind) else names.get(str(kind))
    found = from_duck(duck) if duck else None
    if types.is_duration(kind):
        found = Type("Interval")
    elif types.is_decimal128(kind) and 0 <= kind.scale <= kind.precision <= MOST_DIGITS:
        found = decimal(kind.precision, kind.scale)
    if found is None:
        raise DataError(f"table {table}: column {field.name} is of type {kind}, which has no type in YQL; leave it out")
    return found, values


_WHOLE = ((8, "TINYINT"), (16, "SMALLINT"), (32, "INTEGER"), (64, "BIGINT"))

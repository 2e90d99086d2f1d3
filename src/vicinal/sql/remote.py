"""The same statements on a real YDB, through its Python SDK.

A text is sent whole, in the form that YDB takes (`ydb.to_ydb`); values are passed beside it, vectors as bytes.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vicinal.errors import DataError, UsageError, need
from vicinal.sql import binary
from vicinal.sql.database import Rows
from vicinal.sql.types import NULL, Type, list_of
from vicinal.sql.ydb import to_ydb

TIMEOUT = 10.0


class Remote:
    """A YDB database; use it as a context manager, or `close` it.

    url     : grpc://host:port/database, or grpcs://
    timeout : seconds to wait for the first answer
    Raises  UsageError where the URL is none or nothing answers. Credentials come from the environment, as the SDK reads
            them (YDB_ACCESS_TOKEN_CREDENTIALS and others)
    """

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("grpc", "grpcs") or not parts.netloc or parts.path in ("", "/"):
            raise UsageError(f"{url}: expected grpc://host:port/database or grpcs://host:port/database")
        self._ydb = ydb = need("ydb", extra="ydb")
        self.url = url
        self._driver = ydb.Driver(
            endpoint=f"{parts.scheme}://{parts.netloc}",
            database=parts.path,
            credentials=_credentials(ydb),
        )
        try:
            self._driver.wait(timeout=timeout, fail_fast=True)
        except Exception as error:
            self._driver.stop(timeout=1)
            raise UsageError(f"{url}: cannot be reached: {_first(error)}") from None
        self._pool = ydb.QuerySessionPool(self._driver)

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the sessions and the connection."""
        self._pool.stop()
        self._driver.stop()

    def execute(self, yql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Runs statements; the rows of the last SELECT."""
        rows = Rows([], [], [])
        for rows in self.run(yql, parameters):  # noqa: B007
            pass
        return rows

    def run(self, yql: str, parameters: Mapping[str, Any] | None = None) -> Iterator[Rows]:
        """Runs statements; the rows of each SELECT.

        Raises    DataError with what the server said.
        """
        values = {"$" + name.removeprefix("$"): self._value(name, value) for name, value in (parameters or {}).items()}
        try:
            found = self._pool.execute_with_retries(to_ydb(yql), values)
        except self._ydb.Error as error:
            raise DataError(f"{self.url}: {_first(error)}") from None
        merged: dict[int, Any] = {}
        for part in found:
            merged.setdefault(part.index or 0, []).append(part)
        for number in sorted(merged):
            yield self._rows(merged[number])

    def _rows(self, parts: list[Any]) -> Rows:
        columns = parts[0].columns
        rows = [tuple(row[place] for place in range(len(columns))) for part in parts for row in part.rows]
        return Rows(rows, [column.name for column in columns], [self._kind(column.type) for column in columns])

    def _kind(self, kind: Any) -> Type:
        """The type of a column by the protocol's message."""
        which = kind.WhichOneof("type")
        if which == "optional_type":
            return self._kind(kind.optional_type.item)
        if which == "tagged_type":
            return self._kind(kind.tagged_type.type)
        if which == "list_type":
            return list_of(self._kind(kind.list_type.item))
        if which != "type_id":
            return NULL
        primitive = self._ydb.PrimitiveType
        for name in ("Bool", "Int8", "Int16", "Int32", "Int64", "Uint8", "Uint16", "Uint32", "Uint64"):
            if getattr(primitive, name).proto.type_id == kind.type_id:
                return Type(name)
        for name in ("Float", "Double", "Utf8", "String", "Json", "Date", "Datetime", "Timestamp"):
            if getattr(primitive, name).proto.type_id == kind.type_id:
                return Type(name)
        return Type("String")

    def _value(self, name: str, value: Any) -> Any:
        """A value with its type; numbers in an array or list are a vector's bytes."""
        primitive, typed = self._ydb.PrimitiveType, self._ydb.TypedValue
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, np.ndarray | list | tuple):
            array = np.asarray(value)
            if array.ndim != 1 or array.dtype.kind not in "fiu":
                raise UsageError(f"${name}: expected numbers of one dimension, found shape {array.shape}")
            form = {"uint8": "Uint8", "int8": "Int8"}.get(str(array.dtype), "Float")
            return typed(binary.to_binary(array, form), primitive.String)
        for of, kind in (
            (bool, primitive.Bool),
            (int, primitive.Int64),
            (float, primitive.Double),
            (str, primitive.Utf8),
            (bytes, primitive.String),
        ):
            if isinstance(value, of):
                return typed(value, kind)
        raise UsageError(f"${name}: a value of type {type(value).__name__} cannot be passed")


def _credentials(ydb: Any) -> Any:
    """What the environment names, else none; without a name the SDK would ask a cloud's metadata service."""
    if any(name.startswith("YDB_") and name.endswith("_CREDENTIALS") for name in os.environ):
        return ydb.credentials_from_env_variables()
    return ydb.AnonymousCredentials()


def _first(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:300]

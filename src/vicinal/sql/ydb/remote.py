"""Statements on a YDB cluster, through its Python SDK.

Each statement is sent on its own, as each is a transaction, in the form that YDB takes (`translate`), after the names,
declarations and pragmas that stand before it; what stands between BEGIN and COMMIT is sent as one text, which YDB runs
as one transaction. Values are passed beside it, of the type that DECLARE names, vectors as bytes.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from vicinal.errors import DataError, UsageError, need
from vicinal.sql.compile.parameters import declared, parameter
from vicinal.sql.faults import fault
from vicinal.sql.parse import statements
from vicinal.sql.parse.grammar import parse
from vicinal.sql.parse.lexer import names_in
from vicinal.sql.rows import Rows, last
from vicinal.sql.types import COLUMN_TYPES, NULL, Type, decimal, list_of, named, struct_of, tuple_of
from vicinal.sql.ydb.translate import to_ydb

TIMEOUT = 10.0


@dataclass
class _Piece:
    """A statement as it is written, and the values that go with it."""

    text: str
    values: dict[str, Any]


class Remote:
    """A database on a YDB cluster; use it as a context manager, or `close` it.

    Credentials come from the environment, as the SDK reads them (YDB_ACCESS_TOKEN_CREDENTIALS and others).

    Parameters
    ----------
    url : str
        grpc://host:port/database, or grpcs://.
    timeout : float
        Seconds to wait for the first answer.

    Raises
    ------
    UsageError
        The URL is none, or nothing answers.
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
            root_certificates=_root(ydb) if parts.scheme == "grpcs" else None,
        )
        try:
            self._driver.wait(timeout=timeout, fail_fast=True)
        except Exception as error:
            self._driver.stop(timeout=1)
            message = f"no answer within {timeout:g} seconds" if isinstance(error, TimeoutError) else _first(error)
            raise UsageError(
                f"{url}: cannot be reached: {message}; check the address, and that the cluster runs"
            ) from None
        settings = ydb.QueryClientSettings().with_native_json_in_result_sets(False)
        self._pool = ydb.QuerySessionPool(self._driver, query_client_settings=settings)
        self._transaction: list[list[_Piece]] | None = None  # the statements since BEGIN

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the sessions and the connection."""
        self._pool.stop()
        self._driver.stop()

    def execute(self, yql: str, parameters: Mapping[str, Any] | None = None) -> Rows:
        """Run statements and return the rows of the last SELECT; see `Database.execute`."""
        return last(self.run(yql, parameters))

    def run(
        self, yql: str, parameters: Mapping[str, Any] | None = None, names: dict[str, Any] | None = None
    ) -> Iterator[Rows]:
        """Run statements one after another and yield the rows of each SELECT, those of a transaction at COMMIT.

        Parameters
        ----------
        yql, parameters
            As `Database.execute` takes them.
        names : dict, optional
            The names, declarations and pragmas so far; statements add to it. A prompt passes the same dict each time.

        Raises
        ------
        DataError
            The server refused a statement; the message is its own.
        """
        given = {name.removeprefix("$"): value for name, value in (parameters or {}).items()}
        before: dict[str, _Piece] = {} if names is None else names
        for statement in parse(yql):
            text = f"{yql[statement.start : statement.end]};"
            if isinstance(statement, statements.Declare):
                value = declared(statement, yql, given)
                before[str(len(before))] = _Piece(text, {f"${statement.name}": self._typed(statement.kind, value)})
            elif isinstance(statement, statements.Named | statements.Pragma):
                before[str(len(before))] = self._piece(text, given, before)
            elif isinstance(statement, statements.Transaction):
                yield from self._transact(statement, yql)
            else:
                pieces = [*before.values(), self._piece(text, given, before)]
                if self._transaction is None:
                    yield from self._send(pieces)
                else:
                    self._transaction.append(pieces)

    def _transact(self, statement: statements.Transaction, yql: str) -> Iterator[Rows]:
        waiting = self._transaction
        if statement.verb == "BEGIN":
            if waiting is not None:
                raise fault(yql, statement.start, "a transaction is open already; COMMIT or ROLLBACK it first")
            self._transaction = []
            return
        if waiting is None:
            raise fault(yql, statement.start, f"{statement.verb}: no transaction is open; BEGIN opens one")
        self._transaction = None
        if statement.verb == "COMMIT" and waiting:
            # Names and pragmas that several of them share are sent once.
            yield from self._send({id(piece): piece for pieces in waiting for piece in pieces}.values())

    def _piece(self, text: str, given: dict[str, Any], before: "dict[str, _Piece]") -> "_Piece":
        """A statement's text with the values that it names, but for those that a DECLARE before it has."""
        declared_names = {name for piece in before.values() for name in piece.values}
        named_here = [name for name in names_in(text) if name in given and f"${name}" not in declared_names]
        return _Piece(text, {f"${name}": self._typed(None, parameter(name, given[name])) for name in named_here})

    def _send(self, pieces: Iterable["_Piece"]) -> Iterator[Rows]:
        values: dict[str, Any] = {}
        for piece in pieces:
            values = piece.values | values  # a declared type stands before
        try:
            found = self._pool.execute_with_retries(to_ydb("\n".join(piece.text for piece in pieces)), values)
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
        if which == "struct_type":
            return struct_of((one.name, self._kind(one.type)) for one in kind.struct_type.members)
        if which == "tuple_type":
            return tuple_of(map(self._kind, kind.tuple_type.elements))
        if which == "decimal_type":
            return decimal(kind.decimal_type.precision, kind.decimal_type.scale)
        if which != "type_id":
            return NULL
        for name in COLUMN_TYPES:
            if self._primitive(name).proto.type_id == kind.type_id:
                return Type(name)
        return Type("String")

    def _primitive(self, name: str) -> Any:
        return getattr(self._ydb.PrimitiveType, "UUID" if name == "Uuid" else name)

    def _typed(self, written: Any, value: Any) -> Any:
        """A value for the SDK, of the declared type, else of its own."""
        if written is None and value.kind == NULL:
            raise UsageError("a NULL needs its type; write DECLARE $name AS String?;")
        native = value.value.tolist() if isinstance(value.value, np.ndarray) else value.value
        return self._ydb.TypedValue(native, self._type(value.kind) if written is None else self._written(written))

    def _written(self, kind: Any) -> Any:
        """The SDK's type of a type in DECLARE."""
        if kind.name == "Optional":
            return self._ydb.OptionalType(self._written(kind.items[0]))
        if kind.name == "List":
            return self._ydb.ListType(self._written(kind.items[0]))
        if kind.members and kind.items:
            return self._struct(zip(kind.members, map(self._written, kind.items), strict=True))
        return self._type(named(kind))

    def _type(self, kind: Type) -> Any:
        if kind.item is not None:
            return self._ydb.ListType(self._type(kind.item))
        if kind.fields:
            return self._struct((name, self._type(one)) for name, one in kind.fields)
        return self._ydb.DecimalType(*kind.digits) if kind.decimal else self._primitive(kind.name)

    def _struct(self, members: Iterable[tuple[str, Any]]) -> Any:
        made = self._ydb.StructType()
        for name, kind in members:
            made.add_member(name, kind)
        return made


def _root(ydb: Any) -> bytes | None:
    """The certificate that the environment names, None for those that gRPC comes with."""
    name = "YDB_SSL_ROOT_CERTIFICATES_FILE"
    if name in os.environ and not Path(os.environ[name]).is_file():
        raise UsageError(f"{name}: {os.environ[name]}: no such file; name the server's certificate, in PEM")
    found: bytes | None = ydb.load_ydb_root_certificate()
    return found


def _credentials(ydb: Any) -> Any:
    """The environment's credentials, else none; the SDK itself would go on to a cloud's metadata service."""
    if any(name.startswith("YDB_") and name.endswith("_CREDENTIALS") for name in os.environ):
        return ydb.credentials_from_env_variables()
    return ydb.AnonymousCredentials()


def _first(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:300]

"""A server of YDB's API over one database."""

import ipaddress
import threading
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from vicinal.errors import UsageError
from vicinal.sql.database import Database
from vicinal.sql.server import limits
from vicinal.sql.server.endpoint import Endpoint
from vicinal.sql.server.query_service import QueryService
from vicinal.sql.server.scheme_service import SchemeService
from vicinal.sql.server.sessions import Sessions
from vicinal.sql.server.small_services import AuthService, DiscoveryService, OperationService
from vicinal.sql.server.table_rows import TableRows
from vicinal.sql.server.table_schema import TableSchema
from vicinal.sql.server.table_service import TableService

ROOT = "/local"
_WORKERS = limits.SESSIONS + 64  # a client that is attached to a session takes one
_TICK = 0.2  # seconds between two looks at what has timed out
_OPTIONS = (
    ("grpc.max_receive_message_length", limits.MESSAGE),
    ("grpc.max_send_message_length", limits.MESSAGE),
    ("grpc.so_reuseport", 0),  # a second server on the port is an error
    # YDB's SDK pings every 10 seconds, which gRPC's own settings end with "too_many_pings".
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
    ("grpc.http2.max_ping_strikes", 0),
)


class Server:
    """A running server; use it as a context manager, or `stop` it.

    Attributes
    ----------
    host : str
        The address at which it listens.
    port : int
    root : str
        The path of its database, /local.
    """

    def __init__(
        self,
        database: Database,
        host: str,
        port: int,
        tokens: tuple[str, ...],
        tls: tuple[bytes, bytes] | None,
        timeouts: limits.Timeouts,
    ) -> None:
        self.host, self.root, self._database, self._secure = host, ROOT, database, tls is not None
        self._sessions = Sessions(database, ROOT, timeouts)
        discovery = DiscoveryService(host, self._secure)
        services = {
            "TableService": (
                TableService(self._sessions),
                TableSchema(self._sessions, ROOT),
                TableRows(self._sessions, ROOT),
            ),
            "QueryService": (QueryService(self._sessions),),
            "SchemeService": (SchemeService(self._sessions, ROOT),),
            "DiscoveryService": (discovery,),
            "AuthService": (AuthService(tokens),),
            "OperationService": (OperationService(),),
        }
        self._server = grpc.server(
            futures.ThreadPoolExecutor(_WORKERS, thread_name_prefix="vicinal-sql"),
            handlers=[Endpoint(services, tokens, ROOT)],
            options=_OPTIONS,
        )
        self.port = discovery.port = self._bind(host, port, tls)
        self._server.start()
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._expire, name="vicinal-sql-timeouts", daemon=True)
        self._watch.start()

    def _bind(self, host: str, port: int, tls: tuple[bytes, bytes] | None) -> int:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                found = self._server.add_insecure_port(address)
            else:
                found = self._server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        except RuntimeError:
            raise UsageError(
                f"{address}: cannot be listened at; choose an address of this machine and a port that is free, or 0 "
                f"for any{'' if tls is None else ', and a certificate and its key in PEM, in this order'}"
            ) from None
        return int(found)

    @property
    def url(self) -> str:
        """The address with the database, as `vicinal sql --url` takes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"grpc{'s' if self._secure else ''}://{host}:{self.port}{self.root}"

    def _expire(self) -> None:
        while not self._stopping.wait(_TICK):
            self._sessions.expire()

    def wait(self) -> None:
        """Return when the server has stopped."""
        self._server.wait_for_termination()

    def stop(self) -> None:
        """Refuse new requests, interrupt those that run, and close the database."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        stopped = self._server.stop(grace=1)
        self._sessions.close()
        stopped.wait()
        self._watch.join()
        self._database.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address.

    >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_tokens(file: str | Path) -> tuple[str, ...]:
    """The tokens of a file, one a line.

    Raises    UsageError where there is none.
    """
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"token_file: {file}: cannot be read: {error}") from None
    found = tuple(one.strip() for one in lines if one.strip())
    if not found:
        raise UsageError(f"token_file: {file}: expected a token in a line, found none; write one into it")
    return found


def read_pair(tls: Any) -> tuple[bytes, bytes]:
    """The private key and the certificate, as gRPC takes them, of two files: certificate and key."""
    try:
        certificate, key = (Path(one).read_bytes() for one in tls)
    except (OSError, TypeError, ValueError) as error:
        raise UsageError(f"tls: expected two files, a certificate and its key in PEM: {error}") from None
    return key, certificate

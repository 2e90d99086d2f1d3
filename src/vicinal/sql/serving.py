"""`serve`: a database for YDB's clients."""

from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from vicinal.errors import UsageError, need
from vicinal.sql.database import Database

if TYPE_CHECKING:
    from vicinal.sql.server.server import Server

PORT = 2136


def serve(
    path: str | Path,
    host: str = "localhost",
    port: int = PORT,
    token_file: str | Path | None = None,
    tls: tuple[str | Path, str | Path] | None = None,
    read_only: bool = False,
    threads: int | None = None,
    session_timeout: float = 300.0,
    transaction_timeout: float = 60.0,
) -> "Server":
    """Return a running server of a database, to which YDB's clients connect.

    Parameters
    ----------
    path : str or Path
        The file, or ":memory:"; it is made where it does not exist.
    host : str
        The address at which it listens. One that other machines reach needs `token_file`.
    port : int
        0 for any that is free.
    token_file : str or Path, optional
        A file of tokens, one a line, one of which each client passes.
    tls : (str or Path, str or Path), optional
        The files of a certificate and of its private key, in PEM.
    read_only : bool
        Refuse every change; the file must exist.
    threads : int, optional
        By default the cores of the machine.
    session_timeout : float
        Seconds after which a session ends that nobody uses.
    transaction_timeout : float
        Seconds after which a transaction is rolled back that nobody uses.

    Returns
    -------
    Server
        A context manager with `host`, `port`, `url`, `wait` and `stop`.

    Raises
    ------
    UsageError
        The file cannot be opened, the address cannot be listened at, or it needs a token.
    MissingExtra
        The package ydb is not installed.

    Examples
    --------
    >>> import ydb
    >>> with serve(":memory:", port=0) as server:
    ...     driver = ydb.Driver(endpoint=f"grpc://localhost:{server.port}", database="/local")
    ...     driver.wait(timeout=5)
    ...     with ydb.QuerySessionPool(driver) as pool:
    ...         rows = pool.execute_with_retries("SELECT 1 + 1 AS two")[0].rows
    ...     driver.stop()
    >>> rows[0]["two"]
    2
    """
    need("ydb", extra="ydb")
    from vicinal.sql.server import limits, server

    if not server.is_loopback(host) and token_file is None:
        raise UsageError(
            f"host: {host} is an address that other machines reach, and needs a token; pass token_file, or localhost"
        )
    if not 0 <= port <= 65_535:
        raise UsageError(f"port: expected 0 to 65535, found {port}")
    for name, seconds in (("session_timeout", session_timeout), ("transaction_timeout", transaction_timeout)):
        if not 0 < seconds < inf:
            raise UsageError(f"{name}: expected seconds above 0, found {seconds:g}")
    tokens = () if token_file is None else server.read_tokens(token_file)
    pair = None if tls is None else server.read_pair(tls)
    database = Database(path, read_only, threads)
    try:
        timeouts = limits.Timeouts(session_timeout, transaction_timeout)
        with database.creating():  # no file is left where the address cannot be listened at
            return server.Server(database, host, port, tokens, pair, timeouts)
    except BaseException:
        database.close()
        raise

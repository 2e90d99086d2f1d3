"""Statements in sessions and transactions, as the services of tables and of queries both run them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vicinal.errors import UsageError
from vicinal.sql.faults import ReadOnly
from vicinal.sql.rows import Rows
from vicinal.sql.server import limits
from vicinal.sql.server.connections import Connected
from vicinal.sql.server.sessions import Session, Sessions
from vicinal.sql.server.values import parameters

ONLY_READS = ("online_read_only", "stale_read_only", "snapshot_read_only")


@dataclass
class Outcome:
    """The rows of each SELECT, the warnings, and the transaction that stays open, if any."""

    rows: list[Rows]
    warnings: list[str]
    transaction: str = ""


@dataclass(frozen=True)
class Query:
    """Statements with their values.

    given   : the request's parameters
    seconds : after which they are interrupted; 0 for no limit
    call    : the RPC, with whose end they are interrupted
    """

    text: str
    given: Any
    seconds: float
    call: Any


def seconds_of(params: Any, call: Any) -> float:
    """The time that a request may take, 0 for no limit."""
    given = [one.seconds + one.nanos / 1e9 for one in (params.operation_timeout, params.cancel_after)] if params else []
    remaining = call.time_remaining()
    found = [one for one in (*given, remaining) if one]
    return min(found) if found else 0.0


def only_reads(settings: Any) -> bool:
    """Whether a transaction of those settings changes nothing."""
    return settings.WhichOneof("tx_mode") in ONLY_READS


def begin(sessions: Sessions, session: Session, settings: Any) -> str:
    """Opens a transaction, and gives its id."""
    return sessions.begin(session, only_reads(settings)).id


def execute(sessions: Sessions, session_id: str, control: Any, query: Query) -> Outcome:
    """Runs statements as a request's TransactionControl says; None for each as a transaction of its own."""
    size = sum(one.ByteSize() for one in query.given.values())
    if size > limits.PARAMETERS:
        raise UsageError(f"the parameters have {size:,} bytes; at most {limits.PARAMETERS:,}, so send fewer rows")
    chosen = control.WhichOneof("tx_selector") if control is not None else None
    with sessions.using(session_id) as session:
        if chosen == "tx_id":
            return _continue(sessions, session, control.tx_id, control.commit_tx, query)
        if chosen == "begin_tx" and not control.commit_tx:
            return _continue(sessions, session, begin(sessions, session, control.begin_tx), False, query)
        if chosen is None:
            with borrowed(sessions) as connection:
                return run(sessions, connection, query)
        return _at_once(sessions, control.begin_tx, query)


@contextmanager
def borrowed(sessions: Sessions) -> Iterator[Connected]:
    """A connection for one block."""
    connection = sessions.borrow()
    try:
        yield connection
    finally:
        sessions.give_back(connection)


@contextmanager
def writable(sessions: Sessions) -> Iterator[Connected]:
    """A connection for one block that changes the database.

    Raises    ReadOnly where nothing may.
    """
    with borrowed(sessions) as connection:
        if connection.read_only:
            raise ReadOnly("the database is open for reading only; serve it without --read-only")
        yield connection


def run(sessions: Sessions, connection: Connected, query: Query) -> Outcome:
    """Runs statements on a connection."""
    values = parameters(query.given)
    with sessions.limited(connection, query.seconds, query.call):
        rows = connection.run_all(query.text, values)
    return Outcome(rows, list(connection.warnings))


def explain(sessions: Sessions, query: Query) -> tuple[str, str]:
    """DuckDB's plans of a text's SELECTs as JSON, under the names that YDB's have, and DuckDB's texts of them."""
    values = parameters(query.given)
    with borrowed(sessions) as connection, sessions.limited(connection, query.seconds, query.call):
        plans = connection.explain(query.text, values)
    nodes = [node for plan, _ in plans for node in json.loads(plan)]
    whole = {"meta": {"version": "0.2", "type": "query"}, "Plan": {"Node Type": "Query", "Plans": nodes}}
    return json.dumps(whole), ";\n".join(text for _, text in plans)


def _at_once(sessions: Sessions, settings: Any, query: Query) -> Outcome:
    """Runs statements as one transaction."""
    with borrowed(sessions) as connection:
        if connection.alone(query.text):
            with connection.reading(only_reads(settings)):
                return run(sessions, connection, query)
        connection.begin(only_reads(settings))
        try:
            outcome = run(sessions, connection, query)
        except BaseException:
            connection.end(False)
            raise
        connection.end(True)
    return outcome


def _continue(sessions: Sessions, session: Session, name: str, commit: bool, query: Query) -> Outcome:
    """Runs statements in an open transaction, which an error ends."""
    transaction = sessions.transaction(session, name)
    try:
        outcome = run(sessions, transaction.connection, query)
    except BaseException:
        sessions.finish(session, name, False)
        raise
    if commit:
        sessions.finish(session, name, True)
    else:
        outcome.transaction = name
    return outcome


def scan(sessions: Sessions, query: Query) -> Outcome:
    """Runs SELECTs as one transaction that changes nothing."""
    with borrowed(sessions) as connection:
        connection.begin(True)
        try:
            return run(sessions, connection, query)
        finally:
            connection.end(False)

"""Sessions, their transactions, and the connections that run them."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from vicinal.sql.database import Database
from vicinal.sql.faults import Conflict
from vicinal.sql.server import limits
from vicinal.sql.server.answers import Refused
from vicinal.sql.server.connections import Connected
from vicinal.sql.server.messages import Status

PREFIX = "ydb://session/3?node_id=1&id="
BUSY = 0.5  # seconds that a request waits for the one before it in its session


@dataclass(eq=False)
class Transaction:
    """An open transaction."""

    id: str
    connection: Connected
    used: float


@dataclass(eq=False)
class Run:
    """Statements that run, and the time at which they are interrupted."""

    connection: Connected
    until: float


@dataclass(eq=False)
class Session:
    """A session.

    attached : whether a client holds a stream to it, which keeps it alive
    aborted  : the ids of transactions that could not be committed; they may be rolled back once more
    ended    : set when it ends
    """

    id: str
    used: float
    attached: bool = False
    transactions: dict[str, Transaction] = field(default_factory=dict)
    aborted: set[str] = field(default_factory=set)
    busy: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)
    on_end: list[Callable[[], None]] = field(default_factory=list)


class Sessions:
    """The sessions of a server.

    database : the open one
    root     : its path
    clock    : gives the time in seconds
    """

    def __init__(
        self,
        database: Database,
        root: str,
        timeouts: limits.Timeouts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._root, self._timeouts, self._clock = database, root, timeouts, clock
        self._sessions: dict[str, Session] = {}
        self._idle: list[Connected] = []
        self._running: dict[Connected, Run] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sessions)

    # Sessions.

    def create(self) -> Session:
        """A new session.

        Raises    Refused where there are too many.
        """
        with self._lock:
            if len(self._sessions) >= limits.SESSIONS:
                raise Refused(Status.OVERLOADED, f"{limits.SESSIONS} sessions are open, the most that there can be")
            session = Session(PREFIX + secrets.token_urlsafe(16), self._clock())
            self._sessions[session.id] = session
            return session

    def find(self, name: str) -> Session:
        """The session of an id, which is used by this.

        Raises    Refused where there is none.
        """
        session = self._sessions.get(name)
        if session is None:
            raise Refused(Status.BAD_SESSION, f"Session not found: {name or 'no id was given'}; create one")
        session.used = self._clock()
        return session

    def end(self, session: Session) -> None:
        """Ends a session; its transactions are rolled back."""
        with self._lock:
            self._sessions.pop(session.id, None)
        for transaction in list(session.transactions.values()):
            transaction.connection.interrupt("the session has ended")
        with session.busy:
            for name in list(session.transactions):
                self.finish(session, name, False)
        session.ended.set()
        for act in session.on_end:
            act()

    @contextmanager
    def using(self, name: str) -> Iterator[Session]:
        """Runs a block as the only one of its session.

        Raises    Refused where another request of the session runs.
        """
        session = self.find(name)
        if not session.busy.acquire(timeout=BUSY):
            raise Refused(Status.SESSION_BUSY, "another request of this session runs; wait for its end")
        try:
            yield session
        finally:
            session.used = self._clock()
            session.busy.release()

    # Transactions.

    def begin(self, session: Session, only_reads: bool) -> Transaction:
        """Opens a transaction of a session."""
        if len(session.transactions) >= limits.TRANSACTIONS:
            raise Refused(Status.BAD_REQUEST, f"the session has {limits.TRANSACTIONS} open transactions, the most")
        connection = self.borrow()
        connection.begin(only_reads)
        transaction = Transaction(secrets.token_hex(16), connection, self._clock())
        session.transactions[transaction.id] = transaction
        return transaction

    def transaction(self, session: Session, name: str) -> Transaction:
        """An open transaction of a session.

        Raises    Refused where there is none of that id.
        """
        found = session.transactions.get(name)
        if found is None:
            raise Refused(Status.NOT_FOUND, f"Transaction not found: {name}; it has ended, begin another")
        found.used = self._clock()
        return found

    def finish(self, session: Session, name: str, commit: bool) -> None:
        """Ends a transaction of a session.

        Raises    Refused where there is none, Conflict where it cannot be committed.
        """
        if not commit and name in session.aborted:
            session.aborted.discard(name)
            return
        connection = self.transaction(session, name).connection
        del session.transactions[name]
        try:
            connection.end(commit)
        except Conflict:
            session.aborted.add(name)
            raise
        finally:
            self.give_back(connection)

    # Connections.

    def borrow(self) -> Connected:
        """A connection that nobody uses."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Connected(self._database, self._root)

    def give_back(self, connection: Connected) -> None:
        """Takes a connection back."""
        with self._lock:
            self._idle.append(connection)

    @contextmanager
    def limited(self, connection: Connected, seconds: float, call: Any) -> Iterator[None]:
        """Runs a block whose statement is interrupted after some seconds, 0 being no limit, or with the call."""
        connection.interrupted = ""
        run = Run(connection, self._clock() + seconds if seconds else float("inf"))
        self._running[connection] = run
        call.add_callback(lambda: self._stop(run, "the client has cancelled the call"))
        try:
            yield
        except Exception as error:
            reason = connection.interrupted
            if reason:
                status = Status.TIMEOUT if reason == TIMED_OUT else Status.CANCELLED
                raise Refused(status, reason) from error
            raise
        finally:
            with self._lock:
                self._running.pop(connection, None)

    def _stop(self, run: "Run", reason: str) -> None:
        """Interrupts a run that has not ended."""
        with self._lock:
            if self._running.get(run.connection) is run:
                run.connection.interrupt(reason)

    # Time.

    def expire(self) -> None:
        """Ends what has not been used for too long, and interrupts what runs too long."""
        now = self._clock()
        for run in list(self._running.values()):
            if now > run.until:
                self._stop(run, TIMED_OUT)
        for session in list(self._sessions.values()):
            if not session.attached and now - session.used > self._timeouts.session and not session.busy.locked():
                self.end(session)
                continue
            old = [one.id for one in session.transactions.values() if now - one.used > self._timeouts.transaction]
            if old and session.busy.acquire(blocking=False):
                try:
                    for name in old:
                        if name in session.transactions:
                            self.finish(session, name, False)
                finally:
                    session.busy.release()

    def close(self) -> None:
        """Ends all sessions."""
        for run in list(self._running.values()):
            self._stop(run, "the server is stopping")
        for session in list(self._sessions.values()):
            self.end(session)


TIMED_OUT = "the statement took longer than its timeout"

"""The limits, which are YDB's where YDB has one."""

from dataclasses import dataclass

MESSAGE = 64 << 20  # bytes of a request or an answer
RESULT = 50 << 20  # bytes of the result of ExecuteDataQuery
PARAMETERS = 50 << 20  # bytes of a request's parameters
ROWS = 1000  # of a result set of ExecuteDataQuery; more of them are cut off, and `truncated` says so
PART = 1 << 20  # bytes of a part of a streamed result, about
SESSIONS = 1000
TRANSACTIONS = 10  # of a session


@dataclass(frozen=True)
class Timeouts:
    """Seconds after which what nobody uses ends.

    session     : a session without a request, other than one that a client is attached to
    transaction : a transaction without a request; it is rolled back
    """

    session: float = 300.0
    transaction: float = 60.0

"""What went wrong as YDB's status and issue, by which its SDK raises its own classes."""

from typing import Any

from vicinal.errors import DataError, UsageError, VicinalError
from vicinal.sql import faults
from vicinal.sql.server.messages import Status

WARNING, ERROR = 2, 1  # severities of issues


class Refused(VicinalError):
    """A request that ends with a status.

    Attributes
    ----------
    status : int
        One of YDB's, such as Status.BAD_SESSION.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


# The status of each class of errors, the first that fits.
_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (faults.UnknownTable, Status.SCHEME_ERROR),
    (faults.TableExists, Status.GENERIC_ERROR),
    (faults.ReadOnly, Status.UNAUTHORIZED),
    (faults.SchemaInTransaction, Status.PRECONDITION_FAILED),
    (faults.MissingValue, Status.BAD_REQUEST),
    (faults.SqlError, Status.GENERIC_ERROR),
    (faults.DuplicateKey, Status.PRECONDITION_FAILED),
    (faults.NullRefused, Status.BAD_REQUEST),
    (faults.Conflict, Status.ABORTED),
    (DataError, Status.PRECONDITION_FAILED),
    (UsageError, Status.BAD_REQUEST),
    (VicinalError, Status.GENERIC_ERROR),
)


def status_of(error: Exception) -> int:
    """The status that an error becomes; INTERNAL_ERROR for one that nobody expected."""
    if isinstance(error, Refused):
        return error.status
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), int(Status.INTERNAL_ERROR))


def add_issue(issues: Any, error: Exception) -> None:
    """Adds an error to the issues of an answer, with its place in the text."""
    message = error.message if isinstance(error, faults.SqlError) else str(error)
    issue = issues.add(message=message, severity=ERROR)
    if isinstance(error, faults.SqlError) and error.line:
        issue.position.row, issue.position.column = error.line, error.column


def add_warning(issues: Any, message: str) -> None:
    """Adds a warning to the issues of an answer that succeeds."""
    issues.add(message=message, severity=WARNING)


def fill(answer: Any, error: Exception) -> Any:
    """An answer of any kind with an error's status and issue."""
    target = answer.operation if "operation" in answer.DESCRIPTOR.fields_by_name else answer
    target.status = status_of(error)
    if target is not answer:
        target.ready = True
    add_issue(target.issues, error)
    return answer

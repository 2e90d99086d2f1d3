"""The one PRAGMA: how many clusters of each level a search of a vector index visits."""

from vicinal.sql.faults import fault, outside
from vicinal.sql.parse.statements import Pragma

TOP_SIZE = "ydb.KMeansTreeSearchTopSize"


def top_size(statement: Pragma, text: str) -> int:
    """The number that a PRAGMA sets.

    Raises    SqlError where it is another PRAGMA, or no number.
    """
    if statement.name.lower() != TOP_SIZE.lower():
        raise fault(text, statement.start, outside(f"PRAGMA {statement.name}", f"there is {TOP_SIZE}"))
    value = statement.value or ""
    if not value.isdigit() or int(value) < 1:
        raise fault(text, statement.start, f"PRAGMA {TOP_SIZE}: expected a whole number above 0, found {value!r}")
    return int(value)

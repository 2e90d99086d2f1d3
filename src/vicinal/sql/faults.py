"""What is said of a statement that cannot be run: the line, the column and the construct's name."""

from vicinal.errors import UsageError


class SqlError(UsageError):
    """A statement that is wrong, or outside the subset; `line` and `column` count from 1."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{line}:{column}: {message}" if line else message)
        self.message, self.line, self.column = message, line, column


def place(text: str, offset: int) -> tuple[int, int]:
    """The line and column of a character of a text, both from 1.

    >>> place("SELECT 1;\\n  SELECT x", 12)
    (2, 3)
    """
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def fault(text: str, offset: int, message: str) -> SqlError:
    """An error at a character of a statement."""
    return SqlError(message, *place(text, offset))

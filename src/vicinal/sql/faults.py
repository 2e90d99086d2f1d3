"""Errors of statements: the line and column, what was found, what was expected, and the remedy."""

from vicinal.errors import DataError, UsageError


class SqlError(UsageError):
    """A statement that is wrong, or that uses what this subset of YQL does not have.

    Attributes
    ----------
    message : str
        What is wrong, without the place.
    line, column : int
        The place in the text, both from 1; 0 where there is none.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"{line}:{column}: {message}" if line else message)
        self.message, self.line, self.column = message, line, column


class UnknownTable(SqlError):
    """A statement names a table that does not exist."""


class TableExists(SqlError):
    """CREATE TABLE names a table that exists."""


class ReadOnly(SqlError):
    """A change of a database, or in a transaction, that is for reading only."""


class SchemaInTransaction(SqlError):
    """A change of the schema within a transaction."""


class MissingValue(SqlError):
    """A declared parameter has no value."""


class DuplicateKey(DataError):
    """INSERT of a key that is there already."""


class NullRefused(DataError):
    """NULL in a column that takes none."""


class Conflict(DataError):
    """Another transaction changed what this one read or changed; its statements can be run again."""


def place(text: str, offset: int) -> tuple[int, int]:
    """The line and column of a character of a text, both from 1.

    >>> place("SELECT 1;\\n  SELECT x", 12)
    (2, 3)
    """
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def fault(text: str, offset: int, message: str) -> SqlError:
    """An error at a character of a text."""
    return SqlError(message, *place(text, offset))


_NAME_COLUMNS = "name the columns that you want"
_LIKE = "write LIKE or ILIKE"
_NO_BITS = "there are no operators on bits"
_NOT_IN = "write WHERE key NOT IN (SELECT ...)"
_LIMIT = "write LIMIT n at the end of the SELECT"
_UNION = "write a SELECT for each and join them by UNION ALL"
_NULLS = "NULL comes first where the order ascends, and last where it descends"
_ROWS = "name rows in WHERE, or write LIMIT n"

# What to write instead of a construct, by the name that the message gives it.
REMEDIES = {
    **dict.fromkeys(("&", "|", "^", "~", "<<", ">>"), _NO_BITS),
    **dict.fromkeys(("EXCLUDE", "RENAME", "REPLACE", "WITHOUT"), _NAME_COLUMNS),
    **dict.fromkeys(("REGEXP", "RLIKE", "MATCH", "GLOB", "MATCH_RECOGNIZE"), _LIKE),
    **dict.fromkeys(("ANTI", "LEFT ANTI", "RIGHT ANTI", "LEFT ONLY", "RIGHT ONLY", "EXCLUSION", "ONLY"), _NOT_IN),
    **dict.fromkeys(("TOP", "FETCH"), _LIMIT),
    **dict.fromkeys(("ROLLUP", "CUBE", "GROUPING SETS", "PIVOT", "UNPIVOT", "COMPACT"), _UNION),
    **dict.fromkeys(("SAMPLE", "TABLESAMPLE", "BERNOULLI", "SYSTEM"), _ROWS),
    **dict.fromkeys(
        ("NULLS FIRST", "NULLS LAST"), "NULL comes first where the order ascends, and last where it descends"
    ),
    **dict.fromkeys(("ATTACH", "DETACH", "USE"), "a statement reads one database: vicinal sql FILE"),
    "ALTER TABLE ADD": "create a table that has the column, and INSERT INTO it SELECT ... FROM the old one",
    "ASSUME": "write ORDER BY without ASSUME",
    "COPY": "use vicinal sql import and vicinal sql export",
    "CREATE INDEX": "write ALTER TABLE t ADD INDEX i GLOBAL USING vector_kmeans_tree ON (column) WITH (...)",
    "DEFAULT": "give the value in INSERT or UPSERT",
    "ESCAPE": "write the pattern without it",
    "EXCEPT": "name the columns that you want, or write NOT IN (SELECT ...)",
    "FILTER (...)": "write Count_If(condition), or If(condition, value) within the function",
    "FLATTEN": "lists have ListMap, ListLength and [i]",
    "FOR": "leave it out: each statement is a transaction",
    "FROM": "write IN (SELECT ...) in WHERE",
    "FROM before SELECT": "write SELECT ... FROM ...",
    "INTERSECT": "write WHERE key IN (SELECT ...)",
    "INTERVAL": "there is no arithmetic on times; pass the moment as a parameter",
    "IS DISTINCT FROM": "write a != b, and IS NULL where a side may be NULL",
    "IS NOT DISTINCT FROM": "write a = b, and IS NULL where a side may be NULL",
    "IS other than IS NULL": "write a = b",
    "ISNULL": "write IS NULL",
    "LATERAL": "write a JOIN",
    "LATERAL as a table": "write a JOIN",
    "LIMIT with two numbers": "write LIMIT n OFFSET m",
    "NATURAL": "write JOIN ... USING (column)",
    "NOTNULL": "write IS NOT NULL",
    "ON": "write DISTINCT alone, or filter with WHERE",
    "ORDER BY here": "put it at the end of the SELECT, or in OVER (...)",
    "ORDER BY or LIMIT after a SELECT in parentheses": "put it into the parentheses",
    "PARTITION BY": "a table here has one part",
    "QUALIFY": "rank in a SELECT in parentheses, and filter around it with WHERE",
    "RETURNING": "run a SELECT afterwards",
    "SET": "the one setting is PRAGMA ydb.KMeansTreeSearchTopSize",
    "START": "write BEGIN",
    "USING": "write WHERE key IN (SELECT ...)",
    "VALUES in FROM": "write SELECT ... UNION ALL SELECT ...",
    "WITH": "write $name = SELECT ...; before the statement, and FROM $name in it",
    "XOR": "write a != b",
    "a SELECT here without parentheses": "put it in parentheses",
    "a join in parentheses": "write the joins one after another, without parentheses",
    "a lambda here": "call it, $f(x), or pass it to ListMap",
    "a list of columns after an alias": "name the columns with AS in the SELECT",
    "a name of three parts": "write table.column",
    "a string beside another": "write a || b",
    "a tuple": "write a list, [a, b], or each value on its own",
    "what follows LIMIT's number": "write a number of rows",
}

# Words that begin a construct after a table or a value; quoted in backticks or after AS they are names.
NO_ALIASES = frozenset(
    """
    ANTI ANY ASOF ASSUME BERNOULLI COLLATE COMPACT EXCLUSION FETCH FINAL FLATTEN FOR GLOB HAVING ISNULL LATERAL
    MATCH MATCH_RECOGNIZE NATURAL NOTNULL ONLY PIVOT POSITIONAL QUALIFY REGEXP RESPECT RETURNING RLIKE SAMPLE
    STREAM SYSTEM TABLESAMPLE UNPIVOT WITHOUT XOR
    """.split()  # noqa: SIM905
)


def outside(construct: str, remedy: str = "") -> str:
    """The message for a construct of YQL or SQL that is outside the subset, with a remedy.

    >>> outside("TOP")
    'TOP is outside the subset; write LIMIT n at the end of the SELECT'
    """
    return f"{construct} is outside the subset; {remedy or REMEDIES.get(construct, 'docs/sql.md lists what is in it')}"

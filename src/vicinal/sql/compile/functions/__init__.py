"""The one table of functions, a file for each subject; the compiler, the reference page and the tests read it.

`example` is an expression; `answer` is what `vicinal sql` prints for it.
"""

import difflib

from vicinal.sql.compile.functions import groups, lists, numbers, texts, times, values, vectors
from vicinal.sql.compile.functions.function import Function as Function

FUNCTIONS = (
    *vectors.FUNCTIONS,
    *values.FUNCTIONS,
    *numbers.FUNCTIONS,
    *texts.FUNCTIONS,
    *times.FUNCTIONS,
    *lists.FUNCTIONS,
    *groups.FUNCTIONS,
)
# A module's names are case-sensitive, as in YQL; those of the other functions are not.
BY_NAME = {one.name if "::" in one.name else one.name.lower(): one for one in FUNCTIONS}


def find(name: str) -> Function | None:
    """The function of that name, or None.

    >>> find("listmap").name, find("knn::CosineDistance")
    ('ListMap', None)
    """
    return BY_NAME.get(name if "::" in name else name.lower())


def near(name: str) -> str:
    """The remedy for an unknown function: the one with the nearest name, or where all are listed.

    >>> near("knn::CosineDistance"), near("Round")
    ('did you mean Knn::CosineDistance (case-sensitive)?', 'did you mean Math::Round (case-sensitive)?')
    """
    full = {one.name.lower(): one.name for one in FUNCTIONS}
    short = {one.partition("::")[2] or one: whole for one, whole in full.items()}
    known = full if "::" in name else {**short, **full}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    if not close:
        return "docs/sql-functions.md lists the functions"
    found = known[close[0]]
    return f"did you mean {found}{' (case-sensitive)' if '::' in found else ''}?"

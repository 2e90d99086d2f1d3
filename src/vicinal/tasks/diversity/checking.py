"""The checks of what measures of diversity are asked, alike for arguments and for YAML files."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from vicinal.analysis.diversity.similarities import BY_NAME, Similarity
from vicinal.errors import UsageError
from vicinal.tasks.arguments import choice, number
from vicinal.tasks.diversity.measures import DISTANCES


def similarity_of(value: object, name: str = "similarity") -> Similarity:
    """Return the similarity of a name, or raise UsageError with the choices."""
    return BY_NAME[choice(value, name, BY_NAME)]


def distance_of(value: object, name: str = "distance") -> str:
    """Return the name of a distance, or raise UsageError with the choices."""
    return choice(value, name, DISTANCES)


def amount(value: object, name: str) -> float:
    """Return a finite number of at least 0; text that holds one counts, as YAML reads 1e-10 as text.

    >>> amount("1e-10", "ridge_alpha")
    1e-10
    """
    with suppress(ValueError):
        value = float(value) if isinstance(value, str) else value
    return _at_least_0(value, name)


def power(value: object, name: str) -> float:
    """Return a finite number of at least 0 as it was given, so that its name in an answer stays the same."""
    _at_least_0(value, name)
    return value  # type: ignore[return-value]


def _at_least_0(value: object, name: str) -> float:
    return number(value, name, "a finite number of at least 0", lambda found: 0 <= found < float("inf"))


def listed(values: object, name: str, check: Callable[[object, str], Any]) -> tuple[Any, ...]:
    """Return one value or several as a tuple, each checked; there is at least one and none twice."""
    several = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    found = tuple(check(value, name) for value in several)
    if not found or len(set(found)) < len(found):
        raise UsageError(f"{name}: expected at least one number and none twice, got {several!r}")
    return found

"""What an index is asked with, checked: its parameters, k, a radius."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.errors import UsageError, unknown
from vicinal.knn.neighbors import check_k

ON_INVALID = ("error", "null")


@dataclass(frozen=True)
class Parameter:
    """One parameter of an index.

    default   : what it is where it is not given; None where it depends on the data, which `about` says
    low, high : the range that is accepted
    searching : whether it may be changed after the fit, for it only steers searching
    """

    name: str
    default: Any
    about: str
    low: int = 1
    high: int = (1 << 31) - 1
    choices: tuple[str, ...] = ()
    searching: bool = False

    def checked(self, value: object) -> Any:
        """A value that the parameter takes.

        Raises   UsageError, with what is expected
        """
        if self.choices:
            if value not in self.choices:
                raise UsageError(unknown(self.name, value, self.choices))
        elif isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise UsageError(f"{self.name}: expected true or false, got {value!r}")
        elif value is None and self.default is None:
            pass
        elif isinstance(value, bool) or not isinstance(value, int | np.integer) or not self.low <= value <= self.high:
            raise UsageError(f"{self.name}: expected a whole number from {self.low} to {self.high}, got {value!r}")
        return int(value) if isinstance(value, np.integer) else value


def as_radius(radius: object) -> float:
    """The radius as a number, or UsageError."""
    if isinstance(radius, bool) or not isinstance(radius, int | float | np.number) or np.isnan(radius):
        raise UsageError(f"radius: expected a number, got {radius!r}")
    return float(radius)


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def k_that_fits(k: object, n: int) -> int:
    """k as a whole number above 0, or UsageError; also where no memory holds k neighbours of n rows."""
    number = check_k(k)
    if number >= 1 << 48:
        raise too_large(n, number)
    return number


def too_large(n: int, k: int) -> UsageError:
    """What to say where a result does not fit the memory."""
    gib = n * k * 12 / 2**30
    return UsageError(f"not enough memory: {k} neighbours of {n} rows take {gib:,.1f} GiB and as much again; lower k")

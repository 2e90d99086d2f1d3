"""The parameters of an index: their names, defaults and ranges."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.errors import UsageError, some, unknown


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


def check_searching(kind: str, parameters: tuple[Parameter, ...], changes: dict[str, Any]) -> None:
    """Raise UsageError where a change is not of a parameter of searching; kind is what an error calls the index."""
    known = [one.name for one in parameters if one.searching]
    can = f"set() changes {some(known)}" if known else "set() changes none of its parameters"
    for name, value in changes.items():
        if name in known:
            continue
        if any(one.name == name for one in parameters):
            raise UsageError(
                f"{name}: {kind} uses it when it is built, so that it cannot become {value!r} later; build another "
                f"{kind} with it; {can}"
            )
        raise UsageError(f"{name}: {kind} has no such parameter; {can}")

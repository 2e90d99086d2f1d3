"""The parameters of an index: their names, defaults and ranges."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vicinal.errors import UsageError, unknown


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

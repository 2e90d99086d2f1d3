"""A figure of the diagnosis: a number with all that is needed to read it."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figure:
    """A number with its unit, formula, source and meaning.

    Attributes
    ----------
    name : str
        The key in `Diagnosis.figures`.
    title : str
        The name for a reader.
    value : float or None
        NaN or None where it is not defined.
    unit, formula, source, meaning : str
    """

    name: str
    title: str
    value: float | None
    unit: str
    formula: str
    source: str
    meaning: str

    def __float__(self) -> float:
        return float("nan") if self.value is None else float(self.value)

    @property
    def finite(self) -> float | None:
        """The value as JSON can hold it: None where it is not finite."""
        return None if self.value is None or not np.isfinite(self.value) else float(self.value)

    @property
    def shown(self) -> str:
        """The value as text: counts whole, small values with 4 decimals, others with 2."""
        if self.finite is None:
            return "-"
        if self.unit == "rows":
            return f"{self.finite:,.0f}"
        return f"{self.finite:.4f}" if abs(self.finite) < 1 else f"{self.finite:.2f}"

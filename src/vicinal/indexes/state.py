"""The state of an index for saving: `Index.state` returns it, and `Index.from_state` makes an index from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.knn.copies import Copies
from vicinal.typing import Id


@dataclass(frozen=True)
class EngineState:
    """The state of the engine of an index; an index that compares all rows has the defaults.

    copies  : the rows that the engine holds once; None where no row has a copy
    centre  : float64 (dim,), what is subtracted from vectors before the engine sees them; None for nothing
    scale   : what they are multiplied by, a power of two
    error   : how far distances of decoded vectors are off; None where distances are measured from the vectors
    write   : writes the engine's files into a folder; None where the engine has none
    files   : the engine's files by name, where the state was read from a folder
    """

    copies: Copies | None = None
    centre: np.ndarray | None = None
    scale: float = 1.0
    error: dict[str, float] | None = None
    write: Callable[[Path], None] | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexState:
    """The rows, the settings and the engine of an index.

    type      : the name of the kind of index
    settings  : its parameters
    n, dim    : the number of rows that were ever added, and of coordinates
    dtype     : of the vectors
    vectors   : (n, dim); None where the index holds codes alone
    removed   : bool (n,), the rows that are removed or invalid; None where none is
    invalid   : why rows are invalid, by row number
    ids       : the user's ids; None where row numbers are the ids
    payload   : columns as a pyarrow.Table, or None
    embedding : the model that made the vectors, where it is known
    """

    type: str
    metric: str
    settings: dict[str, Any]
    n: int
    dim: int
    dtype: str
    vectors: np.ndarray | None
    removed: np.ndarray | None
    invalid: dict[int, str]
    ids: list[Id] | None
    payload: Any
    embedding: dict[str, Any] | None
    engine: EngineState

    @property
    def n_live(self) -> int:
        """The number of rows that are neither removed nor invalid."""
        return self.n if self.removed is None else int(self.n - np.count_nonzero(self.removed))

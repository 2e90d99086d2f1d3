"""Annoy's forest of random cuts, for those who come from it; its package is the extra `annoy`."""

from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, need
from vicinal.indexes.contract import Index
from vicinal.indexes.parameters import Parameter
from vicinal.knn.metrics import Metric

SPACES = {"euclidean": "euclidean", "cosine": "angular", "manhattan": "manhattan", "hamming": "hamming"}


class Annoy(Index):
    """Trees of random cuts.

    n_trees  : more trees find more, and take more memory
    search_k : how many rows a query looks at; None for n_trees * k
    seed     : of the cuts; one seed gives one forest on one machine

    A forest cannot grow: `add` is refused.

    Source  Bernhardsson, the package annoy
    """

    name = "annoy"
    about = "forest of random cuts, by the package annoy"
    serves = tuple(SPACES)
    parameters = (
        Parameter("n_trees", 100, "trees", high=10_000),
        Parameter("search_k", None, "rows that a query looks at (default: n_trees * k)", searching=True),
        Parameter("seed", 0, "of the cuts", low=0),
    )
    can_add = False
    recall = 0.85
    _forest: Any = None
    _bytes = 0

    def __init__(
        self,
        metric: str | Metric = "euclidean",
        n_trees: int = 100,
        search_k: int | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, n_trees=n_trees, search_k=search_k, seed=seed)

    @property
    def engine(self) -> str:
        """The library that answers."""
        return "annoy"

    @property
    def engine_bytes(self) -> int:
        """The size of the forest's file; 0 before it is saved, for annoy does not tell."""
        return self._bytes

    def _bits(self) -> bool:
        return self.metric.kernel == "bits"

    def _new(self) -> Any:
        dim = self.dim * 8 if self._bits() else self.dim
        return need("annoy", extra="annoy").AnnoyIndex(dim, SPACES[self.metric.name])

    def _build(self, n: int) -> None:
        forest = self._new()
        forest.set_seed(self._settings["seed"])
        for block in self._blocks(n):
            for place, row in enumerate(self._prepared(block), block.start):
                forest.add_item(place, row)
        forest.build(self._settings["n_trees"], n_jobs=1)  # more than one thread would not give the same forest
        self._forest, self._bytes = forest, 0

    def _prepare(self, vectors: np.ndarray) -> np.ndarray:
        return np.unpackbits(vectors, axis=1) if self._bits() else super()._prepare(vectors)

    def _propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        search_k = self._settings["search_k"]
        found = np.full((len(queries), k), -1, dtype=np.int64)
        for place, query in enumerate(queries):
            near = self._forest.get_nns_by_vector(query, k, -1 if search_k is None else search_k)
            found[place, : len(near)] = near
        return found

    def _write(self, folder: Path) -> None:
        file = folder / "engine.annoy"
        self._forest.save(str(file))  # which maps the file from then on
        self._bytes = file.stat().st_size

    def _read(self, files: dict[str, Path], n: int) -> None:
        forest = self._new()
        try:
            forest.load(str(files["engine.annoy"]))
        except OSError as error:
            raise DataError(f"{files['engine.annoy']}: annoy cannot read it ({error}); build the index again") from None
        if forest.get_n_items() != n:
            raise DataError(f"{files['engine.annoy']}: found {forest.get_n_items()} entries, the manifest says {n}")
        self._forest, self._bytes = forest, files["engine.annoy"].stat().st_size

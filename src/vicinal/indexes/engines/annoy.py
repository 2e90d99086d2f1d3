"""Annoy's forest of trees of random splits, for users who move from annoy; needs the extra `annoy`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError, need
from vicinal.indexes.engine import Engine
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.knn.blocks import blocks
from vicinal.storage import npy
from vicinal.typing import MetricLike

SPACES = {"euclidean": "euclidean", "cosine": "angular", "manhattan": "manhattan", "hamming": "hamming"}
FILE = "engine.annoy"
BLOCK_BYTES = 1 << 24


class AnnoyEngine(Engine):
    """A forest of annoy; bits are unpacked for it."""

    changed_by_saving = True
    _forest: Any = None
    _bytes = 0

    @property
    def library(self) -> str:
        """The package; annoy has no version attribute."""
        return "annoy"

    @property
    def n_bytes(self) -> int:
        """The size of the forest's file; 0 before it is saved, because annoy does not report its memory."""
        return self._bytes

    def _as_items(self, rows: np.ndarray) -> np.ndarray:
        return np.unpackbits(rows, axis=1) if self.metric.kernel == "bits" else rows

    def _new(self, entries: Entries) -> Any:
        dim = entries.dim * 8 if self.metric.kernel == "bits" else entries.dim
        return need("annoy", extra="annoy").AnnoyIndex(dim, SPACES[self.metric.name])

    def build(self, entries: Entries) -> None:
        """Build the trees."""
        forest = self._new(entries)
        forest.set_seed(self.settings["seed"])
        for block in entries.blocks(entries.n):
            for place, row in enumerate(self._as_items(entries.prepared(block)), block.start):
                forest.add_item(place, row)
        forest.build(self.settings["n_trees"], n_jobs=1)  # more than one thread would not give the same forest
        self._forest, self._bytes = forest, 0

    def propose(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """The items that annoy returns for each query."""
        search_k = self.settings["search_k"]
        found = np.full((len(queries), k), -1, dtype=np.int64)
        for place, query in enumerate(self._as_items(queries)):
            near = self._forest.get_nns_by_vector(query, k, -1 if search_k is None else search_k)
            found[place, : len(near)] = near
        return found

    def write(self, folder: Path) -> None:
        """Write engine.annoy, which annoy maps from then on."""
        self._forest.save(str(folder / FILE))
        self._bytes = (folder / FILE).stat().st_size

    def frozen(self) -> dict[str, Any]:
        """Nothing: annoy writes a forest only by giving up what it has in memory."""
        return {}

    def thaw(self, frozen: dict[str, Any], entries: Entries) -> None:
        """Build the same trees again."""
        self.build(entries)

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Map engine.annoy."""
        forest, path = self._new(entries), files[FILE]
        _check_nodes(path, self.metric.name, entries)
        try:
            forest.load(str(path))
        except OSError as error:
            raise DataError(f"{path}: annoy cannot read it ({error}); build the index again") from None
        if forest.get_n_items() != entries.n:
            raise DataError(
                f"{path}: found {forest.get_n_items()} entries, the manifest says {entries.n}; build the index again"
            )
        self._forest, self._bytes = forest, path.stat().st_size


def _check_nodes(path: Path, metric: str, entries: Entries) -> None:
    """Raise DataError where a node names nodes or items that are not there: annoy itself follows it out of its memory.

    A node holds the number of items below it; where that is at most what fits (`most`), their numbers, else two nodes
    that lie before it.
    """
    bits = metric == "hamming"
    first = 1 if bits or metric == "cosine" else 2  # the place of the children, in words of four bytes
    words = 4 + 2 * -(-entries.dim * 8 // 64) if bits else first + 2 + entries.dim
    content = npy.mapped(path, np.int32) if path.stat().st_size % (4 * words) == 0 else np.empty(0, np.int32)
    nodes, most = content.reshape(-1, words), words - first
    sound = len(nodes) > entries.n
    for block in blocks(entries.n, BLOCK_BYTES // (4 * words)):
        sound = sound and bool((nodes[block, 0] == 1).all())
    for block in blocks(len(nodes) if sound else 0, BLOCK_BYTES // (4 * words), first=entries.n):
        below, named = nodes[block, 0], nodes[block, first:]
        inner = below > most
        items = (np.arange(most) < below[:, None]) & ~inner[:, None]
        pairs, own = named[inner, :2], np.arange(block.start, block.stop)[inner]
        sound = sound and bool(
            ((below >= 1) & (below <= entries.n)).all()
            and ((named >= 0) & (named < entries.n))[items].all()
            and ((pairs >= 0) & (pairs < own[:, None])).all()
        )
    if not sound:
        raise DataError(f"{path}: its nodes are no forest of {entries.n} entries; build the index again")


class Annoy(Index):
    """Trees of random splits, by the package annoy. Rows cannot be added.

    Parameters
    ----------
    metric : str or Metric
        euclidean, cosine, manhattan or hamming.
    n_trees : int
        More trees find more, and take more memory.
    search_k : int or None
        How many rows a query compares; None for n_trees * k. May be changed by `set`.
    seed : int
        Of the splits; one seed gives one forest on one machine.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Bernhardsson, the package annoy
    """

    name = "annoy"
    about = "forest of random splits, by the package annoy"
    metrics = tuple(SPACES)
    parameters = (
        Parameter("n_trees", 100, "trees", high=10_000),
        Parameter("search_k", None, "rows that a query compares (default: n_trees * k)", searching=True),
        Parameter("seed", 0, "of the cuts", low=0),
    )
    can_add = False
    recall = 0.85

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        n_trees: int = 100,
        search_k: int | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, n_trees=n_trees, search_k=search_k, seed=seed)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, AnnoyEngine(self.metric, self._settings, self.threads))

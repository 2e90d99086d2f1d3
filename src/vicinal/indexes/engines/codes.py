"""Product codes of a few bytes a vector, all of them compared or in lists; by faiss.

Codes only propose: while the vectors are kept, distances are measured from them. Without them (keep_vectors=False)
distances are those of the decoded vectors, and `error` says how far they are off.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import UsageError
from vicinal.indexes.engines.faiss import METRICS, FaissEngine, library
from vicinal.indexes.engines.lists import LIST_PARAMETERS, ListsEngine, n_lists
from vicinal.indexes.entries import Entries
from vicinal.indexes.index import Index
from vicinal.indexes.parameters import Parameter
from vicinal.indexes.proposals import Backend, Proposals
from vicinal.typing import MetricLike

OVERFETCH = 8  # fetch so many times k entries by codes, where distances are measured from the vectors
CODE_PARAMETERS = (
    Parameter("n_subquantizers", None, "pieces of a vector, a divisor of dim (default: about dim / 4)"),
    Parameter("n_bits", 8, "bits of the code of each piece", high=12),
    Parameter("keep_vectors", True, "measure distances from the vectors; else from the codes"),
)


def code_shape(settings: Mapping[str, Any], dim: int, n: int) -> tuple[int, int]:
    """The number of pieces that a vector is cut into, and the bits of each."""
    pieces = settings["n_subquantizers"]
    divisors = [number for number in range(1, dim + 1) if dim % number == 0]
    if pieces is None:
        pieces = max(one for one in divisors if one <= max(1, dim // 4)) if dim >= 32 else dim
    elif pieces not in divisors:
        raise UsageError(f"n_subquantizers: expected a divisor of dim {dim}, got {pieces}: {divisors}")
    return pieces, min(settings["n_bits"], max(1, int(np.log2(n))))


def set_training(index: Any, settings: Mapping[str, Any]) -> None:
    """Set how codebooks are trained; ten rounds of clustering suffice where distances are measured from the vectors."""
    index.pq.cp.min_points_per_centroid = 1  # no warning about few training rows
    index.pq.cp.niter = 10 if settings["keep_vectors"] else 25


class IVFPQEngine(ListsEngine):
    """Lists of product codes."""

    def bytes_needed(self, n: int, dim: int) -> int:
        """A code of each vector."""
        pieces, bits = code_shape(self.settings, dim, n)
        return n * pieces * bits // 8

    @property
    def codes_only(self) -> bool:
        """Whether the vectors are thrown away."""
        return not self.settings["keep_vectors"]

    def with_quantizer(self, quantizer: Any, dim: int, n: int) -> Any:
        """Lists of codes."""
        pieces, bits = code_shape(self.settings, dim, n)
        lists = n_lists(self.settings, n)
        index = library().IndexIVFPQ(quantizer, dim, lists, pieces, bits, self.faiss_metric())
        set_training(index, self.settings)
        return index

    def n_asked(self, k: int) -> int:
        """More than k, where vectors decide."""
        return k if self.codes_only else k * OVERFETCH

    def search_parameters(self, k: int, selector: Any, wider: float) -> Any:
        """The number of lists to search."""
        return library().IVFPQSearchParameters(nprobe=self.n_probes(wider), sel=selector)

    def read(self, files: Mapping[str, Path], entries: Entries) -> None:
        """Map the file, and compute the distance table here: a file could request one of any size."""
        super().read(files, entries)
        self.index.precompute_table()


class PQEngine(FaissEngine):
    """Product codes, all compared."""

    filters = False

    def bytes_needed(self, n: int, dim: int) -> int:
        """A code of each vector."""
        pieces, bits = code_shape(self.settings, dim, n)
        return n * pieces * bits // 8

    @property
    def codes_only(self) -> bool:
        """Whether the vectors are thrown away."""
        return not self.settings["keep_vectors"]

    def new(self, dim: int, n: int) -> Any:
        """Untrained codes."""
        index = library().IndexPQ(dim, *code_shape(self.settings, dim, n), self.faiss_metric())
        set_training(index, self.settings)
        return index

    def n_training(self, n: int) -> int:
        """Enough entries for each code to have its centre."""
        return int(max(65_536, 64 << self.settings["n_bits"]))

    def n_asked(self, k: int) -> int:
        """More than k, where vectors decide."""
        return k if self.codes_only else k * OVERFETCH

    def search_parameters(self, k: int, selector: Any, wider: float) -> Any:
        """None: every code is compared."""
        return None


class IVFPQ(Index):
    """Lists of product codes: a few bytes a vector, for sets that do not fit the memory.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or inner_product.
    n_lists : int or None
        How many lists; None for 4 sqrt(n).
    n_probe : int
        How many of them a query searches. May be changed by `set`.
    n_subquantizers : int or None
        Pieces that a vector is cut into, a divisor of dim; None for about dim / 4.
    n_bits : int
        Bits of the code of each piece.
    keep_vectors : bool
        Whether distances are measured from the vectors; without them, those of the decoded ones are returned, and
        `error` says how far they are off.
    threads : int or None
        None for the number of cores.

    References
    ----------
    Jegou, Douze & Schmid 2011
    """

    name = "ivfpq"
    about = "lists of codes: n_subquantizers + 8 bytes a vector"
    metrics = METRICS
    parameters = (*LIST_PARAMETERS, *CODE_PARAMETERS)
    filters = True
    recall = 0.9

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        n_lists: int | None = None,
        n_probe: int = 32,
        n_subquantizers: int | None = None,
        n_bits: int = 8,
        keep_vectors: bool = True,
        threads: int | None = None,
    ) -> None:
        settings = {"n_lists": n_lists, "n_probe": n_probe, "n_subquantizers": n_subquantizers, "n_bits": n_bits}
        super().__init__(metric, threads, **settings, keep_vectors=keep_vectors)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, IVFPQEngine(self.metric, self._settings, self.threads))


class PQ(Index):
    """Product codes alone: a few bytes a vector, every code compared.

    Parameters
    ----------
    metric : str or Metric
        euclidean, sqeuclidean, cosine or inner_product.
    n_subquantizers, n_bits, keep_vectors : as for `IVFPQ`
    threads : int or None
        None for the number of cores.

    References
    ----------
    Jegou, Douze & Schmid 2011
    """

    name = "pq"
    about = "codes: n_subquantizers bytes a vector, every one compared"
    metrics = METRICS
    parameters = CODE_PARAMETERS
    recall = 0.98

    def __init__(
        self,
        metric: MetricLike = "euclidean",
        n_subquantizers: int | None = None,
        n_bits: int = 8,
        keep_vectors: bool = True,
        threads: int | None = None,
    ) -> None:
        super().__init__(metric, threads, n_subquantizers=n_subquantizers, n_bits=n_bits, keep_vectors=keep_vectors)

    def _make_backend(self) -> Backend:
        return Proposals(self._rows, PQEngine(self.metric, self._settings, self.threads))

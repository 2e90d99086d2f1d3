"""Where the passes of a task run: in this process, or on a Ray cluster."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vicinal import devices, distributed
from vicinal.data import models
from vicinal.data.models import Encoded
from vicinal.distributed.embedding import ClusterEncoder
from vicinal.errors import UsageError, need, unknown
from vicinal.indexes.exact import Exact
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
from vicinal.typing import ArrayLike, PathLike, Progress

ENGINES = ("local", "ray")

NO_RECALL = (
    "recall: a cluster makes exact passes alone; leave recall out, or take --engine local (in Python: engine='local')"
)


@dataclass(frozen=True)
class Engine:
    """Where passes run; the answers are the same.

    Attributes
    ----------
    name : {"local", "ray"}
    address : str or None
        Of the cluster; see `vicinal.distributed.neighbors`.
    """

    name: str = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise UsageError(f"engine: {unknown('engine', self.name, ENGINES)}")
        if self.name == "local" and self.address is not None:
            raise UsageError(
                "address: names a Ray cluster, and engine is local; give --engine ray (in Python: engine='ray'), or "
                "leave the address out"
            )
        if self.name == "ray":
            if devices.chosen() is not None:
                raise UsageError(
                    "device: the nodes of a cluster use their processors; leave out the device or --engine ray (in "
                    "Python: engine='ray')"
                )
            need("ray", extra="ray")

    def exact(self, metric: Metric, threads: int | None) -> "Exact | ClusterExact":
        """An exact index, that has rows once it is fitted."""
        return Exact(metric, threads) if self.name == "local" else ClusterExact(metric, threads, self.address)

    def pairs(self, vectors: np.ndarray, metric: Metric, threads: int | None) -> "ExactSearch | ClusterPairs":
        """What finds the pairs within a radius."""
        if self.name == "local":
            return ExactSearch.of(vectors, metric, threads)
        return ClusterPairs(vectors, metric, threads, self.address)

    def encoder(
        self, model: str, sha256: str | None, device: str | None, normalize: bool, batch_size: int
    ) -> "Encoder":
        """What embeds blocks of texts with a model; `sha256` is that of its folder, None for a name."""
        if self.name == "local":
            return HereEncoder(models.load_model(model, device), normalize, batch_size)
        return ClusterEncoder(model, sha256, device, normalize, batch_size, self.address)

    @property
    def in_place(self) -> bool:
        """Whether rows of files are read by the nodes, so that no array of them is needed here."""
        return self.name == "ray"


HERE = Engine()


def engine_of(name: str, address: str | None, recall: object) -> Engine:
    """The engine of that name, for passes of a recall; None for exact ones.

    Raises
    ------
    UsageError
        It is none that can be used, or gives exact passes alone.
    """
    if name == "ray" and recall is not None:
        raise UsageError(NO_RECALL)
    return Engine(name, address)


class Encoder(Protocol):
    """Embeds texts block by block."""

    def encoded(self, parts: Iterable[list[str]]) -> Generator[Encoded]:
        """The embeddings of each block, in their order."""
        ...


@dataclass(frozen=True)
class HereEncoder:
    """Embeds blocks of texts in this process."""

    encoder: Any
    normalize: bool
    batch_size: int

    def encoded(self, parts: Iterable[list[str]]) -> Generator[Encoded]:
        """The embeddings of each block, in their order."""
        for texts in parts:
            yield models.encode_block(self.encoder, texts, self.normalize, self.batch_size)


@dataclass
class ClusterExact:
    """The passes of `Exact` that tasks make, computed by a cluster.

    threads : the cores of a task; None for all of a node
    """

    metric: Metric
    threads: int | None
    address: str | None
    engine: str = ""
    _rows: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))
    _left_out: dict[int, str] = field(default_factory=dict)

    def fit(
        self, vectors: np.ndarray, on_invalid: str = "error", invalid: dict[int, str] | None = None
    ) -> "ClusterExact":
        """Take the rows; `invalid` are those that have no neighbours and are none."""
        self._rows, self._left_out = vectors, dict(invalid or {})
        return self

    def neighbors(
        self,
        k: int,
        groups: ArrayLike | None = None,
        progress: Progress | None = None,
        checkpoint: PathLike | None = None,
        recall: float | None = None,
    ) -> Neighbors:
        """Each row's k nearest others."""
        if recall is not None:
            raise UsageError(NO_RECALL)
        found = distributed.neighbors(
            self._rows, k, self.metric, groups=groups, progress=progress, checkpoint=checkpoint, **self._how()
        )
        self.engine = found.engine
        return found

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        groups: ArrayLike | None = None,
        query_groups: ArrayLike | None = None,
        progress: Progress | None = None,
    ) -> Neighbors:
        """The k nearest rows of each query; rows of its own group are none."""
        how = {"groups": groups, "query_groups": query_groups, "progress": progress, **self._how()}
        found = distributed.search(self._rows, queries, k, self.metric, **how)
        self.engine = found.engine
        return found

    def _how(self) -> dict[str, Any]:
        return {"address": self.address, "num_cpus": self.threads, "left_out": self._left_out, "on_invalid": "null"}


@dataclass
class ClusterPairs:
    """The rows within a radius, found by a cluster."""

    vectors: np.ndarray
    metric: Metric
    threads: int | None
    address: str | None

    def within(
        self, radius: float, queries: ArrayLike | None = None, progress: Progress | None = None
    ) -> RadiusNeighbors:
        """All rows within the radius of each query, or of each row without itself."""
        how: dict[str, Any] = {"address": self.address, "num_cpus": self.threads, "progress": progress}
        return distributed.within(self.vectors, radius, self.metric, queries, **how)

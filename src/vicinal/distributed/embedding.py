"""Texts embedded by the nodes of a Ray cluster. Each process loads the model once; blocks come back in their order."""

import functools
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicinal import devices
from vicinal.data import models
from vicinal.data.models import Encoded
from vicinal.distributed import cluster
from vicinal.errors import DataError, UsageError

AHEAD = 4  # blocks that are sent to a slot before the first of them is needed


@dataclass(frozen=True)
class ClusterEncoder:
    """Embeds blocks of texts on the nodes of a cluster.

    model   : a folder that all nodes see under the same path, or a name
    sha256  : of the folder's files; None for a name
    device  : as in `vicinal.embed`; a task gets a GPU of Ray where it names cuda, or where the cluster has GPUs
    address : of the cluster; see `vicinal.distributed.neighbors`
    """

    model: str
    sha256: str | None
    device: str | None
    normalize: bool
    batch_size: int
    address: str | None

    def __post_init__(self) -> None:
        if self.device is not None and ":" in self.device:
            raise UsageError(f"device: Ray chooses the device of each task; got {self.device!r}, give its kind alone")

    def encoded(self, parts: Iterable[list[str]]) -> Generator[Encoded]:
        """The embeddings of each block of texts; an error or the end of the reader cancels what runs.

        Raises
        ------
        UsageError
            No cluster answers, or a node cannot load the model.
        DataError
            A node has another model in the folder.
        """
        with cluster.connected(self.address) as ray:
            nodes, cores = cluster.nodes_of(ray, None)
            how = {"num_cpus": cores, "max_retries": cluster.REPEATS, "scheduling_strategy": "SPREAD"}
            if self._on_gpus(ray):
                how["num_gpus"] = 1
            function = ray.remote(encode).options(**how)
            window = AHEAD * sum(node.slots for node in nodes)
            waiting, flights = iter(parts), deque[Any]()
            try:
                while True:
                    for texts in waiting:
                        flights.append(function.remote(self, texts, cores))
                        if len(flights) >= window:
                            break
                    if not flights:
                        return
                    yield cluster.outcome(ray, flights[0])
                    flights.popleft()
            finally:
                cluster.cancel(ray, flights, cluster.PATIENCE)

    def _on_gpus(self, ray: Any) -> bool:
        """Whether each task takes a GPU of a node."""
        there = ray.cluster_resources().get("GPU", 0) >= 1
        if self.device == "cuda" and not there:
            raise UsageError("device: no node of the Ray cluster has a GPU; start one with `ray start --num-gpus`")
        return there and self.device in (None, devices.AUTO, "cuda")


def encode(how: ClusterEncoder, texts: list[str], cores: int) -> Encoded:
    """The embeddings of a block of texts, in a process of a node."""
    encoder = _loaded(how.model, how.sha256, how.device, cores)
    return models.encode_block(encoder, texts, how.normalize, how.batch_size)


@functools.lru_cache(maxsize=1)
def _loaded(model: str, sha256: str | None, device: str | None, cores: int) -> Any:
    """The model, with the threads of a task; a folder must hold the files that the driver's holds."""
    import torch

    folder = Path(model)
    if sha256 is not None and not folder.is_dir():
        raise DataError(f"model: {model}: no such folder on a node; put it where every node sees it under this path")
    if sha256 is not None and models.hash_of_model(folder) != sha256:
        raise DataError(f"model: {model}: holds other files on a node than here; every node needs the same model")
    torch.set_num_threads(cores)
    return models.load_model(model, device)

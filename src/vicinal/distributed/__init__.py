"""Exact passes on a cluster of machines, by Ray: the answers of one machine, to the bit.

`pip install 'vicinal[ray]'` on every node. `neighbors`, `search` and `within` take the rows of a file that all nodes
see, of a folder of shards, or of an array.
"""

from dataclasses import dataclass, field

from vicinal.distributed import passes
from vicinal.distributed.cluster import Ran
from vicinal.distributed.passes import Options
from vicinal.distributed.plan import Plan, Simulation, plan, simulate
from vicinal.distributed.source import open_rows
from vicinal.distributed.tiles import Question
from vicinal.knn import memory
from vicinal.knn.arguments import BYTES_OF_ONE, check_k
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.typing import ArrayLike, MetricLike, PathLike, Progress

__all__ = ["ClusterNeighbors", "Plan", "Simulation", "neighbors", "plan", "simulate"]


@dataclass(frozen=True, eq=False, repr=False)
class ClusterNeighbors(Neighbors):
    """The `Neighbors` of a pass on a cluster, with what the pass did.

    Attributes
    ----------
    indices, distances, metric, dim
        As of `Neighbors`.
    engine : str
        The kernel of the nodes.
    seconds : float
    unusable : dict of int to str
        The rows without neighbours of their own, and why.
    plan : Plan or None
    ran : tuple of Ran
        Each task: where it was sent, where it ran, and how long it took there.
    """

    engine: str = ""
    seconds: float = 0.0
    unusable: dict[int, str] = field(default_factory=dict)
    plan: Plan | None = None
    ran: tuple[Ran, ...] = ()


def neighbors(
    source: object,
    k: int = 5,
    metric: MetricLike = "euclidean",
    *,
    address: str | None = None,
    groups: ArrayLike | None = None,
    on_invalid: str = "error",
    num_cpus: int | None = None,
    block_rows: int | None = None,
    checkpoint: PathLike | None = None,
    progress: Progress | None = None,
) -> ClusterNeighbors:
    """Return the k nearest other rows of each row, computed by the nodes of a Ray cluster.

    Parameters
    ----------
    source : path, list of paths, or array_like
        A file or a folder of shards of embeddings. `.npy`, `.fbin` and the like are mapped by the nodes, which must
        see them under the same path; other sources are read here and sent block by block.
    k : int
        As in `vicinal.neighbors`.
    metric : str or Metric
    address : str, optional
        Of the cluster: HOST:PORT, or "auto" on one of its nodes. Without it, the cluster that the process is connected
        to, else a new one of this machine alone.
    groups : array_like of int, shape (n,), optional
        Rows of one group are not each other's neighbours.
    on_invalid : {"error", "null"}
        What to do with rows that no distance is defined for: refuse them, or leave them without neighbours.
    num_cpus : int, optional
        The cores of a task, which are its threads; by default all cores of the smallest node, so that a node runs one
        task at a time.
    block_rows : int, optional
        The rows of a block; see `plan`. The result does not depend on it.
    checkpoint : path, optional
        A folder of the driver that keeps finished tiles, one file each. The same call resumes from it and removes it at
        the end.
    progress : callable, optional
        Called with (rows done, rows in all), of all nodes together.

    Returns
    -------
    ClusterNeighbors
        What `vicinal.neighbors` returns for the same rows, to the bit.

    Raises
    ------
    MissingExtra
        Ray is not installed.
    UsageError
        No cluster answers; an argument cannot be used; the checkpoint belongs to another question.
    DataError
        The source cannot be read, or rows are invalid and `on_invalid` is "error".
    """
    k, measure = check_k(k), find(metric)
    options = Options(address, num_cpus, block_rows, on_invalid, progress, checkpoint)
    rows = open_rows(source, measure)
    n = len(rows)
    memory.require(2 * n * min(k, n) * BYTES_OF_ONE, f"{k} neighbours of {n} rows", "lower k")
    question = Question("", measure, min(k, max(1, n - 1)))
    work, k, seconds = passes.self_join(rows, question, groups, options, k)
    indices, distances = work.lists.result(k)
    indices.setflags(write=False)
    distances.setflags(write=False)
    unusable = dict(sorted(work.invalid.items()))
    return ClusterNeighbors(
        indices, distances, measure.name, rows.dim, work.engine, seconds, unusable, work.plan, work.ran
    )

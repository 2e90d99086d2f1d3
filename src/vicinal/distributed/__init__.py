"""Exact passes on a cluster of machines, by Ray: the answers of one machine, to the bit.

`pip install 'vicinal[ray]'` on every node. `neighbors`, `search` and `within` take the rows of a file that all nodes
see, of a folder of shards, or of an array.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from vicinal.distributed import passes
from vicinal.distributed.cluster import Ran
from vicinal.distributed.passes import Options
from vicinal.distributed.plan import Plan, Simulation, plan, simulate
from vicinal.distributed.queries import Search, Side, by_row
from vicinal.distributed.source import Rows, open_rows
from vicinal.distributed.tiles import Question
from vicinal.errors import DataError, UsageError
from vicinal.knn import memory
from vicinal.knn.arguments import BYTES_OF_ONE, as_groups, as_radius, check_both_groups, check_k, k_that_fits
from vicinal.knn.metrics import Metric, find
from vicinal.knn.neighbors import Neighbors, RadiusNeighbors
from vicinal.typing import ArrayLike, MetricLike, PathLike, Progress

__all__ = ["ClusterNeighbors", "Plan", "Simulation", "neighbors", "plan", "search", "simulate", "within"]


@dataclass(frozen=True, eq=False, repr=False)
class ClusterNeighbors(Neighbors):
    """The `Neighbors` of a pass on a cluster, with what the pass did.

    Attributes
    ----------
    indices, distances, metric, dim, recall
        As of `Neighbors`; always exact.
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
    left_out: Mapping[int, str] | None = None,
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
        to, else a new one of this machine alone. Another one than that is refused.
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
        the end; a second one waits until then.
    progress : callable, optional
        Called with (rows done, rows in all), of all nodes together.
    left_out : mapping of int to str, optional
        Rows that are to have no neighbours and to be none, and why.

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
    options = Options(address, num_cpus, block_rows, on_invalid, progress, checkpoint, left_out or {})
    rows = open_rows(source, measure)
    n = len(rows)
    memory.require(n * min(k, n) * BYTES_OF_ONE, f"{k} neighbours of {n} rows", "lower k")
    question = Question("", measure, min(k, max(1, n - 1)))
    work, k, seconds = passes.self_join(rows, question, groups, options, k)
    indices, distances = work.lists.result(k)
    indices.setflags(write=False)
    distances.setflags(write=False)
    unusable = dict(sorted(work.invalid.items()))
    return ClusterNeighbors(
        indices, distances, measure.name, rows.dim, work.engine, seconds, unusable, work.plan, work.ran
    )


def search(
    source: object,
    queries: object,
    k: int = 10,
    metric: MetricLike = "euclidean",
    *,
    address: str | None = None,
    groups: ArrayLike | None = None,
    query_groups: ArrayLike | None = None,
    on_invalid: str = "error",
    num_cpus: int | None = None,
    block_rows: int | None = None,
    progress: Progress | None = None,
    left_out: Mapping[int, str] | None = None,
) -> ClusterNeighbors:
    """Return the k nearest rows of each query, computed by the nodes of a Ray cluster.

    Parameters
    ----------
    source : path, list of paths, or array_like
        As in `neighbors`.
    queries : path, list of paths, or array_like
        As `source`.
    k : int
        Of fewer valid rows there is a column for each.
    metric, address
        As in `neighbors`.
    groups, query_groups : array_like of int, shape (n,) and (n_queries,), optional
        Rows of a query's own group are not its neighbours; give both or neither.
    on_invalid, num_cpus, block_rows, progress, left_out
        As in `neighbors`.

    Returns
    -------
    ClusterNeighbors
        What `ExactSearch.search` returns, to the bit.

    Raises
    ------
    MissingExtra, UsageError, DataError
        As `neighbors`; or the dims differ, or a query is invalid.
    """
    begun, measure = time.perf_counter(), find(metric)
    options = Options(address, num_cpus, block_rows, on_invalid, progress, left_out=left_out or {})
    rows, asked = open_rows(source, measure), _queries(source, queries, measure)
    k = k_that_fits(k, len(rows))
    check_both_groups(groups, query_groups)
    sides = Side(rows, as_groups(groups, len(rows))), Side(asked, as_groups(query_groups, len(asked), "query_groups"))
    work = Search(*sides, Question("", measure, k), options)
    work.run()
    unusable = work.stored.wrong()
    k = k_that_fits(k, len(rows) - len(unusable))
    indices, distances = work.lists.result(k)
    seconds = time.perf_counter() - begun
    return ClusterNeighbors(
        indices, distances, measure.name, rows.dim, work.engine, seconds, unusable, work.plan, work.ran
    )


def within(
    source: object,
    radius: float,
    metric: MetricLike = "euclidean",
    queries: object = None,
    *,
    address: str | None = None,
    groups: ArrayLike | None = None,
    query_groups: ArrayLike | None = None,
    on_invalid: str = "error",
    num_cpus: int | None = None,
    block_rows: int | None = None,
    checkpoint: PathLike | None = None,
    progress: Progress | None = None,
) -> RadiusNeighbors:
    """Return all rows at a distance of at most `radius`: of each query, or of each row without itself.

    Parameters
    ----------
    source : path, list of paths, or array_like
        As in `neighbors`.
    radius : float
        In the metric's unit; the comparison is made in float64.
    metric : str or Metric
        As in `neighbors`.
    queries : path, list of paths, or array_like, optional
        None for the rows themselves.
    address : str, optional
        As in `neighbors`.
    groups, query_groups : array_like of int, optional
        As in `search`; without queries, only `groups`.
    on_invalid, num_cpus, block_rows, checkpoint, progress
        As in `neighbors`; a checkpoint is for the rows themselves.

    Returns
    -------
    RadiusNeighbors
        What `ExactSearch.within` returns, to the bit.

    Raises
    ------
    MissingExtra, UsageError, DataError
        As `search`; or the radius is not a number.
    """
    question = Question("", find(metric), 0, as_radius(radius))
    rows = open_rows(source, question.metric)
    options = Options(address, num_cpus, block_rows, on_invalid, progress, checkpoint)
    if queries is None:
        joined, _, _ = passes.self_join(rows, question, groups, options, 0)
        return RadiusNeighbors(*by_row(joined.found, joined.starts), question.metric.name)
    if checkpoint is not None:
        raise UsageError("checkpoint: a search of queries keeps none; leave it out")
    check_both_groups(groups, query_groups)
    asked = _queries(source, queries, question.metric)
    sides = Side(rows, as_groups(groups, len(rows))), Side(asked, as_groups(query_groups, len(asked), "query_groups"))
    work = Search(*sides, question, options)
    work.run()
    return RadiusNeighbors(*by_row(work.found, work.queries.starts), question.metric.name)


def _queries(source: object, queries: object, metric: Metric) -> Rows:
    """The queries, of the dim of the rows."""
    rows, asked = open_rows(source, metric), open_rows(queries, metric, "queries")
    if rows.dim != asked.dim:
        raise DataError(f"queries: found dim {asked.dim}, the stored vectors have dim {rows.dim}")
    return asked

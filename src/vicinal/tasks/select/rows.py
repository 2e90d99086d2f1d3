"""A data set cut down: its chosen lines, and a decision for every row."""

import math
import time
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis import scores
from vicinal.analysis.duplicates import check_radius, duplicate_groups, representatives
from vicinal.data import provenance, tables
from vicinal.errors import DataError, UsageError, unknown
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.vectors import as_vectors, invalid_rows, refuse_dtype
from vicinal.storage import atomic, npy
from vicinal.tasks.score.config import whole_number
from vicinal.tasks.select.score_file import read_scores
from vicinal.tasks.select.strategies import BY_NAME, Start, choose, seats_of


@dataclass(frozen=True)
class Selected:
    """What was selected.

    rows      : int64 (keep,), ascending
    decisions : one record a row
    """

    rows: np.ndarray
    decisions: list[dict[str, Any]]
    seconds: float


def count_of(keep: str | int, n: int, place: str = "--keep") -> int:
    """How many rows a number or a percentage of n is: rounded half up, at least 1.

    Raises    UsageError where it is neither, or more than n.
    >>> count_of("10%", 45), count_of("7", 45)
    (5, 7)
    """
    text = str(keep).strip()
    if text.endswith("%"):
        try:
            percent = float(text[:-1])
        except ValueError:
            percent = math.nan
        if not 0 < percent <= 100:
            raise UsageError(f'{place}: expected a number of rows or a percentage such as 10%, got "{keep}"')
        return max(1, math.floor(n * percent / 100 + 0.5))
    count = whole_number(text, place)
    if count > n:
        raise UsageError(f"{place}: {count} rows were asked for, but there are {n}; ask for at most {n}")
    return count


def select_rows(
    data: str | Path,
    scored: str | Path | None,
    output: str | Path,
    *,
    keep: str | int,
    strategy: str = "highest",
    decisions: str | Path | None = None,
    by: str | None = None,
    embeddings: str | Path | None = None,
    neighbors: str | Path | None = None,
    k: int = 10,
    metric: str = "euclidean",
    quality: str | None = None,
    dedup: float | str | None = None,
    quota: str | None = None,
    id_field: str = "id",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Start | None = None,
) -> Selected:
    """Chooses exactly `keep` rows of a data set and writes their lines, byte for byte, and a decision for every row.

    scored     : a file of `vicinal score`; None for the strategies that need none
    strategy   : a name of `STRATEGIES`
    decisions  : where the decisions go; None for beside the output
    by         : which score, where the file has several
    embeddings : needed by k-center, by `dedup`, and by facility where `neighbors` is none
    neighbors  : a saved graph for facility
    quality    : a field of numbers, high is good; its percentile multiplies what the strategy maximises
    dedup      : a radius; of rows so close together only one takes part: the best of the quality field, else the first
    quota      : a field; each of its values gets its share of `keep`, as it has of the data set
    Raises       UsageError, DataError
    """
    start = time.perf_counter()
    if strategy not in BY_NAME:
        raise UsageError(f"--strategy: {unknown('strategy', strategy, BY_NAME)}")
    plan, measure = BY_NAME[strategy], find(metric)
    data, output = Path(data), Path(output)
    decisions = Path(f"{output}.decisions.jsonl") if decisions is None else Path(decisions)
    _check_outputs(data, output, decisions, overwrite)
    if plan.needs == "scores" and scored is None:
        raise UsageError(f"{strategy} goes by scores; write: vicinal select {data} SCORES.jsonl --keep N")
    if embeddings is None and (plan.needs == "embeddings" or dedup is not None):
        raise UsageError(f"{strategy if dedup is None else '--dedup'} needs the vectors: give --embeddings EMB.npy")
    if plan.needs == "neighbours" and embeddings is None and neighbors is None:
        raise UsageError(f"{strategy} needs the neighbours: give --embeddings EMB.npy or --neighbors FOLDER")
    if plan.needs != "scores" and measure.product:
        raise UsageError(f"--metric: {strategy}: {measure.name} is no distance; choose another metric")
    radius = None if dedup is None else check_radius(dedup, measure, "--dedup")
    vectors = None if embeddings is None else as_vectors(npy.load_npy(embeddings), str(embeddings))
    if vectors is not None:
        refuse_dtype(vectors, measure, str(embeddings))
    fields = ({quality: "number"} if quality else {}) | ({quota: "label"} if quota and quota != quality else {})
    ids, warned, columns = tables.read_columns(data, id_field, fields)
    for one in warned:
        warnings.warn(one, stacklevel=2)
    n = len(ids)
    count = count_of(keep, n)
    usable = np.ones(n, dtype=bool)
    reasons: dict[int, str] = {}
    values = None
    if scored is not None:
        values = read_scores(scored, data, ids, by)
        usable &= np.isfinite(values)
        reasons |= {int(row): "no score" for row in np.flatnonzero(~usable)}
    if vectors is not None:
        tables.refuse_other_count(data, n, embeddings, len(vectors))
        provenance.verify(str(embeddings), data, ids)
        wrong = invalid_rows(vectors, measure)
        usable[list(wrong)] = False
        reasons = {**wrong, **reasons}
    graph = None if neighbors is None else _graph(neighbors, data, n)
    if usable.sum() < count:
        raise DataError(
            f"{data}: {count} rows were asked for, but only {usable.sum()} can be used "
            f"({', '.join(sorted(set(reasons.values())))}); ask for fewer, or mend them"
        )
    rows = np.flatnonzero(usable)
    worth = None if quality is None else np.array(columns[quality], dtype=np.float64)[rows]
    weight = np.ones(len(rows)) if worth is None else scores.percentile(worth) / 100
    groups = None if quota is None else tables.numbered(columns[quota])[rows]
    stands = np.arange(len(rows))
    if radius is not None and vectors is not None:
        tell = progress and progress(f"{measure.name} pairs within {radius:g}")
        stands = representatives(duplicate_groups(vectors[rows], radius, measure, threads, tell), worth)
    first = np.flatnonzero(stands == np.arange(len(rows)))
    tiers = [first, np.setdiff1d(np.arange(len(rows)), first)]
    seats = None if groups is None else seats_of(groups, count, tiers)
    chosen: list[int] = []
    records: list[dict[str, Any]] = [{} for _ in range(n)]
    for bad, reason in reasons.items():
        records[bad] = {"rule": "unusable", "reason": reason, "because": None}
    for number, tier in enumerate(tiers):
        quotas = None if seats is None else seats[number]
        wanted = min(count - len(chosen), len(tier)) if quotas is None else int(quotas.sum())
        if number and wanted:
            warnings.warn(
                f"--dedup {radius:g} leaves {len(first)} rows, {wanted} fewer than asked for; the best of the "
                "duplicates make up the number",
                stacklevel=2,
            )
        if not wanted:
            part = None
        else:
            part = choose(
                plan if number == 0 else None,
                tier,
                wanted,
                None if values is None else values[rows[tier]],
                weight[tier],
                None if vectors is None else vectors[rows[tier]] if len(tier) < n else vectors,
                _part_of(graph, rows[tier]) if graph is not None and number == 0 else None,
                k,
                measure,
                None if groups is None else groups[tier],
                quotas,
                threads,
                progress,
            )
        taken = set() if part is None else set(part.order.tolist())
        rank = {} if part is None else {int(row): place for place, row in enumerate(part.order, start=len(chosen) + 1)}
        for place, row in enumerate(tier):
            record: dict[str, Any]
            if number and place not in taken:
                record = {"rule": "dedup", "because": ids[rows[stands[row]]]}
            elif part is None:
                record = {"rule": "quota", "because": None}
            else:
                because = int(part.because[place])
                record = {"rule": strategy if not number else "dedup, let back in"}
                record["because"] = None if because < 0 or because == place else ids[rows[tier[because]]]
                if np.isfinite(part.distance[place]) and record["because"] is not None:
                    record["distance"] = float(str(np.float32(part.distance[place])))
                if place in taken:
                    record["rank"] = rank[place]
            records[rows[row]] = record
        chosen += [] if part is None else [int(rows[tier[row]]) for row in part.order]
    kept = np.zeros(n, dtype=bool)
    kept[chosen] = True
    assert kept.sum() == count
    told = [
        {"id": ids[row], "row": row, "decision": "kept" if kept[row] else "dropped", **records[row]} for row in range(n)
    ]
    with ExitStack() as stack:
        table = stack.enter_context(tables.table_writer(decisions, overwrite))
        file = stack.enter_context(atomic.whole_file(output, overwrite))
        for record in told:
            table.add(record)
        tables.copy_rows(data, file, output, kept)
    return Selected(np.flatnonzero(kept), told, time.perf_counter() - start)


def _part_of(graph: Neighbors, rows: np.ndarray) -> Neighbors:
    """The graph of some of the rows, in their numbers; neighbours that are not among them are left out."""
    if len(rows) == len(graph):
        return graph
    number = np.full(len(graph), -1)
    number[rows] = np.arange(len(rows))
    found = graph.indices[rows]
    found = np.where(found < 0, -1, number[found])
    far = np.where(found < 0, np.float32(np.inf), graph.distances[rows])
    return Neighbors(found, far, graph.metric, graph.dim)


def _check_outputs(data: Path, output: Path, decisions: Path, overwrite: bool) -> None:
    kinds = {path: tables.suffix(path) for path in (data, output, decisions)}
    same = (".jsonl", ".jsonl.gz")
    if kinds[data] != kinds[output] and not (kinds[data] in same and kinds[output] in same):
        raise UsageError(f"{output}: chosen rows are copied as they are, so expected a name that ends in {kinds[data]}")
    if kinds[decisions] not in same:
        raise UsageError(f"{decisions}: expected a name that ends in .jsonl or .jsonl.gz for the decisions")
    if output.absolute() == decisions.absolute():
        raise UsageError(f"{output}: is the place of the chosen rows and of the decisions; name two")
    for path in (output, decisions):
        atomic.refuse_input(path, [data])
        atomic.check_file(path, overwrite)


def _graph(folder: str | Path, data: Path, n: int) -> Neighbors:
    graph = Neighbors.load(folder)
    tables.refuse_other_count(data, n, folder, len(graph))
    return graph

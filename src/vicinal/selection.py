"""Data sets cut down: a data set and its scores in, the chosen lines and a decision for every row out.

And groups of near-duplicates, one record a group. What is chosen, and why, is decided in `select.py`.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import datasets, embedding, files, scores, select
from vicinal.config import whole_number
from vicinal.duplicates import check_radius, duplicate_groups, representatives
from vicinal.errors import DataError, UsageError, unknown
from vicinal.graph import Neighbors
from vicinal.indexes.exact import Exact
from vicinal.metrics import Metric, find
from vicinal.vectors import as_vectors, invalid_rows, refuse_dtype, refuse_invalid

Progress = Callable[[int, int], None]
Start = Callable[[str], Progress]


@dataclass(frozen=True)
class Strategy:
    """A row of the table: a strategy's name, what it does, and what it needs.

    merit : percentiles of the score, 0 to 1 -> what is maximised; None where the strategy is none of single rows
    needs : scores, embeddings or neighbours
    """

    name: str
    does: str
    needs: str
    merit: Callable[[np.ndarray], np.ndarray] | None = None


STRATEGIES = (
    Strategy("highest", "the highest scores", "scores", lambda p: p),
    Strategy("lowest", "the lowest scores", "scores", lambda p: 1 - p),
    # Rounded, so that rows equally far above and below the median tie, and the lower row decides.
    Strategy(
        "middle",
        "the scores around the median: both tails are cut",
        "scores",
        lambda p: np.round(1 - abs(2 * p - 1), 12),
    ),
    Strategy("k-center", "each next row the farthest from all chosen before", "embeddings"),
    Strategy("facility", "the rows that serve the others' neighbourhoods best", "neighbours"),
)
BY_NAME = {strategy.name: strategy for strategy in STRATEGIES}


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
    vectors = None if embeddings is None else as_vectors(files.load_npy(embeddings), str(embeddings))
    if vectors is not None:
        refuse_dtype(vectors, measure, str(embeddings))
    fields = ({quality: "number"} if quality else {}) | ({quota: "label"} if quota and quota != quality else {})
    ids, notes, columns = datasets.read_columns(data, id_field, fields)
    for note in notes:
        warnings.warn(note, stacklevel=2)
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
        _same_count(len(vectors), embeddings, data, n)
        embedding.verify(str(embeddings), data, ids)
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
    groups = None if quota is None else _numbered(columns[quota])[rows]
    stands = np.arange(len(rows))
    if radius is not None and vectors is not None:
        tell = progress and progress(f"{measure.name} pairs within {radius:g}")
        stands = representatives(duplicate_groups(vectors[rows], radius, measure, threads, tell), worth)
    first = np.flatnonzero(stands == np.arange(len(rows)))
    tiers = [first, np.setdiff1d(np.arange(len(rows)), first)]
    seats = None if groups is None else _seats(groups, count, tiers)
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
            part = _choose(
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
        table = stack.enter_context(datasets.table_writer(decisions, overwrite))
        file = stack.enter_context(files.whole_file(output, overwrite))
        for record in told:
            table.add(record)
        datasets.copy_rows(data, file, output, kept)
    return Selected(np.flatnonzero(kept), told, time.perf_counter() - start)


def _choose(
    plan: Strategy | None,
    tier: np.ndarray,
    wanted: int,
    values: np.ndarray | None,
    weight: np.ndarray,
    vectors: np.ndarray | None,
    graph: Neighbors | None,
    k: int,
    metric: Metric,
    groups: np.ndarray | None,
    seats: np.ndarray | None,
    threads: int | None,
    progress: Start | None,
) -> select.Choice:
    """One strategy over the rows of a tier; without one, those of the best quality."""
    if plan is None:
        return select.by_merit(weight, wanted, groups, seats)
    if plan.merit is not None:
        assert values is not None
        return select.by_merit(plan.merit(scores.percentile(values) / 100) * weight, wanted, groups, seats)
    if plan.needs == "embeddings":
        assert vectors is not None
        best = weight if values is None else scores.percentile(values) * weight
        return select.k_center(vectors, wanted, metric, weight, int(np.argmax(best)), groups, seats, threads)
    if graph is None:
        assert vectors is not None
        if len(tier) < 2:
            return select.by_merit(weight, wanted, groups, seats)
        tell = progress and progress(f"{metric.name} neighbours")
        graph = Exact(metric, threads).fit(vectors).neighbors(min(k, len(tier) - 1), progress=tell)
    return select.facility_location(graph, wanted, weight, groups, seats)


def _seats(groups: np.ndarray, count: int, tiers: list[np.ndarray]) -> list[np.ndarray]:
    """How many rows each group may keep of each tier: of the first as many as it has, then of the second."""
    present = [np.bincount(groups[tier], minlength=int(groups.max()) + 1) for tier in tiers]
    first = select.shares(groups, min(count, len(tiers[0])), present[0])
    if count <= len(tiers[0]):
        return [first, np.zeros_like(first)]
    whole = select.shares(groups, count, present[0] + present[1])
    rest = np.maximum(whole - present[0], 0)
    spare = count - len(tiers[0]) - int(rest.sum())
    while spare < 0:  # some groups keep more than their share already
        group = int(np.argmax(rest))
        rest[group], spare = rest[group] - 1, spare + 1
    return [present[0], rest]


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


def read_scores(path: str | Path, data: str | Path, ids: list[datasets.Id], by: str | None = None) -> np.ndarray:
    """The score of every row of a data set, float64 (n,), NaN where it is null.

    by     : which, where the file has several
    Raises   DataError where the ids are not the data set's, in its order, or a score is no number; UsageError where
             there is no such score.
    """
    values: list[float] = []
    text = datasets.suffix(path) == ".csv"
    for line, row in datasets.read_rows(path):
        place = f"{path}:{line}"
        number = len(values)
        if number >= len(ids):
            raise DataError(f"{place}: more scores than rows: {data} has {len(ids)}; score it again")
        found = row.get("id")
        if found != ids[number] and str(found) != str(ids[number]):
            raise DataError(
                f"{place}: id {found!r}, but row {number} of {data} has id {ids[number]!r}; scores must be of the same "
                "rows in the same order: score the data set again"
            )
        value = _score_of(row, by, place)
        if value is None or (text and value == ""):
            values.append(math.nan)
            continue
        try:
            values.append(math.nan if isinstance(value, bool) else float(value))
        except (TypeError, ValueError):
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise DataError(f"{place}: {by or 'score'}: expected a number or null, found {value!r}")
    if len(values) < len(ids):
        raise DataError(f"{path}: has {len(values)} scores, but {data} has {len(ids)} rows; score it again")
    return np.array(values)


def _score_of(row: dict[str, Any], by: str | None, place: str) -> Any:
    """The score of a record: its own, or one of several by name."""
    cells = row.get("scores")
    several = cells if isinstance(cells, dict) else {
        name: value for name, value in row.items()
        if name not in ("id", "error", "score") and " " not in name and not isinstance(value, list)
    }  # fmt: skip
    if by is None and "score" in row:
        return row["score"]
    if by is None and len(several) == 1:
        by = next(iter(several))
    if by is None or by not in several:
        if by == "score" and "score" in row:
            return row["score"]
        names = ["score"] * ("score" in row) + list(several)
        if not names:
            raise DataError(f"{place}: no score; expected a file of `vicinal score`")
        what = "has several scores" if by is None else f"has no score {by!r}"
        raise UsageError(f"{place}: {what}; choose one with --by: {', '.join(names)}")
    cell = several[by]
    return cell.get("score") if isinstance(cell, dict) else cell


def find_duplicates(
    data: str | Path,
    embeddings: str | Path,
    radius: float | str,
    *,
    metric: str = "euclidean",
    quality: str | None = None,
    output: str | Path | None = None,
    on_invalid: str = "error",
    id_field: str = "id",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Start | None = None,
) -> list[dict[str, Any]]:
    """The groups of rows within a radius of each other, as records, by their first row; written to an output if named.

    quality : a field of numbers; a group's representative is its best row, ties to the first; None for the first
    Returns   a record for each group of at least two: representative, size, ids, rows, and each one's distance to the
              representative
    Raises    UsageError, DataError
    """
    measure = find(metric)
    number = check_radius(radius, measure, "--radius")
    if output is not None:
        if datasets.suffix(output) not in (".jsonl", ".jsonl.gz"):
            raise UsageError(f"{output}: a group is a list of rows; expected a name that ends in .jsonl or .jsonl.gz")
        files.check_file(output, overwrite)
        if Path(output).exists() and Path(output).samefile(data):
            raise UsageError(f"{output}: is the data set itself, which is never overwritten; name another output")
    vectors = as_vectors(files.load_npy(embeddings), str(embeddings))
    refuse_dtype(vectors, measure, str(embeddings))
    ids, notes, columns = datasets.read_columns(data, id_field, {quality: "number"} if quality else {})
    for note in notes:
        warnings.warn(note, stacklevel=2)
    _same_count(len(vectors), embeddings, data, len(ids))
    embedding.verify(embeddings, data, ids)
    wrong = invalid_rows(vectors, measure)
    if on_invalid == "error":
        refuse_invalid(wrong, ids, str(embeddings))
    rows = np.delete(np.arange(len(ids)), list(wrong))
    if not len(rows):
        reason = next(iter(wrong.values()), "empty")
        raise DataError(f"{embeddings}: none of the {len(ids)} rows can be used ({reason})")
    worth = None if quality is None else np.array(columns[quality], dtype=np.float64)[rows]
    usable = vectors[rows] if wrong else vectors
    tell = progress and progress(f"{measure.name} pairs within {number:g}")
    groups = duplicate_groups(usable, number, measure, threads, tell)
    best = representatives(groups, worth)
    records = list(_group_records(groups, best, rows, usable, measure, ids))
    if output is not None:
        with datasets.table_writer(output, overwrite) as table:
            for record in records:
                table.add(record)
    return records


def _group_records(
    groups: np.ndarray, best: np.ndarray, rows: np.ndarray, vectors: np.ndarray, metric: Metric, ids: list[datasets.Id]
) -> Iterator[dict[str, Any]]:
    order = np.argsort(groups, kind="stable")
    begins = np.flatnonzero(np.append(True, groups[order][1:] != groups[order][:-1]))
    for members in np.split(order, begins[1:]):
        if len(members) < 2:
            continue
        head = best[members[0]]
        far = metric.pairwise(np.asarray(vectors[head])[None], np.asarray(vectors[members]))[0].astype(np.float32)
        yield {
            "representative": ids[rows[head]],
            "size": len(members),
            "ids": [ids[row] for row in rows[members]],
            "rows": rows[members].tolist(),
            "distances": [float(str(one)) for one in far],
        }


def _check_outputs(data: Path, output: Path, decisions: Path, overwrite: bool) -> None:
    kinds = {path: datasets.suffix(path) for path in (data, output, decisions)}
    same = (".jsonl", ".jsonl.gz")
    if kinds[data] != kinds[output] and not (kinds[data] in same and kinds[output] in same):
        raise UsageError(f"{output}: chosen rows are copied as they are, so expected a name that ends in {kinds[data]}")
    if kinds[decisions] not in same:
        raise UsageError(f"{decisions}: expected a name that ends in .jsonl or .jsonl.gz for the decisions")
    if output.absolute() == decisions.absolute():
        raise UsageError(f"{output}: is the place of the chosen rows and of the decisions; name two")
    for path in (output, decisions):
        if path.exists() and data.exists() and path.samefile(data):
            raise UsageError(f"{path}: is the data set itself, which is never overwritten; name another output")
        files.check_file(path, overwrite)


def _same_count(found: int, source: object, data: object, n: int) -> None:
    if found != n:
        raise DataError(
            f"{data} has {n} rows, but {source} has {found}; each row of the data set needs one row there, in the same "
            "order"
        )


def _graph(folder: str | Path, data: Path, n: int) -> Neighbors:
    graph = Neighbors.load(folder)
    _same_count(len(graph), folder, data, n)
    return graph


def _numbered(column: list[Any]) -> np.ndarray:
    """A whole number for each value, by first occurrence."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in column], dtype=np.int64)

"""Near-duplicates of a data set: `duplicates` finds them, `dedup` removes them."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal, overload

import numpy as np

from vicinal import devices
from vicinal.data import adding, dataset, tables
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.text_keys import text_numbers
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.distributed.engines import engine_of
from vicinal.errors import UsageError
from vicinal.tasks import arguments
from vicinal.tasks.duplicates import texts
from vicinal.tasks.duplicates.curve import RadiusCurve, add_texts, radius_curve
from vicinal.tasks.duplicates.grouping import Rules, check_known, distances_between, with_recall
from vicinal.tasks.duplicates.result import Duplicates, check_groups_file
from vicinal.tasks.score import kept
from vicinal.typing import MetricLike, Progress, StartProgress

__all__ = ["Duplicates", "RadiusCurve", "duplicates"]


@overload
def duplicates(
    data: object,
    radius: float,
    embeddings: object = ...,
    *,
    encoding: object = ...,
    metric: MetricLike | None = ...,
    neighbors: object = ...,
    recall: float | None = ...,
    link: Literal["greedy", "single"] = ...,
    keep: str = ...,
    quality: object = ...,
    within: object = ...,
    ids: object = ...,
    on_invalid: OnInvalid = ...,
    threads: int | None = ...,
    engine: str = ...,
    address: str | None = ...,
    device: str | None = ...,
    progress: StartProgress | None = ...,
    output: str | Path | None = ...,
    add_to: str | Path | None = ...,
    picture: str | Path | None = ...,
    text: object = ...,
    overwrite: bool = ...,
) -> Duplicates: ...
@overload
def duplicates(
    data: object,
    radius: Literal["auto"],
    embeddings: object = ...,
    *,
    encoding: object = ...,
    metric: MetricLike | None = ...,
    neighbors: object = ...,
    recall: float | None = ...,
    link: Literal["greedy", "single"] = ...,
    keep: str = ...,
    quality: object = ...,
    within: object = ...,
    ids: object = ...,
    on_invalid: OnInvalid = ...,
    threads: int | None = ...,
    engine: str = ...,
    address: str | None = ...,
    device: str | None = ...,
    progress: StartProgress | None = ...,
    output: str | Path | None = ...,
    add_to: str | Path | None = ...,
    picture: str | Path | None = ...,
    text: object = ...,
    overwrite: bool = ...,
) -> RadiusCurve: ...
@devices.takes_device
def duplicates(
    data: object,
    radius: float | Literal["auto"],
    embeddings: object = None,
    *,
    encoding: object = None,
    metric: MetricLike | None = None,
    neighbors: object = None,
    recall: float | None = None,
    link: Literal["greedy", "single"] = "greedy",
    keep: str = "first",
    quality: object = None,
    within: object = None,
    ids: object = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    engine: str = "local",
    address: str | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    output: str | Path | None = None,
    add_to: str | Path | None = None,
    picture: str | Path | None = None,
    text: object = None,
    overwrite: bool = False,
) -> Duplicates | RadiusCurve:
    """Return the near-duplicates of a data set, and which row of each group to keep.

    A row stays unless a row that stays lies within `radius`; it then stands for that row, so that every removed row is
    within the radius of the row that stays for it. The groups are exact: every pair within the radius is found, unless
    `recall` is given.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (an array of shape (n, dim) or a `.npy` file), a data set file (`.jsonl`, `.jsonl.gz`, `.csv`,
        `.parquet`), or a table in memory (pandas, polars, pyarrow, Hugging Face datasets, mapping of columns).
    radius : float or "auto"
        In the unit of the metric, at least 0 (of any sign for inner_product); 0 finds exact copies. "auto" removes
        nothing: it returns a `RadiusCurve`, what each of several radii would remove, to choose one by.
    embeddings : str, path, or array_like, optional
        The embeddings, if not in `data`: the name of a column, a `.npy` file, or an array; one row a sample.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised: "binary", "ubinary", "int8" or "uint8" of sentence-transformers; of codes with
        their ranges "int8:RANGES.npy" or ("int8", ranges).
    metric : str or Metric, optional
        A name or alias of the table of metrics, such as "euclidean" or "cosine"; by default that of `neighbors`, else
        "euclidean".
    neighbors : path or Neighbors, optional
        The nearest neighbours of every row, which take the place of a search where a row's list reaches beyond the
        radius: a kept run (`vicinal.score(run=...)`), a folder that `vicinal neighbors` wrote, or the result. Of
        approximate ones, pairs may be missing, and the result has their recall.
    recall : float, optional
        Above 0 and at most 1: of the pairs within the radius, at least this share, as measured on a sample of rows; the
        default is all of them. With radius "auto", of those within the largest one. With radius 0 nothing is searched,
        and the result is exact.
    link : {"greedy", "single"}
        How groups come about. "greedy": as above. "single": rows that a chain of pairs within the radius joins are one
        group; its rows may be much farther apart than the radius, and `Duplicates.beyond` counts those removed rows
        that are farther from the row that stays.
    keep : {"first", "best:FIELD", "most-central"}
        Which rows stay first: those that come first, those with the highest number in a field, or those with the most
        other rows within the radius. Of equal ones, the first.
    quality : str or array_like, optional
        As keep="best:FIELD": a column name, FILE:FIELD, or the values, a number a row, high is good.
    within : str or array_like, optional
        A label a row: a column name, FILE:FIELD, or the values. Only rows of one label are duplicates of each other.
    ids : str or sequence, optional
        The column of ids (default "id"; row numbers where there is none), or the ids.
    on_invalid : {"error", "null", "skip"}
        Rows with NaN, infinity or, under cosine, only zeros, and rows without a quality or a label of `within`: "error"
        refuses them, "null" puts them in no group, "skip" leaves them out of the result.
    threads : int, optional
        The number of threads; by default, the number of cores.
    engine : {"local", "ray"}
        Where pairs are searched: in this process, or on a Ray cluster (`vicinal.distributed`); a curve of radii always
        here. The result does not depend on it.
    address : str, optional
        Of the Ray cluster: HOST:PORT, or "auto" on one of its nodes; without it, this machine alone.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with the name of each pass; returns a callback that takes (rows done, rows in all).
    output : path, optional
        A `.jsonl` or `.jsonl.gz` file for the groups, a line a group.
    add_to : path, optional
        Write the data set with the columns of the result behind its own: `.parquet`, `.jsonl`, `.jsonl.gz` or `.csv`.
    picture : path, optional
        With radius "auto", a picture of the curve: `.svg`, `.png` or `.pdf`.
    text : str, tuple of str, sequence, or False, optional
        The texts that are compared: a field, several fields, FILE:FIELD, or one text a row; by default all fields of
        text: rows with the same vector and other texts
        are no copies, since a model reads a part of a text. With radius 0 only rows with the same vector and the same
        text are duplicates. False compares vectors alone. With radius "auto", the one field that the sample pairs are
        shown with; by default what `vicinal.report` shows of a row.
    overwrite : bool
        Whether the outputs may exist; they are replaced.

    Returns
    -------
    Duplicates
        One row a sample in the input's order: group, representative, size, distance, duplicate, match. With radius
        "auto" a `RadiusCurve`.

    Raises
    ------
    UsageError
        An argument cannot be used.
    DataError
        The data or the embeddings cannot be read or do not fit together, or rows are invalid.

    Examples
    --------
    >>> found = duplicates([[0.0], [5.0], [0.1], [0.2]], radius=0.15)
    >>> found["representative"].tolist(), found["duplicate"].tolist()  # 0.2 is not within 0.15 of 0.0
    ([0, 1, 0, 3], [False, False, True, False])
    >>> found.drop_from({"text": ["a", "b", "c", "d"]})
    {'text': ['a', 'b', 'd']}
    >>> duplicates([[0.0], [5.0], [0.1], [0.2]], radius=0.15, link="single")["representative"].tolist()
    [0, 1, 0, 0]
    """
    start = time.perf_counter()
    auto = isinstance(radius, str) and radius == "auto"
    rules, quality, graph = check_known(0.0 if auto else radius, metric, link, keep, quality, threads, neighbors)
    place = engine_of(engine, address, recall)
    rules = replace(rules, engine=place, threads=threads if place.in_place else rules.threads)
    if graph is not None and (engine != "local" or address is not None):
        raise UsageError("engine: neighbors are given in place of a pass; leave engine and address out")
    if auto and engine != "local":
        raise UsageError("engine: radius 'auto' compares radii in this process; give a radius, or leave engine out")
    rules = with_recall(rules, recall, neighbors)
    embeddings = kept.own_embeddings(graph, data, embeddings)
    value, fields_of_text = texts.check_text(text)
    if auto and fields_of_text:
        raise UsageError(f"text: the sample pairs are shown with one field, got {text!r}; name one of them")
    inputs = [data, embeddings, ids, quality, within, value, *kept.paths_of(neighbors)]
    _check_outputs(output, add_to, picture, auto, overwrite)
    arguments.check_outputs({"output": output, "add_to": add_to, "picture": picture}, inputs, overwrite)
    fields = {
        "quality": (quality, kind_of("number", on_invalid)),
        "within": (within, kind_of("label", on_invalid)),
        "text": (value, kind_of("text", on_invalid)),
    }
    rows = dataset.read(data, embeddings, ids=ids, fields=fields, encoding=encoding)
    texts.refuse_no_texts(rows, value)
    if add_to is not None:
        adding.check(rows, add_to)
    least = 2 if auto else 1
    measure, in_place = rules.metric, rules.engine.in_place
    vectors = load(rows.embeddings, rows=rows, metric=measure, on_invalid=on_invalid, at_least=least, in_place=in_place)
    use = usable(rows, vectors, on_invalid, least)
    if graph is not None:
        rules = replace(rules, graph=kept.renumbered(graph.of(rows, vectors), use.left))
    numbers = text_numbers(rows, fields_of_text)
    numbers = None if numbers is None else numbers[use.left]
    if auto:
        curve = radius_curve(use, rules, numbers, progress)
        if text is None:
            add_texts(curve, rows)
        curve.seconds = time.perf_counter() - start
        if picture is not None:
            curve.save_picture(picture, overwrite)
        return curve
    callback = progress and progress(f"{rules.metric.name} pairs within {rules.radius:g}")
    if numbers is not None:
        texts.warn_of_cut_rows(vectors)
    result = found(use, rules, len(rows), numbers, callback)
    if output is not None:
        result.write_groups(output, overwrite)
    if add_to is not None:
        adding.write(rows, result, add_to, overwrite, use.of_result)
    result.seconds = time.perf_counter() - start
    return result


def _check_outputs(output: object, add_to: object, picture: object, auto: bool, overwrite: bool) -> None:
    """Refuse outputs of another kind of file, and those of the other kind of result."""
    for name, value, is_of_auto in (
        ("output", output, False),
        ("add_to", add_to, False),
        ("picture", picture, True),
    ):
        if value is not None and is_of_auto != auto:
            what = "shows what radii would remove, with radius 'auto'" if is_of_auto else "needs a radius, not 'auto'"
            raise UsageError(f"{name}: {what}; leave {name} out, or give another radius")
    if output is not None:
        check_groups_file(str(output), overwrite)
    if picture is not None:
        from vicinal.tasks import pictures

        pictures.check(str(picture), overwrite)


def found(
    use: Usable, rules: Rules, n: int, numbers: np.ndarray | None = None, progress: Progress | None = None
) -> Duplicates:
    """Return the duplicates among the usable rows of n rows; `numbers` are those of their texts."""
    vectors = use.vectors.vectors
    quality, within = use.rows.values.get("quality"), use.rows.values.get("within")
    priority = None if quality is None else np.array(quality, dtype=np.float64)
    labels = None if within is None else tables.numbered(within)
    group, representative, other_text = texts.group_with_texts(vectors, rules, priority, labels, numbers, progress)
    exact = distances_between(vectors, representative, rules.metric)
    removed = representative != np.arange(len(vectors))
    beyond = int((removed & (exact > rules.radius)).sum()) if rules.link == "single" else 0
    with np.errstate(over="ignore"):  # a distance beyond float32 is inf
        distance = exact.astype(np.float32)
    columns = {
        "group": use.column(use.numbers(group), -1),
        "representative": use.column(use.numbers(representative), -1),
        "size": use.column(np.bincount(group, minlength=len(vectors))[group], 0),
        "distance": use.column(distance, np.nan),
        "duplicate": use.column(removed, False),
        "match": use.column(texts.matches(vectors, representative, exact, numbers, rules.metric), None),
    }
    return Duplicates(columns, rules, use, n, beyond, other_text)

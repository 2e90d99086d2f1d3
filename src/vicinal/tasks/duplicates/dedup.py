"""`vicinal.dedup`: a data set without its near-duplicates, or without rows that are close to another set."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import devices
from vicinal.data import adding, dataset, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.results import Kept, plain_values
from vicinal.data.text_keys import text_numbers
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.errors import UsageError
from vicinal.knn.recall import recall_fields, recall_note
from vicinal.storage import atomic
from vicinal.tasks import arguments
from vicinal.tasks.duplicates import texts
from vicinal.tasks.duplicates.against import Other
from vicinal.tasks.duplicates.grouping import Rules, check_known, distances_between, with_recall
from vicinal.tasks.score import kept as known
from vicinal.typing import Id, MetricLike, StartProgress


class Deduplicated(Kept):
    """Which rows of a data set stay, and why the others go: one row a sample, in the input's order.

    Columns, by name (`result["kept"]`), each of length n:

    - `kept` (bool): whether the sample stays.
    - `rule` (list of str or None): why it goes: "duplicate" of a row that stays, or "against": within the radius of a
      row of the other set. None for a row that stays.
    - `because` (list of int, str or None): the id of that row.
    - `distance` (float32): the distance to it, in the metric's unit; NaN for a row that stays.
    - `match` (list of str or None): how a duplicate is like that row: "copy": the same vector and the same text; "same
      vector": only the vector, or there is no text to compare; "near": neither. None for the other rows.

    Attributes
    ----------
    ids : list of int or str
    metric : str
    radius : float
    link : {"greedy", "single"}
    beyond : int
        The number of removed duplicates that are farther than the radius from their row; 0 but for link "single".
    other_text : int
        With radius 0, the number of rows that stay although a row that stays, or one of the other set, has the same
        vector, because their texts differ.
    recall : Recall or None
        Of the pairs within the radius where a recall was given, or of approximate neighbours that were given; None for
        exact pairs.
    unusable : dict of int to str
        The rows without a usable embedding or value, by number, and why; they stay unless they are skipped.
    skipped : bool
        Whether these rows are left out of the result and of the output.
    seconds : float
        The time that `dedup` took.
    """

    def __init__(
        self, columns: dict[str, Any], rules: Rules, use: Usable, n: int, beyond: int, other_text: int
    ) -> None:
        kinds = {type(one) for one in columns["because"] if one is not None}
        if len(kinds) > 1:  # numbers of one set and texts of the other
            columns["because"] = [None if one is None else str(one) for one in columns["because"]]
        self.other_text = other_text
        types = {"rule": "string", "match": "string", "because": "int64" if kinds == {int} else "string"}
        super().__init__(use.ids, columns, types, use.of_result, n)
        self.metric, self.radius, self.link, self.beyond = rules.metric.name, rules.radius, rules.link, beyond
        self.recall = rules.found
        self.unusable, self.skipped, self.seconds = use.reasons, use.skip, 0.0

    def __repr__(self) -> str:
        return (
            f"Deduplicated(n={len(self)}, kept={int(self['kept'].sum())}, metric={self.metric!r}, "
            f"radius={self.radius:g}, link={self.link!r}{recall_note(self.recall, ', ')})"
        )

    def removals(self) -> Iterator[dict[str, Any]]:
        """Yield one mapping a removed row: id, row, rule, because, distance, match."""
        distances = plain_values(self["distance"])
        for place in np.flatnonzero(~self["kept"]).tolist():
            yield {
                "id": self.ids[place],
                "row": int(self._data_rows[place]),
                "rule": self["rule"][place],
                "because": self["because"][place],
                "distance": distances[place],
                "match": self["match"][place],
            }

    def summary(self) -> dict[str, Any]:
        """Return the counts that `vicinal dedup --json` prints."""
        rules, kinds = self["rule"], Counter(self["match"])
        return {
            "n": self._n_data,
            "kept": int(self["kept"].sum()),
            "duplicates": rules.count("duplicate"),
            "copies": kinds["copy"],
            "same_vector": kinds["same vector"],
            "near": kinds["near"],
            "other_text": self.other_text,
            "against": rules.count("against"),
            "beyond_radius": self.beyond,
            "unusable": len(self.unusable),
            "seconds": round(self.seconds, 3),
            **recall_fields(self.recall),
        }


@devices.takes_device
def dedup(
    data: object,
    radius: float,
    embeddings: object = None,
    *,
    encoding: object = None,
    metric: MetricLike | None = None,
    neighbors: object = None,
    recall: float | None = None,
    link: Literal["greedy", "single"] = "greedy",
    keep: str = "first",
    within: object = None,
    text: object = None,
    against: object = None,
    against_embeddings: object = None,
    ids: object = None,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    output: str | Path | None = None,
    removed: str | Path | None = None,
    add_to: str | Path | None = None,
    overwrite: bool = False,
) -> Deduplicated:
    """Return a data set without its near-duplicates: which rows stay, and for each other row, why it goes.

    A row stays unless a row that stays lies within `radius` of it. Rows within `radius` of another set (`against`) go
    first, and stand for no other row.

    Parameters
    ----------
    data : array_like, path, or table
        A data set file (`.jsonl`, `.jsonl.gz`, `.csv`, `.parquet`), a table in memory (pandas, polars, pyarrow, Hugging
        Face datasets, mapping of columns), or embeddings (an array of shape (n, dim) or a `.npy` file).
    radius : float
        In the unit of the metric, at least 0; 0 removes exact copies. `vicinal.duplicates(..., radius="auto")` shows
        what several radii remove.
    embeddings : str, path, or array_like, optional
        The embeddings, if not in `data`: the name of a column, a `.npy` file, or an array; one row a sample.
    encoding : str or (str, array_like), optional
        How the embeddings, those of `against` too, are quantised: "binary", "ubinary", "int8" or "uint8" of
        sentence-transformers; of codes with their ranges "int8:RANGES.npy" or ("int8", ranges).
    metric : str or Metric, optional
        A name or alias of the table of metrics, such as "euclidean" or "cosine"; by default that of `neighbors`, else
        "euclidean".
    neighbors : path or Neighbors, optional
        The nearest neighbours of every row, which take the place of a search where a row's list reaches beyond the
        radius: a kept run (`vicinal.score(run=...)`), a folder that `vicinal neighbors` wrote, or the result.
    recall : float, optional
        Above 0 and at most 1: of the pairs of rows within the radius, at least this share, as measured on a sample of
        rows; the default is all of them. Rows close to `against` are all found. With radius 0 nothing is searched, and
        the result is exact.
    link : {"greedy", "single"}
        "single" removes all but one row of each chain of pairs within the radius, so that rows may go that are farther
        than the radius from the row that stays; `Deduplicated.beyond` counts them.
    keep : {"first", "best:FIELD", "most-central", "all"}
        Which rows stay first: those that come first, those with the highest number in a field, or those with the most
        other rows within the radius. "all" removes no duplicates, only rows that are close to `against`.
    within : str or array_like, optional
        A label a row: a column name, FILE:FIELD, or the values. Only rows of one label are duplicates of each other.
    text : str, tuple of str, sequence, or False, optional
        The texts that are compared: a field, several fields, FILE:FIELD, or one text a row; by default all fields of
        text. With radius 0 only rows with the same vector
        and the same text are duplicates. False compares vectors alone.
    against : array_like, path, or table, optional
        Another set, such as the test set: rows within the radius of one of its rows go; with radius 0, rows with the
        vector and the text of one of its rows, where both sets have texts. By default the fields of text that both sets
        have are compared.
    against_embeddings : str, path, or array_like, optional
        Its embeddings, if not in `against`.
    ids : str or sequence, optional
        The column of ids (default "id"; row numbers where there is none), or the ids.
    on_invalid : {"error", "null", "skip"}
        Rows with NaN, infinity or, under cosine, only zeros, and rows without a value of a field that is read: "error"
        refuses them, "null" keeps them, "skip" removes them.
    threads : int, optional
        The number of threads; by default, the number of cores.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with the name of each pass; returns a callback that takes (rows done, rows in all).
    output : path, optional
        Where the lines of a data set file that stay are copied, byte for byte.
    removed : path, optional
        A `.jsonl` or `.jsonl.gz` file for the removed rows, each with the row because of which it goes.
    add_to : path, optional
        Write the whole data set with the columns of the result behind its own: `.parquet`, `.jsonl`, `.jsonl.gz` or
        `.csv`.
    overwrite : bool
        Whether the outputs may exist; they are replaced.

    Returns
    -------
    Deduplicated
        One row a sample in the input's order: kept, rule, because, distance.

    Raises
    ------
    UsageError
        An argument cannot be used.
    DataError
        The data or the embeddings cannot be read or do not fit together, or rows are invalid.

    Examples
    --------
    >>> table = {"text": ["hi", "bye", "hi!", "hello"], "embedding": [[0.0], [5.0], [0.1], [0.2]]}
    >>> clean = dedup(table, radius=0.15)
    >>> clean.take_from(table)["text"]
    ['hi', 'bye', 'hello']
    >>> list(clean.removals())
    [{'id': 2, 'row': 2, 'rule': 'duplicate', 'because': 0, 'distance': 0.1, 'match': 'near'}]
    >>> dedup(table, radius=0.15, against=[[5.1]])["rule"]
    [None, 'against', 'duplicate', None]
    """
    start = time.perf_counter()
    rules, quality, graph = check_known(radius, metric, link, keep, None, threads, neighbors, also="all")
    rules = with_recall(rules, recall, neighbors)
    if recall is not None and rules.keep == "all":
        raise UsageError("recall: keep all searches no pairs of rows, only rows close to against; leave recall out")
    embeddings = known.own_embeddings(graph, data, embeddings)
    value, fields_of_text = texts.check_text(text)
    inputs = [data, embeddings, ids, quality, within, value, against, against_embeddings, neighbors]
    outputs = {"output": output, "removed": removed, "add_to": add_to}
    _check(data, against, against_embeddings, rules, outputs)
    arguments.check_outputs(outputs, inputs, overwrite)
    fields = {
        "quality": (quality, kind_of("number", on_invalid)),
        "within": (within, kind_of("label", on_invalid)),
        "text": (value, kind_of("text", on_invalid)),
    }
    rows = dataset.read(data, embeddings, ids=ids, fields=fields, encoding=encoding)
    texts.refuse_no_texts(rows, value)
    if add_to is not None:
        adding.check(rows, add_to)
    vectors = load(rows.embeddings, rows=rows, metric=rules.metric, on_invalid=on_invalid)
    use = usable(rows, vectors, on_invalid)
    if graph is not None:
        rules = replace(rules, graph=known.renumbered(graph.of(rows, vectors), use.left))
    other = None
    if against is not None:
        other = Other.read(against, against_embeddings, encoding, vectors, rules.metric, on_invalid)
        if rules.radius == 0:
            other = other.with_texts(rows, use, value, fields_of_text)
    numbers = text_numbers(rows, fields_of_text) if rules.keep != "all" else None
    if numbers is not None:
        texts.warn_of_cut_rows(vectors)
        numbers = numbers[use.left]
    result = _result(use, other, rules, numbers, len(rows), progress)
    _write(rows, result, use, output, removed, add_to, overwrite)
    result.seconds = time.perf_counter() - start
    return result


def _check(
    data: object,
    against: object,
    against_embeddings: object,
    rules: Rules,
    outputs: dict[str, str | Path | None],
) -> None:
    """Refuse arguments that do not go together and outputs of another kind of file."""
    output, removed = outputs["output"], outputs["removed"]
    if against is None and against_embeddings is not None:
        raise UsageError(
            "against_embeddings: they are the embeddings of against, which is missing; give --against too (in "
            "Python: against=)"
        )
    if against is None and rules.keep == "all":
        raise UsageError(
            "keep: all removes only rows that are close to against, which is missing; give --against (in "
            "Python: against=)"
        )
    if output is not None:
        arguments.check_copy(data, output, "Deduplicated.take_from", of_embeddings=True)
    if removed is not None and tables.suffix(removed) not in tables.LINES:
        raise UsageError(f"{removed}: expected a name that ends in .jsonl or .jsonl.gz for the removed rows")


def _result(
    use: Usable, other: Other | None, rules: Rules, numbers: np.ndarray | None, n: int, start: StartProgress | None
) -> Deduplicated:
    """Remove rows close to the other set, then the duplicates among the rest."""
    vectors = use.vectors.vectors
    m = len(vectors)
    rule: list[str | None] = [None] * m
    because: list[Id | None] = [None] * m
    distance = np.full(m, np.nan, dtype=np.float32)
    rest = np.arange(m)
    if other is not None:
        near, far = other.nearest(use.vectors, rules, start)
        close = near >= 0
        for row in np.flatnonzero(close).tolist():
            rule[row], because[row] = "against", other.use.rows.ids[near[row]]
        distance[close], rest = far[close], np.flatnonzero(~close)
    kind: list[str | None] = [None] * m
    beyond, other_text = 0, 0 if other is None else other.other_text
    if rules.keep != "all" and len(rest):
        part = vectors if len(rest) == m else vectors[rest]
        quality, within = use.rows.values.get("quality"), use.rows.values.get("within")
        progress = None if start is None else start(f"{rules.metric.name} pairs within {rules.radius:g}")
        numbers = None if numbers is None else numbers[rest]
        graph = None if rules.graph is None else known.renumbered(rules.graph, rest)
        _, standing, stay = texts.group_with_texts(
            part,
            replace(rules, graph=graph),
            None if quality is None else np.array(quality, dtype=np.float64)[rest],
            None if within is None else tables.numbered(within)[rest],
            numbers,
            progress,
        )
        other_text += stay
        gone = np.flatnonzero(standing != np.arange(len(part)))
        exact = distances_between(part, standing, rules.metric)
        alike = texts.matches(part, standing, exact, numbers, rules.metric)
        for place in gone.tolist():
            row, stays = rest[place], rest[standing[place]]
            rule[row], because[row], kind[row] = "duplicate", use.rows.ids[stays], alike[place]
        distance[rest[gone]] = exact[gone]
        beyond = int((exact[gone] > rules.radius).sum()) if rules.link == "single" else 0
    kept = np.array([one is None for one in rule], dtype=bool)
    columns = {
        "kept": use.column(kept, True),
        "rule": use.column(rule, None),
        "because": use.column(because, None),
        "distance": use.column(distance, np.nan),
        "match": use.column(kind, None),
    }
    return Deduplicated(columns, rules, use, n, beyond, other_text)


def _write(
    rows: Dataset,
    result: Deduplicated,
    use: Usable,
    output: str | Path | None,
    removed: str | Path | None,
    add_to: str | Path | None,
    overwrite: bool,
) -> None:
    """Write what has a name; the rows that stay and the removed ones get theirs together."""
    with ExitStack() as stack:
        if removed is not None:
            table = stack.enter_context(tables.table_writer(removed, overwrite))
            for record in result.removals():
                table.add(record)
        if output is not None and rows.path is not None:
            stays = np.zeros(len(rows), dtype=bool)
            stays[result.rows] = True
            tables.copy_rows(rows.path, stack.enter_context(atomic.whole_file(output, overwrite)), output, stays)
        if add_to is not None:
            adding.write(rows, result, add_to, overwrite, use.of_result)

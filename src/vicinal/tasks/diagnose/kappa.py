"""Cohen's kappa of two columns of labels: agreement beyond chance."""

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vicinal.analysis import agreement
from vicinal.analysis.agreement import cohen_kappa
from vicinal.data import frames, tables
from vicinal.data.dataset import as_list
from vicinal.data.embeddings import OnInvalid
from vicinal.data.labels import Labels, from_values, parse
from vicinal.data.opening import input_file
from vicinal.data.results import Columns
from vicinal.data.usable import kind_of
from vicinal.errors import DataError, UsageError, some
from vicinal.tasks import arguments
from vicinal.tasks.diagnose.matching import codes_as_in, ids_of_pairs, matched
from vicinal.typing import Id

SPLITS = ("train", "evaluation")


@dataclass(frozen=True)
class Kappa(agreement.Kappa):
    """Cohen's kappa of two columns of labels, with the rows that only one of them labels.

    Attributes
    ----------
    value, low, high : float
        Kappa and its confidence interval: 1 is full agreement, 0 that of chance.
    agreement : float
        The share of rows on which the columns agree.
    n : int
        The number of rows that both label.
    confidence : float
        Of the interval, 0 to 1.
    one, other : str
        What the columns are called.
    only_one, only_other : int
        The numbers of rows that only one of the columns labels.
    unusable : int
        The number of rows without a label, of both columns together.
    """

    one: str = "one"
    other: str = "other"
    only_one: int = 0
    only_other: int = 0
    unusable: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them."""
        return {name: value for name, value in asdict(self).items() if name not in ("one", "other")}

    def __str__(self) -> str:
        interval = f"{100 * self.confidence:g} % interval {self.low:.4f} to {self.high:.4f}"
        return (
            f"Cohen's kappa {self.value:.4f}, {interval}\n"
            f"The columns agree on {100 * self.agreement:.1f} % of the {self.n:,} rows that both label.\n"
            f"Only in {self.one}: {self.only_one:,} rows; only in {self.other}: {self.only_other:,}"
        )


def kappa(
    one: object,
    other: object,
    *,
    pairs: str | os.PathLike[str] | Columns | None = None,
    split: Literal["train", "evaluation"] | None = None,
    confidence: float = 0.95,
    on_invalid: OnInvalid = "error",
) -> Kappa:
    """Return how far two columns of labels agree beyond chance.

    Parameters
    ----------
    one, other : str or sequence
        Two files as FILE or FILE:FIELD (default field "label"), whose rows are matched by id; or two sequences of
        labels for the same rows in the same order.
    pairs : path or Columns, optional
        Count only rows of these boundary pairs: a file that `vicinal diagnose --write-pairs` wrote, or
        `Diagnosis.boundary_pairs`. Needs files.
    split : {"train", "evaluation"}, optional
        Of the pairs only this part.
    confidence : float
        Of the interval, between 0 and 1.
    on_invalid : {"error", "null", "skip"}
        Rows without a label: "error" refuses them, "null" and "skip" leave them out.

    Returns
    -------
    Kappa

    Raises
    ------
    UsageError
        An argument cannot be used.
    DataError
        A file cannot be read, labels cannot be used, or the columns have no rows or no labels in common.

    References
    ----------
    Cohen 1960; the interval for large samples by Fleiss, Cohen & Everitt 1969.

    Examples
    --------
    >>> found = kappa(["a", "a", "b", "b"], ["a", "a", "b", "a"])
    >>> found.value, found.agreement, found.n
    (0.5, 0.75, 4)
    """
    expected = "a share between 0 and 1"
    confidence = arguments.number(confidence, "confidence", expected, lambda share: 0 < share < 1)
    if split is not None:
        arguments.choice(split, "split", SPLITS)
        if pairs is None:
            raise UsageError(
                "split: needs the boundary pairs, which say which rows are in which part; give --pairs FILE "
                "(in Python: pairs=)"
            )
    kind = kind_of("label", on_invalid)
    from_files = [isinstance(column, str | os.PathLike) for column in (one, other)]
    if all(from_files):
        files = os.fspath(one), os.fspath(other)  # type: ignore[call-overload]
        return _of_files(*files, pairs, split, confidence, kind)
    if any(from_files):
        raise UsageError("other: expected two files or two sequences of labels, got one of each; give both alike")
    if pairs is not None:
        raise UsageError("pairs: needs labels in files, whose rows have ids; give one and other as FILE:FIELD")
    return _of_sequences(one, other, confidence, kind)


def _of_files(
    one: str,
    other: str,
    pairs: str | os.PathLike[str] | Columns | None,
    split: str | None,
    confidence: float,
    kind: str,
) -> Kappa:
    """Match the rows of two files by id."""
    only: set[Id] | None = None
    if pairs is not None:
        only = ids_of_pairs(pairs if isinstance(pairs, Columns) else input_file(pairs, "pairs"), split)
    (first, left_first), (second, left_second) = (
        _read(spec, name, kind) for spec, name in ((one, "one"), (other, "other"))
    )
    rows, codes = matched(first, second, only)
    agreed = cohen_kappa(first.codes[rows], codes, confidence)
    wanted = [sum(only is None or row in only for row in labels.ids) for labels in (first, second)]
    return _result(agreed, first, second, wanted[0] - agreed.n, wanted[1] - agreed.n, left_first + left_second)


def _read(spec: str, argument: str, kind: str) -> tuple[Labels, int]:
    """The labels in a file, and how many rows have none."""
    path, name = parse(spec, argument)
    ids, _, columns = tables.read_columns(path, wanted={name: kind})
    if not ids:
        raise DataError(f"{path}: found no rows, and so no labels")
    there = [row for row, value in enumerate(columns[name]) if value is not None]
    if not there:
        raise DataError(f"{path}:{name}: found no label in any of the {len(ids)} rows; is it the right field?")
    values = [columns[name][row] for row in there]
    return from_values(values, [ids[row] for row in there], f"{path}:{name}", several=False), len(ids) - len(there)


def _of_sequences(one: object, other: object, confidence: float, kind: str) -> Kappa:
    """Match two sequences by position."""
    values, others = _values_of(one, "one", kind), _values_of(other, "other", kind)
    if len(values) != len(others):
        raise DataError(
            f"other: found {len(others)} labels, expected {len(values)}, as many as one has; labels of different rows "
            "are matched by id in files: give FILE:FIELD"
        )
    both = [row for row in range(len(values)) if values[row] is not None and others[row] is not None]
    if not both:
        raise DataError(f"one, other: found no row of {len(values)} that both label")
    first = from_values([values[row] for row in both], both, "one", several=False)
    second = from_values([others[row] for row in both], both, "other", several=False)
    agreed = cohen_kappa(first.codes, codes_as_in(first, second), confidence)
    return _result(agreed, first, second, unusable=len(values) - len(both))


def _values_of(values: object, name: str, kind: str) -> list[Any]:
    if frames.is_table(values):
        raise UsageError(
            f"{name}: found a table with the columns {some(frames.column_names(values), 9)}, expected one of its "
            "columns or a sequence of labels"
        )
    plain = as_list(values, name)
    if not plain:
        raise DataError(f"{name}: found no labels")
    return [tables.checked_value(value, kind, f"{name}: row {row}") for row, value in enumerate(plain)]


def _result(
    agreed: agreement.Kappa,
    first: Labels,
    second: Labels,
    only_first: int = 0,
    only_second: int = 0,
    unusable: int = 0,
) -> Kappa:
    return Kappa(
        **asdict(agreed),
        one=first.place,
        other=second.place,
        only_one=only_first,
        only_other=only_second,
        unusable=unusable,
    )

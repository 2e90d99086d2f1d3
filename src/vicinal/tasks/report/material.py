"""The data of a page, from a `Scores` object or from the folder of a kept run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data import frames, tables
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import load
from vicinal.data.text_keys import numbers_of_parts
from vicinal.errors import UsageError
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.score import Scores
from vicinal.tasks.score.plan import Scorer
from vicinal.tasks.score.runs import Kept
from vicinal.typing import Id

TEXT_FIELDS = ("text", "instruction", "prompt", "question", "content", "output", "completion", "response")
LONGEST = 1000


@dataclass(frozen=True, eq=False)
class Material:
    """Scored rows, with what is shown of them.

    Attributes
    ----------
    title : str
    ids : list of int or str
    texts : list of str
        What is shown of each row.
    vectors : ndarray, shape (n, dim)
        The embeddings of the first score.
    valid : ndarray
        The numbers of the rows that have a place on the map.
    scorers : tuple of Scorer
    values : ndarray, shape (n_scorers, n)
    neighbors : Neighbors
        Of the first score's pass.
    numbers : ndarray of int64, shape (n,), or None
        The number of each row's whole text, the same for equal texts; None where there are none.
    """

    title: str
    ids: list[Id]
    texts: list[str]
    vectors: np.ndarray
    valid: np.ndarray
    scorers: tuple[Scorer, ...]
    values: np.ndarray
    neighbors: Neighbors
    numbers: np.ndarray | None = None

    @property
    def graph(self) -> Neighbors | None:
        """The neighbours of all rows among themselves, where the first score has them."""
        first = self.scorers[0]
        return self.neighbors if first.reference is None and first.groups is None else None

    @property
    def valid_vectors(self) -> np.ndarray:
        """The vectors of the valid rows."""
        return self.vectors if len(self.valid) == len(self.ids) else self.vectors[self.valid]


def from_scores(scores: Scores, fields: Sequence[str] | None) -> Material:
    """Return the material of scores in memory.

    Raises
    ------
    UsageError
        They were computed from saved neighbours, without the embeddings that a map is made of; or a field is not there.
    """
    if scores.embeddings is None:
        raise UsageError(
            "scores: expected scores that were computed from embeddings, got scores of saved neighbours; score with "
            "embeddings in place of neighbors"
        )
    texts = [text for part in scores.rows for text in _texts_of(part, fields)]
    first = scores.rows[0]
    return Material(
        title=first.name if first.path is None else first.path.name,
        ids=scores.ids,
        texts=texts,
        vectors=scores.embeddings.vectors,
        valid=scores.embeddings.valid,
        scorers=tuple(one.scorer for one in scores.scored),
        values=np.stack([one.values for one in scores.scored]),
        neighbors=scores.neighbors,
        numbers=numbers_of_parts(scores.rows),
    )


def from_run(folder: Path, fields: Sequence[str] | None) -> Material:
    """Return the material of a kept run.

    Raises
    ------
    DataError
        The folder is damaged or no kept run, or a file that the run was made from is gone or has changed.
    UsageError
        A field is not there.
    """
    run = Kept.load(folder)
    run.verify()
    ids: list[Id] = []
    texts: list[str] = []
    datasets = []
    for part in run.parts:
        more, _, _ = tables.read_columns(part.data.path, run.id_field, first_row=len(ids))
        ids += more
        path = Path(part.data.path)
        datasets.append(Dataset(path.name, more, path=path, id_field=run.id_field))
        texts += _texts_in(part.data.path, fields)
    metric = run.scorers[0].metric
    parts = [load(part.embeddings[0].path, metric=metric, on_invalid="null", at_least=0) for part in run.parts]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    return Material(
        title=Path(run.parts[0].data.path).name,
        ids=ids,
        texts=texts,
        vectors=parts[0].vectors if len(parts) == 1 else np.concatenate([part.vectors for part in parts]),
        valid=np.concatenate([start + part.valid for start, part in zip(starts, parts, strict=False)]),
        scorers=run.scorers,
        values=run.values,
        neighbors=next(one for one in run.passes if 0 in one.scorers).neighbors,
        numbers=numbers_of_parts(datasets),
    )


def _texts_of(rows: Dataset, fields: Sequence[str] | None) -> Iterable[str]:
    """What is shown of each row of a data set; nothing of an array."""
    if rows.path is not None:
        return _texts_in(rows.path, fields)
    if rows.table is None:
        if fields:
            raise UsageError(f"fields: expected a data set with fields, got {rows.name}; score a file or a table")
        return [""] * len(rows)
    names = fields or _text_columns(rows.table)
    columns = {name: frames.column(rows.table, name, "fields").to_pylist() for name in names}
    return [_shown({name: cells[row] for name, cells in columns.items()}, fields) for row in range(len(rows))]


def _text_columns(table: Any) -> list[str]:
    """The columns of a table that may be shown: those of `TEXT_FIELDS` that hold text, else all that do."""
    import pyarrow.types as types

    texts = []
    for name in frames.column_names(table):
        kind = frames.column(table, name).type
        if types.is_string(kind) or types.is_large_string(kind):
            texts.append(name)
    return [name for name in texts if name in TEXT_FIELDS] or texts


def _texts_in(path: str | Path, fields: Sequence[str] | None) -> Iterable[str]:
    """What is shown of each row of a data set file."""
    for line, row in tables.read_rows(path):
        missing = [name for name in fields or () if name not in row]
        if missing:
            raise UsageError(f"{path}:{line}: no field {missing[0]!r} to show; choose from {', '.join(row)}")
        yield _shown(row, fields)


def _shown(row: dict[str, Any], fields: Sequence[str] | None) -> str:
    """What is shown of a row: the fields that were chosen, those of `TEXT_FIELDS`, or all that is text."""
    names = fields or [name for name in TEXT_FIELDS if isinstance(row.get(name), str)]
    names = names or [name for name, value in row.items() if isinstance(value, str)]
    text = "\n\n".join(str(row[name]) for name in names if row[name] not in (None, ""))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."

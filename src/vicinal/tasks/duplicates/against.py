"""The rows of another set that rows are close to: those that go from a training set because the test set has them."""

from dataclasses import dataclass, replace

import numpy as np

from vicinal.data import dataset
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings, OnInvalid, load
from vicinal.data.text_keys import fields_of_text, text_keys
from vicinal.data.usable import Usable, usable
from vicinal.knn.exact import ExactSearch
from vicinal.knn.metrics import Metric
from vicinal.tasks.duplicates.grouping import Rules, pair_distances
from vicinal.typing import StartProgress


@dataclass(eq=False)
class Other:
    """The other set.

    Attributes
    ----------
    use : Usable
        Its rows.
    rows : Dataset
        All of them.
    keys : tuple of two lists, or None
        The text of each usable row, of the own set and of this one; None where texts are not compared.
    other_text : int
        How many rows stay although a row of this set has their vector, because the texts differ.
    """

    use: Usable
    rows: Dataset
    keys: tuple[list[object], list[object]] | None = None
    other_text: int = 0

    @classmethod
    def read(
        cls,
        against: object,
        embeddings: object,
        encoding: object,
        like: Embeddings,
        metric: Metric,
        on_invalid: OnInvalid,
    ) -> "Other":
        """Return the other set, whose vectors are like those of the own one."""
        rows = dataset.read(against, embeddings, argument="against", encoding=encoding)
        stored = load(rows.embeddings, rows=rows, metric=metric, name="against", on_invalid=on_invalid, like=like)
        return cls(usable(rows, stored, on_invalid), rows)

    def with_texts(self, rows: Dataset, use: Usable, value: object, fields: tuple[str, ...] | None) -> "Other":
        """Return the same with the texts of both sets, where both have some.

        Parameters
        ----------
        rows : Dataset
            The own set.
        use : Usable
            Its usable rows.
        value, fields : as `texts.check_text` returns them
        """
        if value is not None and not (isinstance(value, str) and ":" not in value):
            return self  # texts that were given for the own rows alone
        if fields == ():
            fields = tuple(sorted(fields_of_text(rows) & fields_of_text(self.rows)))
        named = fields if value is None else (str(value),)
        if not named:
            return self
        own = text_keys(replace(rows, values={}), named)
        theirs = text_keys(self.rows, named)
        if own is None or theirs is None:
            return self
        keys = [own[row] for row in use.left], [theirs[row] for row in self.use.left]
        return replace(self, keys=keys)

    def nearest(self, vectors: Embeddings, rules: Rules, start: StartProgress | None) -> tuple[np.ndarray, np.ndarray]:
        """Return the row because of which each own row goes, -1 where none does, and its distance in float64."""
        stored = self.use.vectors
        progress = None if start is None else start(f"nearest rows of {stored.name}")
        index = ExactSearch.of(stored.vectors, rules.metric, rules.threads)
        near = index.search(vectors.vectors, 1, progress=progress).indices[:, 0].copy()
        far = pair_distances(vectors.vectors, np.arange(len(near)), stored.vectors, near, rules.metric)
        close = far <= rules.radius
        if self.keys is not None:
            own, theirs = self.keys
            rows = np.flatnonzero(close)
            found = index.within(rules.radius, vectors.vectors[rows])
            for row, (others, _) in zip(rows.tolist(), found, strict=True):
                near[row] = next((other for other in others.tolist() if theirs[other] == own[row]), -1)
            self.other_text = int((near[rows] < 0).sum())
        return np.where(close, near, -1), far

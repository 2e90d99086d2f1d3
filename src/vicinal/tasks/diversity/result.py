"""What `vicinal.diversity` returns: the answer of each measure, and its record and file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vicinal.storage import atomic
from vicinal.tasks.diversity.measures import BY_NAME, Answer


@dataclass(frozen=True, eq=False)
class Diversity(Mapping[str, Answer]):
    """The diversity of a set, by one or more measures; `vicinal.diversity` makes it.

    `found["vendi"]` is the whole answer of a measure: a mapping with the keys of OpenDataArena's scorer.

    Attributes
    ----------
    answers : dict of str to dict
        Name -> answer, in the order of `by`.
    seconds : dict of str to float
        How long each took; what measures share counts for the first.
    n : int
        The number of rows.
    unusable : dict of int to str
        The rows that were left out, by number, and why.
    """

    answers: dict[str, Answer]
    seconds: dict[str, float]
    n: int
    unusable: dict[int, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Answer:
        return self.answers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.answers)

    def __len__(self) -> int:
        return len(self.answers)

    def __str__(self) -> str:
        return "\n".join(f"{name} {key} {value}" for name, key, value in self._figures())

    def _figures(self) -> Iterator[tuple[str, str, str]]:
        """The main figures: those of novelsum are all its combinations."""
        for name, answer in self.answers.items():
            main = BY_NAME[name].main if name in BY_NAME else ""
            keys = [main] if main else [key for key in answer if key != "num_samples"]
            for key in keys:
                value = answer[key]
                yield name, key, f"{value:.7g}" if isinstance(value, float) else str(value)
            if "low" in answer:
                yield name, "bounds", f"{answer['low']:.7g} to {answer['high']:.7g}"
            if "standard_error" in answer:
                yield name, "standard_error", f"{answer['standard_error']:.3g}"

    def summary(self) -> dict[str, Any]:
        """Return the answers as JSON can hold them: one mapping, measure -> answer."""
        return dict(self.answers)

    def write(self, path: str | Path, overwrite: bool = False) -> None:
        """Write the answers as one line of JSON; the file appears whole or not at all.

        Raises
        ------
        UsageError
            The file exists and `overwrite` is false.
        """
        with atomic.whole_file(path, overwrite) as file:
            file.write((json.dumps(self.summary(), ensure_ascii=False) + "\n").encode())

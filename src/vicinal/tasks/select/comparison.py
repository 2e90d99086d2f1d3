"""The result of a comparison of strategies."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import need
from vicinal.storage import atomic
from vicinal.typing import PathLike

FIGURES = ("linear accuracy", "linear macro F1", "knn accuracy", "knn macro F1")


class Comparison:
    """How well classifiers do that learn from the rows which each strategy chose, against random rows.

    Attributes
    ----------
    strategies : list of str
        random first.
    trials : list of dict
        One for each variant, keep, strategy and seed: these, `kept` (the number of rows), and the four figures
        "linear accuracy", "linear macro F1", "knn accuracy", "knn macro F1", from 0 to 1.
    settings : dict
        n, classes, metric, seeds.
    seconds : float
        The time that the comparison took.
    """

    def __init__(self, strategies: list[str], trials: list[dict[str, Any]], settings: dict[str, Any]) -> None:
        self.strategies, self.trials, self.settings = strategies, trials, settings
        self.seconds = 0.0

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.strategies)}; n={self.settings['n']}, seeds={self.settings['seeds']})"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each variant, keep and strategy.

        Each has variant, keep, strategy, kept, and of each figure the mean over the seeds (under the figure's name),
        "... error" (its standard error), "... gain" (the mean difference to random of the same seed), "... gain error"
        (its standard error) and "... verdict": "better" or "worse" where a paired t-test at 5 % tells the difference,
        else "as random".
        """
        found = []
        cells: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
        for trial in self.trials:
            cells.setdefault((trial["variant"], str(trial["keep"]), trial["strategy"]), []).append(trial)
        for (variant, keep, strategy), own in cells.items():
            row: dict[str, Any] = {"variant": variant, "keep": keep, "strategy": strategy, "kept": own[0]["kept"]}
            for figure in FIGURES:
                values = np.array([trial[figure] for trial in own])
                base = np.array([trial[figure] for trial in cells[variant, keep, "random"]])
                row |= _compared(figure, values, base)
            found.append(row)
        return found

    def to_pandas(self) -> Any:
        """Return `rows` as a pandas.DataFrame."""
        return need("pandas").DataFrame(self.rows)

    def table(self, figure: str = "linear accuracy") -> str:
        """Return one figure in percent as a table in Markdown: the gain over random, with its standard error.

        A gain that a paired t-test at 5 % tells from 0 is followed by `*`. The row of random holds the figure itself.
        """
        lines = []
        rows = self.rows
        for variant in dict.fromkeys(row["variant"] for row in rows):
            part = [row for row in rows if row["variant"] == variant]
            keeps = list(dict.fromkeys(row["keep"] for row in part))
            lines += [
                "",
                f"{variant}: {figure}, %",
                "",
                f"| strategy | {' | '.join(keeps)} |",
                "|---" * (len(keeps) + 1) + "|",
            ]
            for strategy in self.strategies:
                own = {row["keep"]: row for row in part if row["strategy"] == strategy}
                lines.append(f"| {strategy} | {' | '.join(_cell(own[keep], figure) for keep in keeps)} |")
        return "\n".join(lines[1:])

    def summary(self) -> dict[str, Any]:
        """Return the settings and `rows`, as `vicinal select --compare --json` prints them."""
        return {**self.settings, "seconds": round(self.seconds, 3), "rows": self.rows}

    def save(self, path: PathLike, overwrite: bool = False) -> None:
        """Write settings, strategies, trials and rows as JSON.

        Raises
        ------
        UsageError
            The file exists and is not to be replaced.
        """
        whole = {**self.summary(), "strategies": self.strategies, "trials": self.trials}
        with atomic.whole_file(Path(os.fspath(path)), overwrite) as file:
            file.write((lines_of(whole) + "\n").encode())


def lines_of(whole: dict[str, Any]) -> str:
    """Return an object as JSON, with a line for each member, and for each record of a list of records.

    >>> print(lines_of({"n": 4, "rows": [{"a": 1}, {"a": 2}]}))
    {
     "n": 4,
     "rows": [
      {"a": 1},
      {"a": 2}
     ]
    }
    """
    members = []
    for name, value in whole.items():
        text = json.dumps(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n" + ",\n".join(f"  {json.dumps(one)}" for one in value) + "\n ]"
        members.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(members) + "\n}"


def _compared(figure: str, values: np.ndarray, base: np.ndarray) -> dict[str, Any]:
    from scipy.stats import t

    gains = values - base
    error = float(gains.std(ddof=1)) / math.sqrt(len(gains))
    limit = float(t.ppf(0.975, len(gains) - 1)) * error
    gain = float(gains.mean()) + 0.0  # no -0.0
    return {
        figure: round(float(values.mean()), 5),
        f"{figure} error": round(float(values.std(ddof=1)) / math.sqrt(len(values)), 5),
        f"{figure} gain": round(gain, 5) + 0.0,
        f"{figure} gain error": round(error, 5),
        f"{figure} verdict": "as random" if abs(gain) <= limit else "better" if gain > 0 else "worse",
    }


def _cell(row: dict[str, Any], figure: str) -> str:
    if row["strategy"] == "random":
        return f"{100 * row[figure]:.1f} ± {100 * row[f'{figure} error']:.1f}"
    mark = "" if row[f"{figure} verdict"] == "as random" else " *"
    gain = round(100 * row[f"{figure} gain"], 1) + 0.0  # a loss that rounds to 0 is no -0.0
    return f"{gain:+.1f} ± {100 * row[f'{figure} gain error']:.1f}{mark}"

"""The last phases of a selection: the reason of every row, and what is written."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis.selection import Choice
from vicinal.data import tables
from vicinal.data.results import Kept, plain_values
from vicinal.knn.recall import Recall, recall_fields, recall_note
from vicinal.storage import atomic
from vicinal.tasks.select.candidates import Candidates
from vicinal.tasks.select.plan import Plan
from vicinal.tasks.select.tiers import Tier, Tiers
from vicinal.typing import Id


class Selection(Kept):
    """The chosen rows of a data set, and the reason for each row: one row a sample, in the input's order.

    Columns, by name (`result["kept"]`), each of length n:

    - `kept` (bool): whether the sample was chosen.
    - `rule` (list of str): what decided: the strategy's name; "dedup" for a duplicate that was left out; "dedup, let
      back in" for one that was chosen because too few other rows were left; "marks" for one that is marked keep;
      "unusable" for a sample without a score or with an invalid embedding, or that is marked drop.
    - `because` (int64): the number of the row that decided; -1 where there is none. Under highest, lowest, middle,
      random and moderate the last row chosen (of the quota's group); under semdedup and d4 the row that was kept in
      preference; under "dedup" the row that stands for the group of duplicates; under all others the nearest chosen
      row.
    - `distance` (float32): the distance to that row, in the metric's unit; NaN where none was measured.
    - `rank` (int64): 1 for the row that was chosen first, and so on; -1 for a row that was not chosen.
    - `reason` (list of str or None): why an unusable sample cannot be chosen.
    - `match` (list of str or None): under "dedup" how the row is like the one that stands for it: "copy": the same
      vector and the same text; "same vector": only the vector, or there is no text to compare; "near": neither.

    Attributes
    ----------
    ids : list of int or str
    strategy : str
    unusable : dict of int to str
        The rows that cannot be chosen, by number, and why.
    skipped : bool
        Whether the decisions leave these rows out.
    seconds : float
        The time that `select` took.
    other_text : int
        With dedup 0, the number of rows that take part although their vector is there, because their texts differ.
    recall : Recall or None
        Of the neighbours that the strategy used, where they are not exact or were asked for with a recall.
    dedup_recall : Recall or None
        The same of the pairs that dedup used.
    labels : dict of int to str, int or float
        The labels of `marks`, by row number; the decisions hold them.
    """

    def __init__(
        self, ids: list[Id], columns: dict[str, Any], strategy: str, unusable: dict[int, str], skipped: bool = False
    ) -> None:
        super().__init__(ids, columns, {"match": "string", "reason": "string"})
        self.strategy, self.unusable, self.skipped = strategy, unusable, skipped
        self.seconds = 0.0
        self.recall: Recall | None = None
        self.dedup_recall: Recall | None = None
        self.labels: dict[int, Any] = {}
        self.other_text = 0

    def __repr__(self) -> str:
        said = f"{recall_note(self.recall, ', ')}{recall_note(self.dedup_recall, ', dedup: ')}"
        return f"Selection(n={len(self)}, kept={len(self.rows)}, strategy={self.strategy!r}{said})"

    def decisions(self) -> Iterator[dict[str, Any]]:
        """Yield the decision on each row as the command writes it, with ids in place of row numbers."""
        distances = plain_values(self["distance"])
        names = ("kept", "rule", "because", "rank", "reason", "match")
        columns = zip(*(self[name] for name in names), strict=True)
        for row, (kept, rule, because, rank, reason, match) in enumerate(columns):
            if self.skipped and row in self.unusable:
                continue
            record = {"id": self.ids[row], "row": row, "decision": "kept" if kept else "dropped", "rule": rule}
            if reason is not None:
                record["reason"] = reason
            record["because"] = None if because < 0 else self.ids[because]
            if distances[row] is not None:
                record["distance"] = distances[row]
            if match is not None:
                record["match"] = match
            if kept:
                record["rank"] = int(rank)
            if row in self.labels:
                record["label"] = self.labels[row]
            yield record

    @property
    def dropped(self) -> dict[str, int]:
        """How many rows each rule dropped: "unusable", "dedup", the strategy; those that dropped none are left out."""
        rules = Counter(rule for rule, kept in zip(self["rule"], self["kept"], strict=True) if not kept)
        return {name: rules[name] for name in ("unusable", "dedup", self.strategy) if rules[name]}

    def summary(self) -> dict[str, Any]:
        """Return the counts that `vicinal select --json` prints.

        n, kept, strategy, how many rows each rule dropped, how many of the duplicates are copies, have the same vector
        alone and are near, the rows that take part because of their text alone, seconds, and recall.
        """
        kinds = Counter(match for match, kept in zip(self["match"], self["kept"], strict=True) if not kept)
        return {
            "n": len(self),
            "kept": len(self.rows),
            "strategy": self.strategy,
            "dropped": self.dropped,
            "copies": kinds["copy"],
            "same_vector": kinds["same vector"],
            "near": kinds["near"],
            "other_text": self.other_text,
            "seconds": round(self.seconds, 3),
            **recall_fields(self.recall),
            **({} if self.dedup_recall is None else {"dedup_recall": self.dedup_recall.as_json()}),
        }


class _Reasons:
    """The columns of a selection while they are filled in."""

    def __init__(self, candidates: Candidates) -> None:
        n = len(candidates.data)
        self._candidates = candidates
        self.rule = np.full(n, "", dtype=object)
        self.because, self.rank = np.full(n, -1), np.full(n, -1)
        self.distance = np.full(n, np.nan, dtype=np.float32)
        self.reason: list[str | None] = [None] * n
        self.match: list[str | None] = [None] * n
        for row, reason in candidates.unusable.items():
            self.rule[row], self.reason[row] = "unusable", reason

    def decide(self, tier: Tier, choice: Choice, rule: str, first_rank: int, everyone: bool) -> None:
        """Fill in the rows of a tier that were chosen, or everyone of it."""
        rows = self._candidates.rows[tier.members]
        self.rank[rows[choice.order]] = np.arange(first_rank, first_rank + len(choice.order))
        decided = np.arange(len(rows)) if everyone else choice.order
        because = choice.because[decided]
        other = (because >= 0) & (because != decided)
        self.rule[rows[decided]] = rule
        self.because[rows[decided[other]]] = rows[because[other]]
        with np.errstate(over="ignore"):  # a distance beyond float32 is inf
            distance = choice.distance[decided[other]].astype(np.float32)
        self.distance[rows[decided[other]]] = np.where(np.isfinite(distance), distance, np.nan)


def explain(candidates: Candidates, tiers: Tiers, choices: tuple[Choice, Choice | None], plan: Plan) -> Selection:
    """Return the selection: which rows are kept, and why."""
    reasons = _Reasons(candidates)
    duplicates = tiers.duplicates.members
    reasons.rule[candidates.rows[duplicates]] = "dedup"
    reasons.because[candidates.rows[duplicates]] = candidates.rows[tiers.representative[duplicates]]
    with np.errstate(over="ignore"):  # a distance beyond float32 is inf
        reasons.distance[candidates.rows[duplicates]] = tiers.distance[duplicates].astype(np.float32)
    for row, position in zip(candidates.rows[duplicates].tolist(), duplicates.tolist(), strict=True):
        reasons.match[row] = tiers.match[position]
    first, second = choices
    marked = candidates.rows[candidates.marked]
    reasons.rule[marked], reasons.because[marked] = "marks", -1
    reasons.rank[marked] = np.arange(1, 1 + len(marked))
    reasons.decide(tiers.first, first, plan.strategy.name, first_rank=1 + len(marked), everyone=True)
    if second is not None:
        reasons.because[candidates.rows[duplicates[second.order]]] = -1
        reasons.distance[candidates.rows[duplicates[second.order]]] = np.nan
        after = 1 + len(marked) + len(first.order)
        reasons.decide(tiers.duplicates, second, "dedup, let back in", first_rank=after, everyone=False)
    kept = reasons.rank > 0
    assert kept.sum() == candidates.keep
    columns = {
        "kept": kept,
        "rule": reasons.rule.tolist(),
        "because": reasons.because,
        "distance": reasons.distance,
        "rank": reasons.rank,
        "reason": reasons.reason,
        "match": reasons.match,
    }
    skipped = plan.on_invalid == "skip"
    selection = Selection(candidates.data.ids, columns, plan.strategy.name, candidates.unusable, skipped)
    selection.labels = candidates.labels
    selection.other_text = tiers.other_text
    return selection


def write(selection: Selection, data: Path | None, plan: Plan) -> None:
    """Write the decisions and the chosen lines of the data set, where the plan has an output for them."""
    with ExitStack() as stack:  # both get their names at the end, or neither does
        if plan.decisions is not None:
            table = stack.enter_context(tables.table_writer(plan.decisions, plan.overwrite))
            for record in selection.decisions():
                table.add(record)
        if plan.output is not None and data is not None:
            file = stack.enter_context(atomic.whole_file(plan.output, plan.overwrite))
            tables.copy_rows(data, file, plan.output, selection["kept"])

"""What `vicinal score` shows at its end: the most unique and the most redundant samples, and where the scores lie."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vicinal.cli.screen import Screen
from vicinal.layout import decimals, histogram

if TYPE_CHECKING:
    import numpy as np

    from vicinal.tasks.score import Scores
    from vicinal.tasks.score.results import Scored

SHOWN = 5
BINS = 12
TEXTS = ("text", "nearest neighbour")
NAMES = {"0": "lowest", "0.05": "5 %", "0.25": "25 %", "0.5": "median", "0.75": "75 %", "0.95": "95 %", "1": "highest"}


def closing(scores: "Scores", screen: Screen) -> Iterator[str]:
    """Yield the lines: two tables of samples with their nearest neighbours, a histogram and quantiles.

    The first score decides; with several, quantiles of each are shown.
    """
    import numpy as np

    if not scores.scored:
        return
    first = scores.scored[0]
    there = np.flatnonzero(np.isfinite(first.values))
    if not len(there):
        return
    order = there[np.argsort(first.values[there], kind="stable")]
    chosen = {"most unique": order[::-1][:SHOWN], "most redundant": order[:SHOWN]}
    texts = _texts(scores, first, np.concatenate(list(chosen.values())))
    for title, rows in chosen.items():
        yield ""
        yield screen.bold(f"The {len(rows)} {title}")
        yield from screen.table(_records(scores, first, rows, texts), TEXTS)
    yield ""
    metric = first.scorer.metric.name
    yield screen.bold(f"Where the scores lie ({first.label}: k = {first.k}, {metric}; {len(there):,} samples)")
    counts, edges = np.histogram(first.values[there].astype(np.float64), bins=BINS)
    yield from histogram(counts.tolist(), edges.tolist(), screen.width, screen.colour)
    yield ""
    yield from screen.table([_quantiles(one) for one in scores.scored], ["score"])


def _quantiles(one: "Scored") -> dict[str, str]:
    found = one.summary()["quantiles"]
    return {"score": one.label, **dict(zip(NAMES.values(), decimals([found[key] for key in NAMES]), strict=True))}


def _texts(scores: "Scores", first: "Scored", rows: "np.ndarray") -> dict[int, str]:
    """What is shown of the rows and of their nearest neighbours, by number."""
    import numpy as np

    from vicinal.data.tables import SUFFIXES
    from vicinal.data.texts import texts_of_ids, texts_of_rows

    wanted = set(rows.tolist())
    if first.scorer.reference is None:
        wanted |= {int(one) for one in first.neighbors.indices[rows, 0] if one >= 0}
    found: dict[int, str] = {}
    ends = np.cumsum([len(part) for part in scores.rows]).tolist()
    for part, end in zip(scores.rows, ends, strict=True):
        start = end - len(part)
        own = [row for row in wanted if start <= row < end]
        if part.path is None or not str(part.path).lower().endswith(SUFFIXES):
            continue
        if scores.skipped:  # so that a row's number is not that of its line
            texts = texts_of_ids(part.path, [scores.ids[row] for row in own], part.id_field)
            found |= {row: texts.get(scores.ids[row], "") for row in own}
        else:
            found |= {start + row: text for row, text in texts_of_rows(part.path, [row - start for row in own]).items()}
    return found


def _records(scores: "Scores", one: "Scored", rows: "np.ndarray", texts: dict[int, str]) -> list[dict[str, Any]]:
    own = one.scorer.reference is None
    values = decimals(one.values[rows].tolist())
    distances = decimals(one.neighbors.distances[rows, 0].tolist())
    records: list[dict[str, Any]] = []
    for row, value, distance in zip(rows.tolist(), values, distances, strict=True):
        nearest = int(one.neighbors.indices[row, 0])
        name = scores.ids[nearest] if own and nearest >= 0 else f"row {nearest}"
        record: dict[str, Any] = {"score": value, "id": scores.ids[row]}
        if texts:
            record |= {"text": texts.get(row, ""), "nearest neighbour": texts.get(nearest, "") if own else name}
        else:
            record["nearest"] = name
        records.append({**record, "distance": distance})
    return records

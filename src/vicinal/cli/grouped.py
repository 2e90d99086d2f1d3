"""Groups of duplicates in a terminal, with the texts of their rows."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vicinal.cli import texts
from vicinal.cli.screen import Screen
from vicinal.layout import decimals

if TYPE_CHECKING:
    from vicinal.tasks.duplicates import Duplicates

GROUPS, ROWS = 5, 4  # of the largest groups, and the first rows of each, that are shown


def lines(found: "Duplicates", seen: Screen, data: str, field: str | None) -> Iterator[str]:
    """Yield the lines: the largest groups, each with its first rows; the representative first."""
    largest = sorted(found.groups, key=lambda group: -int(group["size"]))[:GROUPS]
    members = {one["representative"]: _members(one) for one in largest}
    known = texts.by_id(data, [row[0] for rows in members.values() for row in rows], field)
    for group in largest:
        rows = members[group["representative"]]
        yield from ("", seen.bold(f"{group['size']:,} rows, of which {group['representative']} stays"))
        distances = decimals([distance for _, distance, _ in rows])
        shown = [
            {"id": identity, "distance": far, "match": match or "stays", **_text(known, identity)}
            for (identity, _, match), far in zip(rows, distances, strict=True)
        ]
        yield from seen.table(shown, ["text"])
    left = found.n_groups - len(largest)
    if left > 0:
        yield ""
        yield from seen.paragraph(f"... {left:,} more groups; -o FILE writes all, and a pipe gets them as JSON")


def _members(group: dict[str, Any]) -> list[tuple[Any, float, str | None]]:
    """The representative and the first other rows of a group: id, distance, and how it matches."""
    rows = list(zip(group["ids"], group["distances"], group["matches"], strict=True))
    stays = next(row for row in rows if row[2] is None)
    others = (row for row in rows if row is not stays)
    return [stays, *itertools.islice(others, ROWS - 1)]


def _text(known: dict[object, str], identity: object) -> dict[str, str]:
    return {"text": known.get(identity, "")} if known else {}

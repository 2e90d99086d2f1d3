"""Finished tiles of a pass in a folder: one file a task, whole or absent, so that a killed driver resumes.

question.json       what is computed, and in which blocks
J-I-P.npz           the result of a tile; of a block's first, with the checksum of the block's rows
"""

import contextlib
import itertools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.distributed.plan import PARTS, Plan, Tile
from vicinal.distributed.tiles import Result
from vicinal.errors import UsageError
from vicinal.knn.block_join import Found
from vicinal.storage import atomic, locks
from vicinal.typing import PathLike

QUESTION = "question.json"
FORMAT = "vicinal.distributed.checkpoint"
ARRAYS = ("rows", "counts", "others", "distances")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of a pass, made where there is none, so that a second pass waits until the first has removed it.

    Raises
    ------
    UsageError
        It cannot be made.
    """
    while True:
        if not folder.exists():
            atomic.check_folder(folder, overwrite=False)
            folder.mkdir(exist_ok=True)
        with locks.changing(folder):
            if folder.exists():
                yield
                return


class Tiles:
    """The folder of a pass.

    Attributes
    ----------
    plan : Plan
        The given one, or that of the work in the folder.

    Raises
    ------
    UsageError
        The folder holds something else, or the work of another question.
    """

    def __init__(self, folder: PathLike, question: dict[str, Any], plan: Plan) -> None:
        self.folder, self._question = Path(folder), {"format": FORMAT, "version": 1, **question}
        self.plan = plan
        file = self.folder / QUESTION
        if file.is_file():
            self.plan = self._resumed(file)
            return
        if not self.folder.exists():
            atomic.check_folder(self.folder, overwrite=False)
            self.folder.mkdir()
        elif not self.folder.is_dir() or any(self.folder.iterdir()):
            raise UsageError(f"{self.folder}: exists, and is no checkpoint of a pass; name another folder")
        written = {**self._question, "block_rows": plan.block_rows, "parts": plan.parts}
        if plan.ranges:
            written |= {"ranges": plan.ranges, "cuts": plan.cuts}
        with atomic.whole_file(file) as opened:
            opened.write(json.dumps(written, indent=2).encode() + b"\n")

    def _resumed(self, file: Path) -> Plan:
        """The plan of the work in the folder."""
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
            cuts = tuple(int(one) for one in before.get("cuts", ()))
            ranges = int(before.get("ranges", 0))
            made = Plan(int(before["n"]), int(before["block_rows"]), int(before["parts"]), ranges, cuts)
            if not _can_be(made):
                raise ValueError("no plan")
            asked = {key: before[key] for key in self._question}
        except (OSError, ValueError, KeyError, TypeError):
            raise self._damaged(file) from None
        changed = [key for key in asked if asked[key] != self._question[key]]
        if changed:
            differences = [f"{key} was {asked[key]}, is {self._question[key]}" for key in changed]
            raise self.of_another("; ".join(differences))
        return made

    def of_another(self, what: str) -> UsageError:
        """The error for the work of another question."""
        return UsageError(
            f"{self.folder}: holds the work of another run; changed since: {what}. Run the same command as before, or "
            "name another folder"
        )

    def _damaged(self, file: Path) -> UsageError:
        return UsageError(
            f"{file}: damaged, or written by another version; remove the folder {self.folder} to start again"
        )

    def load(self, tile: Tile) -> Result | None:
        """The result of a tile; None where it is not finished."""
        file = self.folder / f"{tile.name}.npz"
        if not file.exists():
            return None
        try:
            with np.load(file, allow_pickle=False) as saved:
                about = json.loads(str(saved["about"]))
                stored, queries = _found(saved, "stored"), _found(saved, "queries")
            return Result(
                stored,
                queries,
                invalid={int(row): str(why) for row, why in about["invalid"].items()},
                digest=str(about["digest"]),
                engine=str(about["engine"]),
                layout=int(about.get("layout", 0)),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
            raise self._damaged(file) from None

    def save(self, tile: Tile, result: Result) -> None:
        """Keep the result of a tile."""
        about: dict[str, Any] = {
            "invalid": dict(result.invalid),
            "digest": result.digest,
            "engine": result.engine,
        }
        if result.layout:
            about["layout"] = result.layout
        arrays = {"about": np.array(json.dumps(about))}
        for side, found in (("stored", result.stored), ("queries", result.queries)):
            if found is not None:
                arrays |= {f"{side}_{name}": getattr(found, name) for name in ARRAYS}
        with atomic.whole_file(self.folder / f"{tile.name}.npz", overwrite=True) as opened:
            np.savez(opened, **arrays)  # type: ignore[arg-type]

    def clear(self) -> None:
        """Remove the files, to begin again."""
        for tile in self.plan.tiles():
            (self.folder / f"{tile.name}.npz").unlink(missing_ok=True)
            atomic.remove_leftovers(self.folder / f"{tile.name}.npz")
        (self.folder / QUESTION).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder, once the work is done."""
        self.clear()
        with contextlib.suppress(OSError):  # a file of the user lies there
            self.folder.rmdir()


def _can_be(made: Plan) -> bool:
    """Whether the numbers of a file are those of a plan."""
    if made.n < 1 or made.block_rows < 1 or made.parts < 1:
        return False
    if not made.ranges:
        return not made.cuts
    whole = made.ranges > 0 and made.block_rows == made.n and made.cuts[:1] == (0,) and made.cuts[-1] == PARTS
    return whole and all(low < high for low, high in itertools.pairwise(made.cuts))


def _found(saved: Any, side: str) -> Found | None:
    if f"{side}_rows" not in saved:
        return None
    return Found(*(saved[f"{side}_{name}"] for name in ARRAYS))

"""Kept runs: what was scored, how, and with which neighbours, in a folder that a report or a longer run starts from.

The data, the embeddings and the references stay where they are; the folder holds their places and checksums, the
neighbours of every pass, and the scores. A run that rows were added to has several parts, whose rows follow each other.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.errors import DataError
from vicinal.knn.neighbors import Neighbors
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind
from vicinal.tasks.score.config import Plan, ScorerPlan

RUN = FolderKind("vicinal.run", 1, "a kept run", "vicinal score --run", "score again")


@dataclass(frozen=True)
class Source:
    """A file that a run was made from."""

    path: str
    sha256: str
    rows: int

    @classmethod
    def of(cls, path: Path, rows: int) -> "Source":
        """The file as it is now."""
        return cls(str(path.resolve()), manifests.sha256(path), rows)

    def verify(self) -> None:
        """Raises DataError where the file is gone or has changed."""
        if not Path(self.path).is_file():
            raise DataError(f"{self.path}: missing; the kept run was made from it: put it back, or score again")
        if manifests.sha256(self.path) != self.sha256:
            raise DataError(f"{self.path}: has changed since the run was kept; put it back, or score again")


@dataclass(frozen=True)
class Part:
    """Rows of a run that lie in one data set, and their embeddings."""

    data: Source
    embeddings: tuple[Source, ...]

    @classmethod
    def of(cls, data: Path, arrays: dict[Path, np.ndarray]) -> "Part":
        """The files as they are now."""
        embeddings = tuple(Source.of(path, len(array)) for path, array in arrays.items())
        return cls(Source.of(data, embeddings[0].rows), embeddings)


@dataclass(frozen=True)
class Pass:
    """The neighbours of one pass, and which scorers they serve."""

    neighbors: Neighbors
    scorers: tuple[int, ...]


@dataclass(frozen=True)
class Kept:
    """A kept run.

    values     : float32 (n_scorers, n), NaN where a row has no score
    references : the other sets that scores are against
    """

    parts: tuple[Part, ...]
    scorers: tuple[ScorerPlan, ...]
    values: np.ndarray
    passes: tuple[Pass, ...]
    nested: bool
    id_field: str
    on_invalid: str
    references: tuple[Source, ...] = ()

    def plan(self) -> Plan:
        """The plan of the run, without an output."""
        return Plan(self.nested, self.scorers, Path(self.parts[0].data.path))

    def verify(self) -> None:
        """Raises DataError where a file that the run was made from is gone or has changed."""
        for source in (*self.references, *(one for part in self.parts for one in (part.data, *part.embeddings))):
            source.verify()

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Writes the folder, whole or not at all.

        Raises    UsageError where the folder exists and may not be replaced.
        """
        arrays = {"scores": self.values}
        for number, one in enumerate(self.passes):
            arrays |= {f"indices{number}": one.neighbors.indices, f"distances{number}": one.neighbors.distances}
        fields = {
            "nested": self.nested,
            "id_field": self.id_field,
            "on_invalid": self.on_invalid,
            "data": [asdict(one) for one in self.parts],
            "references": [asdict(one) for one in self.references],
            "scorers": [_plain(one) for one in self.scorers],
            "passes": [
                {"metric": one.neighbors.metric, "dim": one.neighbors.dim, "scorers": list(one.scorers)}
                for one in self.passes
            ],
        }
        with atomic.whole_folder(folder, overwrite) as part:
            manifests.write(part, RUN, fields, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> "Kept":
        """The run that `save` wrote; its own arrays are verified, the files it was made from by `verify`.

        Raises    DataError, naming the file, where the folder is no kept run or is damaged.
        """
        manifest = manifests.read(folder, RUN)
        data, passes = manifest.field("data", list), manifest.field("passes", list)
        try:
            parts = tuple(
                Part(Source(**one["data"]), tuple(Source(**source) for source in one["embeddings"])) for one in data
            )
            scorers = tuple(_planned(one) for one in manifest.field("scorers", list))
            references = tuple(Source(**one) for one in manifest.field("references", list))
            asked = [(one["metric"], one["dim"], tuple(one["scorers"])) for one in passes]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RUN.refusal(manifest.file) from None
        kept = []
        for number, (metric, dim, serves) in enumerate(asked):
            indices = manifest.array(f"indices{number}", "i", (None, None))
            distances = manifest.array(f"distances{number}", "f", indices.shape)
            kept.append(Pass(Neighbors(indices, distances, metric, dim), serves))
        return cls(
            parts,
            scorers,
            manifest.array("scores", "f", (len(scorers), None)),
            tuple(kept),
            manifest.field("nested", bool),
            manifest.field("id_field", str),
            manifest.field("on_invalid", str),
            references,
        )


def _plain(one: ScorerPlan) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(_absolute(one)).items()}


def _absolute(one: ScorerPlan) -> ScorerPlan:
    return replace(
        one,
        embedding_path=one.embedding_path and one.embedding_path.resolve(),
        reference=one.reference and one.reference.resolve(),
    )


def _planned(one: dict[str, Any]) -> ScorerPlan:
    paths = {name: Path(one[name]) for name in ("embedding_path", "reference") if one[name] is not None}
    return ScorerPlan(**{**one, **paths})

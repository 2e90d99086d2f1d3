"""Kept runs: what was scored, how, and with which neighbours, in a folder for reports and for adding rows.

The data, the embeddings and the references stay where they are; the folder holds their places and checksums, the
neighbours of every pass, and the scores. A run that rows were added to has several parts, whose rows follow each other.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.analysis import score_table
from vicinal.data.embeddings import Embeddings
from vicinal.data.results import Columns
from vicinal.data.sources import split
from vicinal.errors import DataError, UsageError
from vicinal.knn.metrics import find
from vicinal.knn.neighbors import Neighbors
from vicinal.knn.recall import Recall, recall_fields
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind
from vicinal.tasks.score.plan import EMBEDDINGS, REFERENCE, Key, Plan, Question, Scorer

RUN = FolderKind("vicinal.run", 1, "a kept run", "vicinal score --run", "score again")


# What the manifest holds, by type.
SOURCE = {"path": str, "sha256": str, "rows": int}
SCORER = {
    "label": str,
    "name": str,
    "k": int,
    "metric": str,
    "threads": (int, type(None)),
    "embedding_path": str,
    "metric_given": bool,
    "group": (str, type(None)),
    "reference": (str, type(None)),
}


@dataclass(frozen=True)
class Source:
    """A file that a run was made from; `path` is FILE:KEY of one with several arrays or fields."""

    path: str
    sha256: str
    rows: int

    @classmethod
    def of(cls, path: Path, rows: int) -> "Source":
        """Return the file as it is now."""
        return cls(str(path.resolve()), manifests.sha256(split(path)[0]), rows)

    def verify(self) -> None:
        """Raise DataError where the file is gone or has changed."""
        path, _ = split(self.path)
        if not path.is_file():
            raise DataError(f"{self.path}: missing; the kept run was made from it: put it back, or score again")
        if manifests.sha256(path) != self.sha256:
            raise DataError(f"{self.path}: has changed since the run was kept; put it back, or score again")


@dataclass(frozen=True)
class Part:
    """Rows of a run that lie in one data set, and their embeddings."""

    data: Source
    embeddings: tuple[Source, ...]

    @classmethod
    def of(cls, data: Path, embeddings: list[Embeddings]) -> "Part":
        """Return the files as they are now; each of the embeddings comes from a file."""
        rows = {one.place.resolve(): len(one) for one in embeddings if one.place is not None}
        sources = tuple(Source.of(path, n) for path, n in rows.items())
        return cls(Source.of(data, sources[0].rows), sources)


@dataclass(frozen=True)
class Pass:
    """The neighbours of one pass, and the numbers of the scorers that use them."""

    neighbors: Neighbors
    scorers: tuple[int, ...]


@dataclass(frozen=True)
class Kept:
    """A kept run.

    Attributes
    ----------
    parts : tuple of Part
        The files of the rows, in their order.
    scorers : tuple of Scorer
    values : ndarray, shape (n_scorers, n)
        float32, NaN where a row has no score.
    passes : tuple of Pass
    nested : bool
        As in `Plan`.
    id_field : str
        The field of the data sets that holds the ids.
    on_invalid : {"error", "null"}
    references : tuple of Source
        The other sets that scores are against.
    evidence : bool
        Whether the scores were written with their evidence; runs that rows are added to write theirs, too.
    """

    parts: tuple[Part, ...]
    scorers: tuple[Scorer, ...]
    values: np.ndarray
    passes: tuple[Pass, ...]
    nested: bool
    id_field: str
    on_invalid: str
    references: tuple[Source, ...] = ()
    evidence: bool = False

    @classmethod
    def of(
        cls,
        plan: Plan,
        values: np.ndarray,
        passes: Mapping[Question, Neighbors],
        parts: list[Part],
        references: Mapping[Path, int],
        id_field: str,
        on_invalid: str,
    ) -> "Kept":
        """Return the run of a plan whose vectors all lie in files.

        Parameters
        ----------
        plan : Plan
        values : ndarray, shape (n_scorers, n)
        passes : mapping of Question to Neighbors
            The result of each pass.
        parts : list of Part
        references : mapping of Path to int
            The file of each reference, and its number of rows.
        id_field : str
        on_invalid : {"error", "null"}
        """
        questions = [scorer.question for scorer in plan.scorers]
        return cls(
            parts=tuple(parts),
            scorers=tuple(replace(one, threads=None) for one in plan.scorers),
            values=values,
            passes=tuple(
                Pass(neighbors, tuple(number for number, own in enumerate(questions) if own == question))
                for question, neighbors in passes.items()
            ),
            nested=plan.nested,
            id_field=id_field,
            on_invalid=on_invalid,
            references=tuple(Source.of(path, references[path]) for path in sorted(references)),
        )

    def plan(self, output: Path | None = None) -> Plan:
        """Return the plan of the run."""
        return Plan(self.scorers, Path(self.parts[0].data.path), output, self.nested)

    def verify(self) -> None:
        """Raise DataError where a file that the run was made from is gone or has changed."""
        for source in (*self.references, *(one for part in self.parts for one in (part.data, *part.embeddings))):
            source.verify()

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the folder, whole or not at all.

        Raises
        ------
        UsageError
            The folder exists and may not be replaced.
        """
        arrays = {"scores": self.values}
        for number, one in enumerate(self.passes):
            arrays |= {f"indices{number}": one.neighbors.indices, f"distances{number}": one.neighbors.distances}
        fields = {
            "nested": self.nested,
            "id_field": self.id_field,
            "on_invalid": self.on_invalid,
            **({"evidence": True} if self.evidence else {}),
            "data": [asdict(one) for one in self.parts],
            "references": [asdict(one) for one in self.references],
            "scorers": [_record(one) for one in self.scorers],
            "passes": [_pass_record(one) for one in self.passes],
        }
        with atomic.whole_folder(folder, overwrite) as part:
            manifests.write(part, RUN, fields, arrays)

    @classmethod
    def load(cls, folder: str | Path) -> "Kept":
        """Return the run that `save` wrote; its own arrays are verified, the files it was made from by `verify`.

        Raises
        ------
        DataError
            The folder is no kept run or is damaged; the message names the file.
        """
        manifest = manifests.read(folder, RUN)
        data = manifest.record("data", [{"data": SOURCE, "embeddings": [SOURCE]}])
        passes = manifest.record("passes", [{"metric": str, "dim": int, "scorers": [int]}])
        records, others = manifest.record("scorers", [SCORER]), manifest.record("references", [SOURCE])
        try:
            parts = tuple(
                Part(Source(**one["data"]), tuple(Source(**source) for source in one["embeddings"])) for one in data
            )
            scorers = tuple(_scorer(one) for one in records)
            references = tuple(Source(**one) for one in others)
            described = [
                (find(one["metric"]).name, one["dim"], tuple(one["scorers"]), _recall_of(one)) for one in passes
            ]
        except (ValueError, KeyError, TypeError):  # an unknown score or metric, or a field too many
            raise RUN.refusal(manifest.file) from None
        members = sorted(number for _, _, own, _ in described for number in own)
        if not all(part.embeddings for part in parts):
            raise RUN.refusal(manifest.file, ": data: expected a file of embeddings in each part, found none")
        if not parts or not scorers or members != list(range(len(scorers))):
            raise RUN.refusal(manifest.file, f": passes: expected each of {len(scorers)} scorers once, found {members}")
        kept = []
        for number, (metric, dim, own, recall) in enumerate(described):
            indices = manifest.array(f"indices{number}", "i", (None, None))
            distances = manifest.array(f"distances{number}", "f", indices.shape)
            kept.append(Pass(Neighbors(indices, distances, metric, dim, recall=recall), own))
        return cls(
            parts,
            scorers,
            manifest.array("scores", "f", (len(scorers), None)),
            tuple(kept),
            manifest.field("nested", bool),
            manifest.field("id_field", str),
            manifest.field("on_invalid", str),
            references,
            manifest.field("evidence", bool, False),
        )


def scores_in(scores: object, data: object) -> object:
    """Return the scores of a kept run as columns where its folder is given; anything else as it is.

    Raises
    ------
    DataError
        The run is of another data set than `data`, where that is a file.
    """
    is_folder = isinstance(scores, str | os.PathLike) and Path(scores).is_dir()
    if not is_folder or (isinstance(data, str | os.PathLike) and not Path(data).is_file()):
        return scores
    run = Kept.load(os.fspath(scores))  # type: ignore[call-overload]
    if isinstance(data, str | os.PathLike):
        own = run.parts[0].data
        if len(run.parts) > 1 or manifests.sha256(Path(data)) != own.sha256:
            raise DataError(f"{scores}: the run is of {own.path}, and {os.fspath(data)} is another file; score it")
    names = [one.label for one in run.scorers]
    return Columns(range(run.values.shape[1]), dict(zip(names, run.values, strict=True)))


@dataclass(frozen=True, eq=False)
class Origin:
    """Where the rows and the vectors of a run come from, so that it can be kept.

    Attributes
    ----------
    problem : str
        Why the run cannot be kept; empty where it can: all that it was made from lies in files.
    data : Path or None
        The data set of the rows.
    vectors, references : mapping of Question to Embeddings
    id_field : str
    on_invalid : {"error", "null"}
    earlier : tuple of Part
        The rows of a kept run that these were appended to.
    """

    problem: str
    data: Path | None = None
    vectors: Mapping[Question, Embeddings] = field(default_factory=dict)
    references: Mapping[Question, Embeddings] = field(default_factory=dict)
    id_field: str = "id"
    on_invalid: str = "error"
    earlier: tuple[Part, ...] = ()

    def require_files(self) -> None:
        """Raise UsageError where the run cannot be kept."""
        if self.problem or self.data is None:
            raise UsageError(f"run: {self.problem}")

    def kept(self, plan: Plan, values: np.ndarray, passes: Mapping[Question, Neighbors]) -> Kept:
        """Return the run as it is kept.

        Raises
        ------
        UsageError
            Something that it was made from does not lie in a file.
        """
        self.require_files()
        assert self.data is not None
        scorers = tuple(self._in_files(one) for one in plan.scorers)
        references = {one.place.resolve(): len(one) for one in self.references.values() if one.place is not None}
        return Kept.of(
            replace(plan, scorers=scorers),
            values,
            {new.question: passes[old.question] for old, new in zip(plan.scorers, scorers, strict=True)},
            [*self.earlier, Part.of(self.data, list(self.vectors.values()))],
            references,
            self.id_field,
            self.on_invalid,
        )

    def _in_files(self, one: Scorer) -> Scorer:
        """The scorer with files in place of the names of arguments."""
        embeddings: Key | None = one.embeddings
        reference: Key | None = one.reference
        if embeddings == EMBEDDINGS:
            embeddings = self.vectors[one.question].place
        if reference == REFERENCE:
            reference = self.references[one.question].place
        return replace(one, embeddings=embeddings, reference=reference)


def _pass_record(one: Pass) -> dict[str, Any]:
    """A pass as the manifest holds it; with its recall, where it has one."""
    record = {"metric": one.neighbors.metric, "dim": one.neighbors.dim, "scorers": list(one.scorers)}
    return {**record, **recall_fields(one.neighbors.recall)}


def _recall_of(record: dict[str, Any]) -> Recall | None:
    """The recall of a pass that a manifest's record describes."""
    return Recall.from_json(record["recall"]) if "recall" in record else None


def _record(one: Scorer) -> dict[str, Any]:
    """A scorer as the manifest holds it."""
    return {
        "label": one.label,
        "name": one.name,
        "k": one.k,
        "metric": one.metric.name,
        "threads": one.threads,
        "embedding_path": str(Path(one.question.embeddings).resolve()),
        "metric_given": one.metric_given,
        "group": one.groups,
        "reference": None if one.reference is None else str(Path(one.reference).resolve()),
    }


def _scorer(record: dict[str, Any]) -> Scorer:
    """The scorer that a manifest's record describes."""
    score, form = score_table.find(record["name"])
    return Scorer(
        label=record["label"],
        score=score,
        form=form,
        k=record["k"],
        metric=find(record["metric"]),
        embeddings=Path(record["embedding_path"]),
        reference=None if record["reference"] is None else Path(record["reference"]),
        groups=record["group"],
        threads=record["threads"],
        metric_given=record["metric_given"],
    )

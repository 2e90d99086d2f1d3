"""What a scoring run computes: its scorers, and the questions to the neighbour search that they share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vicinal.analysis.score_table import Score
from vicinal.knn.metrics import Metric
from vicinal.tasks.diversity.measures import Measure, Request

EMBEDDINGS, REFERENCE, GROUPS = "embeddings", "reference", "groups"

Key = Path | str
"""Where vectors are: a file, or the name of the argument that holds them (EMBEDDINGS or REFERENCE)."""


@dataclass(frozen=True)
class Question:
    """The question of one neighbour search; scorers with the same question share one pass.

    Attributes
    ----------
    embeddings : Path or str
        The vectors whose neighbours are wanted.
    metric : Metric
    groups : str or None
        The name of the groups whose members are no neighbours of each other.
    reference : Path or str or None
        The vectors that the neighbours are among; None for the other rows of `embeddings`.
    """

    embeddings: Key
    metric: Metric
    groups: str | None = None
    reference: Key | None = None


@dataclass(frozen=True)
class Scorer:
    """One score of a run.

    Attributes
    ----------
    label : str
        Its name in the result.
    score : Score
        The row of the table of scores.
    form : str
        The form that its values are put in: "percentile", "ratio", or "" for the plain value.
    k : int
    metric : Metric
    embeddings : Path or str or None
        Where the vectors are; None where saved neighbours take their place.
    reference : Path or str or None
        The vectors of another set that distances are measured to; None for the other samples.
    groups : str or None
        The field of the groups, or GROUPS where their values were given.
    threads : int or None
        None for all cores of the machine.
    metric_given : bool
        Whether the metric was chosen, or is the default.
    """

    label: str
    score: Score
    form: str
    k: int
    metric: Metric
    embeddings: Key | None
    reference: Key | None = None
    groups: str | None = None
    threads: int | None = None
    metric_given: bool = False

    @property
    def name(self) -> str:
        """The score's full name, with its form: `LOFScorer:percentile`."""
        return f"{self.score.name}:{self.form}" if self.form else self.score.name

    @property
    def question(self) -> Question:
        """The question of the neighbour search for this scorer."""
        if self.embeddings is None:
            raise ValueError(f"{self.label}: a scorer of saved neighbours needs no search")
        reference = None if self.reference is None else _resolved(self.reference)
        return Question(_resolved(self.embeddings), self.metric, self.groups, reference)


@dataclass(frozen=True)
class SetScorer:
    """A measure of the whole set, in a run.

    Attributes
    ----------
    label : str
        Its name in the result.
    measure : Measure
        The row of the table of measures.
    request : Request
        How it is computed; its vectors and clusters are read later.
    embeddings : Path or str or None
        Where the vectors are; None where it reads none.
    files : dict of str to Path
        The vectors and clusters of the request: attribute -> file, or a folder of `.npy` files.
    threads : int or None
        None for all cores of the machine.
    """

    label: str
    measure: Measure
    request: Request
    embeddings: Key | None
    files: dict[str, Path]
    threads: int | None = None

    @property
    def shares_pass(self) -> bool:
        """Whether it reads the nearest other rows of its own embeddings, as row scores do."""
        reference = self.files.get("reference")
        own = reference is not None and _resolved(reference) == (self.embeddings and _resolved(self.embeddings))
        return self.measure.by == "novelsum" and (reference is None or bool(own))


@dataclass(frozen=True)
class Plan:
    """One scoring run, whether a file, a command or a call describes it.

    Attributes
    ----------
    scorers : tuple of Scorer
    data : object
        The data set: a path, an array or a table.
    output : Path or None
        The file to write; of a nested configuration the folder.
    nested : bool
        Whether each row's scores are written as a mapping even where there is one.
    unused : tuple of str
        Keys of the configuration that are accepted and change nothing.
    skipped : tuple of str
        The names of scorers of the configuration that vicinal does not have.
    setwise : tuple of SetScorer
        The measures of the whole set.
    recall : float or None
        Of approximate neighbours among the rows themselves; None for exact ones.
    """

    scorers: tuple[Scorer, ...]
    data: Any = None
    output: Path | None = None
    nested: bool = False
    unused: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    setwise: tuple[SetScorer, ...] = ()
    recall: float | None = None

    @property
    def questions(self) -> dict[Question, list[Scorer]]:
        """The distinct questions, in order, and the scorers of each."""
        questions: dict[Question, list[Scorer]] = {}
        for scorer in self.scorers:
            questions.setdefault(scorer.question, []).append(scorer)
        return questions

    def shared_k(self, question: Question) -> int:
        """Return the number of neighbours that measures of the whole set read from a pass; 0 where none does."""
        if question.groups or question.reference or question.metric.name not in ("euclidean", "sqeuclidean"):
            return 0
        users = [one for one in self.setwise if one.shares_pass and one.embeddings is not None]
        keys = [(_resolved(one.embeddings), max(one.request.neighbors)) for one in users if one.embeddings]
        return max((k for key, k in keys if key == question.embeddings), default=0)

    @property
    def group_fields(self) -> list[str]:
        """The names of the groups that scorers keep apart, without repetition."""
        return list(dict.fromkeys(scorer.groups for scorer in self.scorers if scorer.groups is not None))


def _resolved(key: Key) -> Key:
    """Paths to one file become equal."""
    return key.resolve() if isinstance(key, Path) else key

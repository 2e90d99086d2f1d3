"""`vicinal.curate`: rounds of expert labels where a model is least sure of the boundary, until it agrees as experts do.

Each call is a round. It reads the model's present labels and the experts' labels of what was asked before, measures the
agreement, and asks for the next rows or says why to stop. A folder keeps what was asked and measured.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import devices
from vicinal.analysis.agreement import cohen_kappa
from vicinal.analysis.curation import Round, pairs_between_clusters, why_to_stop
from vicinal.data import dataset, labels
from vicinal.data.embeddings import OnInvalid, load
from vicinal.data.results import Columns
from vicinal.data.usable import Usable, kind_of, usable
from vicinal.errors import DataError, UsageError
from vicinal.indexes.exact import Exact
from vicinal.knn.recall import Recall, check_recall, recall_fields
from vicinal.storage import atomic, manifests
from vicinal.storage.manifests import FolderKind
from vicinal.tasks import arguments
from vicinal.tasks.experts import Judge, codes_of, judges_of
from vicinal.tasks.score import kept
from vicinal.typing import Id, LearnedMetricLike, PathLike

STATE = FolderKind("vicinal.curation", 1, "the rounds of a curation", "vicinal curate", "begin again")
ASKED = {"id": (int, str), "pair": int, "round": int, "split": str}
ROUND = {"labelled": int, "model": (int, float), "experts": (int, float)}
EXHAUSTED = "exhausted"
TRAIN, EVALUATION = "train", "evaluation"
MOST_CLUSTERS, LARGEST_SEED = 50, 2**32 - 1  # clusters of one label; the largest seed that scikit-learn takes


@dataclass(frozen=True, eq=False)
class Curation:
    """The state of a curation after a call.

    Attributes
    ----------
    to_label : Columns
        The rows that the experts should label next: pair (number), round, split ("train" or "evaluation").
    train : Columns
        The rows of the train part on which the experts agree: label. The model may learn from them.
    rounds : list of Round
        What was measured after each round.
    stop : str
        "" to go on; "reached": the model agrees with the experts as they do with each other; "plateau": its kappa no
        longer rises; "exhausted": no pairs are left.
    waiting : int
        Rows that were asked before and that an expert has not labelled; nothing was measured while there are some.
    unusable : dict of int to str
        For every row that has no usable embedding or no label of the model, why; none where nothing was measured.
    recall : Recall or None
        Of the neighbours that the rows to label come from, where they were asked for with a recall, or are not exact.
    """

    to_label: Columns
    train: Columns
    rounds: list[Round] = field(default_factory=list)
    stop: str = ""
    waiting: int = 0
    unusable: dict[int, str] = field(default_factory=dict)
    recall: Recall | None = None

    def summary(self) -> dict[str, Any]:
        """Return the state as JSON can hold it."""
        return {
            "rounds": [asdict(one) for one in self.rounds],
            "stop": self.stop,
            "waiting": self.waiting,
            "to_label": len(self.to_label),
            "train": len(self.train),
            "unusable": len(self.unusable),
            **recall_fields(self.recall),
        }

    def __str__(self) -> str:
        lines = [
            f"after {one.labelled:,} rows: kappa of the model {one.model:.4f}, of the experts {one.experts:.4f}"
            for one in self.rounds
        ]
        if self.waiting:
            lines.append(f"waiting for the experts' labels of {self.waiting:,} rows")
        elif self.stop:
            lines.append(f"stop: {self.stop}")
        else:
            lines.append(f"label next: {len(self.to_label):,} rows")
        if self.recall is not None:
            lines.append(f"neighbours: {self.recall}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Asked:
    """A row that was asked: its pair's number, its round and its part."""

    id: Id
    pair: int
    round: int
    split: str


@devices.takes_device
def curate(
    data: object,
    embeddings: object = None,
    *,
    encoding: object = None,
    labels: object,
    state: PathLike,
    experts: Sequence[Judge] | None = None,
    count: int = 50,
    evaluation: float = 0.5,
    k: int = 20,
    clusters: int = 10,
    recall: float | None = None,
    neighbors: object = None,
    metric: LearnedMetricLike | None = None,
    tolerance: float = 0.01,
    patience: int = 2,
    ids: object = None,
    seed: int = 0,
    threads: int | None = None,
    device: str | None = None,
    on_invalid: OnInvalid = "error",
    output: PathLike | None = None,
    train: PathLike | None = None,
    overwrite: bool = False,
) -> Curation:
    """Return which rows experts should label next, and how far the model agrees with them.

    The rows of each label are clustered; where clusters of different labels overlap, near pairs of rows are asked. Half
    of them are for training, half for evaluation. The agreement that experts reach among themselves is the goal.

    Parameters
    ----------
    data : array_like, path, or table
        The data set, or its embeddings.
    embeddings, encoding : optional
        Where the embeddings are, if not in `data`, and how they are quantised; as for `vicinal.score`.
    labels : str or sequence
        The model's present labels of all rows: a column, FILE:FIELD, or one value a row.
    state : path
        A folder that keeps what was asked and measured. The same call goes on from it after an interruption.
    experts : pair of str or mapping, optional
        Two experts' labels of the rows asked so far, each FILE:FIELD or a mapping of id to label; rows are matched by
        id. Needed from the second call on.
    count : int
        How many pairs a round asks at most.
    evaluation : float
        The share of pairs for evaluation, above 0 and at most 1.
    k, clusters : int
        The number of neighbours among which a row of another label is looked for; the clusters of a label, at most 50.
    recall : float, optional
        Above 0 and at most 1: approximate neighbours of at least this measured recall; exact by default.
    neighbors : Neighbors or path, optional
        Neighbours that are known already, in place of a pass: a kept run, or the folder of saved ones.
    metric : str, optional
        A name of `vicinal.METRICS`; by default that of `neighbors`, else "cosine".
    tolerance, patience : float, int
        By how much kappa must rise to count as a rise, and after how many rounds without a rise to stop.
    ids : str or sequence, optional
        The column of ids, or the ids.
    seed, threads : int, optional
        Of the clusters; of the neighbour search.
    device : str, optional
        Where exact passes run, as for `vicinal.score`.
    on_invalid : {"error", "null", "skip"}
        Rows without a usable embedding or a label of the model, and experts' rows without a label: "error" refuses
        them; "null" and "skip" never ask nor measure the former, and take the latter as not labelled yet.
    output, train : path, optional
        Files to write: the rows to label, and the rows to train on with their labels.
    overwrite : bool
        Whether these files may be replaced.

    Returns
    -------
    Curation

    Raises
    ------
    UsageError
        An argument cannot be used; rows were asked before and there are no experts.
    DataError
        Files cannot be read or do not fit together; the state is of another data set.

    References
    ----------
    Google Research 2025, "Achieving 10,000x training data reduction with high-fidelity labels".

    Examples
    --------
    >>> import tempfile
    >>> points = [[0.0], [1.0], [2.0], [2.2], [3.0], [4.0]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = curate(points, labels=list("aaabbb"), state=f"{folder}/rounds", metric="euclidean", count=1, k=2)
    >>> found.to_label.ids, found.to_label["split"]
    ([2, 3], ['evaluation', 'evaluation'])
    """
    measure, graph = _measure(metric, neighbors, recall)
    settings = _Settings(
        count=arguments.whole_number(count, "count"),
        evaluation=arguments.number(evaluation, "evaluation", "a share above 0", lambda share: 0 < share <= 1),
        k=arguments.whole_number(k, "k"),
        clusters=min(arguments.whole_number(clusters, "clusters"), MOST_CLUSTERS),
        metric=measure,
        seed=arguments.seed_of(seed, most=LARGEST_SEED),
        threads=threads,
        recall=None if recall is None else check_recall(recall),
        graph=graph,
    )
    arguments.number(tolerance, "tolerance", "a finite number of at least 0", lambda number: 0 <= number < np.inf)
    arguments.whole_number(patience, "patience")
    arguments.check_outputs(
        {"output": output, "train": train}, (data, embeddings, labels, experts, *kept.paths_of(neighbors)), overwrite
    )
    embeddings = kept.own_embeddings(graph, data, embeddings)
    fields = {"labels": (labels, kind_of("label", on_invalid))}
    rows = dataset.read(data, embeddings, ids=ids, fields=fields, unique_ids=True, encoding=encoding)
    if "labels" not in rows.values:
        raise UsageError("labels: missing; name the column of the model's labels (in Python: labels=...)")
    asked, rounds = _read(Path(state), rows.ids)
    judges = judges_of(experts, len(asked) if rounds else 0, on_invalid)
    open_rows = [one for one in asked if any(one.id not in judge for judge in judges)]
    if open_rows:
        found = Curation(_table(open_rows), _train(asked, judges), rounds, waiting=len(open_rows))
    else:
        stored = load(rows.embeddings, rows=rows, metric=measure, on_invalid=on_invalid, at_least=2)
        if graph is not None:
            graph.of(rows, stored)
        use = usable(rows, stored, on_invalid, at_least=2)
        model = codes_of(use.rows.values["labels"], judges)
        place = {one: row for row, one in enumerate(use.rows.ids)}
        if asked:
            measured = _measured(asked, judges, model, place)
            rounds = [one for one in rounds if one.labelled != measured.labelled] + [measured]
        stop = why_to_stop(rounds, tolerance, patience)
        new, used = ([], None) if stop else _next(use, model, asked, judges, place, settings)
        stop = stop or ("" if new else EXHAUSTED)
        found = Curation(_table(new), _train(asked, judges), rounds, stop, 0, use.reasons, used)
        _save(Path(state), rows.ids, [*asked, *new], rounds)
    for columns, path in ((found.to_label, output), (found.train, train)):
        if path is not None:
            columns.write(Path(path), overwrite)
    return found


@dataclass(frozen=True)
class _Settings:
    """How pairs are looked for."""

    count: int
    evaluation: float
    k: int
    clusters: int
    metric: LearnedMetricLike
    seed: int
    threads: int | None
    recall: float | None
    graph: kept.Graph | None


def _measure(metric: LearnedMetricLike | None, neighbors: object, recall: object) -> tuple[Any, kept.Graph | None]:
    """The metric, by default that of the neighbours, else cosine; and the neighbours, if given."""
    if neighbors is None:
        return "cosine" if metric is None else metric, None
    choice, graph = kept.choose(metric, None, neighbors, recall)
    devices.refuse("neighbors are given, so that no pass runs")
    return choice.reading, graph


def _digest(ids: list[Id]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()


def _read(state: Path, ids: list[Id]) -> tuple[list[_Asked], list[Round]]:
    """What was asked and measured; nothing where the folder does not exist."""
    if not state.exists():
        return [], []
    manifest = manifests.read(state, STATE)
    if manifest.field("ids", str) != _digest(ids):
        raise DataError(f"{state}: its rounds are of a data set with other ids; name another folder")
    try:
        asked = [_Asked(**one) for one in manifest.record("asked", [ASKED])]
        rounds = [Round(**one) for one in manifest.record("rounds", [ROUND])]
    except TypeError:  # a field too many
        raise STATE.refusal(manifest.file) from None
    if not all(0 < number < 1 << 31 for one in asked for number in (one.pair, one.round)):
        raise STATE.refusal(manifest.file, ": asked: expected pairs and rounds that are numbered from 1 on")
    return asked, rounds


def _save(state: Path, ids: list[Id], asked: list[_Asked], rounds: list[Round]) -> None:
    fields = {"ids": _digest(ids), "asked": [asdict(one) for one in asked], "rounds": [asdict(one) for one in rounds]}
    with atomic.whole_folder(state, overwrite=True) as part:
        manifests.write(part, STATE, fields)


def _measured(
    asked: list[_Asked], judges: list[dict[Id, labels.Label]], model: np.ndarray, place: dict[Id, int]
) -> Round:
    """The kappas after all asked rows are labelled."""
    whole = [np.array([judge[one.id] for one in asked]) for judge in judges]
    tested = [number for number, one in enumerate(asked) if one.split == EVALUATION and one.id in place]
    if not tested:
        raise DataError(
            "labels: none of the rows asked for evaluation has a usable embedding and a label of the model; expected "
            "one; label them"
        )
    own = model[[place[asked[number].id] for number in tested]]
    values = [_kappa(own, judge[tested]) for judge in whole]
    return Round(len(asked), float(np.mean(values)), _kappa(*whole))


def _kappa(one: np.ndarray, other: np.ndarray) -> float:
    """Cohen's kappa; 1 where both columns hold one and the same label."""
    if (one == other).all():
        return 1.0
    return cohen_kappa(one, other).value


def _next(
    use: Usable,
    model: np.ndarray,
    asked: list[_Asked],
    judges: list[dict[Id, labels.Label]],
    place: dict[Id, int],
    settings: _Settings,
) -> tuple[list[_Asked], Recall | None]:
    """The pairs of the next round, from the model's labels with the experts' where they agree; their recall."""
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    names, codes = np.unique(model, return_inverse=True)
    if len(names) < 2:
        raise DataError(f"labels: all {len(model)} rows have the label {names[0]!s}; expected at least two labels")
    code = {name: number for number, name in enumerate(names.tolist())}
    free = np.ones(len(model), dtype=bool)
    for one in asked:
        if one.id not in place:
            continue
        free[place[one.id]] = False
        agreed = {judge[one.id] for judge in judges}
        if len(agreed) == 1:
            codes[place[one.id]] = code.get(agreed.pop(), codes[place[one.id]])
    clusters = np.zeros(len(codes), dtype=np.int64)
    for number in range(len(names)):
        own = np.flatnonzero(codes == number)
        if not len(own):
            continue
        wanted = min(settings.clusters, len(own))
        means = MiniBatchKMeans(wanted, random_state=settings.seed, n_init=1)
        vectors = np.asarray(use.vectors.vectors[own], dtype=np.float32)
        with threadpool_limits(1):  # the same clusters on every machine
            clusters[own] = number * MOST_CLUSTERS + means.fit_predict(vectors)
    if settings.graph is None:
        index = Exact(settings.metric, settings.threads).fit(use.vectors.vectors)  # type: ignore[arg-type]
        neighbors = index.neighbors(min(settings.k, len(codes) - 1), recall=settings.recall)
    else:
        neighbors = kept.complete(settings.graph, use.left, settings.k)
    pairs = pairs_between_clusters(neighbors, codes, clusters, free, settings.count, settings.evaluation)
    turn = 1 + max((one.round for one in asked), default=0)
    first = 1 + max((one.pair for one in asked), default=0)
    return [
        _Asked(use.rows.ids[row], first + number, turn, _split(first + number, settings.evaluation))
        for number in range(len(pairs))
        for row in (int(pairs.first[number]), int(pairs.second[number]))
    ], neighbors.recall


def _split(pair: int, evaluation: float) -> str:
    """The part of a pair by its number from 1, so that the share holds over all rounds; the first is for evaluation."""
    return EVALUATION if pair == 1 or int(pair * evaluation) > int((pair - 1) * evaluation) else TRAIN


def _table(asked: list[_Asked]) -> Columns:
    columns = {
        "pair": np.array([one.pair for one in asked], dtype=np.int64),
        "round": np.array([one.round for one in asked], dtype=np.int64),
        "split": [one.split for one in asked],
    }
    return Columns([one.id for one in asked], columns)


def _train(asked: list[_Asked], judges: list[dict[Id, labels.Label]]) -> Columns:
    """The rows of the train part on which the experts agree."""
    agreed = [
        (one.id, judges[0][one.id])
        for one in asked
        if one.split == TRAIN and all(one.id in judge for judge in judges) and len({j[one.id] for j in judges}) == 1
    ]
    return Columns([one for one, _ in agreed], {"label": [label for _, label in agreed]})

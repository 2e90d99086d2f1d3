"""The measures of the whole set in a nested YAML file, with the keys of ODA-DataScorer; checked, then computed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings, OnInvalid, load
from vicinal.data.opening import open_source
from vicinal.errors import DataError, UsageError
from vicinal.knn.arguments import cores
from vicinal.knn.joined import Joined
from vicinal.tasks.arguments import whole_number
from vicinal.tasks.diversity import clusters_of_file, other_vectors
from vicinal.tasks.diversity.checking import amount, distance_of, listed, power, similarity_of
from vicinal.tasks.diversity.computing import answered, needs_directions, usable
from vicinal.tasks.diversity.measures import BY_NAME, Answer, Measure, Request, Rows
from vicinal.tasks.score.passes import Answer as Pass
from vicinal.tasks.score.plan import EMBEDDINGS, Key, Plan, Question, SetScorer
from vicinal.tasks.score.settings import Setting, Settings
from vicinal.typing import StartProgress

CLUSTER_FIELD = "cluster_id"
COMMON = ("name", "sub_name", "embedding_path", "max_workers", "num_gpu", "num_gpu_per_job", "resume")
FILES = {
    "subset_embeddings_path": "subset",
    "dense_ref_path": "reference",
    "cluster_centroids_path": "centroids",
    "cluster_labels_path": "clusters",
}
"""The keys that name files, and the attribute of the request that the file holds."""
VALUES: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "similarity_metric": ("similarity", similarity_of),
    "distance_metric": ("distance", distance_of),
    "sample_pairs": ("sample_pairs", whole_number),
    "ridge_alpha": ("ridge_alpha", amount),
    "num_clusters": ("num_clusters", whole_number),
    "density_powers": ("density_powers", lambda value, name: listed(value, name, power)),
    "neighbors": ("neighbors", lambda value, name: listed(value, name, whole_number)),
    "distance_powers": ("distance_powers", lambda value, name: listed(value, name, power)),
}
"""The keys that hold values, the attribute of the request, and its check."""
KEYS = {
    "radius": (),
    "aps": ("similarity_metric", "sample_pairs"),
    "vendi": ("similarity_metric",),
    "logdet": ("ridge_alpha",),
    "novelsum": ("dense_ref_path", "density_powers", "neighbors", "distance_powers"),
    "facility": ("subset_embeddings_path", "distance_metric"),
    "inertia": ("cluster_centroids_path", "cluster_labels_path", "distance_metric"),
    "entropy": ("num_clusters",),
}
"""The keys of each measure beside `COMMON`."""
REQUIRED = {
    "facility": ("subset_embeddings_path",),
    "inertia": ("cluster_centroids_path", "cluster_labels_path"),
    "entropy": ("num_clusters",),
}


def keys_of(measure: Measure) -> tuple[str, ...]:
    """Return the keys that a measure's mapping in the file may have."""
    return (*COMMON, *KEYS[measure.by])


def set_scorer(settings: Settings, where: str, label: str) -> SetScorer:
    """Return the measure of some settings; `where` is the place of the mapping.

    Raises
    ------
    UsageError
        A key is missing or its value cannot be used; the message names its place.
    """
    measure = BY_NAME[settings["name"].text()]
    for key in REQUIRED.get(measure.by, ()):
        if key not in settings:
            raise UsageError(f"{where}.{key}: missing; {measure.name} needs it")
    values = {}
    for key in KEYS[measure.by]:
        if key in VALUES and key in settings and not (key == "sample_pairs" and settings[key].value is None):
            attribute, check = VALUES[key]
            values[attribute] = check(_plain(settings[key]), settings[key].place)
    files = {FILES[key]: _path(settings[key]) for key in KEYS[measure.by] if key in FILES and key in settings}
    embeddings: Key | None = None
    if measure.embeddings:
        if "embedding_path" not in settings:
            raise UsageError(
                f"{where}: embedding_path: missing; give the .npy file there or as --embeddings (in Python: "
                "embeddings=...)"
            )
        given = settings["embedding_path"]
        embeddings = EMBEDDINGS if given.is_argument else given.file()
        if measure.by == "novelsum" and "reference" not in files and isinstance(embeddings, Path):
            files["reference"] = embeddings.absolute().parent  # what ODA-DataScorer reads: all .npy files beside it
    threads = settings.get("max_workers")
    return SetScorer(
        label, measure, Request(**values), embeddings, files, None if threads is None else threads.whole_number()
    )


def _plain(setting: Setting) -> Any:
    """The value of a setting without places."""
    return [_plain(one) for one in setting.value] if isinstance(setting.value, list) else setting.value


def _path(setting: Setting) -> Path:
    """A file, or a folder; from the working directory, else from the folder of the configuration."""
    for base in (Path(), setting.folder or Path()):
        if (base / setting.text()).is_dir():
            return base / setting.text()
    return setting.file()


@dataclass(frozen=True, eq=False)
class Group:
    """Measures of one set of embeddings, checked: label -> measure and request, and the rows that they share."""

    requests: dict[str, tuple[Measure, Request]]
    rows: Rows
    key: Key | None
    left: np.ndarray
    """The numbers of the rows that are left, ascending."""
    n: int
    """How many rows there were."""
    sharing: tuple[str, ...] = ()

    def only(self, left: np.ndarray) -> "Group":
        """Return the measures of those rows that are among some others too."""
        use = np.flatnonzero(np.isin(self.left, left))
        if len(use) == len(self.left):
            return self
        requests = {
            label: (
                measure,
                asked
                if asked.clusters is None
                else replace(asked, clusters=[asked.clusters[row] for row in use.tolist()]),
            )
            for label, (measure, asked) in self.requests.items()
        }
        vectors = self.rows.vectors if self.key is None else self.rows.vectors[use]
        return replace(self, requests=requests, rows=Rows(vectors, self.rows.threads), left=self.left[use])


def check(
    plan: Plan,
    rows: Dataset,
    clusters: list[Any] | None,
    sources: Mapping[Key, object],
    on_invalid: OnInvalid,
    in_place: bool = False,
) -> list[Group]:
    """Return the measures of a plan with all that they read, after every check.

    Parameters
    ----------
    plan : Plan
    rows : Dataset
    clusters : list or None
        The values of `cluster_id`, where a measure reads them.
    sources : mapping of Path or str to object
        What arguments hold.
    on_invalid : {"error", "null", "skip"}
        With "skip", `without_invalid` leaves out of all measures what one of them cannot use.
    in_place : bool
        Whether shards must not become one array here, as the passes read them on other machines.

    Raises
    ------
    UsageError
        A measure reads all vectors here, and they are such shards.
    DataError
        Files cannot be read or do not fit together.
    """
    groups: dict[Key | None, list[SetScorer]] = {}
    for one in plan.setwise:
        key = one.embeddings.resolve() if isinstance(one.embeddings, Path) else one.embeddings
        groups.setdefault(key, []).append(one)
    for one in plan.setwise if in_place else ():
        _refuse_shards(one, sources.get(one.embeddings or EMBEDDINGS, one.embeddings))
    return [_group(key, members, rows, clusters, sources, on_invalid) for key, members in groups.items()]


def _refuse_shards(one: SetScorer, source: object) -> None:
    """Raise UsageError where a measure would copy the shards of a folder into the memory of this process."""
    if one.embeddings is None or source is None:
        return
    opened = open_source(source, EMBEDDINGS)
    if isinstance(opened.values, Joined):
        raise UsageError(
            f"{one.label}: is computed in this process, which would copy the shards of {opened.name} into its memory; "
            "compute it in a run of its own with --engine local (in Python: engine='local')"
        )


def _group(
    key: Key | None,
    members: list[SetScorer],
    rows: Dataset,
    clusters: list[Any] | None,
    sources: Mapping[Key, object],
    on_invalid: OnInvalid,
) -> Group:
    requests = {one.label: (one.measure, one.request) for one in members}
    threads = min(max(one.threads or cores() for one in members), cores())
    if key is None:
        known = np.array([row for row, one in enumerate(clusters or []) if one is not None], dtype=np.int64)
        if not len(known):
            raise DataError(f"{rows.name}: no row has a {CLUSTER_FIELD!r}; add that field")
        of_rows = [clusters[row] for row in known.tolist()] if clusters else None
        requests = {label: (measure, replace(asked, clusters=of_rows)) for label, (measure, asked) in requests.items()}
        return Group(requests, Rows(np.empty((0, 1)), threads), None, known, len(rows))
    source = sources.get(key, members[0].embeddings)
    metric = "cosine" if needs_directions(requests) else None
    embeddings = load(source, metric=metric, on_invalid=on_invalid, at_least=2)
    if any(one.measure.by != "facility" for one in members):
        rows.refuse_other_count(embeddings.name, len(embeddings))
    vectors, kept, _ = usable(embeddings, requests, list(range(len(embeddings))), on_invalid)
    read = {one.label: (one.measure, _with_files(one, embeddings, kept, rows)) for one in members}
    sharing = tuple(one.label for one in members if one.shares_pass)
    return Group(read, Rows(vectors, threads), key, kept, len(embeddings), sharing)


def left_out(groups: list[Group], n: int) -> dict[int, str]:
    """Return the rows of a data set of n rows that a measure of all of them cannot use, and why."""
    found: dict[int, str] = {}
    for group in groups:
        if group.n == n:
            labels = ", ".join(group.requests)
            found |= {int(row): f"not usable by {labels}" for row in np.setdiff1d(np.arange(n), group.left)}
    return found


def without_invalid(groups: list[Group], left: np.ndarray, n: int) -> list[Group]:
    """Return the measures with only some rows of the data set left; sets of another number of rows stay."""
    return [group.only(left) if group.n == n else group for group in groups]


def _with_files(one: SetScorer, embeddings: Embeddings, kept: np.ndarray, rows: Dataset) -> Request:
    """The request of a scorer with the vectors and clusters in its files."""
    found: dict[str, Any] = {}
    for attribute, path in one.files.items():
        if attribute == "clusters":
            labels = clusters_of_file(path)
            if len(labels) != len(embeddings):
                raise DataError(f"{path}: found {len(labels)} clusters, expected {len(embeddings)}, one a row")
            found[attribute] = [labels[row] for row in kept]
        elif not (attribute == "reference" and one.shares_pass):
            cosine = (one.request.distance or one.measure.distance) == "cosine"
            found[attribute] = other_vectors(path, attribute, embeddings, cosine and attribute != "reference")
    subset = found.get("subset")
    if subset is not None and len(rows) not in (len(subset), len(embeddings)):
        raise DataError(
            f"{rows.name} has {len(rows)} rows, but {one.files['subset']} has {len(subset)} and {embeddings.name} has "
            f"{len(embeddings)}; the data set is the subset or the whole set"
        )
    return replace(one.request, **found)


def compute(groups: list[Group], passes: Mapping[Question, Pass], progress: StartProgress | None) -> dict[str, Answer]:
    """Return the answers of checked measures: label -> answer.

    Parameters
    ----------
    groups : list of Group
    passes : mapping of Question to Answer
        The neighbour searches of the run, from which NovelSum takes its densities where it can.
    progress : callable, optional
    """
    found: dict[str, Answer] = {}
    for group in groups:
        if group.sharing and len(group.left) == group.n:
            group.rows.nearest = _squared(group.key, passes)
        found |= answered(group.requests, group.rows, progress)[0]
    return found


def _squared(key: Key | None, passes: Mapping[Question, Pass]) -> np.ndarray | None:
    """The squared distances of a pass over the same embeddings whose rows all differ; None where there is none."""
    for question, answer in passes.items():
        alike = question.embeddings == key and question.groups is None and question.reference is None
        metric = question.metric.name
        if not alike or metric not in ("euclidean", "sqeuclidean") or answer.errors or answer.copies is None:
            continue
        if (answer.copies == np.arange(len(answer.copies))).all():
            distances = answer.neighbors.distances.astype(np.float64)
            return distances**2 if metric == "euclidean" else distances
    return None

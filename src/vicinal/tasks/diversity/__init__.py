"""`vicinal.diversity`: how diverse a whole set of embeddings is.

measures  : the table of measures, each a function of rows and a request
checking  : the checks of arguments and of keys of a YAML file
computing : the answers to several measures, which share sums over the rows
result    : Diversity
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vicinal import devices
from vicinal.data import dataset
from vicinal.data.dataset import Dataset
from vicinal.data.embeddings import Embeddings, OnInvalid, load
from vicinal.errors import UsageError
from vicinal.knn.arguments import check_threads
from vicinal.storage import npy
from vicinal.tasks import arguments
from vicinal.tasks.diversity import checking
from vicinal.tasks.diversity.computing import answered, needs_directions, usable
from vicinal.tasks.diversity.measures import MEASURES, Measure, Request, Rows, find_measure
from vicinal.tasks.diversity.result import Diversity
from vicinal.typing import PathLike, StartProgress

__all__ = ["Diversity", "diversity"]

DEFAULT = ("radius", "aps", "vendi", "logdet")
SETTINGS = (
    *("similarity", "distance", "sample_pairs", "seed", "ridge_alpha"),
    *("density_powers", "neighbors", "distance_powers"),
)
SimilarityName = Literal["cosine", "euclidean", "manhattan", "dot_product", "pearson"]
DistanceName = Literal["cosine", "euclidean", "squared_euclidean", "manhattan"]


@devices.takes_device
def diversity(
    data: object = None,
    embeddings: object = None,
    *,
    encoding: object = None,
    by: str | Sequence[str] = DEFAULT,
    similarity: SimilarityName = "cosine",
    distance: DistanceName | None = None,
    subset: object = None,
    reference: object = None,
    centroids: object = None,
    clusters: object = None,
    num_clusters: int | None = None,
    density_powers: float | Sequence[float] = (0, 0.25, 0.5),
    neighbors: int | Sequence[int] = (5, 10),
    distance_powers: float | Sequence[float] = (0, 1, 2),
    ridge_alpha: float = 1e-10,
    sample_pairs: int | None = None,
    seed: int = 0,
    on_invalid: OnInvalid = "error",
    threads: int | None = None,
    device: str | None = None,
    progress: StartProgress | None = None,
    output: PathLike | None = None,
    overwrite: bool = False,
) -> Diversity:
    """Return measures of the diversity of a whole set of embeddings.

    No measure holds n x n numbers for many rows: what can be computed from sums over the rows takes one pass over them.

    Parameters
    ----------
    data : array_like, path, or table
        Embeddings (an array of shape (n, dim) or a `.npy` file), a data set file, or a table in memory.
    embeddings : str, path, or array_like, optional
        Where the embeddings are, if not in `data`.
    encoding : str or (str, array_like), optional
        How the embeddings are quantised, as for `vicinal.score`. The other sets (subset, reference, centroids) are
        taken as they are.
    by : str or sequence of str
        The measures, as a list or with commas: "radius" (geometric mean of the columns' standard deviations), "aps"
        (mean similarity of pairs), "vendi" (Vendi score), "logdet" (ln det of the cosine matrix), "novelsum",
        "facility" (distances to the nearest row of a subset), "inertia" (distances to own centroids), "entropy" (of
        clusters).
    similarity : {"cosine", "euclidean", "manhattan", "dot_product", "pearson"}
        Of aps and vendi; euclidean and manhattan are 1 / (1 + distance).
    distance : {"cosine", "euclidean", "squared_euclidean", "manhattan"}, optional
        Of facility (default euclidean) and inertia (default cosine).
    subset : path or array_like, optional
        Of facility: the embeddings of the subset.
    reference : path or array_like, optional
        Of novelsum: the rows that densities are measured in; a folder stands for all `.npy` files in it. By default
        the rows themselves.
    centroids : path or array_like, optional
        Of inertia: one row a cluster.
    clusters : str, path or sequence, optional
        The cluster of each row: a column, FILE:FIELD, a `.npy` file, or one value a row. Of inertia the row number in
        `centroids`.
    num_clusters : int, optional
        Of entropy: how many clusters there are in all.
    density_powers, neighbors, distance_powers : number or sequence of numbers
        Of novelsum: every combination is computed.
    ridge_alpha : float
        Of logdet: added to the diagonal.
    sample_pairs : int, optional
        Of aps: take so many pairs, drawn by `seed`. By default all pairs; of more than 30,000 rows under euclidean or
        10,000 under manhattan, a million pairs.
    seed : int
        Of samples and landmarks.
    on_invalid : {"error", "null", "skip"}
        Rows that a measure is not defined for: "error" refuses them, "null" and "skip" leave them out.
    threads : int, optional
        By default the cores of the machine.
    device : str, optional
        Where exact passes run: "cuda", "cuda:1", "mps" or "cpu" of torch, several with commas between, or "auto": a
        GPU where it is faster (default: the processor). The result does not depend on it.
    progress : callable, optional
        Called with the name of each measure; returns the function that is called with (rows done, rows in all).
    output : path, optional
        A file to write: one line of JSON, measure -> answer.
    overwrite : bool
        Whether `output` may be replaced.

    Returns
    -------
    Diversity
        `found["vendi"]` is the answer of a measure, a mapping.

    Raises
    ------
    UsageError
        An argument cannot be used, no measure reads it, or a measure lacks one that it needs.
    DataError
        A file cannot be read; the numbers of rows or dims differ; rows cannot be used.

    References
    ----------
    Friedman & Dieng 2023 (Vendi); Yang et al. 2025, arXiv 2502.17184 (NovelSum); OpenDataArena's ODA-DataScorer for
    the names and the keys of the answers.

    Examples
    --------
    >>> found = diversity([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], by="aps,vendi")
    >>> round(found["aps"]["score"], 6), round(found["vendi"]["vendi_score"], 6)
    (0.333333, 1.889882)
    """
    arguments.check_outputs({"output": output}, [data, embeddings, subset, reference, centroids, clusters], overwrite)
    measures = _measures(by)
    request = Request(
        similarity=checking.similarity_of(similarity),
        distance=None if distance is None else checking.distance_of(distance),
        sample_pairs=None if sample_pairs is None else arguments.whole_number(sample_pairs, "sample_pairs"),
        ridge_alpha=checking.amount(ridge_alpha, "ridge_alpha"),
        num_clusters=None if num_clusters is None else arguments.whole_number(num_clusters, "num_clusters"),
        density_powers=checking.listed(density_powers, "density_powers", checking.power),
        neighbors=checking.listed(neighbors, "neighbors", arguments.whole_number),
        distance_powers=checking.listed(distance_powers, "distance_powers", checking.power),
        seed=arguments.seed_of(seed),
    )
    given = {"subset": subset, "centroids": centroids, "clusters": clusters, "num_clusters": num_clusters}
    _require(measures, given)
    _refuse_unread(measures, request, given | {"reference": reference})
    fields = {} if _is_npy(clusters) else {"clusters": (clusters, "label")}
    rows = dataset.read(data, embeddings, fields=fields, encoding=encoding)
    requests = {name: (measure, request) for name, measure in measures.items()}
    found = _vectors(rows, requests, on_invalid)
    embeddings_read, kept, vectors, unusable = found
    request = _with_vectors(request, rows, kept, clusters, subset, reference, centroids, embeddings_read)
    requests = {name: (measure, request) for name, measure in measures.items()}
    answers, seconds = answered(requests, Rows(vectors, check_threads(threads)), progress)
    result = Diversity(answers, seconds, len(kept), unusable)
    if output is not None:
        result.write(Path(output), overwrite)
    return result


def _measures(by: str | Sequence[str]) -> dict[str, Measure]:
    """The measures of an argument, by the names that were given."""
    listed = [by] if isinstance(by, str) else list(by)
    names = [name.strip() for one in listed for name in str(one).split(",")]
    try:
        found = {name: find_measure(name) for name in names}
    except UsageError as error:
        raise UsageError(f"by: {error}") from None
    if len(found) < len(names) or not found:
        raise UsageError(f"by: expected the names of measures, each once, got {names}")
    return found


def _require(measures: Mapping[str, Measure], given: Mapping[str, object]) -> None:
    """Raise UsageError where a measure lacks an argument."""
    for name, measure in measures.items():
        for argument in measure.needs:
            if given[argument] is None:
                option = argument.replace("_", "-")
                raise UsageError(f"{argument}: missing; {name} needs it: give --{option} (in Python: {argument}=...)")


def _refuse_unread(measures: Mapping[str, Measure], request: Request, given: Mapping[str, object]) -> None:
    """Raise UsageError where an argument differs from its default, but no measure reads it."""
    plain = Request()
    names = [name for name, value in given.items() if value is not None]
    names += [name for name in SETTINGS if getattr(request, name) != getattr(plain, name)]
    for name in names:
        if not any(measure.reads(name) for measure in measures.values()):
            readers = ", ".join(measure.by for measure in MEASURES if measure.reads(name))
            raise UsageError(
                f"{name}: {', '.join(measures)} do not read it; leave it out, or add one to --by (in Python: by=) that "
                f"does: {readers}"
            )


def _is_npy(value: object) -> bool:
    return isinstance(value, str | os.PathLike) and str(value).lower().endswith(".npy")


Requests = Mapping[str, tuple[Measure, Request]]


def _vectors(
    rows: Dataset, requests: Requests, on_invalid: OnInvalid
) -> tuple[Embeddings | None, np.ndarray, np.ndarray, dict[int, str]]:
    """The embeddings (None where no measure reads any), the rows that can be used, their vectors, others' reasons."""
    if not any(measure.embeddings for measure, _ in requests.values()):
        return None, np.arange(len(rows)), np.empty((0, 1)), {}
    metric = "cosine" if needs_directions(requests) else None
    embeddings = load(rows.embeddings, rows=rows, metric=metric, on_invalid=on_invalid, at_least=2)
    vectors, kept, reasons = usable(embeddings, requests, rows.ids, on_invalid)
    return embeddings, kept, vectors, reasons


def _with_vectors(
    request: Request,
    rows: Dataset,
    kept: np.ndarray,
    clusters: object,
    subset: object,
    reference: object,
    centroids: object,
    like: Embeddings | None,
) -> Request:
    """The request with the vectors and clusters that arguments name."""
    found: dict[str, Any] = {}
    for name, source in (("subset", subset), ("reference", reference), ("centroids", centroids)):
        if source is not None:
            found[name] = other_vectors(source, name, like, directions=_directions(name, request))
    if clusters is not None:
        values = clusters_of_file(clusters) if _is_npy(clusters) else rows.values["clusters"]
        rows.refuse_other_count("clusters", len(values))
        found["clusters"] = [values[row] for row in kept]
    return replace(request, **found)


def _directions(name: str, request: Request) -> bool:
    """Whether the vectors of an argument must not be 0."""
    default = {"subset": "euclidean", "centroids": "cosine", "reference": "euclidean"}[name]
    return name != "reference" and (request.distance or default) == "cosine"


def other_vectors(source: object, name: str, like: Embeddings | None, directions: bool = False) -> np.ndarray:
    """Return the vectors of another set, which have the dim of these; a folder stands for its `.npy` files.

    Parameters
    ----------
    source : path or array_like
    name : str
        What messages call an array.
    like : Embeddings or None
    directions : bool
        Whether rows of zeros are refused.
    """
    metric = "cosine" if directions else None
    if isinstance(source, str | os.PathLike) and Path(source).is_dir():
        files = sorted(Path(source).glob("*.npy"))
        if not files:
            raise UsageError(f"{name}: expected .npy files in the folder {source}, found none")
        return np.concatenate([load(file, metric=metric, name=name, like=like).vectors for file in files])
    return load(source, metric=metric, name=name, like=like).vectors


def clusters_of_file(path: object) -> list[int]:
    """Return the clusters in a `.npy` file, of shape (n,) or (n, 1)."""
    values = np.asarray(npy.load_npy(Path(str(path))))
    return [int(one) if values.dtype.kind in "iu" else one for one in values.reshape(len(values), -1)[:, 0].tolist()]

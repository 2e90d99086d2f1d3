"""The arguments of the adapters: what they share, and what is refused by name."""

from typing import Any

from vicinal.errors import UsageError, some, unknown
from vicinal.knn.metrics import find
from vicinal.retrieval.collection import Collection
from vicinal.typing import MetricLike


def collection_of(
    given: Collection | None, metric: MetricLike | None, type: str, parameters: dict[str, Any]
) -> Collection:
    """The collection of a framework's store: the given one, or a new one with the other arguments.

    Raises
    ------
    UsageError
        A collection is given with a metric, a type or parameters that are not its own.
    """
    if given is None:
        return Collection(None, "cosine" if metric is None else metric, type, **parameters)
    other = metric is not None and find(metric).name != given.metric
    if parameters or type != "auto" or other:
        others = some([*parameters, *(["type"] if type != "auto" else []), *(["metric"] if other else [])])
        raise UsageError(f"collection: it has its own metric, type and parameters; leave out {others}")
    return given


def refuse(method: str, unknown_here: dict[str, Any], *known: str) -> None:
    """Raise UsageError for arguments that have no meaning here."""
    for name in unknown_here:
        what = unknown("argument", name, known) if known else f"unknown argument {name!r}: it takes no others"
        raise UsageError(f"{method}: {what}")

"""The settings of vector indexes: WITH (name=value, ...), checked. Names and values have no case, as in YDB."""

import math
from typing import Any

from vicinal.errors import unknown
from vicinal.sql.faults import fault, outside
from vicinal.sql.parse.statements import AddIndex
from vicinal.sql.vectors import binary

FORMATS = {one.name.lower(): one.name for one in binary.FORMATS}
LIMITS = {
    "vector_dimension": (1, 16384),
    "levels": (1, 16),
    "clusters": (2, 2048),
    "overlap_clusters": (1, 2048),
}
CHOICES = {
    "distance": ("cosine", "manhattan", "euclidean"),
    "similarity": ("inner_product", "cosine"),
    "vector_type": tuple(FORMATS),
    "adaptive_clusters": ("true", "false"),
}
FEW_VECTORS = 100  # below so many vectors of a prefix an adaptive tree has two clusters
MOST_VALUES, MOST_NODES = 4_194_304, 1_073_741_824


def settings(statement: AddIndex, text: str) -> dict[str, Any]:
    """An index's settings; those that are not given, and that the data decide, are left out.

    Raises    SqlError, naming what is wrong and what is expected.
    """
    found: dict[str, Any] = {}
    for written, (value, start) in statement.settings.items():
        name = written.lower()
        if name in LIMITS:
            low, high = LIMITS[name]
            if not value.isdigit() or not low <= int(value) <= high:
                raise fault(text, start, f"{written}: expected a whole number from {low} to {high}, found {value}")
            found[name] = int(value)
        elif name in CHOICES:
            if value.lower() not in CHOICES[name]:
                raise fault(text, start, f"{written}: {unknown('value', value, CHOICES[name])}")
            found[name] = value.lower() == "true" if name == "adaptive_clusters" else value.lower()
        else:
            raise fault(text, start, outside(f"setting {written}", f"there is {', '.join([*LIMITS, *CHOICES])}"))
    if ("distance" in found) == ("similarity" in found):
        raise fault(text, statement.start, "an index needs distance=... or similarity=..., and not both; write one")
    found.setdefault("adaptive_clusters", "clusters" not in found)
    found.setdefault("levels", 1)
    check_size(found, statement, text)
    return found


def check_size(found: dict[str, Any], statement: AddIndex, text: str) -> None:
    """Raises SqlError where the tree would have too many nodes, or a level too many values."""
    clusters = found.get("clusters", 2)
    if found.get("vector_dimension", 1) * clusters > MOST_VALUES:
        message = f"vector_dimension * clusters is beyond {MOST_VALUES}; write fewer clusters"
        raise fault(text, statement.start, message)
    if math.log2(clusters) * found["levels"] > math.log2(MOST_NODES):
        raise fault(text, statement.start, f"clusters to the power of levels is beyond {MOST_NODES}; write fewer")


def clusters_of(settings: dict[str, Any], vectors: int) -> int:
    """How many clusters each node of a tree over so many vectors has."""
    wanted = settings.get("clusters")
    if wanted is not None and not settings.get("adaptive_clusters", False):
        return int(wanted)
    most = min(2048, MOST_VALUES // int(settings["vector_dimension"]), int(2.0 ** (30 / int(settings["levels"]))))
    most = min(most, int(wanted)) if wanted is not None else most
    if wanted is not None and vectors < FEW_VECTORS:
        return 2
    copies: int = vectors * int(settings.get("overlap_clusters", 1))
    fitting = math.pow(copies, 1 / (int(settings["levels"]) + 1))
    return max(2, min(round(fitting), most))

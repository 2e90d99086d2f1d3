"""Thin faces of a `Collection` for frameworks of retrieval: langchain, llama-index, haystack. Each is an extra."""


def similarity(distance: float, metric: str) -> float:
    """A distance as the similarity that these frameworks speak of: larger is closer.

    >>> similarity(0.25, "cosine"), similarity(3.0, "euclidean"), similarity(-2.0, "inner_product")
    (0.75, 0.25, 2.0)
    """
    if metric == "cosine":
        return 1.0 - distance
    return -distance if metric == "inner_product" else 1.0 / (1.0 + distance)

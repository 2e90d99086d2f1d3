"""`Collection`, and its adapters for langchain, llama-index and haystack, each of which is an extra."""


def similarity(distance: float, metric: str) -> float:
    """Return the similarity that these frameworks expect for a distance: larger is closer.

    Parameters
    ----------
    distance : float
    metric : str

    Returns
    -------
    float
        1 - distance for cosine, minus the distance for inner_product, else 1 / (1 + distance).

    Examples
    --------
    >>> similarity(0.25, "cosine"), similarity(3.0, "euclidean"), similarity(-2.0, "inner_product")
    (0.75, 0.25, 2.0)
    """
    if metric == "cosine":
        return 1.0 - distance
    return -distance if metric == "inner_product" else 1.0 / (1.0 + distance)

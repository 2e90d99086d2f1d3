"""How cost grows, drawn."""

from pathlib import Path
from typing import Any


def exponent(points: list[dict[str, Any]], over: str, who: str) -> float:
    """The slope of the line fitted to the logarithms: cost grows as this power."""
    import numpy as np

    x, y = (np.log([point[key] for point in points]) for key in (over, who))
    return float(np.polyfit(x, y, 1)[0]) if len(points) > 1 else float("nan")


def held(record: dict[str, Any]) -> str:
    """What stays the same while something grows."""
    names = [name for name in ("n", "dim", "k", "threads") if name != record["over"] and name in record["points"][0]]
    return ", ".join(f"{name} = {record['points'][0][name]:,}" for name in names)


def draw(records: list[dict[str, Any]], docs: Path) -> list[tuple[str, Path]]:
    """One picture a record of growth: seconds over n, dim, k or threads, with logarithmic axes and fitted exponents.

    Returns    captions and files.
    """
    if not records:
        return []
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "vicinal", "svg.fonttype": "none"})
    from matplotlib import pyplot

    made = []
    for record in records:
        over, points = record["over"], record["points"]
        figure, axes = pyplot.subplots(figsize=(6.4, 4))
        for who, colour in (("faiss.knn", "#888888"), ("vicinal", "#c0392b")):
            label = f"{who}, exponent {exponent(points, over, who):.2f}" if len(points) > 1 else who
            axes.loglog([p[over] for p in points], [p[who] for p in points], "o-", label=label, color=colour)
        caption = f"Seconds of a self-join over {over}: {held(record)}, euclidean"
        axes.set(ylabel="seconds", title=f"Self-join over {over}")
        axes.set_xlabel(f"{over}; {held(record)}")
        axes.grid(True, which="both", linewidth=0.3)
        axes.legend()
        figure.tight_layout()
        path = docs / f"benchmarks-{over}.svg"
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
        made.append((caption, path))
    return made

"""How cost grows, drawn."""

from pathlib import Path
from typing import Any


def draw(records: list[dict[str, Any]], docs: Path) -> list[tuple[str, Path]]:
    """One picture a record of growth: seconds over n or dim, both axes logarithmic. Gives captions and files."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "vicinal", "svg.fonttype": "none"})
    from matplotlib import pyplot

    made = []
    for record in records:
        over, points = record["over"], record["points"]
        figure, axes = pyplot.subplots(figsize=(6.4, 4))
        for who, colour in (("faiss.knn", "#888888"), ("vicinal", "#c0392b")):
            axes.loglog([p[over] for p in points], [p[who] for p in points], "o-", label=who, color=colour)
        fixed = "dim" if over == "n" else "n"
        caption = f"Seconds of a self-join over {over}, {fixed} = {points[0][fixed]:,}, euclidean, k = 5"
        axes.set(xlabel=over, ylabel="seconds", title=caption)
        axes.grid(True, which="both", linewidth=0.3)
        axes.legend()
        figure.tight_layout()
        path = docs / f"benchmarks-{over}.svg"
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
        made.append((caption, path))
    return made

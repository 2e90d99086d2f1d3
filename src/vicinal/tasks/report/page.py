"""The page as HTML: data, texts and neighbours packed into one file that loads nothing."""

import base64
import gzip
import html
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import __version__
from vicinal.knn.neighbors import Neighbors
from vicinal.tasks.report.figures import figures

HERE = Path(__file__).parent
# What Bokeh names: "p1001", and an element's UUID.
NAME = re.compile(r'(?<=")p\d+(?=")|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def html_page(
    data: dict[str, Any], places: np.ndarray, values: np.ndarray, texts: list[str], neighbors: Neighbors, kind: str
) -> str:
    """Return the page.

    Parameters
    ----------
    data : dict
        What `page.js` reads, as JSON can hold it.
    places : ndarray, shape (n, 2)
        Of each row on the map; NaN where it has none.
    values : ndarray, shape (n_scores, n)
    texts : list of str
        What is shown of each row.
    neighbors : Neighbors
        What is shown beside a row.
    kind : {"pca", "umap"}
        What the places are.
    """
    from bokeh.embed import components
    from bokeh.palettes import Viridis256
    from bokeh.resources import Resources

    # On each background without the colours that it would swallow.
    data = {**data, "light": Viridis256[:236], "dark": Viridis256[64:]}
    script, parts = _renamed(*components(figures(data["light"], places, values, kind)))
    filled = {
        "TITLE": html.escape(str(data["title"])),
        "VERSION": __version__,
        "CSS": (HERE / "page.css").read_text(encoding="utf-8"),
        "BOKEH": Resources(mode="inline", components=["bokeh"]).render_js(),
        "HISTOGRAM": parts["histogram"],
        "MAP": parts["map"],
        "FIGURES": script,
        "DATA": _json(data),
        "TEXTS": _packed(json.dumps(texts).encode("utf-8")),
        "INDICES": _packed(neighbors.indices.astype("<i4").tobytes()),
        "DISTANCES": _packed(neighbors.distances.astype("<f4").tobytes()),
        "JS": (HERE / "page.js").read_text(encoding="utf-8"),
    }
    pieces = (HERE / "page.html").read_text(encoding="utf-8").split("%%")
    return "".join(filled[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def _renamed(script: str, parts: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Bokeh's script and elements with names by their order, so that the same scores make the same page.

    Bokeh numbers its models over the life of a process, and gives its elements random names.
    """
    names: dict[str, str] = {}

    def renamed(text: str) -> str:
        return NAME.sub(
            lambda found: names.setdefault(found[0], f"{'p' if found[0][0] == 'p' else 'element'}{len(names):05}"), text
        )

    return renamed(script), {name: renamed(part) for name, part in parts.items()}


def _packed(value: bytes) -> str:
    return base64.b64encode(gzip.compress(value, 3, mtime=0)).decode("ascii")


def _json(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value).replace("<", "\\u003c")

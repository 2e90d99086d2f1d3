"""A kept run as one page: self-contained, without a network, for a person to look at.

The figures are Bokeh's, whose script is written into the page; `page.html`, `page.css` and `page.js` beside this file
are the rest. Texts and neighbours lie packed in the page and are unpacked when a sample is first looked at.
"""

import base64
import gzip
import html
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import __version__
from vicinal.analysis.duplicates import check_radius, duplicate_groups
from vicinal.data import tables
from vicinal.errors import UsageError, need, unknown
from vicinal.indexes.exact import Exact
from vicinal.knn.copies import find_copies
from vicinal.knn.metrics import find
from vicinal.knn.vectors import as_vectors, invalid_rows
from vicinal.storage import atomic, npy
from vicinal.tasks.score import runs

HERE = Path(__file__).parent
MAPS = ("pca", "umap")
TEXT_FIELDS = ("text", "instruction", "prompt", "question", "content", "output", "completion", "response")
LONGEST = 1000
SHOWN, GROUP_ROWS = 15, 8
UMAP_NEIGHBOURS = 15  # its default, the row itself among them
BLOCK_ROWS = 8192


@dataclass(frozen=True)
class Page:
    """What was written."""

    path: Path
    n: int
    size: int


def write_report(
    folder: str | Path,
    output: str | Path,
    *,
    fields: list[str] | None = None,
    kind: str = "pca",
    radius: float | str = 0.0,
    title: str | None = None,
    overwrite: bool = False,
) -> Page:
    """Writes the page of a kept run.

    folder : a folder of `vicinal score --run`
    fields : the fields whose text is shown; None for those of `TEXT_FIELDS` that there are, else all text
    kind   : of the map: "pca", or "umap" where umap-learn is installed
    radius : rows at most so far apart are shown as duplicates; 0 for copies
    Raises   UsageError, DataError, MissingExtra
    """
    output = Path(output)
    if output.suffix != ".html":
        raise UsageError(f"{output}: expected a name that ends in .html")
    atomic.check_file(output, overwrite)
    if kind not in MAPS:
        raise UsageError(f"--map: {unknown('map', kind, MAPS)}")
    need("bokeh", extra="report")
    run = runs.Kept.load(folder)
    metric = run.scorers[0].metric
    limit = check_radius(radius, metric, "--radius")
    run.verify()
    ids: list[tables.Id] = []
    texts: list[str] = []
    for part in run.parts:
        found, _, _ = tables.read_columns(part.data.path, run.id_field, first_row=len(ids))
        ids += found
        texts += _texts(part.data.path, fields)
    arrays = [as_vectors(npy.load_npy(part.embeddings[0].path), part.embeddings[0].path) for part in run.parts]
    vectors = arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
    usable = np.delete(np.arange(len(ids)), list(invalid_rows(vectors, metric)))
    places = np.full((len(ids), 2), np.nan, dtype=np.float32)
    places[usable] = flat_map(vectors[usable] if len(usable) < len(ids) else vectors, metric.name, kind)
    groups = _groups(vectors, usable, limit, metric.name)
    first = next(one for one in run.passes if 0 in one.scorers).neighbors
    data = {
        "ids": ids,
        "title": title or Path(run.parts[0].data.path).name,
        "labels": [one.label for one in run.scorers],
        "high": [one.score.high for one in run.scorers],
        "units": [_unit(one) for one in run.scorers],
        "metric": metric.name,
        "unit": metric.unit,
        "k": first.k,
        "shown": SHOWN,
        "radius": limit,
        "groups": groups[:SHOWN],
        "group_count": len(groups),
        "duplicates": sum(group["size"] - 1 for group in groups),
    }
    rows, scored = np.arange(len(ids)), np.isfinite(run.values[0]).sum()
    early = {
        *np.lexsort((rows, run.values[0]))[:scored][:SHOWN].tolist(),
        *np.lexsort((rows, -run.values[0]))[:scored][:SHOWN].tolist(),
        *(row for one in groups[:SHOWN] for row in one["rows"]),
    }
    data["early"] = {row: texts[row] for row in sorted(early)}
    page = _page(data, places, run.values, texts, first.indices, first.distances, kind)
    with atomic.whole_file(output, overwrite) as file:
        file.write(page.encode("utf-8", "replace"))
    return Page(output, len(ids), len(page))


def flat_map(vectors: np.ndarray, metric: str, kind: str = "pca") -> np.ndarray:
    """Two coordinates for each row, so that near rows lie near each other where two dimensions allow it.

    Returns   float32 (n, 2): the first two principal components, or UMAP's places, made from the exact neighbours under
              the metric; always the same for the same rows
    Raises    MissingExtra where umap-learn is not installed; UsageError for UMAP of fewer than 5 rows
    """
    kernel = find(metric).kernel
    if kind == "umap":
        umap = need("umap", extra="umap")
        if len(vectors) < 5:
            raise UsageError(
                f"--map umap: {len(vectors)} rows are too few for UMAP, which asks for 5; --map pca serves"
            )
        rows = np.unpackbits(vectors, axis=1) if kernel == "bits" else np.asarray(vectors, dtype=np.float32)
        # UMAP wants distances that are not negative.
        found = (
            Exact("euclidean" if find(metric).product else metric)
            .fit(vectors)
            .neighbors(min(UMAP_NEIGHBOURS, len(vectors)) - 1)
        )
        # UMAP's lists begin with the row itself.
        indices = np.column_stack([np.arange(len(vectors)), found.indices]).astype(np.int32)
        distances = np.column_stack([np.zeros(len(vectors), dtype=np.float32), found.distances])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mapper = umap.UMAP(
                n_neighbors=indices.shape[1], precomputed_knn=(indices, distances, None), random_state=0, n_jobs=1
            )
            return mapper.fit_transform(rows).astype(np.float32)

    def block(start: int) -> np.ndarray:
        rows = np.asarray(vectors[start : start + BLOCK_ROWS])
        return (np.unpackbits(rows, axis=1) if kernel == "bits" else rows).astype(np.float64)

    starts = range(0, len(vectors), BLOCK_ROWS)
    mean = np.sum([block(start).sum(axis=0) for start in starts], axis=0) / len(vectors)
    spread = np.zeros((len(mean), len(mean)))
    for start in starts:
        centred = block(start) - mean
        spread += centred.T @ centred
    variances, axes = np.linalg.eigh(spread)
    axes = axes[:, ::-1][:, :2]
    axes[:, variances[::-1][:2] <= 1e-12 * variances[-1]] = 0  # rounding is no direction
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    out = np.zeros((len(vectors), 2), dtype=np.float32)
    for start in starts:
        out[start : start + BLOCK_ROWS, : axes.shape[1]] = (block(start) - mean) @ axes
    return out


def _texts(path: str, fields: list[str] | None) -> list[str]:
    """What is shown of each row: the fields asked for, the usual ones, or all that is text."""
    out = []
    for line, row in tables.read_rows(path):
        if fields is not None:
            missing = [name for name in fields if name not in row]
            if missing:
                raise UsageError(f"{path}:{line}: no field {missing[0]!r} to show; choose from {', '.join(row)}")
        names = fields or [name for name in TEXT_FIELDS if isinstance(row.get(name), str)]
        names = names or [name for name, value in row.items() if isinstance(value, str)]
        text = "\n\n".join(str(row[name]) for name in names if row[name] not in (None, ""))
        out.append(text if len(text) <= LONGEST else f"{text[:LONGEST]} ...")
    return out


def _groups(vectors: np.ndarray, usable: np.ndarray, radius: float, metric: str) -> list[dict[str, Any]]:
    """The groups of near-duplicates, largest first: how many rows, and the first of them."""
    rows = vectors[usable] if len(usable) < len(vectors) else vectors
    if radius == 0 and not find(metric).product:
        copies = find_copies(rows)
        group = copies.first[copies.group]
    else:
        group = duplicate_groups(rows, radius, metric)
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.append(True, group[order][1:] != group[order][:-1]))
    members = [part for part in np.split(usable[order], begins[1:]) if len(part) > 1]
    members.sort(key=lambda part: (-len(part), part[0]))
    return [{"size": len(part), "rows": part[:GROUP_ROWS].tolist()} for part in members]


def _unit(one: Any) -> str:
    if one.form:
        return "percent of rows below" if one.form == "percentile" else "times the median of all rows"
    plain = {"lof": "without unit", "density": "natural logarithm", "hubness": "rows", "lid": "dimensions"}
    return plain.get(one.score.by, one.metric.unit)


def _packed(value: bytes) -> str:
    return base64.b64encode(gzip.compress(value, 3, mtime=0)).decode("ascii")


def _page(
    data: dict[str, Any],
    places: np.ndarray,
    values: np.ndarray,
    texts: list[str],
    indices: np.ndarray,
    distances: np.ndarray,
    kind: str,
) -> str:
    from bokeh.embed import components
    from bokeh.palettes import Viridis256
    from bokeh.resources import Resources

    # On each background without the colours that it would swallow.
    data = {**data, "light": Viridis256[:236], "dark": Viridis256[64:]}
    script, parts = components(_figures(data, places, values, kind))
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
        "INDICES": _packed(indices.astype("<i4").tobytes()),
        "DISTANCES": _packed(distances.astype("<f4").tobytes()),
        "JS": (HERE / "page.js").read_text(encoding="utf-8"),
    }
    pieces = (HERE / "page.html").read_text(encoding="utf-8").split("%%")
    return "".join(filled[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def _json(value: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(value).replace("<", "\\u003c")


def _figures(data: dict[str, Any], places: np.ndarray, values: np.ndarray, kind: str) -> dict[str, Any]:
    from bokeh.events import SelectionGeometry
    from bokeh.models import BoxSelectTool, ColorBar, ColumnDataSource, CustomJS, LinearColorMapper, Span, TapTool
    from bokeh.plotting import figure
    from bokeh.transform import transform

    columns = {"x": places[:, 0], "y": places[:, 1]}
    columns |= {f"s{number}" if number else "score": column.astype(np.float32) for number, column in enumerate(values)}
    source = ColumnDataSource(columns, name="rows")
    finite = values[0][np.isfinite(values[0])]
    low, high = np.quantile(finite, [0.01, 0.99]) if len(finite) else (0.0, 1.0)
    colors = LinearColorMapper(palette=data["light"], low=float(low), high=float(high), nan_color="#999", name="colors")
    size = 3 if len(places) > 20_000 else 4 if len(places) > 4000 else 6
    axis = "principal component" if kind == "pca" else "UMAP axis"
    plot = figure(
        name="map",
        height=520,
        sizing_mode="stretch_width",
        output_backend="canvas",
        tools="pan,wheel_zoom,lasso_select,reset",
        active_scroll="wheel_zoom",
        x_axis_label=f"{axis} 1",
        y_axis_label=f"{axis} 2",
    )
    plot.add_tools(BoxSelectTool(), TapTool())
    plot.scatter(
        "x", "y", source=source, size=size, line_color=None, fill_alpha=0.8, color=transform("score", colors),
        nonselection_fill_alpha=0.06, selection_fill_alpha=1.0, name="points",
    )  # fmt: skip
    for name, width, line in (("focus", 16, 2.5), ("near", 10, 1.5)):
        ring = ColumnDataSource({"x": [], "y": []}, name=name)
        plot.scatter("x", "y", source=ring, size=width, fill_color=None, line_color="#e4572e", line_width=line)
    plot.add_layout(ColorBar(color_mapper=colors, name="bar", width=10, background_fill_color=None), "right")
    bars = ColumnDataSource({"left": [], "right": [], "all": [], "part": []}, name="bars")
    histogram = figure(
        name="histogram",
        height=230,
        sizing_mode="stretch_width",
        output_backend="canvas",
        tools="reset",
        x_axis_label="score",
        y_axis_label="rows",
    )
    histogram.add_tools(brush := BoxSelectTool(dimensions="width"))
    histogram.toolbar.active_drag = brush
    plain = {"line_color": None, "nonselection_fill_alpha": 1.0, "selection_fill_alpha": 1.0}
    for column, color in (("all", "#9db4c0"), ("part", "#e4572e")):
        paint = {"fill_color": color, "nonselection_fill_color": color, **plain}
        histogram.quad("left", "right", column, 0, source=bars, **paint)
    histogram.y_range.start = 0
    dashes = {"line_color": "#e4572e", "line_dash": "dashed", "line_width": 2}
    for edge in ("cut from", "cut to"):
        histogram.add_layout(Span(location=None, dimension="height", name=edge, **dashes))
    for one in (plot, histogram):
        one.toolbar.logo = None
        one.background_fill_color = one.border_fill_color = None
        one.outline_line_color = None
        one.axis.axis_label_text_color = one.axis.major_label_text_color = "#1d2326"
        one.axis.axis_line_color = one.axis.major_tick_line_color = one.grid.grid_line_color = "#e3e7e8"
        one.axis.minor_tick_line_color = None
    source.selected.js_on_change("indices", CustomJS(code="window.vicinal && window.vicinal.selectionChanged()"))
    brushed = CustomJS(code="if (cb_obj.final) window.vicinal && window.vicinal.brushed(cb_obj.geometry)")
    histogram.js_on_event(SelectionGeometry, brushed)
    return {"histogram": histogram, "map": plot}

"""The figures of the page, by Bokeh: a map coloured by score, and a histogram of the scores that can be brushed."""

from typing import Any

import numpy as np

ORANGE, BLUE, GREY = "#e4572e", "#9db4c0", "#e3e7e8"


def figures(palette: list[str], places: np.ndarray, values: np.ndarray, kind: str) -> dict[str, Any]:
    """Return the Bokeh figures "histogram" and "map".

    Parameters
    ----------
    palette : list of str
        The colours of low to high scores.
    places : ndarray, shape (n, 2)
        Of each row on the map.
    values : ndarray, shape (n_scores, n)
        The first is shown first; the page switches to the others.
    kind : {"pca", "umap"}
        What the places are.
    """
    from bokeh.models import ColumnDataSource, CustomJS

    columns = {"x": places[:, 0], "y": places[:, 1]}
    columns |= {f"s{number}" if number else "score": column.astype(np.float32) for number, column in enumerate(values)}
    source = ColumnDataSource(columns, name="rows")
    plot = _map(source, palette, values[0], kind)
    histogram = _histogram()
    for one in (plot, histogram):
        _style(one)
    source.selected.js_on_change("indices", CustomJS(code="window.vicinal && window.vicinal.selectionChanged()"))
    return {"histogram": histogram, "map": plot}


def _map(source: Any, palette: list[str], values: np.ndarray, kind: str) -> Any:
    """A point for each row, coloured by the score."""
    from bokeh.models import BoxSelectTool, ColorBar, ColumnDataSource, LinearColorMapper, TapTool
    from bokeh.plotting import figure
    from bokeh.transform import transform

    n = len(values)
    finite = values[np.isfinite(values)]
    low, high = np.quantile(finite, [0.01, 0.99]) if len(finite) else (0.0, 1.0)
    colors = LinearColorMapper(palette=palette, low=float(low), high=float(high), nan_color="#999", name="colors")
    size = 3 if n > 20_000 else 4 if n > 4000 else 6
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
        plot.scatter("x", "y", source=ring, size=width, fill_color=None, line_color=ORANGE, line_width=line)
    plot.add_layout(ColorBar(color_mapper=colors, name="bar", width=10, background_fill_color=None), "right")
    return plot


def _histogram() -> Any:
    """Bars of all rows and of the selected ones, which the page fills; a brush selects rows."""
    from bokeh.events import SelectionGeometry
    from bokeh.models import BoxSelectTool, ColumnDataSource, CustomJS, Span
    from bokeh.plotting import figure

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
    for column, color in (("all", BLUE), ("part", ORANGE)):
        paint = {"fill_color": color, "nonselection_fill_color": color, **plain}
        histogram.quad("left", "right", column, 0, source=bars, **paint)
    histogram.y_range.start = 0
    dashes = {"line_color": ORANGE, "line_dash": "dashed", "line_width": 2}
    for edge in ("cut from", "cut to"):
        histogram.add_layout(Span(location=None, dimension="height", name=edge, **dashes))
    brushed = CustomJS(code="if (cb_obj.final) window.vicinal && window.vicinal.brushed(cb_obj.geometry)")
    histogram.js_on_event(SelectionGeometry, brushed)
    return histogram


def _style(one: Any) -> None:
    """The page's colours, and no frame."""
    one.toolbar.logo = None
    one.background_fill_color = one.border_fill_color = None
    one.outline_line_color = None
    one.axis.axis_label_text_color = one.axis.major_label_text_color = "#1d2326"
    one.axis.axis_line_color = one.axis.major_tick_line_color = one.grid.grid_line_color = GREY
    one.axis.minor_tick_line_color = None

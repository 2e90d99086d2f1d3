"""A page as one HTML file: what it shows packed beside the script that shows it, and nothing loaded."""

import base64
import hashlib
import html
import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vicinal import __version__
from vicinal.knn.recall import recall_note
from vicinal.tasks.page.content import NEAREST, REGIONS, SHOWN_NEIGHBOURS, Content
from vicinal.tasks.page.duplicates import COPY, NEAR, SAME_VECTOR
from vicinal.tasks.page.fields import Column, columns_of, text_blocks
from vicinal.tasks.page.maps import extent
from vicinal.tasks.page.packing import packed, planes

HERE = Path(__file__).parent / "browser"
SCRIPTS = ("columns", "state", "map", "pointer", "panel", "card", "table", "lists", "export", "main")
BLOCK_BYTES, LEAST_BLOCK, MOST_BLOCK = 1 << 21, 256, 4096  # of texts, which are unpacked together
NO_PLACE = 65535
THREADS = 4
OPENED = 4  # filters of fields that are open at first
TYPES = {"u1": "<u1", "u2": "<u2", "u4": "<u4", "i4": "<i4", "f4": "<f4", "f8": "<f8"}


def html_page(content: Content) -> Iterator[bytes]:
    """Yield a page in pieces, UTF-8."""
    columns, id_column = _columns(content)
    block = _block(columns, len(content.ids))
    head = _head(content, columns, id_column, block)
    scripts = [*SCRIPTS[:-1], "explore", SCRIPTS[-1]] if content.explore else list(SCRIPTS)
    script, style = _script(tuple(scripts)), (HERE / "page.css").read_text(encoding="utf-8")
    filled = {
        "POLICY": html.escape(policy(script, style, content.explore)),
        "TITLE": html.escape(content.title),
        "VERSION": __version__,
        "CSS": style,
        "HEAD": json.dumps(head, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "JS": script,
    }
    for place, piece in enumerate((HERE / "page.html").read_text(encoding="utf-8").split("%%")):
        if place % 2 == 0 or piece != "PARTS":
            yield (filled[piece] if place % 2 else piece).encode("utf-8", "replace")
            continue
        for name, text, size in _packed(_parts(content, columns, block)):
            yield f'<script type="text/plain" id="{name}" data-size="{size}">'.encode()
            yield text
            yield b"</script>\n"


def _packed(parts: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes, int]]:
    """Each part's name, its text and its compressed size, in their order; they are compressed side by side."""
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: deque[tuple[str, Future[tuple[bytes, int]]]] = deque()
        for name, data in parts:
            waiting.append((name, pool.submit(packed, data)))
            if len(waiting) > 2 * THREADS:
                first, done = waiting.popleft()
                yield first, *done.result()
        for first, done in waiting:
            yield first, *done.result()


def policy(script: str, style: str, connects: bool) -> str:
    """Return the content security policy: this script and this style, named by their hashes, and no other."""
    own = "'self'" if connects else "'none'"
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data: blob:; "
        f"connect-src {own}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


@cache
def _script(names: tuple[str, ...]) -> str:
    """The files of the script as one function, so that they share names with nobody else."""
    parts = [(HERE / f"{name}.js").read_text(encoding="utf-8") for name in names]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _columns(content: Content) -> tuple[list[Column], int]:
    """The columns of the page with the ids among them, and the number of the ids' column; -1 for row numbers."""
    names = [one.name for one in content.columns]
    if content.id_name in names and content.columns[names.index(content.id_name)].role == "field":
        return content.columns, names.index(content.id_name)
    if content.ids == list(range(len(content.ids))):
        return content.columns, -1
    ids = columns_of({content.id_name: list(content.ids)})[0][0]
    ids = Column(content.id_name, ids.kind, "derived", ids.values, ids.labels)
    return [*content.columns, ids], len(content.columns)


def _block(columns: list[Column], n: int) -> int:
    """How many rows' texts are unpacked together: about 2 MB of the longest field."""
    texts = [one.values[:: max(1, n // 200)] for one in columns if one.kind == "text"]
    longest = max((sum(len(str(value)) for value in values) / max(1, len(values)) for values in texts), default=1)
    return int(min(MOST_BLOCK, max(LEAST_BLOCK, 1 << int(np.log2(BLOCK_BYTES / max(1, longest))))))


def _head(content: Content, columns: list[Column], id_column: int, block: int) -> dict[str, Any]:
    """What the script reads first."""
    numbers = {one.name: place for place, one in reversed(list(enumerate(columns)))}
    fields = [place for place, one in enumerate(columns) if one.role == "field" and place != id_column]
    first = [place for place in fields if columns[place].kind == "category"]
    scores = [place for place, one in enumerate(columns) if one.role == "score"]
    neighbors = content.neighbors
    return {
        "n": len(content.ids),
        "about": content.about,
        "block": block,
        "id": id_column,
        "id_name": content.id_name,
        "columns": [_described(one) for one in columns],
        "preview": [numbers[name] for name in content.preview],
        "opened": [*first, *(place for place in fields if place not in first)][:OPENED],
        "left_out": content.left_out,
        "metric": content.metric.name,
        "unit": content.metric.unit,
        "recall": recall_note(neighbors.recall) if neighbors is not None and neighbors.approximate else "",
        "k_shown": 0 if neighbors is None else min(neighbors.k, SHOWN_NEIGHBOURS),
        "colour": scores[0] if scores else (first or [-1])[0],
        "regions": [_areas(content, found) for found in content.regions],
        "region_columns": list(REGIONS),
        "nearest": next(
            (place for place, one in enumerate(columns) if (one.role, one.name) == ("derived", NEAREST)), -1
        ),
        "outlier_score": "local outlier factor",
        "found": {**content.found, **_duplicates(content)},
        "command": content.command,
        "explore": content.explore,
        "no_search": content.no_search,
    }


def _described(one: Column) -> dict[str, Any]:
    """A column as the script reads it."""
    found: dict[str, Any] = {"name": one.name, "kind": one.kind, "role": one.role}
    if one.kind == "text":
        found["strings"] = all(value is None or isinstance(value, str) for value in one.values)
    else:
        found["type"] = one.values.dtype.str[1:]
        found["labels"] = [value if not isinstance(value, float) else float(value) for value in one.labels]
    if not one.named:
        found["named"] = False
    return found | {name: value for name, value in (("unit", one.unit), ("high", one.high)) if value}


def _areas(content: Content, found: list[Any]) -> list[dict[str, Any]]:
    places = np.array([(one.x, one.y) for one in found], dtype=np.float64).reshape(-1, 2)
    x, y = _whole_places(content.places, places)
    return [{"name": one.name, "size": one.size, "x": int(x[row]), "y": int(y[row])} for row, one in enumerate(found)]


def _whole_places(all_places: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places as whole numbers from 0 to 65534 over the map's extent, at its edge those beyond; 65535 for none."""
    low, high = extent(all_places)
    span = high - low
    scaled = np.where(span > 0, (places.astype(np.float64) - low) / np.where(span > 0, span, 1), 0.5).clip(0, 1)
    whole = np.where(np.isfinite(places), np.rint(scaled * (NO_PLACE - 1)), NO_PLACE)
    whole[~np.isfinite(places).all(axis=1)] = NO_PLACE
    return whole[:, 0].astype("<u2"), whole[:, 1].astype("<u2")


def _duplicates(content: Content) -> dict[str, Any]:
    groups = content.groups
    if groups is None or not len(groups.sizes):
        return {}
    counts = np.bincount(groups.match, minlength=NEAR + 1)
    return {
        "duplicates": {
            "radius": groups.radius,
            "groups": len(groups.sizes),
            "copies": int(counts[COPY]),
            "same_vector": int(counts[SAME_VECTOR]),
            "near": int(counts[NEAR]),
            "repeated": len(groups.copies),
            "recall": "" if groups.recall is None or groups.recall.exact else str(groups.recall),
        }
    }


def _parts(content: Content, columns: list[Column], block: int) -> Iterator[tuple[str, bytes]]:
    """What lies packed in the page: its name and its bytes."""
    for name, values in zip("xy", _whole_places(content.places, content.places), strict=True):
        yield name, planes(values)
    for place, one in enumerate(columns):
        if one.kind == "text":
            for at, data in enumerate(text_blocks(one.values, block)):
                yield f"c{place}.{at}", data
        else:
            yield f"c{place}", planes(one.values)
    if content.groups is not None and len(content.groups.sizes):
        groups = content.groups
        named = {"rows": groups.rows, "size": groups.sizes, "far": groups.distances, "match": groups.match}
        named["copies"] = groups.copies
        yield from ((f"dup.{name}", planes(values)) for name, values in named.items())
    if content.neighbors is not None:
        k = min(content.neighbors.k, SHOWN_NEIGHBOURS)
        for at, start in enumerate(range(0, len(content.ids), block)):
            part = slice(start, start + block)
            yield f"rows.{at}", planes(content.neighbors.indices[part, :k].astype("<i4"))
            yield f"far.{at}", planes(content.neighbors.distances[part, :k].astype("<f4"))

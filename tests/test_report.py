"""`vicinal report` in headless Chromium: every interaction, and no request to any other host."""

import base64
import hashlib
import json
import re
import shutil
import sys
import time
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import vicinal
from vicinal import Exact
from vicinal.cli import main
from vicinal.errors import UsageError
from vicinal.knn import approximate
from vicinal.knn.kernels.native import has_graphs
from vicinal.knn.metrics import find
from vicinal.tasks import pictures, report
from vicinal.tasks.page import fields, packing, regions
from vicinal.tasks.page.duplicates import groups_of
from vicinal.tasks.score.runs import Kept
from workplace import Workplace

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
N, K = 600, 4
TOPICS = ["sea", "sky", None]
SURE = " \u03a3\u0391\u03a3 100% sure_thing"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


def rows_of(n: int) -> list[dict[str, Any]]:
    """Rows with a text, a category with missing values, a number, JSON, and a flag; some of them odd."""
    return [
        {
            "id": f"id{i}",
            "text": f"text of {i} <b>&amp;</b> </script> \u00fc" + (SURE if i % 50 == 7 else ""),
            "topic": TOPICS[i % 3],
            "size of it": i / 4 if i % 10 else None,
            "tags": [i, {"odd": "'quoted' \"text\""}],
            "good": i % 4 == 0,
        }
        for i in range(n)
    ]


def scored(folder: Path, n: int, dim: int = 6) -> np.ndarray:
    """A kept run of n rows: rows 3, 5 and 9 have one vector, 3 and 9 also one text, and row 11 lies far out."""
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    vectors[[5, 9]] = vectors[3]
    vectors[11] += 1000
    np.save(folder / "v.npy", vectors)
    rows = rows_of(n)
    rows[9] = {**rows[3], "id": "id9"}
    (folder / "d.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    ask = f"score d.jsonl --embeddings v.npy -k {K} --by mean,lof,density,hubness --run run -o s.jsonl"
    assert main(ask.split()) == 0
    return vectors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, np.ndarray]]:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        vectors = scored(folder, N)
        assert main(["report", "run", "-o", "r.html", "--labels", "topic"]) == 0
    yield folder / "r.html", vectors


@pytest.fixture(scope="module")
def one_page(browser: Browser, made: tuple[Path, np.ndarray]) -> Iterator[Page]:
    yield from opened(browser, made[0])


@pytest.fixture
def page(one_page: Page) -> Page:
    """The page as it is when it is opened."""
    one_page.mouse.move(2, 2)
    one_page.evaluate(
        """async () => {
            for (const box of document.querySelectorAll('dialog[open]')) box.close();
            document.getElementById('export').open = false;
            document.activeElement.blur();
            history.replaceState(null, '', '#' + encodeURIComponent(JSON.stringify({colour: 'mean'})));
            await vicinal.readAddress();
        }"""
    )
    return one_page


def until(page: Page, condition: str) -> None:
    """Wait for a condition in the page; the page's own policy keeps a text from being evaluated there."""
    page.evaluate(
        "(text) => new Promise((done, fail) => { const end = performance.now() + 15000; const look = () => "
        f"({condition}) ? done() : performance.now() > end ? fail(new Error(text)) : requestAnimationFrame(look); "
        "look(); })",
        condition,
    )


def opened(browser: Browser, file: Path, **options: Any) -> Iterator[Page]:
    """The page, once it is drawn; any request but for the file itself, any error and any warning fails the test."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True, **options)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()] and wrong == []
    context.close()


def settled(page: Page, action: Callable[[], object]) -> None:
    """Do what changes the filters, and wait until they are applied."""
    before = page.evaluate("document.documentElement.dataset.filtered ?? ''")
    action()
    until(page, f"document.documentElement.dataset.filtered !== '{before}'")


def selected(page: Page) -> list[int]:
    return page.evaluate("Array.from(vicinal.selectedRows())")


def screen(page: Page, row: int) -> tuple[float, float]:
    """Where a row lies in the window."""
    x, y = page.evaluate(
        f"(() => {{ const b = document.getElementById('over').getBoundingClientRect(); const [x, y] = "
        f"vicinal.toScreen({row}); return [b.x + x, b.y + y]; }})()"
    )
    return float(x), float(y)


def column(page: Page, name: str) -> Any:
    """The filter of a column at the side, open."""
    box = page.locator(f'.filter[data-column="{name}"]')
    if box.get_attribute("open") is None:
        box.locator("summary").click()
    box.locator(".body > *").first.wait_for()
    return box


def lines(page: Page) -> list[str]:
    return page.locator("#rows tbody th").all_inner_texts()


def sample(page: Page, row: int) -> None:
    until(page, f"document.getElementById('sample').dataset.row === '{row}' && vicinal.state.current === {row}")


def test_a_click_always_shows_the_nearest_sample(page: Page, made: tuple[Path, np.ndarray]) -> None:
    box = page.locator("#over").bounding_box()
    assert box is not None
    x, y = (
        np.array(page.evaluate(f"Array.from({{length: {N}}}, (_, i) => vicinal.toScreen(i)[{at}])")) for at in (0, 1)
    )
    random = np.random.default_rng(5)
    for px, py in zip(
        random.uniform(20, box["width"] - 20, 25), random.uniform(45, box["height"] - 60, 25), strict=True
    ):
        far = np.hypot(x - px, y - py)
        found = page.evaluate(f"vicinal.nearestRow({px}, {py})")
        assert found["distance"] == pytest.approx(far.min(), abs=1e-6) and far[found["row"]] == pytest.approx(far.min())
    page.mouse.click(box["x"] + 60, box["y"] + box["height"] / 2)  # where no row lies
    until(page, "vicinal.state.current !== null")
    row = int(np.argmin(np.hypot(x - 60, y - box["height"] / 2)))
    assert page.evaluate("vicinal.state.current") == row


def test_the_sample_is_whole_and_leads_to_its_neighbours(page: Page, made: tuple[Path, np.ndarray]) -> None:
    found = vicinal.neighbors(made[1], K)
    page.evaluate("vicinal.show(77)")
    sample(page, 77)
    shown = page.inner_text("#sample")
    assert page.inner_text("#sample h3") == "Sample id77"
    assert "text of 77 <b>&amp;</b> </script> ü" in shown and '"odd": "\'quoted\' \\"text\\""' in shown
    facts = dict(
        zip(page.locator("#sample dt").all_inner_texts(), page.locator("#sample dd").all_inner_texts(), strict=True)
    )
    assert facts["topic"] == "none" and facts["size of it"] == "19.25" and facts["good"] == "false"
    scores = np.load(made[0].parent / "run" / "scores.npy")
    below = 100 * (scores[0] < scores[0][77]).sum() / N
    assert facts["mean"] == f"{scores[0][77]:.4g}, higher than {below:.1f}\N{NO-BREAK SPACE}% of rows"
    for j in range(K):
        distance, text = page.inner_text(f"#neighbours .row >> nth={j}").split("\n", 1)
        assert float(distance) == pytest.approx(float(found.distances[77, j]), rel=1e-3)
        assert text.startswith(f"id{found.indices[77, j]} text of {found.indices[77, j]} ")
    page.keyboard.press("2")  # to the second neighbour, and back
    sample(page, int(found.indices[77, 1]))
    page.keyboard.press("b")
    sample(page, 77)
    page.click("#neighbours .compare >> nth=0")
    texts = page.locator("#compare .text").all_inner_texts()
    assert page.inner_text("#compare del >> nth=0").strip() == "77" and texts
    page.keyboard.press("Escape")  # closes the comparison, and keeps the sample
    assert page.evaluate("vicinal.state.current") == 77


def test_hovering_shows_the_first_lines(page: Page) -> None:
    x, y = screen(page, 200)
    page.mouse.move(x, y)
    page.mouse.move(x + 1, y)
    page.wait_for_selector("#tip:not([hidden])")
    box = page.locator("#over").bounding_box()
    assert box is not None
    row = page.evaluate(f"vicinal.nearestRow({x + 1 - box['x']}, {y - box['y']}).row")
    assert page.inner_text("#tip").split()[0] == f"id{row}" and f"text of {row}" in page.inner_text("#tip")


def test_a_brush_over_the_histogram_selects_those_rows(page: Page, made: tuple[Path, np.ndarray]) -> None:
    sizes = np.array([np.nan if i % 10 == 0 else i / 4 for i in range(N)])
    sizes[9] = 0.75  # a copy of row 3
    bars = column(page, "size of it").locator(".bars")
    bars.scroll_into_view_if_needed()
    box = bars.bounding_box()
    assert box is not None

    def drag() -> None:
        page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 20)
        page.mouse.up()

    settled(page, drag)
    low, high = page.evaluate("(() => { const f = [...vicinal.state.filters.values()][0]; return [f.low, f.high]; })()")
    lowest, span = np.nanmin(sizes), np.nanmax(sizes) - np.nanmin(sizes)
    assert low == pytest.approx(lowest + span / 4, abs=span / 100) and high == pytest.approx(
        lowest + span / 2, abs=span / 100
    )
    assert selected(page) == np.flatnonzero((sizes >= low) & (sizes <= high)).tolist()
    assert sum(map(float, str(bars.get_attribute("data-some")).split())) == len(selected(page))
    assert page.inner_text("#selected") == f"{len(selected(page))} of 600 rows selected"
    settled(page, lambda: page.keyboard.press("Escape"))
    assert len(selected(page)) == N
    page.focus('.filter[data-column="size of it"] .bars')
    settled(page, lambda: page.keyboard.press("ArrowRight"))  # the keyboard brushes too
    assert 0 < len(selected(page)) < N


def test_a_heavy_tail_is_drawn_by_rank_and_says_so(page: Page, made: tuple[Path, np.ndarray]) -> None:
    lof = np.load(made[0].parent / "run" / "scores.npy")[1]
    page.select_option("#colour", label="lof")
    page.wait_for_selector("#scale")
    until(page, "document.getElementById('scale').textContent.startsWith('by rank, because few rows lie far above')")
    assert page.inner_text("#by-rank") == "Colour by value"
    assert f"up to {lof.max():.4g}" in column(page, "lof").inner_text()
    bars = list(map(float, column(page, "lof").locator(".bars").get_attribute("data-all").split()))
    assert sum(bars) == N and sum(bar > 0 for bar in bars) > 20  # not one bar
    page.click("#by-rank")
    until(page, "document.getElementById('scale').textContent.startsWith('by value')")


def test_filters_of_each_kind_are_combined_and_clear(page: Page) -> None:
    rows = rows_of(N)
    rows[9] = {**rows[3], "id": "id9"}
    settled(page, lambda: column(page, "topic").locator("label", has_text="sky").click())
    settled(page, lambda: column(page, "good").locator("label", has_text="true").click())
    settled(page, lambda: page.fill("#find", "TEXT OF 1"))
    expected = [i for i, row in enumerate(rows) if row["topic"] == "sky" and row["good"] and "text of 1" in row["text"]]
    assert selected(page) == expected and page.locator(".chip").count() == 3
    until(page, f"document.querySelectorAll('#rows tbody tr').length === {len(expected)}")
    assert lines(page) == [f"id{i}" for i in expected]
    settled(page, lambda: page.click(".chip >> nth=0"))
    assert len(selected(page)) > len(expected)
    settled(page, lambda: page.keyboard.press("Escape"))
    assert page.input_value("#find") == "" and len(selected(page)) == N
    settled(page, lambda: column(page, "tags").locator("input").fill('"odd"'))
    assert len(selected(page)) == N


def test_the_table_pages_through_all_rows_in_the_order_of_a_column(page: Page, made: tuple[Path, np.ndarray]) -> None:
    scores = np.load(made[0].parent / "run" / "scores.npy")
    order = np.lexsort((np.arange(N), scores[0]))
    page.click("text=Most unique rows first")
    until(page, "vicinal.state.sort.down")
    until(page, f"document.querySelector('#rows tbody th').textContent === 'id{order[-1]}'")
    assert lines(page) == [f"id{row}" for row in order[::-1][:50]]
    page.click("#rows thead button:has-text('mean')")
    until(page, f"document.querySelector('#rows tbody th').textContent === 'id{order[0]}'")
    seen = []
    for _ in range(12):
        seen += lines(page)
        if not page.is_disabled("#next"):
            first = seen[-50]
            page.click("#next")
            until(page, f"document.querySelector('#rows tbody th').textContent !== '{first}'")
    assert seen == [f"id{row}" for row in order] and page.is_disabled("#next")
    page.click("#rows tbody tr >> nth=0")
    sample(page, int(order[-50]))


def test_the_cut_says_what_it_drops_and_selects_it(page: Page, made: tuple[Path, np.ndarray]) -> None:
    scores = np.load(made[0].parent / "run" / "scores.npy")[0]
    order = np.lexsort((np.arange(N), scores))
    page.fill("#percent", "10")
    until(page, "document.getElementById('cut').textContent.startsWith('10 % drops 60 rows, keeps 540 rows from ')")
    settled(page, lambda: page.click("#show"))
    assert selected(page) == sorted(order[:60].tolist())
    page.select_option("#cut-end", "both")
    settled(page, lambda: page.click("#show"))
    assert selected(page) == sorted([*order[:30].tolist(), *order[-30:].tolist()])
    page.fill("#percent", "0")


@pytest.mark.parametrize("end", ["low", "high", "both"])
def test_the_command_of_a_cut_gives_the_rows_that_it_keeps(
    page: Page, made: tuple[Path, np.ndarray], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made[0].parent)
    page.select_option("#cut-by", label="hubness")  # which has many ties
    page.select_option("#cut-end", end)
    page.fill("#percent", "30")
    until(page, "document.getElementById('cut').textContent.startsWith('30 % drops 180 rows, keeps 420 rows')")
    settled(page, lambda: page.click("#keep"))
    command = page.inner_text("#cut-command")
    assert chosen_by(command) == selected(page)
    assert page.evaluate("vicinal.command().then((one) => one.text)") == command
    page.fill("#percent", "0")


def chosen_by(command: str) -> list[int]:
    """The rows that a command of the page chooses, run by the shell's rules in this folder."""
    import shlex

    words = shlex.split(command)
    assert words[0] == "vicinal" and words[-2] == "-o"
    assert main([*words[1:], "--overwrite"]) == 0
    known = {line: row for row, line in enumerate(Path("d.jsonl").read_text().splitlines())}
    return [known[line] for line in Path(words[-1]).read_text().splitlines()]


@pytest.mark.parametrize(
    "select",
    [
        lambda page: settled(page, lambda: column(page, "topic").locator("label", has_text="(none)").click()),
        lambda page: settled(page, lambda: column(page, "good").locator("label", has_text="false").click()),
        lambda page: settled(page, lambda: page.fill("#find", "\u03c3\u03b1\u03c3 100% SURE_t")),
        lambda page: settled(page, lambda: column(page, "text").locator("input").fill("of 7")),
        lambda page: page.evaluate("vicinal.setFilter('c0', {kind: 'range', column: 0, low: 1.6, high: 2.1})"),
        lambda page: page.evaluate(
            "vicinal.setFilter('a', {kind: 'range', column: vicinal.column('size of it'), low: 7, high: 90}).then(() =>"
            "vicinal.setFilter('b', {kind: 'range', column: vicinal.column('hubness'), low: 3, high: Infinity}))"
        ),
        lambda page: page.evaluate(
            "vicinal.setFilter('area', {kind: 'area', points: [[1, 1], [40000, 65000], [65000, 1]]})"
        ),
    ],
    ids=["none", "flag", "find", "text", "score", "several", "area"],
)
def test_the_command_of_the_page_gives_the_selected_rows(
    page: Page, made: tuple[Path, np.ndarray], select: Callable[[Page], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made[0].parent)
    select(page)
    command = page.evaluate("vicinal.command()")
    assert 0 < len(selected(page)) < N
    if command["marks"]:
        page.click("#export summary")
        with page.expect_download() as got:
            page.click("#save-marks")
        got.value.save_as("marks.jsonl")
        page.click("#export summary")
    assert chosen_by(command["text"]) == selected(page)


def test_rows_leave_the_page_as_ids_jsonl_and_csv(page: Page, made: tuple[Path, np.ndarray]) -> None:
    settled(page, lambda: page.fill("#find", "100% sure"))
    rows, found = selected(page), {}
    page.keyboard.press("Escape") if not rows else page.click("#export summary")
    for kind in ("ids", "jsonl", "csv"):
        with page.expect_download() as got:
            page.click(f"#export [data-save={kind}]")
        found[kind] = Path(got.value.path()).read_text(encoding="utf-8")
    page.click("#export summary")
    source = list(map(json.loads, (made[0].parent / "d.jsonl").read_text().splitlines()))
    assert rows and found["ids"].splitlines() == [f"id{row}" for row in rows]
    scores = np.load(made[0].parent / "run" / "scores.npy")
    for record, row in zip(map(json.loads, found["jsonl"].splitlines()), rows, strict=True):
        assert {name: record[name] for name in source[row]} == source[row]
        assert record["mean"] == pytest.approx(float(scores[0][row]), rel=1e-6)
    import csv

    table = list(csv.DictReader(found["csv"].splitlines()))
    assert [one["text"] for one in table] == [source[row]["text"] for row in rows]
    assert [json.loads(one["tags"]) for one in table] == [source[row]["tags"] for row in rows]


def test_the_address_keeps_the_view(browser: Browser, page: Page, made: tuple[Path, np.ndarray]) -> None:
    page.select_option("#colour", label="topic")
    settled(page, lambda: column(page, "topic").locator("label", has_text="sea").click())
    settled(page, lambda: page.fill("#find", "text of 2"))
    page.evaluate("vicinal.show(2)")
    page.click("#zoom-in")
    page.click("#tab-outliers")
    until(page, "location.hash.includes('outliers') && location.hash.includes('zoom')")
    state = (
        "(({view, current, tab, colour}) => [[...vicinal.selectedRows()], view, current, tab, colour])(vicinal.state)"
    )
    before, address = page.evaluate(state), page.evaluate("location.href")
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    other = context.new_page()
    other.goto(address)
    other.wait_for_selector("html[data-ready]", state="attached")
    assert other.evaluate(state) == before
    other.goto(
        made[0].as_uri() + "#" + quote(json.dumps({"filters": [["x", {"kind": "values", "codes": [99]}]], "row": 9e9}))
    )
    other.reload()  # an address of another page: what does not fit is left out
    other.wait_for_selector("html[data-ready]", state="attached")
    assert len(selected(other)) == N
    context.close()


def test_box_lasso_wheel_and_keys_of_the_map(page: Page) -> None:
    box = page.locator("#over").bounding_box()
    assert box is not None
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    places = page.evaluate(f"Array.from({{length: {N}}}, (_, i) => vicinal.toScreen(i))")

    def drag(*points: tuple[float, float]) -> None:
        page.mouse.move(x + points[0][0], y + points[0][1])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(x + point[0], y + point[1], steps=3)
        page.mouse.up()

    page.click("[data-tool=box]")
    settled(page, lambda: drag((w * 0.2, h * 0.2), (w * 0.99, h * 0.8)))
    inside = [i for i, (px, py) in enumerate(places) if w * 0.2 <= px <= w * 0.99 and h * 0.2 <= py <= h * 0.8]
    assert abs(len(selected(page)) - len(inside)) <= 2 and inside
    page.click("[data-tool=lasso]")
    settled(page, lambda: drag((9, 50), (w - 9, 50), (w - 9, h - 9)))
    above = [i for i, (px, py) in enumerate(places) if (px - 9) / (w - 18) > (py - 50) / (h - 59) > 0]
    assert abs(len(selected(page)) - len(above)) <= N * 0.02
    page.click("[data-tool=move]")
    page.mouse.move(x + w / 2, y + h / 2)
    page.mouse.wheel(0, -400)
    until(page, "vicinal.state.view !== null && vicinal.state.view.zoom > 1.3")
    page.locator("#over").focus()
    for key in ("+", "ArrowLeft", "v"):
        page.keyboard.press(key)
    until(page, "vicinal.state.filters.get('area')?.points.length === 2")
    page.keyboard.press("0")
    until(page, "vicinal.state.view === null")
    page.keyboard.press("Enter")
    until(page, "vicinal.state.current !== null")


def test_what_is_selected_is_told_from_the_rest_on_the_map(page: Page) -> None:
    colours = """() => { const points = document.getElementById('points'), w = points.width;
        const data = points.getContext('2d').getImageData(0, 0, w, points.height).data;
        return [11, 100].map((row) => { const [x, y] = vicinal.toScreen(row).map(Math.round), i = 4 * (y * w + x);
            return [...data.slice(i, i + 4)]; }); }"""
    settled(page, lambda: page.evaluate("vicinal.setFilter('rows', {kind: 'rows', rows: [11], said: 'one'})"))
    drawn = page.evaluate("document.documentElement.dataset.drawn")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert drawn
    lit, rest = page.evaluate(colours)
    assert lit[3] > 150 and 0 < rest[3] < 110 and max(rest[:3]) - min(rest[:3]) < 40  # grey and faint


def test_duplicates_stand_side_by_side_with_the_difference_marked(page: Page) -> None:
    page.click("#tab-duplicates")
    page.wait_for_selector(".list .row")
    said = page.inner_text(".list .hint")
    assert "1 row with the same vector and the same text, 1 row with the same vector, but another text" in said
    page.click(".list .row")
    page.wait_for_selector("#member")
    assert page.inner_text("#member") == "row 2 of 3: same vector, other text, distance 0"
    assert "3" in page.locator("#pane .sides del").all_inner_texts()
    assert "5" in page.locator("#pane .sides ins").all_inner_texts()
    page.click("#member-next")
    until(page, "document.getElementById('member').textContent === 'row 3 of 3: copy, distance 0'")
    assert page.locator("#pane .sides del").all_inner_texts() == []
    settled(page, lambda: page.click("#select-copies"))
    assert selected(page) == [9]
    settled(page, lambda: page.click("#drop-copies"))
    assert selected(page) == [row for row in range(N) if row != 9]


def test_a_radius_is_chosen_by_pairs_at_that_distance(page: Page, made: tuple[Path, np.ndarray]) -> None:
    vectors = made[1].astype(np.float64)
    far = np.sqrt(((vectors[:, None] - vectors) ** 2).sum(-1))
    np.fill_diagonal(far, np.inf)
    nearest = np.sort(far.min(1))
    page.click("#tab-radius")
    until(page, "document.getElementById('pane').dataset.list === 'radius'")
    page.click(".list .row >> nth=2")
    page.wait_for_selector("#pair")
    last = (
        int(np.searchsorted(nearest, nearest[round(N * 3 / 24) - 1] * (1 + 1e-6), "right")) - 1
    )  # a pair has one distance
    assert page.inner_text(".list .row >> nth=2").endswith(f"{last + 1} rows have another so near")
    assert page.inner_text("#pair") == f"a pair at distance {nearest[last]:.4g}"
    page.click("#pair-next")
    until(page, f"document.getElementById('pair').textContent === 'a pair at distance {nearest[last - 1]:.4g}'")
    settled(page, lambda: page.click("#select-near"))
    assert selected(page) == np.flatnonzero(far.min(1) <= nearest[last] * (1 + 1e-6)).tolist()


@pytest.mark.parametrize(("metric", "radius"), [("cosine", 0.0), ("cosine", 0.5), ("inner_product", 1e9)])
def test_copies_are_counted_whichever_row_stays(metric: str, radius: float) -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0.9, 0.1], [0.9, 0.1]], dtype=np.float32)
    found = groups_of(vectors, np.array([0, 1, 2, 3, 5, 6]), find(metric), radius, np.array([7, 8, 8, 8, 0, 9, 9]))
    assert found.copies.tolist() == [2, 6]  # row 0 stays for both, and has another text


@pytest.mark.skipif(not has_graphs(), reason="the extension is not built")
def test_approximate_neighbours_are_called_so_where_they_are_shown(
    browser: Browser, work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FEWEST": 0, "EXACT_SHARE": 1e9, "LEAF": 128}.items():
        monkeypatch.setattr(approximate, name, value)
    vectors = np.random.default_rng(1).normal(size=(400, 8)).astype(np.float32)
    vectors[:5] = vectors[5:10] + np.float32(1e-3)
    work.save("v.npy", vectors)
    work.lines("d.jsonl", rows_of(400))
    assert (
        work("score", "d.jsonl", "--embeddings", "v.npy", "--recall", "0.9", "--run", "run", "-o", "s.jsonl").code == 0
    )
    assert work("report", "run", "--radius", "0.1", "-o", "r.html").code == 0
    recall = str(Kept.load(work.folder / "run").passes[0].neighbors.recall)
    assert recall.startswith("approximate, recall 0.9") or recall.startswith("approximate, recall 1.0")
    for page in opened(browser, work.folder / "r.html"):
        about = f"the 5 nearest of each by euclidean distance; {recall}; map: two principal components"
        assert page.inner_text("#about") == page.get_attribute("#about", "title")
        assert page.inner_text("#about").startswith(about)
        page.click("#tab-duplicates")
        until(page, "document.getElementById('pane').dataset.list === 'duplicates'")
        words = page.inner_text(".list .hint")
        assert words.startswith("5 groups of rows within 0.1 (euclidean distance: input units) of the row that stays")
        assert words.endswith(f" Pairs may be missing: {recall}.")
        page.click("#tab-radius")
        until(page, "document.getElementById('pane').dataset.list === 'radius'")
        assert f"in euclidean distance: input units; {recall}. The groups" in page.inner_text(".list .hint")
        page.evaluate("vicinal.show(3)")
        until(page, "document.getElementById('sample').dataset.row === '3'")
        assert f"euclidean distance: input units; {recall}" in page.inner_text("#sample")
        for width in (1400, 1060, 1000, 700, 360):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate(
                "(({ scrollWidth, clientWidth, scrollHeight, clientHeight }) => scrollWidth <= clientWidth && "
                "scrollHeight <= clientHeight)(document.getElementById('about'))"
            ), width


def test_exact_neighbours_are_not_called_approximate(page: Page) -> None:
    assert page.inner_text("#about").startswith(f"the {K} nearest of each by euclidean distance; map: ")
    page.click("#tab-duplicates")
    until(page, "document.getElementById('pane').dataset.list === 'duplicates'")
    assert "approximate" not in page.inner_text("body") and page.evaluate("vicinal.head.recall") == ""


def test_findings_of_a_diagnosis_are_on_the_same_page(page: Page, made: tuple[Path, np.ndarray]) -> None:
    topics = [row["topic"] for row in rows_of(N)]
    topics[9] = topics[3]
    page.click("#tab-pairs")
    page.wait_for_selector(".list .row")
    pairs = page.evaluate("vicinal.head.found.pairs")
    assert pairs and all(topics[one["row"]] != topics[one["other"]] for one in pairs)
    assert all(one["label"] == topics[one["row"]] and one["other_label"] == topics[one["other"]] for one in pairs)
    page.click(".list .row")
    page.wait_for_selector("#pane .sides")
    page.click("#tab-outliers")
    until(page, "document.getElementById('pane').dataset.list === 'outliers'")
    assert page.evaluate("vicinal.head.found.outliers[0].row") == 11
    page.click("#tab-figures")
    page.wait_for_selector(".figures table")
    words = page.inner_text(".figures")
    figures = page.evaluate("vicinal.head.found.figures.table")
    assert figures and all(one[name] in words for one in figures for name in ("title", "shown", "meaning", "formula"))
    assert "Classes, the worst first" in words and page.locator(".figures svg").count() == 2


def test_names_of_regions_lead_to_their_rows(page: Page) -> None:
    named = page.evaluate("vicinal.head.regions[0]")
    assert named and sum(one["size"] for one in named) <= N
    settled(page, lambda: page.click("#names button >> nth=0"))
    assert len(selected(page)) in [one["size"] for one in named]
    page.click("#named")
    until(page, "document.querySelectorAll('#names button').length === 0")
    page.click("#named")


def test_the_legend_and_the_fit_of_the_window(page: Page) -> None:
    page.select_option("#colour", label="topic")
    until(page, "document.querySelectorAll('#legend button').length === 2")
    assert page.locator("#legend button").all_inner_texts() == ["sea", "sky"] and "none" in page.inner_text("#legend")
    for part in ("#map", "#side", "#bottom", "#sample"):
        box = page.locator(part).bounding_box()
        assert box is not None and box["y"] + box["height"] <= 900 and box["x"] + box["width"] <= 1400
    box = page.locator("#map").bounding_box()
    assert box is not None and box["width"] > 650 and box["height"] > 500


def test_odd_texts_and_rows_without_a_score(browser: Browser, work: Workplace) -> None:
    texts = [
        "<script>alert(1)</script>",
        "</script><!--",
        "\u05e9\u05dc\u05d5\u05dd \u202e x",
        "\ud800",
        "%%HEAD%%",
        "x" * 3000,
        None,
        5,
    ]
    work.lines("odd.jsonl", [{"id": f"<b>{i}</b>", "text": text, "%%JS%%": text} for i, text in enumerate(texts)])
    vectors = np.ones((8, 3), np.float32)
    vectors[7] = np.nan
    work.save("odd.npy", vectors)
    options = ("--on-invalid", "null", "--by", "mean,mean:ratio", "-k", 3, "--run", "run", "-o", "s.jsonl")
    assert work("score", "odd.jsonl", "--embeddings", "odd.npy", *options).code == 0
    assert work("report", "run", "-o", "odd.html", "--title", "%%PARTS%% <i>").code == 0
    for page in opened(browser, Path("odd.html").absolute()):
        assert page.inner_text("h1") == "%%PARTS%% <i>"
        assert lines(page) == [f"<b>{i}</b>" for i in range(8)]
        page.click("text=Most unique rows first")
        until(page, "vicinal.state.sort.down")
        assert lines(page) == [f"<b>{i}</b>" for i in range(8)]  # equal scores: the lower row first
        for row, text in enumerate(texts):
            page.evaluate(f"vicinal.show({row})")
            sample(page, row)
            shown = "\ufffd" if text == "\ud800" else "(none)" if text is None else str(text)
            assert page.evaluate("document.querySelector('#sample .text').textContent") == shown
        assert page.inner_text("#sample dd >> nth=0") == "none"
        page.select_option("#colour", label="mean:ratio")  # which no row has
        until(page, "document.getElementById('legend').textContent === 'No row has this value.'")


def test_the_keyboard_is_enough(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("id77")
    page.keyboard.press("Enter")
    sample(page, 77)
    settled(page, lambda: page.keyboard.press("Escape"))
    page.keyboard.press("j")
    sample(page, 0)
    page.keyboard.press("j")
    sample(page, 1)
    page.keyboard.press("k")
    sample(page, 0)
    page.keyboard.press("n")
    until(page, "vicinal.state.page === 1")
    page.locator("#tab-rows").focus()
    page.keyboard.press("ArrowRight")
    until(page, "vicinal.state.tab === 'duplicates'")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    dark = page.evaluate("document.documentElement.classList.contains('dark')")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.classList.contains('dark')") is not dark
    page.keyboard.press("d")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", ["", ".dark"])
def test_texts_stand_out_from_their_background(mode: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of at least 4.5, of every colour of text on every background that it stands on."""
    style = (Path(report.__file__).parent.parent / "page" / "browser" / "page.css").read_text()
    block = re.search(rf"^:root{re.escape(mode)} {{(.*?)}}", style, re.MULTILINE)
    assert block is not None
    known = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block[1]))
    pairs = [(text, back) for text in ("ink", "soft", "accent") for back in ("paper", "card")]
    veil = re.search(r"--veil: rgba\((\d+), (\d+), (\d+), ([.\d]+)\)", block[1])
    assert veil is not None
    mixed = [
        round(float(veil[4]) * int(veil[at + 1]) + (1 - float(veil[4])) * int(known["card"][2 * at + 1 :][:2], 16))
        for at in range(3)
    ]
    known["veiled"] = "#" + "".join(f"{one:02x}" for one in mixed)
    chosen = [(text, "veiled") for text in ("ink", "soft", "accent")]
    for text, back in [*pairs, *chosen, ("ink", "plus"), ("ink", "minus"), ("ink", "warn")]:
        light, dark = sorted((luminance(known[text]), luminance(known[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (mode, text, back)


def test_it_follows_the_dark_of_the_system(browser: Browser, made: tuple[Path, np.ndarray]) -> None:
    for page in opened(browser, made[0], color_scheme="dark"):
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 26)"


def test_only_the_page_s_own_script_may_run(made: tuple[Path, np.ndarray]) -> None:
    text = made[0].read_text(encoding="utf-8")
    script = text[text.rindex("<script>") + 8 : text.rindex("</script>")]
    named = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert rules is not None and f"script-src &#x27;sha256-{named}&#x27;; " in rules[1] and "unsafe" not in rules[1]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(", script)


def test_packing_gives_the_bytes_back() -> None:
    random = np.random.default_rng(0)
    for size in (0, 1, 2, 3, 4, 5, 1000):
        data = random.bytes(size)
        text, small = packing.packed(data)
        assert packing.unpacked(text, small) == data and not set(b'<&"\\') & set(text) - {92}
    assert packing.planes(np.array([0x0102, 0x0304], dtype=np.uint16)) == bytes([2, 4, 1, 3])


def test_the_kind_of_a_column_follows_from_its_values() -> None:
    cells: dict[str, list[Any]] = {
        "few": ["a", "b", None, "a"] * 5, "many": [f"text {i}" for i in range(20)], "mixed": [1, "a"] * 10,
        "rating": [1, 2, 3, 4] * 5, "weight": [0.5 * i for i in range(20)], "flag": [True, None] * 10,
        "large": [2**60 + i for i in range(20)], "vector": [[0.5] * 16] * 20, "nothing": [None] * 20,
    }  # fmt: skip
    found, vectors = fields.columns_of(cells)
    kinds = {one.name: one.kind for one in found}
    assert vectors == ["vector"]
    assert kinds == {"few": "category", "many": "text", "mixed": "text", "rating": "category", "weight": "number",
                     "flag": "category", "large": "text", "nothing": "text"}  # fmt: skip
    assert found[0].labels == ["a", "b", None] and found[0].values.tolist() == [0, 1, 2, 0] * 5
    texts = json.loads(next(fields.text_blocks([2**60, float("nan"), b"ab", {1: [float("inf")]}], 9)))
    assert texts == [2**60, None, "(2 bytes)", {"1": [None]}] or texts[0] == str(2**60)
    numbers, _ = fields.columns_of({"n": ["1", "", "2.5"], "zip": ["007", "1", "2"]}, is_csv=True)
    assert numbers[0].kind == "number" and numbers[1].kind == "text"
    assert not numbers[1].named  # `vicinal filter` reads its cells as numbers


def test_the_names_of_regions_are_by_c_tf_idf() -> None:
    """Two far clouds: by hand, "apple" and "pear" are each other's contrast, and "fruit" is in both."""
    random = np.random.default_rng(1)
    places = np.concatenate([random.normal(0, 0.1, (40, 2)), random.normal(5, 0.1, (30, 2)), [[np.nan, np.nan]]])
    texts = ["fruit apple the and", *["fruit apple"] * 39, *["fruit pear"] * 30, "lost"]
    code, found = regions.regions(places, texts, 3.0, 9)
    assert [one.size for one in found] == [40, 30] and code[-1] == -1
    assert found[0].name.split(", ")[0] == "apple" and found[1].name.split(", ")[0] == "pear"
    assert regions.regions(places[-1:], ["lost"], 3.0, 9)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [100_000, 1_000_000])
def test_many_rows_open_soon(
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    n: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    scored(tmp_path, n)
    assert main(["report", "run", "-o", "r.html"]) == 0
    text = (tmp_path / "r.html").read_bytes()
    assert len(text) <= 1.3 * sum(map(int, re.findall(rb'data-size="(\d+)"', text)))
    took = []
    for _ in range(3):
        start = time.perf_counter()
        for page in opened(browser, tmp_path / "r.html"):
            took.append(time.perf_counter() - start)
            page.fill("#percent", "1")
            settled(page, partial(page.click, "#show"))
            assert len(selected(page)) == n // 100
    with capsys.disabled():
        print(f"\n{n:,} rows opened and drawn in {min(took):.2f} s, {len(text) / 1e6:.1f} MB")


def test_the_map_is_the_principal_components() -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 7)) * [9, 5, 1, 1, 1, 1, 1]
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    found = report.flat_map(vectors, "euclidean")
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :2] * s[:2]), rtol=1e-4, atol=1e-4)
    assert report.flat_map(np.packbits(vectors > 0, axis=1), "hamming").shape == (300, 2)
    assert report.flat_map(np.ones((4, 1)), "euclidean").tolist() == [[0, 0]] * 4
    line = vectors[:1] + np.arange(9)[:, None] * np.ones(7)
    assert (report.flat_map(line, "euclidean")[:, 1] == 0).all()  # rounding makes no second direction


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (2, ["run", "-o", "r.pdf"], "r.pdf: expected a name that ends in .html"),
        (2, ["run", "-o", "r.html", "--map", "tsne"], "--map: unknown map 'tsne': "),
        (2, ["run", "-o", "r.html", "--radius", "-1"], "--radius: expected a number >= 0, got -1"),
        (2, ["run", "-o", "r.html", "--field", "none"], "--field: "),
        (2, ["run", "-o", "r.html", "--labels", "none"], "--labels: unknown field 'none': "),
        (3, ["none", "-o", "r.html"], "none/manifest.json: cannot be read"),
    ],
)
def test_report_names_what_is_wrong(work: Workplace, code: int, options: list[str], said: str) -> None:
    assert work.score("--run", "run", "-o", "s.jsonl").code == 0
    assert said in work.refuses(code, "report", *options)


def test_near_duplicates_by_radius_and_rows_without_a_vector(work: Workplace) -> None:
    vectors = work.vectors.copy()
    vectors[20] = vectors[4] + 0.001
    vectors[8] = np.nan
    work.save("v.npy", vectors)
    assert work.score("--run", "run", "-o", "s.jsonl", "--on-invalid", "null", embeddings="v.npy").code == 0
    assert work("report", "run", "-o", "r.html", "--radius", "0.1", "--title", "<mine>").code == 0
    text = Path("r.html").read_text()
    part = re.search(r'id="dup.rows" data-size="(\d+)">([^<]*)<', text)
    assert part is not None
    rows = np.frombuffer(packing.unpacked(part[2].encode(), int(part[1])), np.uint8).reshape(4, -1).T.copy()
    assert rows.view("<u4").ravel().tolist() == [4, 20] and "<title>&lt;mine&gt; - vicinal" in text


@pytest.mark.parametrize(
    ("metric", "same"), [("cosine", "cosine"), ("inner_product", "euclidean"), ("hamming", "hamming")]
)
def test_umap_is_given_the_exact_neighbours(monkeypatch: pytest.MonkeyPatch, metric: str, same: str) -> None:
    given: dict[str, Any] = {}

    class Stub:
        def __init__(self, **options: Any) -> None:
            given.update(options)

        def fit_transform(self, rows: np.ndarray) -> np.ndarray:
            given["rows"] = rows
            return rows[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Stub))
    vectors: np.ndarray = np.random.default_rng(2).normal(size=(40, 16)).astype(np.float32)
    if metric == "hamming":
        vectors = np.packbits(vectors > 0, axis=1)
    report.flat_map(vectors, metric, "umap")
    indices, distances, _ = given["precomputed_knn"]
    truth = Exact(find(same)).fit(vectors).neighbors(14)
    assert given["n_neighbors"] == 15 and given["rows"].shape == (40, 16)
    np.testing.assert_array_equal(indices, np.column_stack([np.arange(40), truth.indices]))
    np.testing.assert_array_equal(distances[:, 1:], truth.distances)
    assert (distances >= 0).all()
    with pytest.raises(UsageError, match="map: expected at least 5 rows for umap, got 4; choose pca"):
        report.flat_map(vectors[:4], metric, "umap")


def test_the_same_run_makes_the_same_page(work: Workplace) -> None:
    assert work("score", "data.jsonl", "--embeddings", "emb.npy", "--run", "run").code == 0
    for name in ("a.html", "b.html"):
        assert work("report", "run", "-o", name).code == 0
    assert (work.folder / "a.html").read_bytes() == (work.folder / "b.html").read_bytes()


def test_pictures_show_dollars_as_written_and_are_the_same_again(tmp_path: Path) -> None:
    names = ["$5 to $10", "a$b", "$", r"\$x^2$"]
    for ending in ("svg", "png", "pdf"):
        for copy in "ab":
            figure = pictures.confusion("costs of $1 and $2", np.eye(4), names)
            pictures.save(figure, tmp_path / f"{copy}.{ending}")
        assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        drawn = pictures.svg(pictures.confusion("costs of $1 and $2", np.eye(4), names))
        curves = pictures.svg(pictures.recall_and_speed([("a$b$", [(0.5, 10.0)])], 3))
    assert all(f">{text}</text>" in drawn for text in ("costs of $1 and $2", *names)) and ">a$b$</text>" in curves

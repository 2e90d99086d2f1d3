"""`vicinal report` in headless Chromium: brushing, clicking, typing, and no request to any other host."""

import json
import shutil
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import vicinal
from vicinal import Exact
from vicinal.cli import main
from vicinal.errors import UsageError
from vicinal.knn.metrics import find
from vicinal.tasks import pictures, report
from workplace import Workplace

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
DRAWN = "document.documentElement.dataset.ready && Bokeh.documents.every(one => one.is_idle)"
NAMED = "Bokeh.documents.flatMap(one => [...one._all_models.values()]).find(one => one.name === '{}')"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "these tests need Chromium: apt-get install chromium"
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


def scored(folder: Path, n: int, dim: int = 6) -> np.ndarray:
    """A kept run of n rows, in which rows 3, 5 and 9 are copies."""
    vectors = np.random.default_rng(0).normal(size=(n, dim)).astype(np.float32)
    vectors[[5, 9]] = vectors[3]
    np.save(folder / "v.npy", vectors)
    texts = ({"id": f"id{i}", "text": f"text of {i} <b>&amp;</b> </script> ü", "topic": "t"} for i in range(n))
    (folder / "d.jsonl").write_text("".join(json.dumps(one) + "\n" for one in texts))
    ask = "score d.jsonl --embeddings v.npy -k 4 --by mean,lof,density,hubness --run run -o s.jsonl"
    assert main(ask.split()) == 0
    return vectors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, np.ndarray]]:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        vectors = scored(folder, 600)
        assert main(["report", "run", "-o", "r.html"]) == 0
    yield folder / "r.html", vectors


@pytest.fixture
def page(browser: Browser, made: tuple[Path, np.ndarray]) -> Iterator[Page]:
    yield from opened(browser, made[0])


def opened(browser: Browser, file: Path, **options: Any) -> Iterator[Page]:
    """The page, once it is drawn; any request but for the file itself, and any error, fails the test."""
    context = browser.new_context(viewport={"width": 1300, "height": 1000}, **options)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(file.as_uri())
    page.wait_for_function(DRAWN)
    page.wait_for_selector("#list .row")
    yield page
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [file.as_uri()] and wrong == []
    context.close()


def box(page: Page, name: str) -> tuple[Any, Any]:
    """Functions from a figure's coordinates to the window's."""
    view = f"Bokeh.index.get_by_id({NAMED.format(name)}.id)"
    frame = page.evaluate(
        f"""() => {{ const view = {view}; const rect = view.el.getBoundingClientRect(); const box = view.frame.bbox;
        return [rect.x + box.left, rect.y + box.top, box.width, box.height, view.model.x_range.start,
        view.model.x_range.end, view.model.y_range.start, view.model.y_range.end]; }}"""
    )
    left, top, width, height, x0, x1, y0, y1 = frame
    return (
        lambda x: float(left + width * (x - x0) / (x1 - x0)),
        lambda y: float(top + height * (y1 - y) / (y1 - y0)),
    )


def selected(page: Page) -> list[int]:
    return page.evaluate(f"Array.from({NAMED.format('rows')}.selected.indices)")


def test_a_brush_over_the_histogram_selects_those_rows_on_the_map(page: Page, made: tuple[Path, np.ndarray]) -> None:
    scores = np.load(made[0].parent / "run" / "scores.npy")[0]
    low, high = np.quantile(scores, [0.3, 0.6])
    x, y = box(page, "histogram")
    page.mouse.move(x(low), y(5))
    page.mouse.down()
    page.mouse.move(x((low + high) / 2), y(3))
    page.mouse.move(x(high), y(2))
    page.mouse.up()
    page.wait_for_function(f"{NAMED.format('rows')}.selected.indices.length > 0")
    step = (scores.max() - scores.min()) / 200  # a pixel or so
    found = set(selected(page))
    assert found >= set(np.flatnonzero((scores > low + step) & (scores < high - step)).tolist())
    assert found <= set(np.flatnonzero((scores > low - step) & (scores < high + step)).tolist())
    bars = page.evaluate(f"[...{NAMED.format('bars')}.data.part].reduce((a, b) => a + b)")
    assert bars == len(found)
    said = f"{len(found)} rows selected"
    page.wait_for_function(f"document.querySelector('#list .hint').textContent.startsWith('{said}')")


def test_a_click_on_a_point_shows_the_sample_and_its_neighbours(page: Page, made: tuple[Path, np.ndarray]) -> None:
    vectors = made[1]
    places = report.flat_map(vectors, "euclidean")
    alone = np.sort(np.linalg.norm(places[:, None] - places[None], axis=2), axis=1)[:, 1]
    row = int(np.argmax(alone))  # nothing else lies under the pointer
    page.locator("text=Map").first.scroll_into_view_if_needed()
    x, y = box(page, "map")
    page.mouse.click(x(places[row, 0]), y(places[row, 1]))
    page.wait_for_selector("#neighbours .row")
    assert page.inner_text("#sample h3 >> nth=0") == f"Sample id{row}"
    assert f"text of {row} <b>&amp;</b> </script> ü" in page.inner_text("#sample .text")
    found = vicinal.neighbors(vectors, 4)
    lines = [page.inner_text(f"#neighbours .row >> nth={j}") for j in range(4)]
    for j in range(4):
        distance, text = lines[j].split("\n", 1)
        assert float(distance) == pytest.approx(float(found.distances[row, j]), rel=1e-3)
        assert text.startswith(f"id{found.indices[row, j]} text of {found.indices[row, j]} ")
    page.keyboard.press("2")  # to the second neighbour, and back
    page.wait_for_function(f"document.querySelector('#sample h3').textContent === 'Sample id{found.indices[row, 1]}'")
    page.keyboard.press("b")
    page.wait_for_function(f"document.querySelector('#sample h3').textContent === 'Sample id{row}'")


def ids_of(page: Page) -> list[str]:
    return [text.split()[0] for text in page.locator("#list .row i").all_inner_texts()]


def test_the_lists_hold_the_ends_and_the_duplicates(page: Page, made: tuple[Path, np.ndarray]) -> None:
    scores = np.load(made[0].parent / "run" / "scores.npy")
    order = np.lexsort((np.arange(600), scores[0]))
    assert ids_of(page) == [f"id{row}" for row in order[::-1][:15]]
    page.click("text=Most redundant")
    page.wait_for_function("document.querySelector('#list .hint').textContent === 'The lowest of this score.'")
    assert ids_of(page) == [f"id{row}" for row in order[:15]]
    page.click("text=Duplicates")
    page.wait_for_selector(".group")
    assert ids_of(page) == ["id3", "id5", "id9"]
    assert page.inner_text("#list .hint") == "1 group of rows that are exact copies; 2 rows could go."
    page.click("text=Most unique")
    first = "document.querySelector('#list .row i').textContent.trim() === 'id{}'"
    page.select_option("#score", label="lof")
    page.wait_for_function(first.format(np.argmax(scores[1])))
    page.select_option("#score", label="density")  # whose lowest are the most unique
    page.wait_for_function(first.format(np.argmin(scores[2])))


def test_the_cut_says_what_it_drops_and_selects_it(page: Page, made: tuple[Path, np.ndarray]) -> None:
    scores = np.load(made[0].parent / "run" / "scores.npy")[0]
    order = np.lexsort((np.arange(600), scores))
    page.fill("#percent", "10")
    assert page.inner_text("#cut").startswith("10 % drops 60 rows, keeps 540 rows from ")
    page.click("#show")
    assert sorted(selected(page)) == sorted(order[:60].tolist())
    page.select_option("#end", "both")
    page.click("#show")
    assert sorted(selected(page)) == sorted([*order[:30].tolist(), *order[-30:].tolist()])
    page.keyboard.press("Escape")
    assert selected(page) == []


@pytest.mark.parametrize(("end", "strategy"), [("low", "highest"), ("high", "lowest"), ("both", "middle")])
def test_the_cut_drops_what_select_drops(
    page: Page, made: tuple[Path, np.ndarray], end: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made[0].parent)
    ask = "select d.jsonl s.jsonl --by hubness --keep 70% --overwrite -o kept.jsonl --strategy"  # hubness has many ties
    assert main([*ask.split(), strategy]) == 0
    decisions = map(json.loads, Path("kept.jsonl.decisions.jsonl").read_text().splitlines())
    page.select_option("#score", label="hubness")
    page.select_option("#end", end)
    page.fill("#percent", "30")
    page.click("#show")
    assert sorted(selected(page)) == [one["row"] for one in decisions if one["decision"] == "dropped"]
    hubness = np.load("run/scores.npy")[3]
    kept = np.delete(hubness, selected(page))
    said = f"30 % drops 180 rows, keeps 420 rows from {kept.min():g} to {kept.max():g}"
    assert page.inner_text("#cut") == said


def test_odd_texts_and_rows_without_a_score(browser: Browser, work: Workplace) -> None:
    texts = [
        "<script>alert(1)</script>",
        "</script><!--",
        "\u05e9\u05dc\u05d5\u05dd \u202e x",
        "\ud800",
        "%%DATA%%",
        "x" * 3000,
        None,
        5,
    ]
    work.lines("odd.jsonl", [{"id": f"<b>{i}</b>", "text": text} for i, text in enumerate(texts)])
    vectors = np.ones((8, 3), np.float32)
    vectors[7] = np.nan
    work.save("odd.npy", vectors)
    options = ("--on-invalid", "null", "--by", "mean,mean:ratio", "-k", 3, "--run", "run", "-o", "s.jsonl")
    assert work("score", "odd.jsonl", "--embeddings", "odd.npy", *options).code == 0
    assert work("report", "run", "-o", "odd.html", "--title", "%%TEXTS%% <i>").code == 0
    for page in opened(browser, Path("odd.html").absolute()):
        assert page.inner_text("h1") == "%%TEXTS%% <i>"
        assert ids_of(page) == [f"<b>{i}</b>" for i in range(7)]  # equal scores: the lower row first
        assert page.evaluate(f"{NAMED.format('bars')}.data.all.length") == 1
        assert page.inner_text("#meaning").endswith("1 sample without this score.")
        for row, text in enumerate(texts[:5]):
            page.click(f"#list .row >> nth={row}")
            page.wait_for_function(f"document.querySelector('#sample h3')?.textContent === 'Sample <b>{row}</b>'")
            shown = "\ufffd" if text == "\ud800" else text  # half a surrogate pair is replaced where it is read
            assert page.evaluate("document.querySelector('#sample .text').textContent") == shown
        page.select_option("#score", label="mean:ratio")  # which no row has
        page.wait_for_function("document.querySelectorAll('#list .row').length === 0")
        assert page.inner_text("#meaning").endswith("8 samples without this score.")
        assert sum(page.evaluate(f"Array.from({NAMED.format('bars')}.data.all)")) == 0


def test_the_keyboard_is_enough(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("text of 77 ")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#sample h3')?.textContent === 'Sample id77'")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.wait_for_function("document.querySelectorAll('#list .row')[1].hasAttribute('aria-current')")
    page.keyboard.press("k")
    page.wait_for_function("document.querySelectorAll('#list .row')[0].hasAttribute('aria-current')")
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    dark = page.evaluate("document.documentElement.classList.contains('dark')")
    page.keyboard.press("d")
    assert page.evaluate("document.documentElement.classList.contains('dark')") is not dark


def test_it_follows_the_dark_of_the_system(browser: Browser, made: tuple[Path, np.ndarray]) -> None:
    for page in opened(browser, made[0], color_scheme="dark"):
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 26)"
        assert page.evaluate(f"{NAMED.format('map')}.below[0].axis_label_text_color") == "#e8ecee"
        assert page.evaluate(f"{NAMED.format('colors')}.palette[0]") == "#3A528B"  # no dark violet on black


@pytest.mark.slow
def test_a_hundred_thousand_rows_open(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    scored(tmp_path, 100_000)
    assert main(["report", "run", "-o", "r.html"]) == 0
    start = time.perf_counter()
    for page in opened(browser, tmp_path / "r.html"):
        with capsys.disabled():
            print(f"\n100,000 rows opened and drawn in {time.perf_counter() - start:.1f} s")
        page.fill("#percent", "1")
        page.click("#show")
        assert len(selected(page)) == 1000


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
        (2, ["run", "-o", "r.html", "--field", "none"], "data.jsonl:1: no field 'none' to show; choose from id, text"),
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
    assert (
        '"groups": [{"size": 2, "rows": [4, 20], "matches": [null, "near"], "copies": 0, ' in text
        and "<title>&lt;mine&gt; - vicinal" in text
    )


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

"""`vicinal explore`: who is answered, search by a sentence, marks that are kept, and `select --marks`."""

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

import vicinal
from vicinal.cli import main
from vicinal.errors import DataError, UsageError
from vicinal.tasks.explore.service import Explorer
from workplace import Workplace

N = 40
TOPICS = ["a ship at sea", "bread and butter", "the moon and stars", "a dog barks"]
ROWS: list[dict[str, Any]] = [
    {"id": f"id{i}", "text": f"{TOPICS[i % 4]}, number {i}", "topic": i % 4} for i in range(N)
]


class Embedder:
    """One coordinate for each topic: how many of its words a text has."""

    def __call__(self, texts: list[str]) -> np.ndarray:
        found = [[sum(word in text for word in topic.split()) for topic in TOPICS] for text in texts]
        return np.array(found, dtype=np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kept run whose embeddings say which model made them."""
    folder = tmp_path_factory.mktemp("explore")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        vectors = Embedder()([str(row["text"]) for row in ROWS]) + np.arange(N, dtype=np.float32)[:, None] / 1000
        np.save("v.npy", vectors)
        Path("d.jsonl").write_text("".join(json.dumps(one) + "\n" for one in ROWS))
        assert (
            main(["score", "d.jsonl", "--embeddings", "v.npy", "-k", "3", "--run", "run", "-o", "s.jsonl", "-q"]) == 0
        )
    yield folder / "run"


@pytest.fixture
def server(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explorer]:
    monkeypatch.setattr("vicinal.tasks.explore.search.text_embedder", lambda *_: Embedder())
    monkeypatch.chdir(run.parent)
    with vicinal.explore(run, marks=tmp_path / "marks.jsonl", model="words", port=0, labels="topic") as started:
        yield started


def ask(server: Explorer, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """The status and the answer of a request."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
    names = {"Content-Type": "application/json"} if body is not None else {}
    names |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, content, names)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, json.loads(text) if answer.headers["Content-Type"] == "application/json" else text


def token(server: Explorer) -> str:
    return urlsplit(server.url).path


def test_only_the_token_and_the_own_host_and_origin_are_answered(server: Explorer) -> None:
    parts = urlsplit(server.url)
    assert parts.hostname == "localhost" and len(token(server)) >= 32
    status, page = ask(server, token(server))
    assert status == 200 and "connect-src &#x27;self&#x27;" in page and "script-src &#x27;sha256-" in page
    for path in ("/", "/guess/", "/guess/marks", token(server)[:-2] + "/", token(server) + "other"):
        assert ask(server, path)[0] == 404
    assert ask(server, "/guess/search", {"text": "sea"})[0] == 404
    assert ask(server, token(server), Host=f"evil.example:{parts.port}")[0] == 403
    assert ask(server, token(server), Host=f"localhost:{parts.port}")[0] == 200
    mark = {"row": 1, "mark": "keep"}
    assert ask(server, token(server) + "marks", mark, Origin="http://evil.example")[0] == 403
    assert ask(server, token(server) + "marks", mark, Content_Type="text/plain")[0] == 400
    assert ask(server, token(server) + "marks")[1]["marks"] == []


def test_a_sentence_finds_its_nearest_rows(server: Explorer) -> None:
    status, found = ask(server, token(server) + "search", {"text": "the stars and the moon"})
    vectors = np.load("v.npy").astype(np.float64)
    far = np.linalg.norm(vectors - Embedder()(["the stars and the moon"]), axis=1)
    order = np.lexsort((np.arange(N), far))
    assert status == 200 and [one["row"] for one in found] == order.tolist()
    assert [one["distance"] for one in found] == pytest.approx(far[order].tolist(), rel=1e-5)
    bodies: list[Any] = [{"text": ""}, {"text": 5}, {}, [], b"{", b"[" * 100_000, {"text": "x" * 200_000}]
    for body in bodies:
        status, said = ask(server, token(server) + "search", body)
        assert status == 400 and said["error"].startswith(("text: expected", "expected"))


def test_a_run_without_a_known_model_refuses_search_by_name(run: Path, tmp_path: Path) -> None:
    with vicinal.explore(run, marks=tmp_path / "m.jsonl", port=0) as server, sync_playwright() as driver:
        status, said = ask(server, token(server) + "search", {"text": "sea"})
        browser = started(driver)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(server.url)
        page.wait_for_selector("#ask")
        shown = page.evaluate("(({ title, disabled }) => ({ title, disabled }))(document.getElementById('ask'))")
        place = page.evaluate(
            "(one => [one.textContent, one.getBoundingClientRect().right])(document.getElementById('said'))"
        )
        browser.close()
    assert status == 400 and said["error"].startswith("model: it is not known which model made the embeddings; name it")
    assert shown == {"title": said["error"], "disabled": True}
    assert place[0] == said["error"] and place[1] <= 1400  # whole, and within the page


def test_marks_are_added_to_a_file_that_select_takes(server: Explorer, tmp_path: Path) -> None:
    post = token(server) + "marks"
    for mark in (
        {"row": 3, "mark": "keep"},
        {"row": 0, "mark": "drop"},
        {"row": 5, "mark": "keep"},
        {"row": 7, "label": "x"},
    ):
        assert ask(server, post, mark)[0] == 200
    assert ask(server, post, {"row": 5, "mark": None}) == (200, {})
    wrong: list[Any] = [{"row": N, "mark": "keep"}, {"row": 1, "mark": "maybe"}, {"row": 1},
                        {"row": "1", "mark": "keep"}, {"row": 1, "label": "x" * 501},
                        {"row": 1, "mark": "keep", "label": "x"}]  # fmt: skip
    assert [ask(server, post, mark)[0] for mark in wrong] == [400] * 6
    kept = {"path": str(tmp_path / "marks.jsonl")}
    known = [{"row": 0, "mark": "drop"}, {"row": 3, "mark": "keep"}, {"row": 7, "label": "x"}]
    assert ask(server, post) == (200, {**kept, "marks": known})
    found = vicinal.select("d.jsonl", "s.jsonl", keep=5, marks=tmp_path / "marks.jsonl")
    assert found["kept"][3] and not found["kept"][0] and found["rule"][3] == "marks" and found["rank"][3] == 1
    assert found.unusable == {0: "marked drop"} and found.labels == {7: "x"}
    file = tmp_path / "marks.jsonl"
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    with vicinal.explore("run", marks=file, port=0) as again:  # which begins with what is there
        assert ask(again, token(again) + "marks")[1]["marks"] == known
        assert ask(again, token(again) + "marks", {"row": 9, "mark": "drop"}) == (200, {"mark": "drop"})
    assert [json.loads(line).get("row") for line in file.read_text().splitlines()][-2:] == [5, 9]


def test_select_honours_marks(work: Workplace) -> None:
    assert work.score("-o", "s.jsonl").code == 0
    work.lines("m.jsonl", [{"id": 20, "mark": "keep"}, {"id": "30", "mark": "drop"}, {"id": 40, "mark": "keep"},
                           {"id": 40, "mark": None}, {"id": 50, "label": "odd"}])  # fmt: skip
    command = ["select", "data.jsonl", "s.jsonl", "--keep", "4", "--marks", "m.jsonl", "-o", "chosen.jsonl"]
    assert work(*command).code == 0
    plain = vicinal.select("data.jsonl", "s.jsonl", keep=29).rows.tolist()
    best = vicinal.select("data.jsonl", "s.jsonl", keep=6)
    order = [int(row) for row in np.argsort(np.where(best["rank"] < 0, 99, best["rank"]), kind="stable")]
    expected = sorted([2, *[row for row in order if row not in (2, 3)][:3]])
    found = vicinal.select("data.jsonl", "s.jsonl", keep=4, marks="m.jsonl")
    assert found.rows.tolist() == expected and len(plain) == 29
    decisions = list(map(json.loads, Path("chosen.jsonl.decisions.jsonl").read_text().splitlines()))
    assert (
        decisions[2]["rule"] == "marks" and decisions[3]["reason"] == "marked drop" and decisions[5]["label"] == "odd"
    )
    marks = [{"id": 20, "mark": "keep"}]
    alone = vicinal.select("data.jsonl", keep=1, strategy="random", marks=marks)
    assert alone.rows.tolist() == [2]
    vectors = work.vectors.copy()
    vectors[0] = vectors[2] + 0.0001  # the duplicate of a row that is marked keep is left out, though it is the first
    near = vicinal.select("data.jsonl", keep=29, strategy="random", embeddings=vectors, dedup=0.01, marks=marks)
    assert (near["rule"][2], near["rule"][0], near["because"][0]) == ("marks", "dedup", 2)


@pytest.mark.parametrize(
    ("records", "code", "said"),
    [
        ([{"id": 5, "mark": "keep"}], 3, "m.jsonl:1: there is no row of the id 5 in data.jsonl"),
        ([{"mark": "keep"}], 3, "m.jsonl:1: expected an id"),
        ([{"id": 10, "mark": "maybe"}], 3, 'm.jsonl:1: mark: expected "keep", "drop" or null, found \'maybe\''),
        ([{"id": 10, "note": 1}], 3, "m.jsonl:1: expected a mark or a label, found the fields id, note"),
        (
            [{"id": one, "mark": "keep"} for one in (0, 10, 20)],
            2,
            "--keep: 2 rows were requested, but 3 are marked keep",
        ),
    ],
)
def test_wrong_marks_are_refused(work: Workplace, records: list[dict[str, Any]], code: int, said: str) -> None:
    work.lines("m.jsonl", records)
    arguments = ("select", "data.jsonl", "--keep", 2, "--strategy", "random", "--marks", "m.jsonl", "-o", "c.jsonl")
    assert said in work.refuses(code, *arguments)


def test_marks_of_repeated_ids_name_the_row(work: Workplace) -> None:
    table = {"id": ["a", "a", "b"], "text": ["x", "y", "z"]}
    with pytest.raises(DataError, match=r"several rows of data have the id 'a'; give the number of the row as `row`"):
        vicinal.select(table, keep=1, strategy="random", marks=[{"id": "a", "mark": "keep"}])
    found = vicinal.select(table, keep=1, strategy="random", marks=[{"id": "a", "row": 1, "mark": "keep"}])
    assert found.rows.tolist() == [1]
    with pytest.raises(UsageError, match=r"^marks: expected a file or a list of records, got int"):
        vicinal.select(table, keep=1, strategy="random", marks=5)


def test_a_run_takes_the_place_of_its_scores(work: Workplace) -> None:
    assert work.score("--by", "mean,lof", "-k", 3, "--run", "run", "-o", "s.jsonl").code == 0
    by_run = vicinal.select("data.jsonl", "run", by="lof", keep=7)
    assert by_run.rows.tolist() == vicinal.select("data.jsonl", "s.jsonl", by="lof", keep=7).rows.tolist()
    where = "lof > 1.1 and text ilike '%TEXT 1%'"
    kept = vicinal.filter("data.jsonl", where, "run").rows.tolist()
    assert kept and kept == vicinal.filter("data.jsonl", where, "s.jsonl").rows.tolist()
    work.lines("other.jsonl", [{"id": one, "text": "another"} for one in work.ids])
    with pytest.raises(DataError, match=r"the run is of .*data\.jsonl, and other\.jsonl is another file; score it"):
        vicinal.filter("other.jsonl", "lof > 1", "run")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"port": 70000}, "port: expected 0 to 65535, got 70000"),
        ({"port": "x"}, "port: expected a whole number above 0, or 0 for any that is free"),
        ({"host": "a/b"}, "host: expected the name or number of an address"),
        ({"host": "203.0.113.7"}, "port: 203.0.113.7:0 cannot be listened at"),
        ({"marks": "m.txt"}, "marks: expected a name that ends in .jsonl"),
        ({"marks": "none/m.jsonl"}, "its folder does not exist"),
    ],
)
def test_what_cannot_be_served_is_refused(run: Path, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        vicinal.explore(run, **{"port": 0, **arguments})


def started(driver: Playwright) -> Browser:
    """Debian's browser."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])


def test_the_page_searches_and_marks(server: Explorer, tmp_path: Path) -> None:
    with sync_playwright() as driver:
        browser = started(driver)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text))
        page.goto(server.url)
        page.wait_for_selector("html[data-ready]", state="attached")
        page.fill("#ask", "bread with butter")
        page.wait_for_selector(".list .row")
        rows = page.evaluate("[...document.querySelectorAll('.list .row')].map((one) => Number(one.dataset.row))")
        assert len(rows) == N and all(row % 4 == 1 for row in rows[:10])
        page.click(".list .row")
        page.click("#sample [data-mark=keep]")
        page.wait_for_selector("#marked [data-marked=keep]")
        page.fill("#mark-label", "tasty")
        page.keyboard.press("Enter")
        page.wait_for_selector("#marked [data-marked=label]")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("x")
        page.wait_for_selector("#marked [data-marked=drop]")
        browser.close()
    lines = list(map(json.loads, (tmp_path / "marks.jsonl").read_text().splitlines()))
    same = {"id": f"id{rows[0]}", "row": rows[0]}
    assert lines == [{**same, "mark": "keep"}, {**same, "label": "tasty"}, {**same, "mark": "drop"}] and wrong == []

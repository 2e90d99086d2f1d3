"""A collection of texts: additions, replacements, removals, filters, folders; the faces are tested apart."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicinal import Collection
from vicinal.errors import DataError, MissingExtra, UsageError


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
    assert {hit.id for hit in animals.rank(["p", "r"], 1)} == {"q"}
    with pytest.raises(DataError, match="positives: not in the index: 'zz'"):
        animals.rank(["zz"])


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

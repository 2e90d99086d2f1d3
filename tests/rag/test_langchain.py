"""langchain's own tests of a vector store and of a retriever, and what they leave out."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests

from vicinal.retrieval.langchain import SVMRetriever, VicinalVectorStore

TEXTS = ["a cat", "a lion", "a stone", "a river", "a hill"]


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Any:
        return VicinalVectorStore(self.get_embeddings())


class TestVectorStoreOnAGraph(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Any:
        return VicinalVectorStore(self.get_embeddings(), type="hnsw")


def filled(**others: Any) -> VicinalVectorStore:
    notes = [{"kind": "animal" if i < 2 else "thing", "n": i} for i in range(5)]
    return VicinalVectorStore.from_texts(TEXTS, DeterministicFakeEmbedding(size=16), notes, ids=list("abcde"), **others)


class TestSVMRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> Any:
        return SVMRetriever

    @property
    def retriever_constructor_params(self) -> dict:
        return {"store": filled(), "k": 3}

    @property
    def retriever_query_example(self) -> str:
        return "a cat"


class TestVectorStoreRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> Any:
        return lambda k=3, **others: filled().as_retriever(search_kwargs={"k": k})

    @property
    def retriever_constructor_params(self) -> dict:
        return {}

    @property
    def retriever_query_example(self) -> str:
        return "a cat"


def test_the_nearest_text_is_itself_with_filters_scores_and_folders(tmp_path: Path) -> None:
    store = filled()
    ((found, distance),) = store.similarity_search_with_score("a lion", k=1)
    assert found == Document(id="b", page_content="a lion", metadata={"kind": "animal", "n": 1})
    assert distance == pytest.approx(0, abs=1e-7)
    assert store.similarity_search_with_relevance_scores("a lion", k=1)[0][1] == pytest.approx(1)
    for given in ("kind = 'thing'", {"kind": "thing"}, lambda note: note["kind"] == "thing"):
        assert {one.id for one in store.similarity_search("a lion", k=9, filter=given)} == {"c", "d", "e"}
    assert store.svm_search("a lion", k=1)[0].id == "b"
    assert len(store.as_retriever(search_type="similarity", search_kwargs={"k": 2}).invoke("a hill")) == 2
    store.save_local(tmp_path / "store")
    again = VicinalVectorStore.load_local(tmp_path / "store", DeterministicFakeEmbedding(size=16))
    assert again.similarity_search("a hill", k=3) == store.similarity_search("a hill", k=3)

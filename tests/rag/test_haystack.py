"""haystack's own tests of a document store, and a pipeline with its retriever."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.testing.document_store import DocumentStoreBaseTests

from vicinal.retrieval.haystack import VicinalDocumentStore, embedding_retriever

VECTORS = np.random.default_rng(0).normal(size=(20, 8))


class TestDocumentStore(DocumentStoreBaseTests):
    @pytest.fixture
    def document_store(self) -> Any:
        return VicinalDocumentStore()

    def test_write_documents(self, document_store: Any) -> None:
        assert document_store.write_documents([Document(content="one")]) == 1
        with pytest.raises(Exception, match="already exists"):
            document_store.write_documents([Document(content="one")])


@pytest.fixture
def store() -> VicinalDocumentStore:
    made = VicinalDocumentStore()
    made.write_documents(
        [Document(id=str(i), content=f"text {i}", meta={"n": i}, embedding=VECTORS[i].tolist()) for i in range(20)]
    )
    return made


def test_retrieval_with_filters_folders_and_a_pipeline(store: VicinalDocumentStore, tmp_path: Path) -> None:
    query = VECTORS[4].tolist()
    found = store.embedding_retrieval(query, top_k=3)
    assert found[0].id == "4" and found[0].score == pytest.approx(1) and found[0].embedding == query
    odd = {"field": "meta.n", "operator": "in", "value": [1, 3, 5]}
    assert {one.id for one in store.embedding_retrieval(query, odd)} == {"1", "3", "5"}
    store.save(tmp_path / "documents.jsonl")
    again = VicinalDocumentStore.from_dict(store.to_dict())
    assert again.load(tmp_path / "documents.jsonl") == 20
    assert again.embedding_retrieval(query) == store.embedding_retrieval(query)
    pipeline = Pipeline()
    pipeline.add_component("retriever", embedding_retriever()(document_store=store, top_k=2))
    answer = pipeline.run({"retriever": {"query_embedding": query}})
    assert [one.id for one in answer["retriever"]["documents"]] == [one.id for one in found[:2]]

"""haystack's own tests of a document store, its in-memory store beside ours, and pipelines with the retriever."""

import asyncio
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document, Pipeline
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy
from haystack.errors import FilterError
from haystack.testing.document_store import (
    DeleteAllTest,
    DeleteByFilterTest,
    DocumentStoreBaseTests,
    UpdateByFilterTest,
)

from vicinal.errors import UsageError
from vicinal.retrieval.haystack import VicinalDocumentStore, VicinalEmbeddingRetriever, embedding_retriever

VECTORS = np.random.default_rng(0).normal(size=(20, 8))


class TestDocumentStore(DocumentStoreBaseTests, DeleteAllTest, DeleteByFilterTest, UpdateByFilterTest):
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
    assert embedding_retriever() is VicinalEmbeddingRetriever


@pytest.mark.parametrize(("metric", "theirs"), [("cosine", "cosine"), ("inner_product", "dot_product")])
@pytest.mark.parametrize("scale_score", [False, True])
def test_scores_are_those_of_the_store_in_memory(metric: Any, theirs: Any, scale_score: bool) -> None:
    memory, ours = InMemoryDocumentStore(embedding_similarity_function=theirs), VicinalDocumentStore(metric)
    for one in (memory, ours):
        one.write_documents([Document(id=str(i), meta={"n": i}, embedding=VECTORS[i].tolist()) for i in range(20)])
    where = {"field": "meta.n", "operator": ">", "value": 3}
    for filters in (None, where):
        query = VECTORS[4].tolist()
        truth = memory.embedding_retrieval(query, filters, 7, scale_score)
        found = ours.embedding_retrieval(query, filters, 7, scale_score, return_embedding=False)
        assert [one.id for one in found] == [one.id for one in truth] and all(one.embedding is None for one in found)
        assert [one.score for one in found] == pytest.approx([one.score for one in truth], abs=1e-6)
        assert asyncio.run(ours.embedding_retrieval_async(query, filters, 7, scale_score, False)) == found
    assert ours.embedding_retrieval(VECTORS[4].tolist(), top_k=0) == []
    with pytest.raises(UsageError, match="top_k: expected a whole number of at least 0"):
        ours.embedding_retrieval(VECTORS[4].tolist(), top_k=-1)


LOAD = """
import sys
from haystack import Pipeline
text, query = sys.stdin.read(), [float(one) for one in sys.argv[2].split()]
allowed = {"allowed_modules": ["vicinal.*"]} if "allowed_modules" in Pipeline.loads.__annotations__ else {}
pipeline = Pipeline.loads(text, **allowed)
retriever = pipeline.get_component("retriever")
retriever.document_store.load(sys.argv[1])
print(retriever.document_store.metric, retriever.document_store.parameters, retriever.filter_policy.value)
print([one.id for one in pipeline.run({"retriever": {"query_embedding": query}})["retriever"]["documents"]])
"""


def test_a_pipeline_saved_as_yaml_is_loaded_in_a_new_process(tmp_path: Path) -> None:
    store = VicinalDocumentStore("euclidean", "hnsw", M=8)
    store.write_documents([Document(id=str(i), meta={"n": i}, embedding=VECTORS[i].tolist()) for i in range(20)])
    store.save(tmp_path / "documents.jsonl")
    where = {"field": "meta.n", "operator": "<", "value": 9}
    pipeline = Pipeline()
    pipeline.add_component("retriever", VicinalEmbeddingRetriever(store, where, top_k=3, filter_policy="merge"))
    query = VECTORS[4].tolist()
    expected = [one.id for one in pipeline.run({"retriever": {"query_embedding": query}})["retriever"]["documents"]]
    arguments = [str(tmp_path / "documents.jsonl"), " ".join(map(str, query))]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *arguments], input=pipeline.dumps(), text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["euclidean {'M': 8} merge", str(expected)] and expected[0] == "4"


def test_the_retriever_merges_filters_and_runs_in_an_asynchronous_pipeline(store: VicinalDocumentStore) -> None:
    small, odd = (
        {"field": "meta.n", "operator": "<", "value": 6},
        {"field": "id", "operator": "in", "value": ["1", "3", "5", "7"]},
    )
    query = VECTORS[4].tolist()
    for policy, expected in (("merge", {"1", "3", "5"}), ("replace", {"1", "3", "5", "7"})):
        retriever = VicinalEmbeddingRetriever(store, small, filter_policy=policy, return_embedding=False)
        found = retriever.run(query, odd)["documents"]
        assert {one.id for one in found} == expected and found[0].embedding is None
        assert asyncio.run(retriever.run_async(query, odd))["documents"] == found
    pipeline = Pipeline()
    pipeline.add_component("retriever", VicinalEmbeddingRetriever(store, top_k=2, scale_score=True))
    answer = asyncio.run(pipeline.run_async({"retriever": {"query_embedding": query}}))
    assert answer["retriever"]["documents"][0].score == pytest.approx(1)
    with pytest.raises(UsageError, match="top_k: expected a whole number above 0, got 0"):
        VicinalEmbeddingRetriever(store, top_k=0)


def test_a_document_whose_value_does_not_compare_does_not_match() -> None:
    store = VicinalDocumentStore()
    values = [3, "three", None, 5.5, "2024-05-01", ["x"]]
    store.write_documents([Document(id=str(i), meta={"m": one}, embedding=[1.0, i]) for i, one in enumerate(values)])

    def found(operator: str, value: Any) -> set[str]:
        leaf = {"field": "meta.m", "operator": operator, "value": value}
        ids = {one.id for one in store.filter_documents(leaf)}
        assert {one.id for one in store.embedding_retrieval([1.0, 0.0], leaf)} == ids
        negated = store.filter_documents({"operator": "NOT", "conditions": [leaf]})
        assert {one.id for one in negated} == set("012345") - ids
        either = {"operator": "OR", "conditions": [leaf, {"field": "meta.m", "operator": "==", "value": "three"}]}
        assert {one.id for one in store.filter_documents(either)} == ids | {"1"}
        return ids

    assert found(">", 2) == {"0", "3"} and found("<=", 3) == {"0"} and found(">", "2024-01-01") == {"4"}
    assert found("in", [3, "three"]) == {"0", "1"}
    for value in ("three", [1]):  # no document at all can be compared with these
        with pytest.raises(FilterError):
            store.filter_documents({"field": "meta.m", "operator": ">", "value": value})


def test_a_write_is_one_step_and_a_string_is_one_id() -> None:
    store = VicinalDocumentStore()
    store.write_documents([Document(id=name, embedding=[1.0, 2.0]) for name in ("d", "o", "do")])
    store.delete_documents("do")  # type: ignore[arg-type]
    assert [one.id for one in store.filter_documents()] == ["d", "o"]
    for wrong, error in (
        ([Document(id="new"), Document(id="d")], DuplicateDocumentError),
        ([Document(id="new", embedding=[1.0, 2.0]), Document(id="zero", embedding=[0.0, 0.0])], ValueError),
    ):
        with pytest.raises(error):
            store.write_documents(wrong)
        assert [one.id for one in store.filter_documents()] == ["d", "o"]
        assert len(store.embedding_retrieval([1.0, 2.0])) == 2
    store.write_documents([Document(id="d")], DuplicatePolicy.OVERWRITE)
    assert [one.id for one in store.embedding_retrieval([1.0, 2.0])] == ["o"]
    again = pickle.loads(pickle.dumps(store))
    assert again.embedding_retrieval([1.0, 2.0]) == store.embedding_retrieval([1.0, 2.0])


@pytest.mark.parametrize("door", ["threads", "async"])
def test_writes_at_once_lose_and_mix_nothing(door: str) -> None:
    vectors = np.random.default_rng(1).normal(size=(200, 8))
    documents = [Document(id=str(i), content=f"text {i}", embedding=vectors[i].tolist()) for i in range(200)]
    parts, store = [documents[start : start + 5] for start in range(0, 200, 5)], VicinalDocumentStore()
    if door == "threads":
        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(store.write_documents, parts)) == 200
    else:

        async def every() -> None:
            searches = (store.embedding_retrieval_async(vectors[0].tolist()) for _ in parts)
            await asyncio.gather(*map(store.write_documents_async, parts), *searches)
            assert await store.count_documents_async() == 200
            await store.delete_documents_async(["0"])
            assert await store.update_by_filter_async({"field": "id", "operator": "==", "value": "1"}, {"n": 1}) == 1
            one = {"field": "meta.n", "operator": "==", "value": 1}
            assert await store.count_documents_by_filter_async(one) == 1
            assert [found.id for found in await store.filter_documents_async(one)] == ["1"]
            assert await store.delete_by_filter_async(one) == 1
            await store.write_documents_async(documents[:2])

        asyncio.run(every())
    for i, one in enumerate(documents):
        (found,) = store.embedding_retrieval(vectors[i].tolist(), top_k=1)
        assert (found.id, found.content) == (one.id, one.content)
    asyncio.run(store.delete_all_documents_async())
    assert store.count_documents() == 0 and store.embedding_retrieval(vectors[0].tolist()) == []

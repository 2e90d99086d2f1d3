"""llama-index's vector store: every operation and filter, and an index of llama-index built on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.simple import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from vicinal.errors import UsageError
from vicinal.retrieval.llama_index import VicinalVectorStore

VECTORS = np.random.default_rng(0).normal(size=(40, 8))


def nodes() -> list[TextNode]:
    return [
        TextNode(
            id_=f"node {i}",
            text=f"text {i}",
            embedding=VECTORS[i].tolist(),
            metadata={"n": i, "kind": "ab"[i % 2], "tags": ["x", "y"][: i % 3]},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"document {i % 4}")},
        )
        for i in range(40)
    ]


@pytest.fixture(params=["exact", "hnsw"])
def store(request: pytest.FixtureRequest) -> VicinalVectorStore:
    made = VicinalVectorStore(index_type=request.param)
    assert made.add(nodes()) == [f"node {i}" for i in range(40)]
    return made


def asked(store: Any, **others: Any) -> Any:
    return store.query(VectorStoreQuery(query_embedding=VECTORS[7].tolist(), similarity_top_k=10, **others))


FILTERS = [
    MetadataFilter(key="kind", value="a"),
    MetadataFilter(key="kind", value="a", operator=FilterOperator.NE),
    MetadataFilter(key="n", value=20, operator=FilterOperator.GT),
    MetadataFilter(key="n", value=20, operator=FilterOperator.LTE),
    MetadataFilter(key="n", value=[1, 2, 3], operator=FilterOperator.IN),
    MetadataFilter(key="n", value=[1, 2, 3], operator=FilterOperator.NIN),
    MetadataFilter(key="tags", value="x", operator=FilterOperator.CONTAINS),
    MetadataFilter(key="tags", value=["x", "y"], operator=FilterOperator.ALL),
    MetadataFilter(key="none", value=None, operator=FilterOperator.IS_EMPTY),
]


@pytest.mark.parametrize("one", FILTERS, ids=lambda one: f"{one.key} {one.operator.value}")
def test_filters_find_what_llama_indexs_own_store_finds(store: VicinalVectorStore, one: MetadataFilter) -> None:
    simple = SimpleVectorStore()
    simple.add(nodes())
    for condition in (FilterCondition.AND, FilterCondition.OR):
        filters = MetadataFilters(filters=[one, MetadataFilter(key="n", value=5, operator=FilterOperator.GTE)])
        filters.condition = condition
        ours, theirs = asked(store, filters=filters), asked(simple, filters=filters)
        assert ours.ids == theirs.ids and ours.similarities == pytest.approx(theirs.similarities, abs=1e-6)


def test_nodes_come_back_whole(store: VicinalVectorStore) -> None:
    found = asked(store)
    assert found.ids[0] == "node 7" and found.similarities[0] == pytest.approx(1)
    (node,) = store.get_nodes(["node 7"])
    original = nodes()[7]
    for one in (found.nodes[0], node):
        assert (one.node_id, one.text, one.metadata, one.ref_doc_id) == (
            original.node_id,
            original.text,
            original.metadata,
            original.ref_doc_id,
        )


def test_nodes_are_removed_by_document_by_id_and_by_filter(store: VicinalVectorStore) -> None:
    store.delete("document 3")
    assert len(store.client) == 30 and "node 7" not in asked(store).ids
    store.delete_nodes(["node 0", "node 1"])
    store.delete_nodes(filters=MetadataFilters(filters=[MetadataFilter(key="kind", value="a")]))
    assert {one.metadata["kind"] for one in store.get_nodes()} == {"b"}
    assert asked(store, node_ids=["node 5"]).ids == ["node 5"]
    assert set(asked(store, doc_ids=["document 1"]).ids) <= {f"node {i}" for i in range(1, 40, 4)}
    store.clear()
    assert asked(store).ids == [] and store.get_nodes() == []


def test_an_svm_ranks_too_and_other_modes_are_refused(store: VicinalVectorStore) -> None:
    assert asked(store, mode=VectorStoreQueryMode.SVM).ids[0] == "node 7"
    with pytest.raises(UsageError, match="mode: 'mmr' is not supported"):
        asked(store, mode=VectorStoreQueryMode.MMR)


def test_a_folder_holds_it(store: VicinalVectorStore, tmp_path: Path) -> None:
    store.persist(str(tmp_path / "store"))
    assert asked(VicinalVectorStore.from_persist_path(tmp_path / "store")).ids == asked(store).ids


def test_an_index_of_llama_index_is_built_on_it() -> None:
    store = VicinalVectorStore()
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes(), storage_context=context, embed_model=MockEmbedding(embed_dim=8))
    assert len(index.as_retriever(similarity_top_k=3).retrieve("anything")) == 3

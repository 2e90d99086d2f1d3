"""llama-index's vector store: every operation and filter, and an index of llama-index built on it."""

import asyncio
import pickle
from concurrent.futures import ThreadPoolExecutor
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


def unit_nodes() -> list[TextNode]:
    made = nodes()
    for node in made:
        vector = np.array(node.embedding)
        node.embedding = (vector / np.linalg.norm(vector)).tolist()
    return made


@pytest.mark.parametrize(
    "others", [{}, {"filters": MetadataFilters(filters=[FILTERS[0]])}, {"node_ids": ["node 3", "node 9"]}]
)
def test_an_svm_ranks_as_llama_indexs_own_store(others: dict[str, Any]) -> None:
    # Whole-number ids and vectors are told apart by argument; their store does not scale vectors to length 1.
    store, simple = VicinalVectorStore(), SimpleVectorStore()
    store.add(unit_nodes())
    simple.add(unit_nodes())
    query = {"query_embedding": unit_nodes()[7].embedding, "similarity_top_k": 10, "mode": VectorStoreQueryMode.SVM}
    ours, theirs = (one.query(VectorStoreQuery(**query, **others)) for one in (store, simple))
    assert ours.ids == theirs.ids and len(ours.ids) > 1
    assert ours.similarities == pytest.approx(list(theirs.similarities), abs=1e-4)
    whole = store.query(
        VectorStoreQuery(query_embedding=[1] + [0] * 7, similarity_top_k=3, mode=VectorStoreQueryMode.SVM)
    )
    assert len(whole.ids) == 3


def test_marginal_relevance_chooses_among_all_that_match(store: VicinalVectorStore) -> None:
    simple = SimpleVectorStore()
    simple.add(nodes())
    for threshold in (0.2, 0.9):
        for others in ({}, {"filters": MetadataFilters(filters=[FILTERS[0]])}):
            query = VectorStoreQuery(
                query_embedding=VECTORS[7].tolist(), similarity_top_k=2, mode=VectorStoreQueryMode.MMR, **others
            )
            # Of more than two, their store compares with the one before alone, and not with all that are chosen.
            found = store.query(query, mmr_threshold=threshold)
            assert found.ids == simple.query(query, mmr_threshold=threshold).ids
            query.mmr_threshold = threshold
            assert store.query(query).ids == found.ids
    assert found.similarities[0] == pytest.approx(asked(store, filters=query.filters).similarities[0])


@pytest.mark.parametrize("mode", ["linear_regression", "logistic_regression", "hybrid", "sparse", "semantic_hybrid"])
def test_other_modes_and_arguments_are_refused_by_name(store: VicinalVectorStore, mode: str) -> None:
    with pytest.raises(UsageError, match=f"mode: '{mode}' is not supported; choose from default, svm, mmr"):
        asked(store, mode=VectorStoreQueryMode(mode))
    with pytest.raises(UsageError, match="query: alpha is of no mode that is supported"):
        asked(store, alpha=0.5)
    query = VectorStoreQuery(query_embedding=VECTORS[7].tolist())
    for call, said in (
        (lambda: store.query(query, mmr_treshold=0.5), "query: unknown argument 'mmr_treshold': did you mean 'mmr_thr"),
        (lambda: store.add(nodes(), batch=3), "add: unknown argument 'batch': it takes no others"),
        (lambda: store.delete("document 1", nodes=[]), "delete: unknown argument 'nodes'"),
        (lambda: store.delete_nodes(), "delete_nodes: expected node_ids or filters"),
        (lambda: store.query(VectorStoreQuery(query_str="a")), "query: expected an embedding, found none"),
    ):
        with pytest.raises(UsageError, match=said):
            call()


def test_nothing_named_is_nothing_found_and_nothing_removed(store: VicinalVectorStore) -> None:
    simple = SimpleVectorStore()
    orphan = TextNode(id_="orphan", text="no document", embedding=VECTORS[7].tolist())
    for one in (store, simple):
        one.add([*nodes(), orphan])
        one.delete(None)  # type: ignore[arg-type]
        one.delete_nodes([])
        one.delete("absent")
        assert one.query(VectorStoreQuery(query_embedding=VECTORS[7].tolist(), node_ids=[])).ids == []
    assert len(store.client) == len(simple.data.embedding_dict) == 41
    assert (
        store.get_nodes([]) == [] and asked(store, doc_ids=[]).ids == [] and asked(store, node_ids=["none"]).ids == []
    )
    # The retriever of an index passes an empty list beside the text, and means all nodes.
    assert len(asked(store, node_ids=[], query_str="text").ids) == 10
    name: Any = "orphan"
    assert asked(store, node_ids=name).ids == [name] and store.get_nodes(name)[0].ref_doc_id is None
    store.delete_nodes(name)
    assert len(store.client) == 40, "a string is one id"


MIXED = [3, "three", None, 5.5, ["x"], True]


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (FilterOperator.GT, 2, {0, 3}),
        (FilterOperator.LTE, 3, {0, 5}),
        (FilterOperator.GTE, "a", {1}),
        (FilterOperator.CONTAINS, "x", {4}),
        (FilterOperator.ALL, ["x"], {4}),
        (FilterOperator.TEXT_MATCH, "hre", {1}),
        (FilterOperator.IN, ["three", "x"], {1}),
        (FilterOperator.NE, 3, {1, 2, 3, 4, 5}),
    ],
)
def test_a_node_whose_value_does_not_compare_does_not_match(operator: Any, value: Any, expected: set[int]) -> None:
    store = VicinalVectorStore()
    store.add([TextNode(id_=f"{i}", text="a", embedding=[1.0, i], metadata={"m": one}) for i, one in enumerate(MIXED)])
    one = MetadataFilter(key="m", value=value, operator=operator)
    filters = MetadataFilters(filters=[one])
    found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=9, filters=filters))
    assert {int(name) for name in found.ids} == expected
    within = MetadataFilters(
        filters=[MetadataFilters(filters=[filters], condition=FilterCondition.NOT), one], condition="or"
    )
    assert len(store.get_nodes(filters=within)) == len(MIXED), "filters may hold filters"
    nested = MetadataFilters(filters=[MetadataFilters(filters=[filters], condition=FilterCondition.NOT)])
    assert {int(node.node_id) for node in store.get_nodes(filters=nested)} == set(range(len(MIXED))) - expected


def test_filters_that_no_node_can_match_are_refused(store: VicinalVectorStore) -> None:
    for operator, value in ((FilterOperator.IN, 3), (FilterOperator.ANY, "x"), (FilterOperator.TEXT_MATCH, 3)):
        one = MetadataFilter(key="n", value=value, operator=operator)
        with pytest.raises(UsageError, match=f"filters: n {operator.value}: expected a"):
            asked(store, filters=MetadataFilters(filters=[one]))


@pytest.mark.parametrize("door", ["threads", "async"])
def test_additions_at_once_lose_and_mix_nothing(door: str) -> None:
    store, made = VicinalVectorStore(), nodes()
    parts = [made[start : start + 4] for start in range(0, 40, 4)]
    if door == "threads":
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(store.add, parts))
    else:

        async def every() -> None:
            query = VectorStoreQuery(query_embedding=VECTORS[7].tolist())
            await asyncio.gather(*map(store.async_add, parts), *(store.aquery(query) for _ in parts))
            assert [one.node_id for one in await store.aget_nodes(["node 8"])] == ["node 8"]

        asyncio.run(every())
    assert len(store.client) == 40
    for i, node in enumerate(made):
        found = store.query(VectorStoreQuery(query_embedding=VECTORS[i].tolist()))
        assert found.ids == [node.node_id] and found.nodes[0].text == node.text
        assert found.nodes[0].metadata == node.metadata and found.nodes[0].ref_doc_id == node.ref_doc_id

    async def emptied() -> None:
        await store.adelete("document 1")
        await store.adelete_nodes(["node 0"])
        assert len(store.client) == 29
        await store.aclear()

    asyncio.run(emptied())
    assert len(store.client) == 0


def test_a_store_can_be_pickled(store: VicinalVectorStore) -> None:
    again = pickle.loads(pickle.dumps(store))
    assert asked(again).ids == asked(store).ids


def test_a_folder_holds_it(store: VicinalVectorStore, tmp_path: Path) -> None:
    store.persist(str(tmp_path / "store"))
    assert asked(VicinalVectorStore.from_persist_path(tmp_path / "store")).ids == asked(store).ids


def test_an_index_of_llama_index_is_built_on_it() -> None:
    store = VicinalVectorStore()
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex(nodes(), storage_context=context, embed_model=MockEmbedding(embed_dim=8))
    assert len(index.as_retriever(similarity_top_k=3).retrieve("anything")) == 3
    assert len(asyncio.run(index.as_retriever(similarity_top_k=3).aretrieve("anything"))) == 3
    varied = index.as_retriever(vector_store_query_mode="mmr", vector_store_kwargs={"mmr_threshold": 0.2})
    assert len(varied.retrieve("anything")) == 2
    index.delete_ref_doc("document 3", delete_from_docstore=True)
    assert len(store.client) == 30

"""langchain's FAISS store beside ours: the same documents and scores, and what each refuses."""

import asyncio
import inspect
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings

from vicinal import Collection
from vicinal.errors import DataError, UsageError
from vicinal.retrieval.langchain import SVMRetriever, VicinalVectorStore

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # langchain-community says that it is no longer developed
    from langchain_community.retrievers import SVMRetriever as TheirSVMRetriever
    from langchain_community.vectorstores import FAISS

N, DIM = 60, 12
EMBEDDINGS = DeterministicFakeEmbedding(size=DIM)
TEXTS = [f"text {i}" for i in range(N)]
NOTES: list[dict[str, Any]] = [
    {"n": i, "kind": "abc"[i % 3], "tags": ["x", "y"][: i % 3]} | ({"odd": True} if i % 2 else {}) for i in range(N)
]
IDS = [f"id {i}" for i in range(N)]
QUERY = "a question"


@pytest.fixture(scope="module")
def theirs() -> Any:
    return FAISS.from_texts(TEXTS, EMBEDDINGS, NOTES, IDS)


@pytest.fixture
def ours() -> VicinalVectorStore:
    return VicinalVectorStore.from_texts(TEXTS, EMBEDDINGS, NOTES, IDS, metric="sqeuclidean")


def same(ours: Any, theirs: Any) -> None:
    assert [one for one, _ in ours] == [one for one, _ in theirs] and len(ours) > 0
    assert [far for _, far in ours] == pytest.approx([far for _, far in theirs], rel=1e-5)


FILTERS: list[Any] = [
    {"kind": "a"},
    {"kind": ["a", "c"], "odd": True},
    {"kind": {"$in": ["a", "b"]}, "n": {"$gt": 10, "$lte": 40}},
    {"n": {"$nin": list(range(0, 40))}},
    {"n": {"$gte": 20, "$lt": 30}},
    {"kind": {"$neq": "a"}},
    {"kind": {"$eq": "b"}},
    {"odd": {"$neq": True}},
    {"odd": None},
    {"absent": {"$nin": [1]}},
    {"$and": [{"kind": "a"}, {"n": {"$gt": 30}}]},
    {"$or": [{"kind": "a"}, {"n": {"$lt": 5}}]},
    {"$not": {"kind": "a"}},
    {"$or": [{"$and": [{"kind": "a"}, {"odd": True}]}, {"n": 4}]},
    {"tags": {"$eq": ["x"]}},
    {},
    lambda note: note["n"] % 7 == 0,
]


@pytest.mark.parametrize("given", FILTERS, ids=str)
def test_filters_find_what_the_faiss_store_finds(ours: Any, theirs: Any, given: Any) -> None:
    same(
        ours.similarity_search_with_score(QUERY, k=5, filter=given),
        theirs.similarity_search_with_score(QUERY, k=5, filter=given, fetch_k=N),
    )
    same(
        ours.max_marginal_relevance_search_with_score_by_vector(EMBEDDINGS.embed_query(QUERY), k=3, fetch_k=N),
        theirs.max_marginal_relevance_search_with_score_by_vector(EMBEDDINGS.embed_query(QUERY), k=3, fetch_k=N),
    )
    assert ours.max_marginal_relevance_search(QUERY, 4, N, 0.3, given) == theirs.max_marginal_relevance_search(
        QUERY, 4, N, 0.3, given
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": {"$gtt": 3}}, r"n: unknown operator '\$gtt': did you mean '\$gt'"),
        ({"$nor": []}, r"unknown operator '\$nor'"),
        ({"$gt": 3}, "it stands within a key"),
        ({"deep": {"a": 1}}, r"unknown operator 'a'.*compared by \{'\$eq'"),
        ({"n": {}}, "expected an operator, found an empty mapping"),
        ({"n": {"$in": 3}}, r"\$in: expected a list of values, found 3"),
        ({"$and": {"n": 1}}, r"\$and: expected a list of filters"),
        ({"$not": [1]}, r"\$not: expected one filter"),
        (3, "expected a mapping, a function of the metadata, an expression or ids, got int"),
    ],
)
def test_filters_that_mean_nothing_are_refused(ours: Any, given: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"filter: .*{said}"):
        ours.similarity_search(QUERY, filter=given)


def test_all_keys_of_a_filter_hold_and_values_that_do_not_compare_do_not_match(ours: Any) -> None:
    # The FAISS store looks at "$and" alone in the first, and raises TypeError in the second.
    found = ours.similarity_search(QUERY, k=N, filter={"$or": [{"kind": "a"}, {"kind": "b"}], "n": {"$lt": 6}})
    assert {one.metadata["n"] for one in found} == {0, 1, 3, 4}
    ours.add_texts(["mixed", "none"], [{"n": "many"}, {"kind": "d"}], ids=["mixed", "none"])
    assert {one.id for one in ours.similarity_search(QUERY, k=N, filter={"n": {"$gt": 57}})} == {"id 58", "id 59"}
    assert {one.id for one in ours.similarity_search(QUERY, k=N, filter="n > 57")} == {"id 58", "id 59"}
    assert [one.id for one in ours.similarity_search(QUERY, k=N, filter={"n": {"$gte": "m"}})] == ["mixed"]
    assert ours.similarity_search(QUERY, k=1, filter={"kind": "d", "deep": {"$eq": None}})[0].id == "none"
    assert len(ours.similarity_search(QUERY, k=2, filter={"n": {"$lt": 2}}, fetch_k=1)) == 2, "a filter is exact"


def test_score_threshold_leaves_out_what_is_farther(ours: Any, theirs: Any) -> None:
    for threshold in (10.0, 14.0, 1e9):
        ours_found = ours.similarity_search_with_score(QUERY, k=20, score_threshold=threshold)
        assert all(far <= threshold for _, far in ours_found)
        assert [one.id for one, _ in ours_found] == [
            one.id for one, _ in theirs.similarity_search_with_score(QUERY, k=20, score_threshold=threshold)
        ]
    assert ours.similarity_search(QUERY, k=20, score_threshold=1e-9) == []
    cosine = VicinalVectorStore.from_texts(TEXTS, EMBEDDINGS, NOTES, IDS)
    scored = cosine.similarity_search_with_relevance_scores(TEXTS[3], k=9, score_threshold=0.5)
    assert scored[0][0].id == "id 3" and all(score >= 0.5 for _, score in scored) and 0 < len(scored) < 9
    retriever = cosine.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.99})
    assert [one.id for one in retriever.invoke(TEXTS[3])] == ["id 3"]
    own = VicinalVectorStore.from_texts(TEXTS, EMBEDDINGS, relevance_score_fn=lambda far: 1 / (1 + 10 * far))
    assert own.similarity_search_with_relevance_scores(TEXTS[3], k=1)[0][1] == pytest.approx(1)


def test_marginal_relevance_by_every_door(ours: Any, theirs: Any) -> None:
    vector = EMBEDDINGS.embed_query(QUERY)
    for lambda_mult in (0.0, 0.25, 0.5, 1.0):
        arguments: dict[str, Any] = {"k": 6, "fetch_k": 25, "lambda_mult": lambda_mult}
        truth = theirs.max_marginal_relevance_search(QUERY, **arguments)
        assert ours.max_marginal_relevance_search(QUERY, **arguments) == truth
        assert ours.max_marginal_relevance_search_by_vector(vector, **arguments) == truth
        scored = ours.max_marginal_relevance_search_with_score_by_vector(vector, **arguments)
        same(scored, theirs.max_marginal_relevance_search_with_score_by_vector(vector, **arguments))
        assert ours.as_retriever(search_type="mmr", search_kwargs=arguments).invoke(QUERY) == truth
    # With a filter, the FAISS store gives the distances of other documents; ours are the documents' own.
    for one, far in ours.max_marginal_relevance_search_with_score_by_vector(vector, k=3, filter={"kind": "b"}):
        assert far == pytest.approx(float(np.sum((np.array(EMBEDDINGS.embed_query(one.page_content)) - vector) ** 2)))


def test_asynchronous_methods_give_what_the_others_give(ours: Any) -> None:
    vector = EMBEDDINGS.embed_query(QUERY)
    where = {"kind": ["a", "b"]}
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("similarity_search", (QUERY, 3), {"filter": where, "score_threshold": 30.0}),
        ("similarity_search_with_score", (QUERY, 3), {"filter": where}),
        ("similarity_search_by_vector", (vector, 3), {"filter": where}),
        ("similarity_search_with_score_by_vector", (vector, 3), {"filter": where}),
        ("max_marginal_relevance_search", (QUERY, 3), {"lambda_mult": 0.2, "filter": where}),
        ("max_marginal_relevance_search_by_vector", (vector, 3), {"lambda_mult": 0.2, "filter": where}),
        ("max_marginal_relevance_search_with_score_by_vector", (vector,), {"k": 3, "filter": where}),
        ("get_by_ids", (["id 3", "absent"],), {}),
    ]

    async def both() -> None:
        for name, arguments, named in calls:
            found = await getattr(ours, "a" + name)(*arguments, **named)
            assert found == getattr(ours, name)(*arguments, **named) and found, name
        texts = await VicinalVectorStore.afrom_texts(TEXTS, EMBEDDINGS, NOTES, IDS, metric="sqeuclidean")
        pairs = zip(TEXTS, EMBEDDINGS.embed_documents(TEXTS), strict=True)
        vectors = await VicinalVectorStore.afrom_embeddings(pairs, EMBEDDINGS, NOTES, IDS, metric="sqeuclidean")
        documents = [Document(id=IDS[i], page_content=TEXTS[i], metadata=NOTES[i]) for i in range(N)]
        third = await VicinalVectorStore.afrom_documents(documents, EMBEDDINGS, metric="sqeuclidean")
        for store in (texts, vectors, third):
            found = await store.asimilarity_search_with_score(QUERY, 5)
            assert found == ours.similarity_search_with_score(QUERY, 5)
        assert await ours.adelete(["id 0"]) and ours.get_by_ids(["id 0"]) == []
        relevant = await texts.asimilarity_search_with_relevance_scores(TEXTS[3], k=1, score_threshold=0.5)
        assert relevant[0][0].id == "id 3"

    asyncio.run(both())


def test_unknown_arguments_are_refused_by_name(ours: Any) -> None:
    vector = EMBEDDINGS.embed_query(QUERY)
    for call in (
        lambda: ours.similarity_search(QUERY, filters={"kind": "a"}),
        lambda: ours.similarity_search_by_vector(vector, filters={"kind": "a"}),
        lambda: ours.max_marginal_relevance_search(QUERY, filters={"kind": "a"}),
        lambda: asyncio.run(ours.asimilarity_search(QUERY, filters={"kind": "a"})),
        lambda: asyncio.run(ours.amax_marginal_relevance_search_by_vector(vector, filters={"kind": "a"})),
        lambda: ours.as_retriever(search_kwargs={"filters": {}}).invoke(QUERY),
        lambda: ours.similarity_search_with_relevance_scores(QUERY, filters={}),
    ):
        with pytest.raises(UsageError, match="unknown argument 'filters': did you mean 'filter'"):
            call()
    for call, said in (
        (lambda: ours.add_texts(["a"], metadata=[{}]), "add_texts: unknown argument 'metadata'"),
        (lambda: ours.delete(where="x"), "delete: unknown argument 'where'"),
        (lambda: VicinalVectorStore(EMBEDDINGS, distance_strategy="COSINE"), 'distance_strategy: .* give metric="eu'),
        (lambda: VicinalVectorStore.from_texts(["a"], EMBEDDINGS, normalize_L2=True), 'normalize_L2: .*"cosine"'),
        (lambda: VicinalVectorStore(EMBEDDINGS, type="hnsw", m=3), "HNSW: unknown parameter 'm'"),
        (lambda: ours.save_local("x", "other"), "index_name: found 'other'"),
        (lambda: VicinalVectorStore.load_local("x", EMBEDDINGS, "other"), "index_name: found 'other'"),
        (lambda: VicinalVectorStore.load_local("x", EMBEDDINGS, metric="l2"), "load_local: unknown argument 'metric'"),
    ):
        with pytest.raises(UsageError, match=said):
            call()


def test_every_method_of_the_faiss_store_is_there_with_its_arguments() -> None:
    ours_alone = {"self", "cls", "args", "kwargs"}
    not_here = {"io_flags"}  # of FAISS's file reader
    for name, method in inspect.getmembers(FAISS, callable):
        if name.startswith("_") or name not in vars(FAISS):
            continue
        expected = set(inspect.signature(method).parameters) - ours_alone - not_here
        assert expected <= set(inspect.signature(getattr(VicinalVectorStore, name)).parameters), name


def test_stores_are_made_of_vectors_merged_saved_and_packed(ours: Any, tmp_path: Path) -> None:
    pairs = list(zip(TEXTS, EMBEDDINGS.embed_documents(TEXTS), strict=True))
    half = VicinalVectorStore.from_embeddings(pairs[:30], EMBEDDINGS, NOTES[:30], IDS[:30], metric="sqeuclidean")
    rest = VicinalVectorStore.from_embeddings(pairs[30:50], EMBEDDINGS, NOTES[30:50], IDS[30:50], metric="l2")
    assert rest.add_embeddings(pairs[50:], NOTES[50:], IDS[50:]) == IDS[50:]
    half.merge_from(rest)
    truth = ours.similarity_search_with_score(QUERY, 9)
    assert half.similarity_search_with_score(QUERY, 9) == truth and len(rest.collection) == 30
    with pytest.raises(UsageError, match="ids that are in both"):
        half.merge_from(rest)
    assert len(half.collection) == N
    half.save_local(tmp_path / "store")
    with pytest.raises(UsageError, match="exists already"):
        half.save_local(tmp_path / "store")
    half.save_local(tmp_path / "store", overwrite=True)
    packed = half.serialize_to_bytes()
    for again in (
        VicinalVectorStore.load_local(tmp_path / "store", EMBEDDINGS, allow_dangerous_deserialization=True),
        VicinalVectorStore.deserialize_from_bytes(packed, EMBEDDINGS, allow_dangerous_deserialization=True),
        pickle.loads(pickle.dumps(half)),
    ):
        assert again.similarity_search_with_score(QUERY, 9) == truth
        again.add_texts(["new"], ids=["new"])
        assert again.similarity_search("new", 1)[0].id == "new"
    for wrong in (b"", b"PK", packed[:200], packed[:-300] + packed[-299:]):
        with pytest.raises(DataError):
            VicinalVectorStore.deserialize_from_bytes(wrong, EMBEDDINGS)


def test_a_collection_keeps_its_own_metric() -> None:
    made = Collection(None, "l2")
    store = VicinalVectorStore(EMBEDDINGS, made)
    store.add_texts(TEXTS, ids=IDS)
    ((_, score),) = store.similarity_search_with_relevance_scores(QUERY, k=1)
    assert score == pytest.approx(1 / (1 + store.similarity_search_with_score(QUERY, k=1)[0][1]))
    assert VicinalVectorStore(EMBEDDINGS, made, "euclidean").collection is made
    for arguments, said in (
        ({"metric": "manhattan"}, "metric"),
        ({"metric": "cosine"}, "metric"),
        ({"type": "hnsw", "M": 8}, "M, type"),
    ):
        with pytest.raises(UsageError, match=f"it has its own metric, type and parameters; leave out {said}"):
            VicinalVectorStore(EMBEDDINGS, made, **arguments)


def test_a_string_is_one_id_and_texts_come_in_batches(ours: Any) -> None:
    asked: list[int] = []

    class Counting(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            asked.append(len(texts))
            return EMBEDDINGS.embed_documents(texts)

        def embed_query(self, text: str) -> list[float]:
            return EMBEDDINGS.embed_query(text)

    store = VicinalVectorStore(Counting())
    documents = [
        Document(page_content=text, id=name) for text, name in zip("wxyz?", ["d", "o", "do", "a", "b"], strict=True)
    ]
    assert store.add_documents(documents, batch_size=2) == ["d", "o", "do", "a", "b"] and asked == [2, 2, 1]
    one: Any = "do"
    assert store.delete(one) and store.collection.ids == ["d", "o", "a", "b"]
    assert [one.id for one in store.get_by_ids("d")] == ["d"]
    assert asyncio.run(store.adelete("d")) and store.collection.ids == ["o", "a", "b"]
    assert store.delete() and len(store.collection) == 0, "without ids all are removed, as langchain's contract says"


@pytest.mark.parametrize("door", ["threads", "async"])
def test_additions_at_once_lose_and_mix_nothing(door: str) -> None:
    store = VicinalVectorStore(EMBEDDINGS)
    parts = [[f"text {part} {i}" for i in range(10)] for part in range(40)]

    def names(part: list[str]) -> list[str]:
        return [text.replace("text", "id") for text in part]

    if door == "threads":
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda part: store.add_texts(part, [{"of": text} for text in part], names(part)), parts))
    else:

        async def every() -> None:
            adding = [store.aadd_texts(part, [{"of": text} for text in part], names(part)) for part in parts]
            await asyncio.gather(*adding, *(store.asimilarity_search(part[0], 3) for part in parts))

        asyncio.run(every())
    assert len(store.collection) == 400
    for text in (text for part in parts for text in part):
        (found,) = store.similarity_search(text, 1)
        assert found == Document(id=text.replace("text", "id"), page_content=text, metadata={"of": text})


def test_the_svm_retriever_filters_and_takes_a_threshold() -> None:
    theirs = TheirSVMRetriever.from_texts(TEXTS, EMBEDDINGS, NOTES, k=9)
    # Their classifier sees the vectors as they are, ours under euclidean too.
    made = VicinalVectorStore.from_texts(TEXTS, EMBEDDINGS, NOTES, metric="euclidean")
    ours = SVMRetriever(store=made, k=9)
    for threshold in (None, 0.3, 0.6, 0.9):
        theirs.relevancy_threshold = threshold
        found = ours.invoke(QUERY, relevancy_threshold=threshold)
        assert [one.page_content for one in found] == [one.page_content for one in theirs.invoke(QUERY)]
        assert found == SVMRetriever(store=made, k=9, relevancy_threshold=threshold).invoke(QUERY)
        assert found == asyncio.run(ours.ainvoke(QUERY, relevancy_threshold=threshold))
    chosen = [i for i in range(N) if NOTES[i]["kind"] == "a"]
    alone = TheirSVMRetriever.from_texts([TEXTS[i] for i in chosen], EMBEDDINGS, k=5)
    found = ours.invoke(QUERY, filter={"kind": "a"}, k=5)
    assert [one.page_content for one in found] == [one.page_content for one in alone.invoke(QUERY)]
    assert found == SVMRetriever(store=made, k=5, filter="kind = 'a'").invoke(QUERY)
    with pytest.raises(UsageError, match="SVMRetriever: unknown argument 'filters': did you mean 'filter'"):
        ours.invoke(QUERY, filters={})
    texts = SVMRetriever.from_texts(TEXTS, EMBEDDINGS, NOTES, k=2)
    documents = SVMRetriever.from_documents([Document(page_content=text) for text in TEXTS], EMBEDDINGS, k=2)
    assert [one.page_content for one in texts.invoke(QUERY)] == [one.page_content for one in documents.invoke(QUERY)]

"""langchain-ydb: every strategy, with an index and without, against a search in float64."""

import hashlib
from typing import Any

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_ydb.vectorstores import YDB, AsyncYDB, YDBSearchStrategy, YDBSettings

WORDS = [f"text {number}" for number in range(40)]


class Hashed(Embeddings):
    """Eight numbers of a text's hash."""

    def embed_query(self, text: str) -> list[float]:
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        return [float(one) for one in np.random.default_rng(seed).normal(size=8).astype(np.float32)]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(one) for one in texts]


def nearest(query: str, strategy: str, count: int) -> list[str]:
    """The texts in the order of the strategy, by float64."""
    vectors = np.array(Hashed().embed_documents(WORDS), np.float64)
    target = np.array(Hashed().embed_query(query), np.float64)
    products = vectors @ target
    cosines = products / np.linalg.norm(vectors, axis=1) / np.linalg.norm(target)
    score = {
        "InnerProductSimilarity": -products,
        "CosineSimilarity": -cosines,
        "CosineDistance": -cosines,
        "ManhattanDistance": np.abs(vectors - target).sum(axis=1),
        "EuclideanDistance": np.linalg.norm(vectors - target, axis=1),
    }[strategy]
    return [WORDS[one] for one in np.argsort(score, kind="stable")[:count]]


def settings(port: int, name: str, **given: Any) -> YDBSettings:
    return YDBSettings(port=port, table=name, drop_existing_table=True, **given)


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("strategy", list(YDBSearchStrategy))
def test_every_strategy_finds_the_nearest(port: int, strategy: Any, as_bytes: bool, index: bool) -> None:
    given = settings(port, "lc", strategy=str(strategy), vector_pass_as_bytes=as_bytes, index_enabled=index)
    given.index_config_levels, given.index_config_clusters, given.index_tree_search_top_size = 1, 4, 4
    store = YDB.from_texts(WORDS, Hashed(), metadatas=[{"parity": n % 2, "n": str(n)} for n in range(40)], config=given)
    found = [one.page_content for one in store.similarity_search("a question", k=5)]
    assert found == nearest("a question", str(strategy), 5)
    if index:
        with pytest.raises(ValueError, match="Unable to use filter"):  # langchain-ydb's own
            store.similarity_search("a question", k=3, filter={"parity": 1})
        store.drop()
        return
    odd = store.similarity_search("a question", k=3, filter={"parity": 1})
    assert [one.page_content for one in odd] == [
        one for one in nearest("a question", str(strategy), 40) if int(one.split()[1]) % 2
    ][:3]
    store.drop()


def test_documents_are_added_found_and_deleted(port: int) -> None:
    store = YDB(Hashed(), settings(port, "lc_changes"))
    ids = store.add_texts(WORDS[:5], metadatas=[{"n": str(n)} for n in range(5)])
    assert [one.metadata["n"] for one in store.get_by_ids(ids[:2])] == ["0", "1"]
    assert store.similarity_search_with_score(WORDS[3], k=1)[0][0].page_content == WORDS[3]
    store.delete([ids[3]])
    assert WORDS[3] not in [one.page_content for one in store.similarity_search(WORDS[3], k=5)]
    store.delete()
    assert store.similarity_search("x", k=5) == []
    store.drop()


async def test_the_store_with_asyncio(port: int) -> None:
    store = await AsyncYDB.afrom_texts(WORDS, Hashed(), config=settings(port, "lc_async"))
    found = await store.asimilarity_search("a question", k=4)
    assert [one.page_content for one in found] == nearest("a question", "CosineSimilarity", 4)
    await store.adrop()

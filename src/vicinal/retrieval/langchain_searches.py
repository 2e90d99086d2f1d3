"""The searches of langchain's VectorStore on a `Collection`, with a thread or without: `langchain.py` is the store."""

from collections.abc import Sequence
from typing import Any

from vicinal.retrieval import similarity
from vicinal.retrieval.arguments import refuse
from vicinal.retrieval.collection import Collection, Hit
from vicinal.retrieval.operators import as_where

try:
    from langchain_core.documents import Document
    from langchain_core.runnables.config import run_in_executor
    from langchain_core.vectorstores import VectorStore
except (
    ModuleNotFoundError
) as missing:  # the error comes when a store is made; the module itself imports without the extra
    if not (missing.name or "").startswith("langchain_core"):
        raise
    VectorStore = Document = object
    run_in_executor = None


class Searches(VectorStore):
    """Every search of langchain; a subclass gives the collection, and what embeds and rates."""

    collection: Collection
    _embedding: Any
    _metric: str
    _relevance_score_fn: Any

    def get_by_ids(self, ids: Sequence[str], /) -> list[Any]:
        """The documents of these ids; those that are not there are passed over."""
        return [document_of(hit) for hit in self.collection.get(ids)]

    def similarity_search(self, query: str, k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any) -> Any:
        """The k documents nearest to a text."""
        return _first(self.similarity_search_with_score(query, k, filter, fetch_k, **kwargs))

    async def asimilarity_search(
        self, query: str, k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any
    ) -> Any:
        """The k documents nearest to a text."""
        return _first(await self.asimilarity_search_with_score(query, k, filter, fetch_k, **kwargs))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """The k documents nearest to a text, each with its distance: smaller is closer."""
        vector = self._embedding.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector, k, filter, fetch_k, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """The k documents nearest to a text, each with its distance: smaller is closer."""
        vector = await self._embedding.aembed_query(query)
        return await self.asimilarity_search_with_score_by_vector(vector, k, filter, fetch_k, **kwargs)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any
    ) -> list[Any]:
        """The k documents nearest to a vector."""
        return _first(self.similarity_search_with_score_by_vector(embedding, k, filter, fetch_k, **kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any
    ) -> list[Any]:
        """The k documents nearest to a vector."""
        return _first(await self.asimilarity_search_with_score_by_vector(embedding, k, filter, fetch_k, **kwargs))

    def similarity_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        filter: Any = None,
        fetch_k: int = 20,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> list[tuple[Any, float]]:
        """The k documents nearest to a vector, each with its distance, none beyond `score_threshold`."""
        refuse("similarity_search", kwargs, "k", "filter", "fetch_k", "score_threshold")
        hits = self.collection.search(embedding, k, as_where(filter))
        farthest = float("inf") if score_threshold is None else score_threshold
        return [(document_of(hit), hit.distance) for hit in hits if hit.distance <= farthest]

    async def asimilarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Any = None, fetch_k: int = 20, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """The k documents nearest to a vector, each with its distance, none beyond `score_threshold`."""
        found: list[tuple[Any, float]] = await run_in_executor(
            None, self.similarity_search_with_score_by_vector, embedding, k, filter, fetch_k, **kwargs
        )
        return found

    def _select_relevance_score_fn(self) -> Any:
        if self._relevance_score_fn is not None:
            return self._relevance_score_fn
        return lambda distance: similarity(distance, self._metric)

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, filter: Any = None, **kwargs: Any
    ) -> list[Any]:
        """k of the `fetch_k` documents nearest to a text: `Collection.max_marginal_relevance`."""
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, filter: Any = None, **kwargs: Any
    ) -> list[Any]:
        """k of the `fetch_k` documents nearest to a text: `Collection.max_marginal_relevance`."""
        vector = await self._embedding.aembed_query(query)
        return await self.amax_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Any = None,
        **kwargs: Any,
    ) -> list[Any]:
        """k of the `fetch_k` documents nearest to a vector: `Collection.max_marginal_relevance`."""
        refuse("max_marginal_relevance_search", kwargs, "k", "fetch_k", "lambda_mult", "filter")
        return _first(
            self.max_marginal_relevance_search_with_score_by_vector(
                embedding, k=k, fetch_k=fetch_k, lambda_mult=lambda_mult, filter=filter
            )
        )

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Any = None,
        **kwargs: Any,
    ) -> list[Any]:
        """k of the `fetch_k` documents nearest to a vector: `Collection.max_marginal_relevance`."""
        found: list[Any] = await run_in_executor(
            None, self.max_marginal_relevance_search_by_vector, embedding, k, fetch_k, lambda_mult, filter, **kwargs
        )
        return found

    def max_marginal_relevance_search_with_score_by_vector(
        self, embedding: list[float], *, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, filter: Any = None
    ) -> list[tuple[Any, float]]:
        """The same documents, each with its distance to the vector."""
        where = as_where(filter)
        hits = self.collection.max_marginal_relevance(embedding, k, fetch_k, lambda_mult, where)
        return [(document_of(hit), hit.distance) for hit in hits]

    async def amax_marginal_relevance_search_with_score_by_vector(
        self, embedding: list[float], *, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, filter: Any = None
    ) -> list[tuple[Any, float]]:
        """The same documents, each with its distance to the vector."""
        found: list[tuple[Any, float]] = await run_in_executor(
            None,
            self.max_marginal_relevance_search_with_score_by_vector,
            embedding,
            k=k,
            fetch_k=fetch_k,
            lambda_mult=lambda_mult,
            filter=filter,
        )
        return found

    def svm_search(
        self,
        query: str,
        k: int = 4,
        C: float = 0.1,  # noqa: N803
        filter: Any = None,
        relevancy_threshold: float | None = None,
    ) -> list[Any]:
        """The k documents that an exemplar SVM of a text ranks highest: `Collection.rank`."""
        vector = self._embedding.embed_query(query)
        hits = self.collection.rank(vectors=vector, k=k, C=C, where=as_where(filter), threshold=relevancy_threshold)
        return [document_of(hit) for hit in hits]


def document_of(hit: Hit) -> Any:
    """A result as a Document."""
    return Document(id=str(hit.id), page_content=hit.text, metadata=hit.metadata)


def _first(found: list[tuple[Any, float]]) -> list[Any]:
    return [document for document, _ in found]

"""langchain's VectorStore and retrievers on a `Collection` (the extra `langchain`).

store = VicinalVectorStore(embeddings)
store.add_documents(documents)
store.as_retriever(search_kwargs={"k": 4, "filter": "year > 2000"})
SVMRetriever(store=store, k=4)
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vicinal.errors import need
from vicinal.retrieval import similarity
from vicinal.retrieval.collection import Collection, Hit
from vicinal.typing import MetricName

try:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.vectorstores import VectorStore
except (
    ModuleNotFoundError
) as missing:  # the error comes when a store is made; the module itself imports without the extra
    if not (missing.name or "").startswith("langchain_core"):
        raise
    BaseRetriever = VectorStore = Document = object


class VicinalVectorStore(VectorStore):
    """A vector store of langchain.

    embedding  : langchain's Embeddings
    collection : one that is there already; its embedder is replaced by `embedding`
    metric, type, parameters : as for `Collection`
    A `filter` of a search is an expression over the metadata, a function metadata -> bool, or a mapping of values that
    must be equal.
    """

    def __init__(
        self,
        embedding: Any,
        collection: Collection | None = None,
        metric: MetricName = "cosine",
        type: str = "auto",
        **parameters: Any,
    ) -> None:
        need("langchain_core", extra="langchain")
        self._embedding = embedding
        self.collection = Collection(None, metric, type, **parameters) if collection is None else collection
        self.collection.embed = embedding.embed_documents
        self._metric = metric if self.collection.index is None else self.collection.index.metric.name

    @property
    def embeddings(self) -> Any:
        """What embeds texts."""
        return self._embedding

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "VicinalVectorStore":
        """A store of these texts."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds texts; one whose id is there already is replaced. Returns the ids."""
        return [str(one) for one in self.collection.add(texts, metadatas, ids)]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Removes documents by id, all of them without; ids that are not there are passed over."""
        self.collection.delete(self.collection.ids if ids is None else ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Any]:
        """The documents of these ids; those that are not there are passed over."""
        return [_document(hit) for hit in self.collection.get(ids)]

    def similarity_search(self, query: str, k: int = 4, filter: Any = None, **kwargs: Any) -> list[Any]:
        """The k documents nearest to a text."""
        return [found for found, _ in self.similarity_search_with_score(query, k, filter)]

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: Any = None, **kwargs: Any
    ) -> list[tuple[Any, float]]:
        """The k documents nearest to a text, each with its distance: smaller is closer."""
        return self.similarity_search_with_score_by_vector(self._embedding.embed_query(query), k, filter)

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Any = None, **kwargs: Any
    ) -> list[Any]:
        """The k documents nearest to a vector."""
        return [found for found, _ in self.similarity_search_with_score_by_vector(embedding, k, filter)]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int = 4, filter: Any = None
    ) -> list[tuple[Any, float]]:
        """The k documents nearest to a vector, each with its distance."""
        hits = self.collection.search(embedding, k, _where(filter))
        return [(_document(hit), hit.distance) for hit in hits]

    def svm_search(self, query: str, k: int = 4, C: float = 0.1) -> list[Any]:  # noqa: N803
        """The k documents that an exemplar SVM of a text ranks highest."""
        return [_document(hit) for hit in self.collection.rank(self._embedding.embed_query(query), k, C)]

    def save_local(self, folder: str | Path, overwrite: bool = False) -> None:
        """Writes the folder of an index."""
        self.collection.save(folder, overwrite)

    @classmethod
    def load_local(cls, folder: str | Path, embedding: Any) -> "VicinalVectorStore":
        """The store that `save_local` wrote."""
        return cls(embedding, Collection.load(folder))

    def _select_relevance_score_fn(self) -> Any:
        return lambda distance: similarity(distance, self._metric)


class SVMRetriever(BaseRetriever):
    """A retriever that ranks by an exemplar SVM: the query against all documents.

    store : a VicinalVectorStore
    k, C  : how many documents, and the weight of errors
    """

    store: Any
    k: int = 4
    C: float = 0.1

    def _get_relevant_documents(self, query: str, *, run_manager: Any = None, **kwargs: Any) -> list[Any]:
        found: list[Any] = self.store.svm_search(query, kwargs.get("k", self.k), self.C)
        return found


def _document(hit: Hit) -> Any:
    return Document(id=str(hit.id), page_content=hit.text, metadata=hit.metadata)


def _where(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return lambda metadata: all(name in metadata and metadata[name] == value for name, value in given.items())

"""langchain's VectorStore and retrievers on a `Collection` (the extra `langchain`).

store = VicinalVectorStore(embeddings)
store.add_documents(documents)
store.as_retriever(search_kwargs={"k": 4, "filter": "year > 2000"})
store.as_retriever(search_type="mmr", search_kwargs={"k": 4, "lambda_mult": 0.3})
SVMRetriever(store=store, k=4)

The methods and arguments are those of langchain's FAISS store. An argument that has no meaning here is refused by name.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vicinal.errors import UsageError, need
from vicinal.retrieval import packed
from vicinal.retrieval.arguments import collection_of, refuse
from vicinal.retrieval.collection import Collection
from vicinal.retrieval.documents import Documents, checked
from vicinal.retrieval.langchain_searches import Searches
from vicinal.typing import MetricName

try:
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables.config import run_in_executor
except (
    ModuleNotFoundError
) as missing:  # the error comes when a store is made; the module itself imports without the extra
    if not (missing.name or "").startswith("langchain_core"):
        raise
    BaseRetriever = object
    run_in_executor = None

INSTEAD = {  # arguments of the FAISS store that have another name or no place here
    "distance_strategy": 'give metric="euclidean", "cosine" or "inner_product"',
    "normalize_L2": 'give metric="cosine"',
    "docstore": "the collection keeps the texts",
    "index_to_docstore_id": "the collection keeps the ids",
    "index": "give collection=",
    "embedding_function": "give embedding=",
}


class VicinalVectorStore(Searches):
    """A vector store of langchain.

    embedding          : langchain's Embeddings
    collection         : one that is there already; its embedder is replaced by `embedding`
    metric, type, parameters : as for `Collection`
    relevance_score_fn : distance -> relevance, in place of `vicinal.retrieval.similarity`

    A `filter` of a search is a mapping with the operators of langchain's FAISS store, an expression over the metadata,
    or a function metadata -> bool. It is exact: k documents are found wherever k match, so that `fetch_k` changes
    nothing but `max_marginal_relevance_search`. `score_threshold` is the largest distance that is returned, and for
    `similarity_search_with_relevance_scores` the least relevance.
    """

    def __init__(
        self,
        embedding: Any,
        collection: Collection | None = None,
        metric: MetricName | None = None,
        type: str = "auto",
        relevance_score_fn: Callable[[float], float] | None = None,
        **parameters: Any,
    ) -> None:
        need("langchain_core", extra="langchain")
        for name in parameters:
            if name in INSTEAD:
                raise UsageError(f"{name}: is not an argument of VicinalVectorStore; {INSTEAD[name]}")
        self._embedding = embedding
        self.collection = collection_of(collection, metric, type, parameters)
        self.collection.embed = embedding.embed_documents
        self._metric = self.collection.metric
        self._relevance_score_fn = relevance_score_fn

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
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "VicinalVectorStore":
        """A store of these texts."""
        store = cls(embedding, **kwargs)
        store.add_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Any,
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "VicinalVectorStore":
        """A store of these texts."""
        store = cls(embedding, **kwargs)
        await store.aadd_texts(texts, metadatas, ids=ids)
        return store

    @classmethod
    def from_embeddings(
        cls,
        text_embeddings: Iterable[tuple[str, list[float]]],
        embedding: Any,
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "VicinalVectorStore":
        """A store of pairs of a text and its vector."""
        store = cls(embedding, **kwargs)
        store.add_embeddings(text_embeddings, metadatas, ids)
        return store

    @classmethod
    async def afrom_embeddings(
        cls,
        text_embeddings: Iterable[tuple[str, list[float]]],
        embedding: Any,
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> "VicinalVectorStore":
        """A store of pairs of a text and its vector."""
        store: VicinalVectorStore = await run_in_executor(
            None, cls.from_embeddings, text_embeddings, embedding, metadatas, ids, **kwargs
        )
        return store

    # Changes

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds texts in one step, embedded in batches; one whose id is there already is replaced. Returns the ids."""
        refuse("add_texts", kwargs, "metadatas", "ids", "batch_size")
        given = checked(texts, metadatas, ids)
        vectors = [one for part in _batches(given.texts, batch_size) for one in self._embedding.embed_documents(part)]
        return self._add(given, vectors)

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds texts in one step, embedded in batches; one whose id is there already is replaced. Returns the ids."""
        refuse("aadd_texts", kwargs, "metadatas", "ids", "batch_size")
        given, vectors = checked(texts, metadatas, ids), []
        for part in _batches(given.texts, batch_size):
            vectors += await self._embedding.aembed_documents(part)
        added: list[str] = await run_in_executor(None, self._add, given, vectors)
        return added

    def add_embeddings(
        self,
        text_embeddings: Iterable[tuple[str, list[float]]],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Adds pairs of a text and its vector in one step. Returns the ids."""
        refuse("add_embeddings", kwargs, "metadatas", "ids")
        pairs = list(text_embeddings)
        return self._add(checked([text for text, _ in pairs], metadatas, ids), [vector for _, vector in pairs])

    def _add(self, given: Documents, vectors: list[list[float]]) -> list[str]:
        return [str(one) for one in self.collection.add(given.texts, given.metadata, given.ids, vectors)]

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool | None:
        """Removes documents by id, all of them without; ids that are not there are passed over."""
        refuse("delete", kwargs, "ids")
        with self.collection.changing:
            self.collection.delete(self.collection.ids if ids is None else ids)
        return True

    def merge_from(self, target: "VicinalVectorStore") -> None:
        """Adds all documents of another store in one step; ids that are in both are refused, and nothing is added."""
        self.collection.merge(target.collection)

    # On disk

    def save_local(self, folder_path: str | Path, index_name: str = "index", *, overwrite: bool = False) -> None:
        """Writes the folder of a collection."""
        _one_a_folder(index_name)
        self.collection.save(folder_path, overwrite)

    @classmethod
    def load_local(
        cls,
        folder_path: str | Path,
        embeddings: Any,
        index_name: str = "index",
        *,
        allow_dangerous_deserialization: bool = False,
        **kwargs: Any,
    ) -> "VicinalVectorStore":
        """The store that `save_local` wrote; nothing is unpickled, whatever the last argument allows."""
        _one_a_folder(index_name)
        arguments = _only_relevance("load_local", kwargs)
        return cls(embeddings, Collection.load(folder_path), **arguments)

    def serialize_to_bytes(self) -> bytes:
        """The store without its embeddings as bytes."""
        return packed.pack(self.collection)

    @classmethod
    def deserialize_from_bytes(
        cls, serialized: bytes, embeddings: Any, *, allow_dangerous_deserialization: bool = False, **kwargs: Any
    ) -> "VicinalVectorStore":
        """The store of these bytes; nothing is unpickled, with `allow_dangerous_deserialization` or without."""
        arguments = _only_relevance("deserialize_from_bytes", kwargs)
        return cls(embeddings, packed.unpack(serialized), **arguments)


class SVMRetriever(BaseRetriever):
    """A retriever that ranks by an exemplar SVM: the query against all documents.

    store  : a VicinalVectorStore
    k, C   : how many documents, and the weight of errors
    filter : as for a search of the store; documents that do not match are not ranked, and not learned from
    relevancy_threshold : leave out documents whose decision value, scaled to 0 for the lowest and 1 for the highest, is
                          below it
    """

    store: Any
    k: int = 4
    C: float = 0.1
    filter: Any = None
    relevancy_threshold: float | None = None

    @classmethod
    def from_texts(
        cls, texts: list[str], embeddings: Any, metadatas: list[dict[str, Any]] | None = None, **kwargs: Any
    ) -> "SVMRetriever":
        """A retriever over these texts; the other arguments are those of the retriever."""
        return cls(store=VicinalVectorStore.from_texts(texts, embeddings, metadatas), **kwargs)

    @classmethod
    def from_documents(cls, documents: Iterable[Any], embeddings: Any, **kwargs: Any) -> "SVMRetriever":
        """A retriever over these documents; the other arguments are those of the retriever."""
        return cls(store=VicinalVectorStore.from_documents(list(documents), embeddings), **kwargs)

    def _get_relevant_documents(self, query: str, *, run_manager: Any = None, **kwargs: Any) -> list[Any]:
        arguments = {"k": self.k, "C": self.C, "filter": self.filter, "relevancy_threshold": self.relevancy_threshold}
        unknown_here = {name: value for name, value in kwargs.items() if name not in arguments}
        refuse("SVMRetriever", unknown_here, *arguments)
        found: list[Any] = self.store.svm_search(query, **{**arguments, **kwargs})
        return found

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any = None, **kwargs: Any) -> list[Any]:
        found: list[Any] = await run_in_executor(None, self._get_relevant_documents, query, **kwargs)
        return found


def _batches(texts: list[str], size: int | None) -> Iterable[list[str]]:
    step = max(1, len(texts) if size is None else size)
    return [texts[start : start + step] for start in range(0, len(texts), step)]


def _only_relevance(method: str, arguments: dict[str, Any]) -> dict[str, Any]:
    refuse(method, {name: one for name, one in arguments.items() if name != "relevance_score_fn"}, "relevance_score_fn")
    return arguments


def _one_a_folder(index_name: str) -> None:
    if index_name != "index":
        raise UsageError(
            f"index_name: found {index_name!r}, but a folder holds one store; give each a folder of its own"
        )

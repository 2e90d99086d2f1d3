"""llama-index's vector store on a `Collection` (the extra `llama-index`).

store = VicinalVectorStore()
VectorStoreIndex.from_documents(documents, storage_context=StorageContext.from_defaults(vector_store=store))
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vicinal.errors import UsageError, need, unknown
from vicinal.retrieval import similarity
from vicinal.retrieval.arguments import collection_of, refuse
from vicinal.retrieval.collection import Collection
from vicinal.retrieval.documents import as_ids
from vicinal.typing import MetricName

try:
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.vector_stores.types import BasePydanticVectorStore
except (
    ModuleNotFoundError
) as missing:  # the error comes when a store is made; the module itself imports without the extra
    if not (missing.name or "").startswith("llama_index"):
        raise
    BasePydanticVectorStore = object
    PrivateAttr = lambda: None  # noqa: E731

REFERENCE = "ref_doc_id"
MODES = ("default", "svm", "mmr")
OF_OTHER_MODES = ("alpha", "sparse_top_k", "hybrid_top_k", "output_fields", "embedding_field")


class VicinalVectorStore(BasePydanticVectorStore):
    """A vector store of llama-index, which keeps the nodes' texts too.

    collection : one that is there already
    metric, index_type, parameters : as for `Collection`

    A query of mode "svm" ranks by an exemplar SVM of the nodes that its filters leave, one of mode "mmr" chooses among
    all of them by maximal marginal relevance (`mmr_threshold`: 0 for unlike each other, 1 for like the query). All
    filters of llama-index are supported; a node whose value cannot be compared does not match.

    An empty `node_ids` or `doc_ids` of a query finds nothing, as in SimpleVectorStore. The retrievers of an index are
    the exception: for stores that keep texts they always pass an empty `node_ids`, beside the text of the query, and
    mean all nodes.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False
    metric: str = "cosine"
    _collection: Collection = PrivateAttr()

    def __init__(
        self,
        collection: Collection | None = None,
        metric: MetricName | None = None,
        index_type: str = "auto",
        **parameters: Any,
    ) -> None:
        need("llama_index.core", extra="llama-index")
        made = collection_of(collection, metric, index_type, parameters)
        super().__init__(metric=made.metric)
        self._collection = made

    @classmethod
    def class_name(cls) -> str:
        """Its name among llama-index's classes."""
        return "VicinalVectorStore"

    @property
    def client(self) -> Collection:
        """The collection."""
        return self._collection

    # Changes

    def add(self, nodes: Sequence[Any], **kwargs: Any) -> list[str]:
        """Adds nodes with their embeddings in one step; one whose id is there already is replaced. Returns the ids."""
        from llama_index.core.vector_stores.utils import node_to_metadata_dict

        refuse("add", kwargs)
        nodes = list(nodes)
        notes = []
        for node in nodes:
            note = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
            notes.append({**note, REFERENCE: node.ref_doc_id})
        texts = [node.get_content(metadata_mode=_no_metadata()) for node in nodes]
        vectors = [node.get_embedding() for node in nodes]
        return [str(one) for one in self._collection.add(texts, notes, [node.node_id for node in nodes], vectors)]

    async def async_add(self, nodes: Sequence[Any], **kwargs: Any) -> list[str]:
        """As `add`, in a thread."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Removes the nodes of a document; None is no document, so that nodes without one stay."""
        refuse("delete", delete_kwargs)
        if ref_doc_id is not None:
            self._collection.delete(where=lambda note: note.get(REFERENCE) == ref_doc_id)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """As `delete`, in a thread."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    def delete_nodes(self, node_ids: list[str] | None = None, filters: Any = None, **delete_kwargs: Any) -> None:
        """Removes nodes by id, by a filter, or by both.

        Raises   UsageError where neither is given: `clear` removes all nodes
        """
        refuse("delete_nodes", delete_kwargs)
        if node_ids is None and filters is None:
            raise UsageError("delete_nodes: expected node_ids or filters, found neither; clear() removes all nodes")
        with self._collection.changing:
            self._collection.delete([hit.id for hit in self._matching(node_ids, filters)])

    async def adelete_nodes(self, node_ids: list[str] | None = None, filters: Any = None, **delete_kwargs: Any) -> None:
        """As `delete_nodes`, in a thread."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    def clear(self) -> None:
        """Removes all nodes."""
        with self._collection.changing:
            self._collection.delete(self._collection.ids)

    async def aclear(self) -> None:
        """As `clear`, in a thread."""
        await asyncio.to_thread(self.clear)

    # Questions

    def get_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[Any]:
        """Nodes by id, by a filter, or by both; without, all of them."""
        with self._collection.reading:
            return [_node(hit) for hit in self._matching(node_ids, filters)]

    async def aget_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[Any]:
        """As `get_nodes`, in a thread."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def query(self, query: Any, **kwargs: Any) -> Any:
        """The nodes nearest to a query's embedding, with their similarities."""
        from llama_index.core.vector_stores.types import VectorStoreQueryResult

        refuse("query", {name: one for name, one in kwargs.items() if name != "mmr_threshold"}, "mmr_threshold")
        if query.query_embedding is None:
            raise UsageError("query: expected an embedding, found none; use an index with an embed_model")
        given = [name for name in OF_OTHER_MODES if getattr(query, name, None) is not None]
        if given:
            raise UsageError(f"query: {given[0]} is of no mode that is supported ({', '.join(MODES)}); leave it out")
        threshold = query.mmr_threshold if kwargs.get("mmr_threshold") is None else kwargs["mmr_threshold"]
        with self._collection.reading:
            hits, scores = self._found(query, self._allowed(query), 0.5 if threshold is None else threshold)
        return VectorStoreQueryResult(
            nodes=[_node(hit) for hit in hits], similarities=scores, ids=[str(hit.id) for hit in hits]
        )

    async def aquery(self, query: Any, **kwargs: Any) -> Any:
        """As `query`, in a thread."""
        return await asyncio.to_thread(self.query, query, **kwargs)

    def _allowed(self, query: Any) -> list[Any] | None:
        """The ids of the nodes that a query may find; None for all."""
        node_ids = query.node_ids
        if node_ids is not None and not len(node_ids) and query.query_str is not None:
            node_ids = None  # of a retriever of an index
        if node_ids is None and query.filters is None and query.doc_ids is None:
            return None
        wanted = None if query.doc_ids is None else set(as_ids(query.doc_ids))
        matching = self._matching(node_ids, query.filters)
        return [hit.id for hit in matching if wanted is None or hit.metadata.get(REFERENCE) in wanted]

    def _found(self, query: Any, allowed: list[Any] | None, lambda_mult: float) -> tuple[list[Any], list[float]]:
        """Hits and scores of a query."""
        vector, k = query.query_embedding, query.similarity_top_k
        mode = getattr(query.mode, "value", query.mode)
        if mode not in MODES:
            raise UsageError(f"mode: {mode!r} is not supported; choose from {', '.join(MODES)}")
        if allowed is not None and not allowed:
            return [], []
        if mode == "svm":
            hits = self._collection.rank(vectors=vector, k=k, where=allowed)
            return hits, [-hit.distance for hit in hits]
        if mode == "mmr":
            every = max(1, len(self._collection))
            hits = self._collection.max_marginal_relevance(vector, k, every, lambda_mult, allowed)
        else:
            hits = self._collection.search(vector, k, allowed)
        return hits, [similarity(hit.distance, self.metric) for hit in hits]

    def _matching(self, node_ids: Sequence[str] | None, filters: Any) -> list[Any]:
        """The nodes of these ids that match a filter."""
        hits = (
            self._collection.documents() if node_ids is None else self._collection.get(dict.fromkeys(as_ids(node_ids)))
        )
        notes = {str(hit.id): hit.metadata for hit in hits}
        keep = _predicate(notes, filters)
        return [hit for hit in hits if keep(str(hit.id))]

    # On disk

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Writes the folder of a collection, in the place of one that is there."""
        _local(fs)
        self._collection.save(persist_path, overwrite=True)

    @classmethod
    def from_persist_path(cls, persist_path: str | Path, fs: Any = None) -> "VicinalVectorStore":
        """The store that `persist` wrote."""
        _local(fs)
        return cls(Collection.load(persist_path))


def _predicate(notes: dict[str, dict[str, Any]], filters: Any) -> Callable[[str], bool]:
    """A function of a node's id that says whether its metadata match; filters may hold filters."""
    from llama_index.core.vector_stores.types import MetadataFilters
    from llama_index.core.vector_stores.utils import build_metadata_filter_fn

    if filters is None or not filters.filters:
        return lambda _: True
    parts: list[Callable[[str], bool]] = []
    for one in filters.filters:
        if isinstance(one, MetadataFilters):
            parts.append(_predicate(notes, one))
        else:
            _check_value(one)
            parts.append(_that_compares(build_metadata_filter_fn(notes.__getitem__, MetadataFilters(filters=[one]))))
    condition = getattr(filters.condition, "value", filters.condition) or "and"
    if condition == "and":
        return lambda name: all(part(name) for part in parts)
    if condition == "or":
        return lambda name: any(part(name) for part in parts)
    if condition == "not":
        return lambda name: not any(part(name) for part in parts)
    raise UsageError(f"filters: {unknown('condition', condition, ('and', 'or', 'not'))}")


def _that_compares(keep: Callable[[str], bool]) -> Callable[[str], bool]:
    def holds(name: str) -> bool:
        try:
            return bool(keep(name))
        except TypeError:  # the node's value and the filter's cannot be compared
            return False

    return holds


def _check_value(one: Any) -> None:
    """Raise UsageError where no value of any node could be compared."""
    sign = one.operator.value
    if sign in ("in", "nin", "any", "all") and not isinstance(one.value, list | tuple | set):
        raise UsageError(f"filters: {one.key} {sign}: expected a list of values, found {one.value!r}")
    if sign.startswith("text_match") and not isinstance(one.value, str):
        raise UsageError(f"filters: {one.key} {sign}: expected a text, found {one.value!r}")


def _node(hit: Any) -> Any:
    from llama_index.core.vector_stores.utils import metadata_dict_to_node

    note = {name: value for name, value in hit.metadata.items() if name != REFERENCE}
    return metadata_dict_to_node(note, text=hit.text)


def _no_metadata() -> Any:
    from llama_index.core.schema import MetadataMode

    return MetadataMode.NONE


def _local(fs: Any) -> None:
    """Raise UsageError for a file system that is not this machine's."""
    protocol = getattr(fs, "protocol", "file")
    if fs is not None and "file" not in (protocol if isinstance(protocol, tuple | list) else (protocol,)):
        raise UsageError(f"fs: found a file system of {protocol}, expected a local one; persist to a local folder")

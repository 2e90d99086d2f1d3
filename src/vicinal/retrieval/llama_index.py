"""llama-index's vector store on a `Collection` (the extra `llama-index`).

store = VicinalVectorStore()
VectorStoreIndex.from_documents(documents, storage_context=StorageContext.from_defaults(vector_store=store))
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vicinal.errors import UsageError, need
from vicinal.retrieval import similarity
from vicinal.retrieval.collection import Collection
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


class VicinalVectorStore(BasePydanticVectorStore):
    """A vector store of llama-index, which keeps the nodes' texts too.

    collection : one that is there already
    metric, index_type, parameters : as for `Collection`
    A query of mode "svm" ranks by an exemplar SVM. All filters of llama-index are supported.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False
    metric: str = "cosine"
    _collection: Collection = PrivateAttr()

    def __init__(
        self,
        collection: Collection | None = None,
        metric: MetricName = "cosine",
        index_type: str = "auto",
        **parameters: Any,
    ) -> None:
        need("llama_index.core", extra="llama-index")
        known = collection is not None and collection.index is not None
        super().__init__(metric=collection.index.metric.name if known else metric)  # type: ignore[union-attr]
        self._collection = collection if collection is not None else Collection(None, metric, index_type, **parameters)

    @classmethod
    def class_name(cls) -> str:
        """Its name among llama-index's classes."""
        return "VicinalVectorStore"

    @property
    def client(self) -> Collection:
        """The collection."""
        return self._collection

    def add(self, nodes: Sequence[Any], **kwargs: Any) -> list[str]:
        """Adds nodes with their embeddings; one whose id is there already is replaced. Returns the ids."""
        from llama_index.core.vector_stores.utils import node_to_metadata_dict

        if not nodes:
            return []
        notes = []
        for node in nodes:
            note = node_to_metadata_dict(node, remove_text=True, flat_metadata=False)
            notes.append({**note, REFERENCE: node.ref_doc_id})
        texts = [node.get_content(metadata_mode=_no_metadata()) for node in nodes]
        vectors = [node.get_embedding() for node in nodes]
        return [str(one) for one in self._collection.add(texts, notes, [node.node_id for node in nodes], vectors)]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Removes the nodes of a document."""
        hits = self._collection.documents(lambda note: note.get(REFERENCE) == ref_doc_id)
        self._collection.delete([hit.id for hit in hits])

    def delete_nodes(self, node_ids: list[str] | None = None, filters: Any = None, **delete_kwargs: Any) -> None:
        """Removes nodes by id, by a filter, or by both."""
        if node_ids is not None or filters is not None:
            self._collection.delete([hit.id for hit in self._matching(node_ids, filters)])

    def get_nodes(self, node_ids: list[str] | None = None, filters: Any = None) -> list[Any]:
        """Nodes by id, by a filter, or by both."""
        return [self._node(hit) for hit in self._matching(node_ids, filters)]

    def clear(self) -> None:
        """Removes all nodes."""
        self._collection.delete(self._collection.ids)

    def query(self, query: Any, **kwargs: Any) -> Any:
        """The nodes nearest to a query's embedding, with their similarities."""
        from llama_index.core.vector_stores.types import VectorStoreQueryMode, VectorStoreQueryResult

        if query.query_embedding is None:
            raise UsageError("query: expected an embedding, found none; use an index with an embed_model")
        allowed: list[Any] | None = None
        if query.filters is not None or query.node_ids or query.doc_ids:  # an empty list restricts nothing
            matching = self._matching(query.node_ids or None, query.filters)
            wanted = set(query.doc_ids) if query.doc_ids else None
            allowed = [hit.id for hit in matching if wanted is None or hit.metadata.get(REFERENCE) in wanted]
        if query.mode == VectorStoreQueryMode.SVM:
            everything = self._collection.rank(query.query_embedding, max(1, len(self._collection)))
            kept = None if allowed is None else set(allowed)
            hits = [hit for hit in everything if kept is None or hit.id in kept][: query.similarity_top_k]
            scores = [-hit.distance for hit in hits]
        elif query.mode == VectorStoreQueryMode.DEFAULT:
            nothing = allowed is not None and not allowed
            hits = [] if nothing else self._collection.search(query.query_embedding, query.similarity_top_k, allowed)
            scores = [similarity(hit.distance, self.metric) for hit in hits]
        else:
            raise UsageError(f"mode: {query.mode.value!r} is not supported; choose from default, svm")
        return VectorStoreQueryResult(
            nodes=[self._node(hit) for hit in hits], similarities=scores, ids=[str(hit.id) for hit in hits]
        )

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Writes the folder of an index, in the place of one that is there."""
        self._collection.save(persist_path, overwrite=True)

    @classmethod
    def from_persist_path(cls, persist_path: str | Path) -> "VicinalVectorStore":
        """The store that `persist` wrote."""
        return cls(Collection.load(persist_path))

    def _matching(self, node_ids: Sequence[str] | None, filters: Any) -> list[Any]:
        """The nodes of these ids that match a filter."""
        from llama_index.core.vector_stores.utils import build_metadata_filter_fn

        hits = self._collection.documents() if node_ids is None else self._collection.get(node_ids)
        notes = {str(hit.id): hit.metadata for hit in hits}
        keep = build_metadata_filter_fn(lambda name: notes[name], filters)
        return [hit for hit in hits if keep(str(hit.id))]

    def _node(self, hit: Any) -> Any:
        from llama_index.core.vector_stores.utils import metadata_dict_to_node

        note = {name: value for name, value in hit.metadata.items() if name != REFERENCE}
        return metadata_dict_to_node(note, text=hit.text)


def _no_metadata() -> Any:
    from llama_index.core.schema import MetadataMode

    return MetadataMode.NONE

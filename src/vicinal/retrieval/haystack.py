"""haystack's DocumentStore on a `Collection` (the extra `haystack`).

    store = VicinalDocumentStore()
    store.write_documents(documents)
    store.embedding_retrieval([0.1, 0.2, 0.3], top_k=5)
    pipeline.add_component("retriever", VicinalEmbeddingRetriever(store, top_k=5))

Documents without an embedding are kept and filtered, but no search finds them. A pipeline that was saved as YAML is
loaded by `Pipeline.load(file, allowed_modules=["vicinal.*"])`, for haystack imports no package that is not named there;
its store is empty until `load` fills it.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from vicinal.errors import DataError, UsageError, need
from vicinal.retrieval import similarity
from vicinal.retrieval.collection import Collection
from vicinal.retrieval.documents import as_ids
from vicinal.storage import atomic
from vicinal.typing import MetricName

try:
    from haystack import Document, component
except (
    ModuleNotFoundError
) as missing:  # the error comes when a store is made; the module itself imports without the extra
    if not (missing.name or "").startswith("haystack"):
        raise
    Document, component = object, None

ORDERED = (">", ">=", "<", "<=")
PRODUCT_SCALE = 100  # of scale_score, as in haystack's own store


class VicinalDocumentStore:
    """A document store of haystack; threads may share it, and each change is one step.

    metric, type, parameters : as for `Collection`
    """

    def __init__(self, metric: MetricName = "cosine", type: str = "auto", **parameters: Any) -> None:
        need("haystack", extra="haystack")
        self.metric, self.type, self.parameters = metric, type, parameters
        self._documents: dict[str, Any] = {}
        self._collection = Collection(None, metric, type, **parameters)

    def to_dict(self) -> dict[str, Any]:
        """How to make an empty store like this, for a pipeline's description."""
        from haystack import default_to_dict

        described: dict[str, Any] = default_to_dict(self, metric=self.metric, type=self.type, **self.parameters)
        return described

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "VicinalDocumentStore":
        """An empty store as described."""
        from haystack import default_from_dict

        store: VicinalDocumentStore = default_from_dict(cls, data)
        return store

    # Questions

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self._documents)

    async def count_documents_async(self) -> int:
        """How many documents there are."""
        return await asyncio.to_thread(self.count_documents)

    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many documents match a filter of haystack."""
        return len(self.filter_documents(filters))

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """How many documents match a filter of haystack."""
        return await asyncio.to_thread(self.count_documents_by_filter, filters)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """The documents that match a filter of haystack, in the order of writing.

        A document whose value cannot be compared with the filter's does not match.
        """
        from haystack.errors import FilterError

        with self._collection.reading:
            if not filters:
                return list(self._documents.values())
            if "operator" not in filters:
                raise FilterError(f"'operator' key missing in {filters}")
            return [one for one in self._documents.values() if _matches(filters, one)]

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """As `filter_documents`, in a thread."""
        return await asyncio.to_thread(self.filter_documents, filters)

    def embedding_retrieval(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = True,
    ) -> list[Any]:
        """The documents nearest to an embedding, each with its similarity as `score`.

        scale_score      : whether similarities of cosine and inner_product are brought to 0..1, as haystack's own store
                           does; those of other metrics are there already
        return_embedding : whether the documents come with their embeddings
        """
        if top_k < 0:
            raise UsageError(f"top_k: expected a whole number of at least 0, got {top_k}")
        with self._collection.reading:
            allowed = None
            if filters:
                allowed = [one.id for one in self.filter_documents(filters) if one.embedding is not None]
            if top_k == 0 or (allowed is not None and not allowed):
                return []
            hits = self._collection.search(query_embedding, top_k, allowed)
            found = [self._documents[str(hit.id)] for hit in hits]
        scores = [similarity(hit.distance, self.metric) for hit in hits]
        if scale_score:
            scores = [self._scaled(score) for score in scores]
        changes: dict[str, Any] = {} if return_embedding else {"embedding": None}
        return [replace(one, score=score, **changes) for one, score in zip(found, scores, strict=True)]

    async def embedding_retrieval_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = True,
    ) -> list[Any]:
        """As `embedding_retrieval`, in a thread."""
        return await asyncio.to_thread(
            self.embedding_retrieval, query_embedding, filters, top_k, scale_score, return_embedding
        )

    def _scaled(self, score: float) -> float:
        from haystack.utils import expit

        if self.metric == "cosine":
            return (score + 1) / 2
        return float(expit(score / PRODUCT_SCALE)) if self.metric == "inner_product" else score

    # Changes

    def write_documents(self, documents: list[Any], policy: Any = None) -> int:
        """Write documents in one step and return how many; `policy` decides about ids that exist (default: error)."""
        from haystack.document_stores.errors import DuplicateDocumentError
        from haystack.document_stores.types import DuplicatePolicy

        if not isinstance(documents, Iterable) or isinstance(documents, str):
            raise ValueError("expected a list of Documents")
        given = list(documents)
        if any(not isinstance(one, Document) for one in given):
            raise ValueError("expected a list of Documents")
        policy = DuplicatePolicy.FAIL if policy in (None, DuplicatePolicy.NONE) else policy
        new: dict[str, Any] = {}
        written = 0
        with self._collection.changing:
            for one in given:
                there = one.id in self._documents or one.id in new
                if there and policy == DuplicatePolicy.FAIL:
                    raise DuplicateDocumentError(f"ID '{one.id}' already exists.")
                if there and policy == DuplicatePolicy.SKIP:
                    continue
                new[one.id] = one
                written += 1
            self._put(new)
        return written

    async def write_documents_async(self, documents: list[Any], policy: Any = None) -> int:
        """As `write_documents`, in a thread."""
        return await asyncio.to_thread(self.write_documents, documents, policy)

    def _put(self, new: dict[str, Any]) -> None:
        embedded = [one for one in new.values() if one.embedding is not None]
        self._collection.add(
            [""] * len(embedded), ids=[one.id for one in embedded], vectors=[one.embedding for one in embedded]
        )
        self._collection.delete([one.id for one in new.values() if one.embedding is None])
        self._documents.update(new)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Removes documents by id; ids that are not there are passed over."""
        names = as_ids(document_ids)
        with self._collection.changing:
            self._collection.delete(names)
            for one in names:
                self._documents.pop(one, None)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """As `delete_documents`, in a thread."""
        await asyncio.to_thread(self.delete_documents, document_ids)

    def delete_all_documents(self) -> None:
        """Removes all documents."""
        with self._collection.changing:
            self.delete_documents(list(self._documents))

    async def delete_all_documents_async(self) -> None:
        """As `delete_all_documents`, in a thread."""
        await asyncio.to_thread(self.delete_all_documents)

    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Removes the documents that match a filter of haystack, and returns how many there were."""
        with self._collection.changing:
            found = [one.id for one in self.filter_documents(filters)]
            self.delete_documents(found)
        return len(found)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """As `delete_by_filter`, in a thread."""
        return await asyncio.to_thread(self.delete_by_filter, filters)

    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Adds to the metadata of the documents that match a filter, and returns how many there were."""
        with self._collection.changing:
            found = self.filter_documents(filters)
            self._documents.update({one.id: replace(one, meta={**one.meta, **meta}) for one in found})
        return len(found)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """As `update_by_filter`, in a thread."""
        return await asyncio.to_thread(self.update_by_filter, filters, meta)

    # On disk

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Writes every document with its embedding as a line of JSON; the file appears whole or not at all."""
        with atomic.whole_file(path, overwrite) as file:
            for one in self.filter_documents():
                file.write(json.dumps(one.to_dict(flatten=False)).encode("ascii") + b"\n")

    def load(self, path: str | Path) -> int:
        """Write the documents of a file that `save` made into this store, and return how many."""
        from haystack.document_stores.types import DuplicatePolicy

        try:
            with open(path, "rb") as file:
                found = [Document.from_dict(json.loads(line)) for line in file]
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not a file of documents: {error}") from None
        return self.write_documents(found, DuplicatePolicy.OVERWRITE)


class VicinalEmbeddingRetriever:
    """Retrieves the documents of a store that are nearest to an embedding.

    document_store : a VicinalDocumentStore
    filters, top_k, scale_score, return_embedding : as for its `embedding_retrieval`, where `run` gives no others
    filter_policy  : whether the filters of `run` replace these ("replace"), or both must hold ("merge")
    """

    def __init__(
        self,
        document_store: Any,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        scale_score: bool = False,
        return_embedding: bool = True,
        filter_policy: Any = "replace",
    ) -> None:
        policies = need("haystack.document_stores.types", extra="haystack").FilterPolicy
        if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
            raise UsageError(f"top_k: expected a whole number above 0, got {top_k!r}")
        self.document_store, self.filters, self.top_k = document_store, filters, top_k
        self.scale_score, self.return_embedding = scale_score, return_embedding
        self.filter_policy = policies.from_str(filter_policy) if isinstance(filter_policy, str) else filter_policy

    def to_dict(self) -> dict[str, Any]:
        """How to make this retriever, with an empty store, for a pipeline's description."""
        from haystack import default_to_dict

        described: dict[str, Any] = default_to_dict(
            self,
            document_store=self.document_store.to_dict(),
            filters=self.filters,
            top_k=self.top_k,
            scale_score=self.scale_score,
            return_embedding=self.return_embedding,
            filter_policy=self.filter_policy.value,
        )
        return described

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "VicinalEmbeddingRetriever":
        """The retriever as described."""
        from haystack import default_from_dict

        given = dict(data["init_parameters"])
        if isinstance(given.get("document_store"), dict):
            given["document_store"] = VicinalDocumentStore.from_dict(given["document_store"])
        made: VicinalEmbeddingRetriever = default_from_dict(cls, {**data, "init_parameters": given})
        return made

    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, Any]:
        """The documents nearest to an embedding."""
        arguments = self._arguments(filters, top_k, scale_score, return_embedding)
        return {"documents": self.document_store.embedding_retrieval(query_embedding, *arguments)}

    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        scale_score: bool | None = None,
        return_embedding: bool | None = None,
    ) -> dict[str, Any]:
        """The documents nearest to an embedding."""
        arguments = self._arguments(filters, top_k, scale_score, return_embedding)
        return {"documents": await self.document_store.embedding_retrieval_async(query_embedding, *arguments)}

    def _arguments(self, filters: Any, top_k: Any, scale_score: Any, return_embedding: Any) -> tuple[Any, ...]:
        from haystack.document_stores.types import apply_filter_policy

        return (
            apply_filter_policy(self.filter_policy, self.filters, filters),
            self.top_k if top_k is None else top_k,
            self.scale_score if scale_score is None else scale_score,
            self.return_embedding if return_embedding is None else return_embedding,
        )


if component is not None:
    _documents = component.output_types(documents=list[Document])
    VicinalEmbeddingRetriever.run = _documents(VicinalEmbeddingRetriever.run)  # type: ignore[method-assign]
    VicinalEmbeddingRetriever.run_async = _documents(VicinalEmbeddingRetriever.run_async)  # type: ignore[method-assign]
    VicinalEmbeddingRetriever = component(VicinalEmbeddingRetriever)  # type: ignore[misc]


def embedding_retriever() -> Any:
    """The class `VicinalEmbeddingRetriever`, haystack's component that queries a store."""
    need("haystack", extra="haystack")
    return VicinalEmbeddingRetriever


def _matches(filters: dict[str, Any], document: Any) -> bool:
    """Whether a document matches; where its value cannot be compared with the filter's, it does not."""
    from haystack.errors import FilterError
    from haystack.utils.filters import document_matches_filter

    conditions, sign = filters.get("conditions"), filters.get("operator")
    if "field" not in filters and isinstance(conditions, list) and sign in ("AND", "OR", "NOT"):
        parts = (_matches(one, document) for one in conditions)
        return any(parts) if sign == "OR" else all(parts) != (sign == "NOT")
    try:
        return bool(document_matches_filter(filters=filters, document=document))
    except (FilterError, TypeError):
        if sign not in ORDERED or not _orders(filters.get("value")):
            raise
        return False


def _orders(value: Any) -> bool:
    """Whether some document can be compared with the value of a filter: a number or an ISO date, but no other text."""
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            return False
    return value is not None and not isinstance(value, list)

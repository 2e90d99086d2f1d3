"""haystack's DocumentStore on a `Collection` (the extra `haystack`).

    store = VicinalDocumentStore()
    store.write_documents(documents)
    store.embedding_retrieval([0.1, 0.2, 0.3], top_k=5)

Documents without an embedding are kept and filtered, but no search finds them.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vicinal.errors import DataError, need
from vicinal.retrieval import similarity
from vicinal.retrieval.collection import Collection
from vicinal.storage import atomic
from vicinal.typing import MetricName


class VicinalDocumentStore:
    """A document store of haystack.

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

    def count_documents(self) -> int:
        """How many documents there are."""
        return len(self._documents)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Any]:
        """The documents that match a filter of haystack, in the order of writing."""
        from haystack.errors import FilterError
        from haystack.utils.filters import document_matches_filter

        if not filters:
            return list(self._documents.values())
        if "operator" not in filters:
            raise FilterError(f"'operator' key missing in {filters}")
        return [one for one in self._documents.values() if document_matches_filter(filters=filters, document=one)]

    def write_documents(self, documents: list[Any], policy: Any = None) -> int:
        """Write documents and return how many; `policy` decides what happens to ids that exist (default: an error)."""
        from haystack import Document
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
        for one in given:
            there = one.id in self._documents or one.id in new
            if there and policy == DuplicatePolicy.FAIL:
                raise DuplicateDocumentError(f"ID '{one.id}' already exists.")
            if there and policy == DuplicatePolicy.SKIP:
                continue
            new[one.id] = one
            written += 1
        embedded = [one for one in new.values() if one.embedding is not None]
        self._collection.add(
            [one.content or "" for one in embedded],
            ids=[one.id for one in embedded],
            vectors=[one.embedding for one in embedded],
        )
        self._collection.delete([one.id for one in new.values() if one.embedding is None])
        self._documents.update(new)
        return written

    def delete_documents(self, document_ids: list[str]) -> None:
        """Removes documents by id; ids that are not there are passed over."""
        self._collection.delete(document_ids)
        for one in document_ids:
            self._documents.pop(one, None)

    def embedding_retrieval(
        self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int = 10
    ) -> list[Any]:
        """The documents nearest to an embedding, each with its similarity as `score`."""
        allowed = None
        if filters:
            allowed = [one.id for one in self.filter_documents(filters) if one.embedding is not None]
            if not allowed:
                return []
        hits = self._collection.search(query_embedding, top_k, allowed)
        return [replace(self._documents[str(hit.id)], score=similarity(hit.distance, self.metric)) for hit in hits]

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Writes every document with its embedding as a line of JSON; the file appears whole or not at all."""
        with atomic.whole_file(path, overwrite) as file:
            for one in self._documents.values():
                file.write(json.dumps(one.to_dict(flatten=False)).encode("ascii") + b"\n")

    def load(self, path: str | Path) -> int:
        """Write the documents of a file that `save` made into this store, and return how many."""
        from haystack import Document
        from haystack.document_stores.types import DuplicatePolicy

        try:
            with open(path, "rb") as file:
                found = [Document.from_dict(json.loads(line)) for line in file]
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        except (ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{path}: not a file of documents: {error}") from None
        return self.write_documents(found, DuplicatePolicy.OVERWRITE)


def embedding_retriever() -> Any:
    """haystack's component that queries a store: `embedding_retriever()(document_store=store, top_k=5)`."""
    component = need("haystack", extra="haystack").component
    from haystack import Document

    @component
    class VicinalEmbeddingRetriever:
        """Retrieves the documents nearest to an embedding."""

        def __init__(self, document_store: Any, filters: dict[str, Any] | None = None, top_k: int = 10) -> None:
            self.document_store, self.filters, self.top_k = document_store, filters, top_k

        @component.output_types(documents=list[Document])
        def run(
            self, query_embedding: list[float], filters: dict[str, Any] | None = None, top_k: int | None = None
        ) -> dict[str, Any]:
            """The documents nearest to an embedding."""
            found = self.document_store.embedding_retrieval(
                query_embedding, self.filters if filters is None else filters, self.top_k if top_k is None else top_k
            )
            return {"documents": found}

    return VicinalEmbeddingRetriever

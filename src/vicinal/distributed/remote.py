"""The function that Ray runs on a node, and how blocks get there."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vicinal.distributed import tiles
from vicinal.distributed.rows import Block, Piece
from vicinal.distributed.tiles import Question, Result, Rows


@dataclass(frozen=True)
class Held:
    """The place, among the arguments of a task, of rows that lie in the object store."""

    number: int


def run(kind: str, question: Question, given: tuple[Any, ...], *held: np.ndarray) -> Result:
    """Run a function of `tiles` with the arrays that Ray took out of the object store."""
    import ray

    busy = time.process_time()
    result: Result = getattr(tiles, kind)(question, *(_filled(one, held) for one in given))
    busy = time.process_time() - busy
    return replace(result, node=ray.get_runtime_context().get_node_id(), processor=busy + result.processor)


def _filled(argument: Any, held: tuple[np.ndarray, ...]) -> Any:
    if not isinstance(argument, Rows):
        return argument
    parts = tuple(held[part.number] if isinstance(part, Held) else part for part in argument.block.parts)
    return replace(argument, block=Block(parts))


class Store:
    """The blocks of a pass: rows of files by path, and rows in memory in the object store, each put once."""

    def __init__(self, ray: Any, blocks: list[Block]) -> None:
        self._ray, self._blocks = ray, blocks
        self._put: dict[tuple[int, int], Any] = {}

    def of(self, number: int, first: int) -> tuple[Block, list[Any]]:
        """A block as an argument, and the references behind it; places are counted from `first`."""
        parts: list[Any] = []
        references: list[Any] = []
        for place, part in enumerate(self._blocks[number].parts):
            if isinstance(part, Piece):
                parts.append(part)
                continue
            key = number, place
            if key not in self._put:
                self._put[key] = self._ray.put(np.ascontiguousarray(part))
            parts.append(Held(first + len(references)))
            references.append(self._put[key])
        return Block(tuple(parts)), references


class Sender:
    """Sends functions of `tiles` to the cluster."""

    def __init__(self, ray: Any, question: Question) -> None:
        self._ray, self._question = ray, ray.put(question)
        self._function = ray.remote(run)

    def send(self, kind: str, options: dict[str, Any], given: list[Any], stores: list[Store]) -> Any:
        """The reference of a task's result; of `given`, each `Rows` is read from the store of its place."""
        references: list[Any] = []
        arguments: list[Any] = []
        for one, store in zip(given, stores + [None] * len(given), strict=False):
            if isinstance(one, Rows) and store is not None:
                block, behind = store.of(one.number, len(references))
                references += behind
                one = replace(one, block=block)
            arguments.append(one)
        remote = self._function.options(**options)
        return remote.remote(kind, self._question, tuple(arguments), *references)

"""Clusters of several nodes on this machine, each a raylet with one core."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

STORE = 100 << 20  # bytes of a node's object store; Ray refuses less than 75 MiB


class Nodes:
    """A cluster whose head runs no tasks."""

    def __init__(self, count: int, store: int = STORE) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": store}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1, object_store_memory=store) for _ in range(count)]
        ray.init(address=self.cluster.address, logging_level="ERROR", log_to_driver=False)

    def kill(self, number: int) -> str:
        """End a node at once, and return its id; Ray learns it seconds later."""
        node = self.nodes.pop(number)
        self.cluster.remove_node(node, allow_graceful=False)
        assert not node.any_processes_alive()
        return str(node.node_id)

    def close(self) -> None:
        ray.shutdown()
        self.cluster.shutdown()


@pytest.fixture
def start() -> Iterator[Callable[..., Nodes]]:
    """Starts clusters, which end with the test."""
    started: list[Nodes] = []

    def one(*arguments: Any, **options: Any) -> Nodes:
        started.append(Nodes(*arguments, **options))
        return started[-1]

    yield one
    for nodes in started:
        nodes.close()

"""The connection to a cluster, and when the loop over its tasks takes a node for dead, without Ray."""

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from vicinal.distributed import cluster
from vicinal.distributed.plan import Tile
from vicinal.distributed.tiles import Result
from vicinal.errors import UsageError

LAST = Tile(0, 0, 99, shared=True)


def late_after(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Tile | None:
    """What is sent elsewhere when a node is silent for so long: its tiles took a second, the first one more."""
    now = 0.0
    results = [Result(node="a", coding=30.0, seconds=50.0)] + [Result(node="a", seconds=1.0)] * cluster.RECENT
    monkeypatch.setattr(cluster, "nodes_of", lambda ray, cores: ([cluster.Node("a", 1), cluster.Node("b", 1)], 1))
    monkeypatch.setattr(cluster, "outcome", lambda ray, reference: results[reference])
    monkeypatch.setattr("vicinal.distributed.cluster.time.monotonic", lambda: now)
    work = cluster.Pass(None, 1, lambda tile, options: None, lambda tile, result: None, lambda tile: True)
    flights: dict[Any, cluster.Flight] = {}
    for number, result in enumerate(results):
        flights[number] = cluster.Flight(Tile(0, 0, number, shared=True), "a", now)
        now += result.seconds
        work._land(cluster.Queue.of([]), flights, number)
    flights["last"] = cluster.Flight(LAST, "a", now)
    now += seconds
    return work._late(flights, cluster.Node("b", 1))


def test_node_is_late_by_its_last_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither coding nor the slow tiles of near rows, which come first, hide that a node is silent."""
    assert late_after(monkeypatch, 1.4) is None
    assert late_after(monkeypatch, 1.6) == LAST


class OneConnection:
    """What `cluster` calls of the module ray, with one connection a process."""

    exceptions = SimpleNamespace(RayError=OSError)

    def __init__(self) -> None:
        self.connections: list[str | None] = []

    def is_initialized(self) -> bool:
        return bool(self.connections)

    def init(self, address: str | None, **options: Any) -> None:
        if self.connections:
            raise AssertionError("Perhaps you called ray.init twice by accident?")
        self.connections.append(address or "10.0.0.9:6379")

    def shutdown(self) -> None:
        self.connections.clear()

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.connections[0])


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> OneConnection:
    made = OneConnection()
    monkeypatch.setattr(cluster, "need", lambda module, extra: made)
    return made


def test_passes_of_several_threads_connect_one_after_the_other(ray: OneConnection) -> None:
    inside, most = [0], []

    def run() -> None:
        with cluster.connected(None):
            inside[0] += 1
            with cluster.connected(None):  # a pass of the same thread within it
                most.append(inside[0])
            assert ray.is_initialized()
            inside[0] -= 1

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8 and not ray.is_initialized()


def test_connection_of_the_process_is_kept_and_shared(ray: OneConnection) -> None:
    ray.init("10.0.0.1:6379")
    for address in (None, "auto", "10.0.0.1:6379", "ray://10.0.0.1:10001"):
        with cluster.connected(address):
            pass
    assert ray.is_initialized()


@pytest.mark.parametrize("address", ["10.0.0.1:6380", "10.0.0.2:6379", "10.0.0.1", "local"])
def test_address_of_another_cluster_is_refused(ray: OneConnection, address: str) -> None:
    ray.init("10.0.0.1:6379")
    with (
        pytest.raises(UsageError, match=rf"connected to the Ray cluster at 10\.0\.0\.1:6379, not to {address}; leave"),
        cluster.connected(address),
    ):
        pass
    assert ray.is_initialized()


def test_errors_of_the_tasks_that_a_failed_pass_cancels_are_taken_up() -> None:
    """Ray prints those that none asks for."""
    cancelled: list[int] = []
    taken: list[int] = []

    def get(reference: int) -> None:
        taken.append(reference)
        raise OSError("as the task that failed first")

    ended = lambda left, num_returns, timeout: (left[:2], left[2:])  # noqa: E731
    cluster.cancel(SimpleNamespace(cancel=cancelled.append, wait=ended, get=get), iter([1, 2, 3]), 1.0)
    assert cancelled == [1, 2, 3] and taken == [1, 2]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\0\0"])
def test_what_listens_at_an_address_and_is_no_ray_is_refused_at_once(ray: OneConnection, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            one, _ = server.accept()
            with one:
                one.recv(100)
                one.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(UsageError, match=r"no Ray cluster answers at .*what listens there is no Ray"):
            cluster.connect(f"127.0.0.1:{server.getsockname()[1]}")
        serving.join()

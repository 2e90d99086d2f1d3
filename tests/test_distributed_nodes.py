"""When the loop over the tasks of a cluster takes a node for dead, without Ray."""

from typing import Any

import pytest

from vicinal.distributed import cluster
from vicinal.distributed.plan import Tile
from vicinal.distributed.tiles import Result

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

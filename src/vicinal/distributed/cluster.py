"""The Ray cluster that tasks run on: the connection, its nodes, and the loop that keeps them busy.

Ray places, runs and repeats the tasks; the loop only says which tile comes next, and that a tile is best run where its
stored block is coded already.
"""

import math
import os
import re
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from vicinal.distributed.plan import Tile
from vicinal.errors import UsageError, VicinalError, need

AT_ONCE = 2  # tasks that are sent to a slot: one runs, one waits
AHEAD = 2  # tiles a slot that are left when tiles are no longer sent ahead
REPEATS = 5  # how often Ray repeats a task whose node died
WAIT = 10.0  # seconds for an address to answer
SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # a frame of HTTP/2: no bytes of type 4, which are settings (RFC 9113)
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
LOOPBACK = {"127.0.0.1", "::1"}
PATIENCE = 1.0  # seconds between two looks at the nodes
LATE = 1.5  # times what a tile of its size took lately: a node that is silent for so long has its tiles sent elsewhere
RECENT = 8  # tiles whose times are compared: those of near rows, which come first, take longer a pair
SOON = 0.5  # seconds before which no node is late


def connect(address: str | None) -> Any:
    """The module ray, connected to a cluster: that of the address, the one in use, or one of this machine alone.

    Raises
    ------
    MissingExtra
        Ray is not installed.
    UsageError
        No cluster answers at the address, or the process is connected to another one.
    """
    ray = need("ray", extra="ray")
    if ray.is_initialized():
        _check_same(ray, address)
        return ray
    _probe(address)
    try:
        own = {"include_dashboard": False} if address is None else {}
        ray.init(address=address, logging_level="ERROR", log_to_driver=False, **own)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise _no_answer(address, reason) from None
    return ray


@dataclass
class _Own:
    """The connection that a pass made and ends: its thread, and a lock that is held as long as there is one."""

    lock: Any = field(default_factory=threading.Lock)
    thread: int | None = None


_own = _Own()


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; a connection that is made here is ended here, and other threads wait until then.

    They cannot share it: the processes that Ray starts end with the thread that started them.
    """
    ray = need("ray", extra="ray")
    if ray.is_initialized() and _own.thread in (None, threading.get_ident()):
        yield connect(address)
        return
    with _own.lock:
        before = ray.is_initialized()
        _own.thread = None if before else threading.get_ident()
        try:
            connect(address)
            yield ray
        finally:
            if not before:
                ray.shutdown()
            _own.thread = None


def _check_same(ray: Any, address: str | None) -> None:
    """Raise UsageError where the address names another cluster than the one that the process is connected to."""
    if address in (None, "auto") or str(address).startswith("ray://"):
        return
    now = str(ray.get_runtime_context().gcs_address)
    (host, _, port), (own_host, _, own_port) = str(address).rpartition(":"), now.rpartition(":")
    same = port == own_port and (host == own_host or not _addresses(host).isdisjoint(_addresses(own_host) | LOOPBACK))
    if not same:
        raise UsageError(
            f"address: this process is connected to the Ray cluster at {now}, not to {address}; leave the address out "
            "to use that one, or call ray.shutdown() first"
        )


def _addresses(host: str) -> set[str]:
    """The numeric addresses of a host; none where its name is not known."""
    try:
        return {str(one[4][0]) for one in socket.getaddrinfo(host.strip("[]"), None)}
    except OSError:
        return set()


def _probe(address: str | None) -> None:
    """Raise UsageError where no server of gRPC listens at HOST:PORT; Ray itself would try for minutes."""
    named = address if address not in (None, "auto") else os.environ.get("RAY_ADDRESS", "")
    host, colon, port = str(named).removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=WAIT) as opened:
            if os.environ.get("RAY_USE_TLS", "0") not in ("1", "true", "True"):
                _greet(opened)
    except (OSError, OverflowError) as error:
        raise _no_answer(str(named), getattr(error, "strerror", None) or str(error)) from None


def _greet(opened: socket.socket) -> None:
    """Raise OSError unless a server greets as HTTP/2 does, which gRPC runs on: with its settings."""
    opened.sendall(GREETING)
    answer = b""
    while len(answer) < len(SETTINGS):
        more = opened.recv(len(SETTINGS) - len(answer))
        if not more:
            break
        answer += more
    if answer[3:4] != SETTINGS[3:4] or len(answer) < len(SETTINGS):
        raise OSError("what listens there is no Ray; `ray start --head` takes port 6379 unless it is given another")


def _no_answer(address: str | None, reason: str) -> UsageError:
    shown = "this machine" if address is None else address
    return UsageError(
        f"address: no Ray cluster answers at {shown!r} ({reason}); start one with `ray start "
        "--head`, give its address (HOST:PORT, or auto on one of its nodes), or leave the address out to use this "
        "machine alone"
    )


@dataclass(frozen=True)
class Node:
    """A node that runs tasks, and how many at a time."""

    id: str
    slots: int


def nodes_of(ray: Any, num_cpus: int | None) -> tuple[list[Node], int]:
    """The living nodes with processor cores, and the cores of a task: as given, or all of the smallest node's.

    Raises
    ------
    UsageError
        No node has so many cores.
    """
    cores = {one["NodeID"]: int(one["Resources"].get("CPU", 0)) for one in ray.nodes() if one["Alive"]}
    cores = {name: count for name, count in cores.items() if count > 0}
    if not cores:
        raise UsageError("address: the Ray cluster has no node with processor cores; add one with `ray start`")
    each = min(cores.values()) if num_cpus is None else num_cpus
    found = [Node(name, count // each) for name, count in sorted(cores.items()) if count >= each]
    if not found:
        raise UsageError(f"num_cpus: {each} cores a task, but no node has more than {max(cores.values())}; lower it")
    return found, each


def outcome(ray: Any, reference: Any) -> Any:
    """What a task gave; its error is raised in words."""
    exceptions = ray.exceptions
    try:
        return ray.get(reference)
    except exceptions.RayError as error:
        cause = getattr(error, "cause", None) or error
    if isinstance(cause, VicinalError):
        raise cause from None
    missing = re.search(r"No module named '([\w.]+)'", str(cause))
    if missing:  # Ray gives the error of an import as text
        raise UsageError(
            f"the nodes of the cluster cannot import {missing[1]}: install the same vicinal on every node"
        ) from cause
    if not isinstance(cause, exceptions.RayError):
        raise cause
    reason = str(cause).strip().partition("\n")[0]
    raise UsageError(
        f"the cluster lost a task or its data for good ({type(cause).__name__}: {reason}); see `ray status` and "
        "`ray logs`, and add memory to a node that has too little (in Python also: smaller blocks, block_rows=)"
    ) from cause


def cancel(ray: Any, references: Iterable[Any], seconds: float = 0.0) -> None:
    """Cancel tasks, and take up the errors of those that end within so many seconds, which Ray would print."""
    left = list(references)
    for reference in left:
        ray.cancel(reference)
    if left:
        for reference in ray.wait(left, num_returns=len(left), timeout=seconds)[0]:
            with suppress(Exception):
                ray.get(reference)


@dataclass
class Flight:
    """A task that was sent to a node, and whether its result is still wanted."""

    tile: Tile
    node: str
    sent: float
    wanted: bool = True


@dataclass
class Ran:
    """Where a tile was sent, where it ran, and how long it took there."""

    tile: Tile
    sent_to: str
    ran_on: str
    seconds: float
    coding: float
    processor: float


@dataclass
class Queue:
    """Tiles that wait, by the block that must be coded for them, and the node where that is done."""

    waiting: "OrderedDict[int, deque[Tile]]" = field(default_factory=OrderedDict)
    homes: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tiles: Iterable[Tile]) -> "Queue":
        """All tiles in their order."""
        queue = cls()
        for tile in tiles:
            queue.waiting.setdefault(tile.home, deque()).append(tile)
        return queue

    def __len__(self) -> int:
        return sum(len(tiles) for tiles in self.waiting.values())

    def take(self, node: str, busy: set[str], ready: Callable[[Tile], bool]) -> Tile | None:
        """The next tile for a node: of a block that none has coded, else of its own, else of a node that is busy."""
        of_node = [block for block in self.waiting if self.homes.get(block) == node]
        of_none = [block for block in self.waiting if block not in self.homes]
        of_busy = [block for block in self.waiting if self.homes.get(block) in busy]
        of_busy.sort(key=lambda block: -len(self.waiting[block]))
        for blocks in (of_none, of_node, of_busy):
            for block in blocks:
                tile = next((one for one in self.waiting[block] if ready(one)), None)
                if tile is None:
                    continue
                self.waiting[block].remove(tile)
                if not self.waiting[block]:
                    del self.waiting[block]
                self.homes.setdefault(block, node)
                return tile
        return None

    def leave(self, node: str) -> None:
        """Give the blocks of a node that died to the others."""
        self.homes = {block: home for block, home in self.homes.items() if home != node}


class Pass:
    """The tiles of one pass on a cluster.

    send   : (tile, options of the task) -> reference of its result
    finish : takes a tile and its result
    ready  : whether all that a tile needs is known
    size   : how much work a tile is, in any unit
    """

    def __init__(
        self,
        ray: Any,
        num_cpus: int | None,
        send: Callable[[Tile, dict[str, Any]], Any],
        finish: Callable[[Tile, Any], None],
        ready: Callable[[Tile], bool],
        size: Callable[[Tile], int] = lambda tile: 1,
    ) -> None:
        self._size = size
        self._ray, self._given = ray, num_cpus
        self._send, self._finish, self._ready = send, finish, ready
        self.nodes, self.cores = nodes_of(ray, num_cpus)
        self._looked = time.monotonic()
        self._heard: dict[str, float] = {}  # when a node last gave a result
        self._units: deque[float] = deque(maxlen=RECENT)  # seconds a unit of work took, without the coding
        self._coding = 0.0  # seconds that the coding of a block took
        self._coded: dict[str, int] = {}  # the block that a node coded last
        self.ran: list[Ran] = []

    def run(self, tiles: Iterable[Tile]) -> None:
        """Run all tiles; an error or Ctrl-C cancels those that run.

        Raises
        ------
        VicinalError
            What a task raised; or the cluster lost a task REPEATS times.
        """
        queue = Queue.of(tiles)
        flights: dict[Any, Flight] = {}
        try:
            while queue or any(flight.wanted for flight in flights.values()):
                self._fill(queue, flights)
                done, _ = self._ray.wait(list(flights), num_returns=1, timeout=PATIENCE)
                for reference in done:
                    self._land(queue, flights, reference)
                self._look(queue)
        except BaseException:
            cancel(self._ray, flights, PATIENCE)
            raise
        cancel(self._ray, flights)

    def _land(self, queue: Queue, flights: dict[Any, "Flight"], reference: Any) -> None:
        """Take up a result, unless another copy of its task was first."""
        flight, now = flights.pop(reference), time.monotonic()
        begun = max(flight.sent, self._heard.get(flight.node, 0.0))
        self._heard[flight.node] = now
        if not flight.wanted:
            return
        result = outcome(self._ray, reference)
        copies = [one for one in flights.values() if one.tile == flight.tile]
        for one in copies:
            one.wanted = False
        compared = max(0.0, now - begun - result.coding)
        self._units.append(compared / max(1, self._size(flight.tile)))
        self._coding = max(self._coding, result.coding)
        self._coded[flight.node] = flight.tile.stored
        first = min([flight, *copies], key=lambda one: one.sent).node
        self.ran.append(Ran(flight.tile, first, result.node, result.seconds, result.coding, result.processor))
        if result.node and result.node != first:
            queue.homes[flight.tile.home] = result.node
        self._finish(flight.tile, result)

    def _fill(self, queue: Queue, flights: dict[Any, "Flight"]) -> None:
        """Send tiles until every node has enough, or nothing can be sent."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Towards the end no tile waits at a node, so that all nodes end together.
        while True:
            many = AT_ONCE if len(queue) > AHEAD * sum(node.slots for node in self.nodes) else 1
            load = {node.id: 0 for node in self.nodes}
            for flight in flights.values():
                load[flight.node] = load.get(flight.node, 0) + 1
            free = sorted(
                (node for node in self.nodes if load[node.id] < many * node.slots),
                key=lambda node: load[node.id] / node.slots,
            )
            busy = {node.id for node in self.nodes if load[node.id] >= many * node.slots}
            for node in free:
                tile = queue.take(node.id, busy, self._ready) or (None if load[node.id] else self._late(flights, node))
                if tile is not None:
                    options = {
                        "num_cpus": self.cores,
                        "max_retries": REPEATS,
                        "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=True),
                    }
                    flights[self._send(tile, options)] = Flight(tile, node.id, time.monotonic())
                    break
            else:
                return

    def _late(self, flights: dict[Any, "Flight"], idle: Node) -> Tile | None:
        """A tile of a node that has been silent for long: it may be dead, which Ray learns after many seconds."""
        sent: dict[Tile, list[Flight]] = {}
        for flight in flights.values():
            sent.setdefault(flight.tile, []).append(flight)
        for tile, (first, *copies) in sent.items():
            begun = max(first.sent, self._heard.get(first.node, 0.0))
            usual = max(self._units, default=math.inf) * max(1, self._size(tile))
            usual += self._coding if self._coded.get(first.node) != tile.stored else 0.0
            silent = time.monotonic() - begun > max(LATE * usual, SOON)
            if first.wanted and silent and not copies and first.node != idle.id:
                return tile
        return None

    def _look(self, queue: Queue) -> None:
        """Learn which nodes have died or joined."""
        if time.monotonic() - self._looked < PATIENCE:
            return
        self._looked = time.monotonic()
        alive, _ = nodes_of(self._ray, self.cores)
        for gone in {node.id for node in self.nodes} - {node.id for node in alive}:
            queue.leave(gone)
        self.nodes = alive

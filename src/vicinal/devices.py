"""Where torch computes, and on which device exact passes run."""

import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ParamSpec, TypeVar

from vicinal.errors import UsageError, need

AUTO = "auto"
EXTRA = "torch"
LEAST_ROWS = 50_000  # a pass over fewer rows, or of less work, is over before a GPU has started
LEAST_WORK = 2e12  # products of coordinates
_chosen: ContextVar[str | None] = ContextVar("device of exact passes", default=None)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def device(name: str | None, extra: str) -> Any:
    """torch's device of this name, or for None and "auto" the best one; extra: what installs torch.

    Raises    UsageError where there is no such device here; MissingExtra
    """
    torch = need("torch", extra)
    try:
        best = "cuda" if torch.cuda.is_available() else "cpu"
        found = torch.device(best if name in (None, AUTO) else name)
        if found.type == "meta":
            raise RuntimeError("it holds no values")
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, ImportError) as error:  # the last two: a build without CUDA, without Gaudi
        why = str(error).partition(chr(10))[0].partition(". This could be")[0]
        raise UsageError(f"device: found {name!r}, expected {', '.join(here())} or auto; torch says: {why}") from None
    return found


def several(names: str, extra: str = EXTRA) -> list[Any]:
    """torch's devices of these names, which commas separate.

    Raises    UsageError where there is no such device here; MissingExtra
    """
    named = [name.strip() for name in names.split(",")]
    if AUTO in named:
        raise UsageError(f"device: found {names!r}, expected auto alone, or names of devices with commas between")
    return [device(name, extra) for name in named]


def check_name(name: object) -> str | None:
    """The name of a device as a user gives it; UsageError where it is none."""
    if name is None or (isinstance(name, str) and name):
        return name
    raise UsageError(f"device: expected a name such as 'cuda' or 'auto', got {name!r}")


def refuse(why: str) -> None:
    """Raise UsageError where the caller named a device that no pass would use; "auto" names none."""
    if chosen() not in (None, AUTO):
        raise UsageError(f"device: {why}; leave the device out")


def of_pass(name: str | None, rows: int, work: float) -> str | None:
    """The devices that an exact pass runs on, by name; None for the processor's kernels.

    name : as a user gives it; "auto" takes all GPUs of CUDA where the pass is large enough
    rows : how many are stored
    work : products of coordinates of the whole pass
    """
    if name != AUTO:
        return name
    if rows < LEAST_ROWS or work < LEAST_WORK or importlib.util.find_spec("torch") is None:
        return None
    return ",".join(gpus()) or None


def gpus() -> list[str]:
    """The names of the GPUs of CUDA that torch sees; torch is installed."""
    torch = need("torch", EXTRA)
    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def torch_version() -> str | None:
    """The version of torch; None where it is not installed."""
    try:
        return version("torch")
    except PackageNotFoundError:
        return None


def here() -> list[str]:
    """The names of torch's devices on this machine; none where torch is not installed."""
    if torch_version() is None:
        return []
    mps = ["mps"] if need("torch", EXTRA).backends.mps.is_available() else []
    return [*gpus(), *mps, "cpu"]


@contextmanager
def exact_passes_on(name: str | None) -> Iterator[None]:
    """Within it, exact passes run on this device, unless they are given another one; None changes nothing.

    Raises    UsageError where there is no such device here; MissingExtra
    """
    if check_name(name) is None:
        yield
        return
    assert name is not None
    if name != AUTO:
        several(name)
    before = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(before)


def chosen() -> str | None:
    """The device of exact passes, as the caller gave it."""
    return _chosen.get()


def takes_device(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function whose exact passes run on the device that its argument `device` names."""

    @functools.wraps(function)
    def run(*given: Parameters.args, **named: Parameters.kwargs) -> Result:
        name: Any = named.get("device")
        with exact_passes_on(name):
            return function(*given, **named)

    return run

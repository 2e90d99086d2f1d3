"""Where torch computes."""

from typing import Any

from vicinal.errors import UsageError, need


def device(name: str | None, extra: str) -> Any:
    """torch's device of this name, or the best one; extra: what installs torch.

    Raises    UsageError where there is no such device here; MissingExtra
    """
    torch = need("torch", extra)
    try:
        found = torch.device(best(torch) if name in (None, "auto") else name)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # the second is what a build without CUDA raises
        raise UsageError(f"device: {str(error).partition(chr(10))[0]}") from None
    return found


def best(torch: Any) -> str:
    """The name of the fastest kind of device that is here."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def several(names: str, extra: str) -> list[Any]:
    """torch's devices of these names, which commas separate.

    Raises    UsageError where there is no such device here; MissingExtra
    """
    return [device(name.strip(), extra) for name in names.split(",")]

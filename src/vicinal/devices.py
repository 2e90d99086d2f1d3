"""Where torch computes."""

from typing import Any

from vicinal.errors import UsageError, need


def device(name: str | None, extra: str) -> Any:
    """torch's device of this name, or the best one; extra: what installs torch.

    Raises    UsageError where there is no such device here; MissingExtra
    """
    torch = need("torch", extra)
    try:
        found = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:  # the second is what a build without CUDA raises
        raise UsageError(f"device: {str(error).partition(chr(10))[0]}") from None
    return found

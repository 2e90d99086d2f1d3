"""How much memory the work may take, and the refusal, before it begins, of work that would take more.

The limit is the smallest of what the machine has free, what the process's control group (a container's limit) leaves,
and what the user allows: `vicinal --memory 4G`, or the variable VICINAL_MEMORY.
"""

import os
import re
from pathlib import Path

from vicinal.errors import UsageError

VARIABLE = "VICINAL_MEMORY"
GROUPS = Path("/sys/fs/cgroup")
SMALL = 1 << 26  # work of fewer bytes is not what fills a machine: the system is not asked
UNKNOWN = 8 << 30  # where the system does not say
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "bytes"))


def as_bytes(size: object, what: str = "memory") -> int:
    """A size such as 4G, 500M or a number of bytes.

    Raises    UsageError where it is none of these, or not above 0
    >>> as_bytes("4G"), as_bytes("1.5 KiB")
    (4294967296, 1536)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([kmgt]?)(?:i?b)?", str(size).strip().lower())
    n_bytes = int(float(found[1]) * UNITS[found[2]]) if found else 0
    if n_bytes < 1:
        raise UsageError(f"{what}: expected a size such as 4G or 500M, got {size!r}")
    return n_bytes


def as_text(n_bytes: int) -> str:
    """A number of bytes in a unit in which it is not 0.

    >>> as_text(7_200), as_text(5 << 30)
    ('7.0 KiB', '5.0 GiB')
    """
    unit, name = next((unit, name) for unit, name in SIZES if n_bytes >= unit or unit == 1)
    return f"{n_bytes / unit:,.1f} {name}"


def available() -> int:
    """The bytes that the work may take."""
    allowed = os.environ.get(VARIABLE)
    found = [one for one in (_of_machine(), _of_group()) if one is not None]
    if allowed:
        found.append(as_bytes(allowed, VARIABLE))
    return min(found, default=UNKNOWN)


def is_limited() -> bool:
    """Whether the user, or the container, allows less than the machine has."""
    return bool(os.environ.get(VARIABLE)) or _of_group() is not None


def require(n_bytes: int, what: str, remedy: str) -> None:
    """Raise UsageError where the work needs more memory than there is.

    Work of less than SMALL bytes is compared with a limit that the user gave alone.

    Parameters
    ----------
    n_bytes : int
        An estimate from below.
    what : str
        What takes it: "5 neighbours of 100 rows".
    remedy : str
    """
    given = os.environ.get(VARIABLE)
    if n_bytes < SMALL and not given:
        return
    limit = available()
    if n_bytes > limit:
        allowed = f"; --memory ({VARIABLE}) is {as_text(as_bytes(given, VARIABLE))}" if given else ""
        raise UsageError(
            f"not enough memory: {what} take {as_text(n_bytes)}, and {as_text(limit)} are free{allowed}; {remedy}"
        )


def fits(n_bytes: int) -> bool:
    """Whether work of so many bytes passes `require`."""
    return (n_bytes < SMALL and not os.environ.get(VARIABLE)) or n_bytes <= available()


def _of_machine() -> int | None:
    """What the machine has free."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _of_group() -> int | None:
    """What is left of the limits of this process's control groups, of version 2 or 1; None where there is none."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    left = []
    for line in lines:
        _, kinds, place = line.split(":", 2)
        if kinds in ("", "memory"):
            names = ("memory.max", "memory.current") if not kinds else LIMIT_AND_USE_1
            folder = GROUPS / kinds / place.lstrip("/")
            # A limit of a group above holds too; inside a container the group's own place may not be there.
            for one in (folder, *folder.parents):
                if one == GROUPS.parent:
                    break
                left.append(_left(one, *names))
    known = [one for one in left if one is not None]
    return min(known, default=None)


LIMIT_AND_USE_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _left(folder: Path, limit: str, use: str) -> int | None:
    """What is left of a group's limit; the cache of files that it holds is given up when memory is short."""
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        if not most.isdigit() or int(most) >= 1 << 60:
            return None
        used, cached = int((folder / use).read_text(encoding="ascii")), 0
        for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                cached = max(cached, int(value))
        return max(0, int(most) - used + cached)
    except (OSError, ValueError):
        return None

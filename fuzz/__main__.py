"""Run the fuzzers in turn, each in a process of its own, and print cases and failures.

    python -m fuzz --minutes 5                 all of them, a minute each
    python -m fuzz --only exact --seed 81723   repeat one case

A case that raises, that ends its process by a signal or that takes longer than LONGEST seconds is a failure; its line
names the command that repeats it. The exit code is 1 where there was one.
"""

import argparse
import importlib
import os
import select
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

DRIVERS = ("exact", "folders", "files", "queries", "kills")
LONGEST = 120.0  # seconds of one case
MOST_FAILURES = 5  # of one driver


def main() -> int:
    """Parse, run and print."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description="Run the fuzzers; a case is repeated by its seed."
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of all drivers together")
    parser.add_argument("--only", choices=DRIVERS, action="append", help="these drivers")
    parser.add_argument("--seed", type=int, help="run this one case")
    parser.add_argument("--first", type=int, default=int(time.time()) % 1_000_000 * 1000, help="the first seed")
    parser.add_argument("--work", choices=DRIVERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        return work(given.work, given.first)
    chosen = given.only or DRIVERS
    if given.seed is not None:
        return max(one_case(name, given.seed) for name in chosen)
    seconds = 60 * given.minutes / len(chosen)
    failed = [run(name, given.first, seconds) for name in chosen]
    return int(any(failed))


def one_case(name: str, seed: int) -> int:
    """Run one case in this process."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        importlib.import_module(f"fuzz.{name}").case(np.random.default_rng(seed), Path(folder))
    print(f"{name}: seed {seed}: passed")
    return 0


def work(name: str, first: int) -> int:
    """Run cases for ever: a line with the seed before each, and one with its outcome after it."""
    import numpy as np

    warnings.simplefilter("ignore")
    driver, tell = importlib.import_module(f"fuzz.{name}"), os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)  # what the cases print is not wanted
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    seed = first
    while True:
        print("begin", seed, file=tell)
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                driver.case(np.random.default_rng(seed), Path(folder))
            except BaseException as error:
                lines = "".join(traceback.format_exception(error)).strip().splitlines()
                print("failed", " | ".join(line.strip() for line in lines[-3:])[:500], file=tell)
            else:
                print("passed", file=tell)
            os.chdir("/")
        seed += 1


def run(name: str, first: int, seconds: float) -> int:
    """Run a driver for so long, in processes of its own; returns the number of failures."""
    end, cases, failures, seed = time.monotonic() + seconds, 0, 0, first
    while time.monotonic() < end and failures < MOST_FAILURES:
        command = [sys.executable, "-m", "fuzz", "--work", name, "--first", str(seed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as child:
            assert child.stdout is not None
            while failures < MOST_FAILURES:
                line = _line(child, min(LONGEST, max(1.0, end - time.monotonic()) + LONGEST))
                if line.startswith("begin"):
                    seed = int(line.split()[1])
                    if time.monotonic() >= end:
                        break
                    continue
                cases += 1
                if line != "passed":
                    failures += 1
                    print(
                        f"{name}: seed {seed}: {line}; repeat: python -m fuzz --only {name} --seed {seed}", flush=True
                    )
                if line == "slow" or line.startswith("ended"):
                    break
            child.kill()
        seed += 1
    print(f"{name}: {cases} cases, {failures} failures, seeds {first} to {seed - 1}", flush=True)
    return failures


def _line(child: "subprocess.Popen[str]", limit: float) -> str:
    """The next line of a worker; "slow" where there is none in time, "ended ..." where its process ended."""
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], limit)[0]:
        return "slow"
    line = child.stdout.readline().strip()
    return line or f"ended with {child.wait()}"


if __name__ == "__main__":
    sys.exit(main())

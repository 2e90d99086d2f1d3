"""A server in a process of its own, as users have it."""

import subprocess
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "vicinal", "sql", "serve", ":memory:", "--port", "0"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    said = running.stderr.readline()
    yield int(said.split("localhost:")[1].split("/")[0])
    running.terminate()
    running.wait(30)
    running.stderr.close()

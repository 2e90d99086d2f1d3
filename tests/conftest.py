"""Settings of all tests, and the fixture that tests of several packages use."""

import os
import sys
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

# Threads of faiss that wait in a loop starve each other where the machine has other work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from vicinal.kernels.native import isas
from workplace import Workplace

# A slow or busy machine does not make a right answer wrong, so no example has a time limit.
hypothesis.settings.register_profile("no clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("no clock")

# pytorch-metric-learning imports this module, which changes faiss's classes for everyone.
sys.modules["faiss.contrib.torch_utils"] = ModuleType("faiss.contrib.torch_utils")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workplace:
    """A folder with a small data set, which is the working directory, and the command."""
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path, capsys)


# Where no compiler was, there is no native kernel to test; test_kernels.py says so where one should be.
collect_ignore = [] if isas() else ["test_native.py", "test_checkpoint.py"]
collect_ignore.append("rag")  # in an environment of its own: make test-rag

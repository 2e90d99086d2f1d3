"""Settings of all tests, and the fixture that tests of several packages use."""

import os
import sys
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

# faiss threads that wait by spinning slow each other down on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from vicinal.knn.kernels.native import isas
from workplace import Workplace

# No time limit per example: a slow or busy machine must not fail a test.
hypothesis.settings.register_profile("no clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("no clock")

# pytorch-metric-learning imports this module, which patches faiss's classes for the whole process.
sys.modules["faiss.contrib.torch_utils"] = ModuleType("faiss.contrib.torch_utils")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workplace:
    """The command in a working directory that holds a small data set."""
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path, capsys)


# Without the native kernel there is nothing to test; test_kernels.py fails if it is missing despite a compiler.
collect_ignore = [] if isas() else ["test_native.py", "test_checkpoint.py"]
# Those in environments of their own: make test-rag, test-ydb, test-adapters, test-ray.
collect_ignore += ["rag", "ydb_clients", "adapters", "on_ray"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The contract of kernels holds torch to the metrics that it covers; for the others brute force would be tested."""
    covered = {"euclidean", "sqeuclidean", "cosine", "inner_product"}
    left_out = []
    for item in items:
        drawn = getattr(getattr(item, "callspec", None), "params", {})
        kernel = drawn.get("kernel", (None,))
        if isinstance(kernel, tuple) and getattr(kernel[0], "name", "") == "torch" and "metric" in drawn:
            left_out += [item] if drawn["metric"] not in covered else []
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]

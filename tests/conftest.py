"""The fixtures that tests of several rooms use."""

from pathlib import Path

import pytest

from workplace import Workplace


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Workplace:
    """A folder with a small data set, which is the working directory, and the command."""
    monkeypatch.chdir(tmp_path)
    return Workplace(tmp_path, capsys)

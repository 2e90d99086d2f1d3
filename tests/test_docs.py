"""The README's and the docstrings' examples run, and every command is documented."""

import doctest
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import vicinal.sql
from vicinal import cli
from vicinal.knn.metrics import METRICS
from vicinal.sql.compile.functions import FUNCTIONS
from vicinal.sql.reference import page

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [
    module.name for module in pkgutil.walk_packages(vicinal.__path__, "vicinal.") if "__main__" not in module.name
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def beside_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_docstring_examples_are_there() -> None:
    assert sum(doctest.testmod(import_module(name)).attempted for name in MODULES) > 10


def test_readme_commands(beside_examples: Path, capfd: pytest.CaptureFixture) -> None:
    for block in blocks("yaml"):
        name = re.match(r"# (\w+\.yaml): ", block)
        assert name is not None, "a YAML block opens with its name and its command"
        Path(name[1]).write_text(block, encoding="utf-8")
    commands = re.findall(
        r"^(?:# \w+\.yaml:  )?(vicinal \w.*?)(?:  .*)?$", "\n".join(blocks("sh") + blocks("yaml")), re.M
    )
    assert len(commands) >= 5
    for command in commands:
        assert cli.main(shlex.split(command)[1:]) == 0, f"{command}: {capfd.readouterr().err}"
    for output in ("scores.jsonl", "scores10.jsonl", "from_yaml.jsonl", "results/pointwise_scores.jsonl"):
        assert len(Path(output).read_text(encoding="utf-8").splitlines()) == 5000


def test_readme_python(beside_examples: Path) -> None:
    (block,) = blocks("python")
    test = doctest.DocTestParser().get_doctest(block, {}, "README", "README.md", 0)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_demo_and_its_picture_show_the_scores_that_an_oracle_finds(beside_examples: Path) -> None:
    vectors = np.load("examples/wordnet/embeddings.npy").astype(np.float64)
    vectors /= np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    scores = np.sort(np.sort(1 - vectors @ vectors.T, axis=1)[:, 1:6].mean(axis=1))
    command = [sys.executable, "examples/wordnet/demo.py", "--svg", "demo.svg"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    for shown in (printed, Path("demo.svg").read_text("utf-8"), (ROOT / "docs" / "demo.svg").read_text("utf-8")):
        for score in (*scores[:10], *scores[-10:]):
            assert f"{score:.3f}" in shown


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_is_in_the_readme_or_changelog_and_has_an_example(command: str) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"`vicinal {command}`" in changelog
    assert re.search(
        rf"^ *vicinal {command}", import_module(f"vicinal.cli.{command.replace('-', '_')}").__doc__ or "", re.MULTILINE
    )


def test_every_metric_is_in_the_readme() -> None:
    for metric in METRICS:
        for name in (metric.name, *metric.aliases):
            assert f"`{name}`" in README


def test_the_page_of_sql_functions_is_made_from_their_table() -> None:
    shown = (ROOT / "docs" / "sql-functions.md").read_text(encoding="utf-8")
    assert shown == page(), "run python -m vicinal.sql.reference > docs/sql-functions.md"
    for function in FUNCTIONS:
        assert f"\n| `{function.name}` | " in shown


def test_the_statements_of_the_sql_page_run_in_their_order() -> None:
    text = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    statements = re.findall(r"```sql\n(.*?)```", text, flags=re.DOTALL)
    assert len(statements) >= 4
    with vicinal.sql.connect() as database:
        for statement in statements:
            rows = database.execute(statement)
            if "ORDER BY" in statement:
                assert len(rows) > 0, statement

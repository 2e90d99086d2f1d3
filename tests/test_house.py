"""The drawing in ARCHITECTURE.md, held against the code: imports only go down."""

import ast
import re
from pathlib import Path

import vicinal

HOME = Path(vicinal.__file__).parent

FLOORS = {
    "where": 1,
    "payload": 1,
    "errors": 0,
    "files": 1,
    "devices": 1,
    "metrics": 1,
    "copies": 1,
    "graph": 2,
    "vectors": 2,
    "datasets": 2,
    "checkpoint": 2,
    "kernels": 3,
    "indexes": 4,
    "annbenchmarks": 5,
    "exemplar": 5,
    "collection": 7,
    "integrations": 8,
    "scores": 5,
    "votes": 5,
    "labels": 3,
    "notes": 3,
    "predicting": 6,
    "diagnostics": 6,
    "diagnosing": 7,
    "diagnosis_page": 8,
    "pictures": 7,
    "duplicates": 5,
    "select": 5,
    "estimators": 6,
    "config": 6,
    "embedding": 6,
    "scorers": 6,
    "runs": 7,
    "learn": 7,
    "lm": 7,
    "sql": 7,
    "scoring": 8,
    "selection": 8,
    "report": 8,
    "cli": 9,
    "__init__": 10,
    "__main__": 10,
}
NAMELESS = {"utils", "util", "common", "helpers", "core", "manager", "misc"}


def room(path: Path) -> str:
    return path.relative_to(HOME).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "vicinal":
            rooms |= {name.name if name.name in FLOORS else "__init__" for name in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vicinal."):
            rooms.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {name.name.split(".")[1] for name in node.names if name.name.startswith("vicinal.")}
    return rooms - {room(path)}


def test_imports_only_go_down() -> None:
    for path in HOME.rglob("*.py"):
        floor = FLOORS[room(path)]  # a new room needs its floor
        for other in imported_rooms(path):
            # The version is the one thing that any room may ask the door for.
            assert FLOORS[other] < floor or other == "__init__", f"{path.name} (floor {floor}) imports {other}"


def test_every_room_has_a_telling_name_and_a_docstring() -> None:
    for path in HOME.rglob("*.py"):
        assert not NAMELESS & set(path.relative_to(HOME).with_suffix("").parts), path
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} needs a docstring"


def test_the_drawing_shows_every_room_on_its_floor() -> None:
    drawing = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[1]
    shown = {name: int(floor) for name, floor in re.findall(r"^  (\w+)(?:\.py|/) +(\d+)   ", drawing, flags=re.M)}
    assert shown == {name: floor for name, floor in FLOORS.items() if name != "__main__"}
    for name in shown:
        kind = f"{name}/" if (HOME / name).is_dir() else f"{name}.py"
        assert f"\n  {kind} " in drawing

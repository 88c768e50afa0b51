"""Data flows down: a room imports what stands above it in docs/architecture.md, never below."""

import ast
import re
from pathlib import Path

import pytest

from vqe.cli import PACKAGE, REPOSITORY

PICTURE = re.search(r"```\n(.*?)```", (REPOSITORY / "docs/architecture.md").read_text(), re.S)[1]
FILES = sorted(PACKAGE.rglob("*.py"))


def read_order() -> list[list[str]]:
    """Return the picture's lines below vqe/, each as the rooms and files it names."""
    lines = PICTURE.split("vqe/\n", 1)[1].split("\nconf/")[0].splitlines()
    return [re.findall(r"\b(\w+)(?:/|\.py)", re.split(r" {3,}", line.strip())[0]) for line in lines]


ORDER = read_order()
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
ENTRIES = {path.stem for path in PACKAGE.glob("*.py")} - set(RANK) - {"__init__"} | {
    "train_vqe",
    "test_vqe",
}


def read_imports(path: Path) -> set[str]:
    """Return the rooms that a file imports, in functions too."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module == "vqe":
            names = [f"vqe.{alias.name}" for alias in node.names]
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name and name.startswith("vqe.")}
    return rooms


def test_the_picture_shows_every_room():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(RANK), "draw it in docs/architecture.md"
    assert {name for name in RANK if (PACKAGE / name).is_dir()} == rooms


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_up(path):
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    imported = read_imports(path) - {room}
    if room in ENTRIES:
        return
    if room == "__init__":
        assert not imported
        return
    below = {name for name in imported if RANK.get(name, len(ORDER)) > RANK[room]}
    assert not below, f"{path.name} imports from below: {sorted(below)}"


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_an_entry_is_short(name):
    assert len((PACKAGE / f"{name}.py").read_text().splitlines()) <= 26
    assert read_imports(PACKAGE / f"{name}.py") - {"cli"} <= set(RANK)


def test_no_two_test_files_share_a_name():
    """Else pytest collects none of them; rooms of tests are no packages."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("*.py")]
    assert sorted(names) == sorted(set(names))


def test_every_test_that_holds_a_promise_is_there():
    named = re.findall(
        r"`(tests/[\w/]+\.py)::(test_\w+)`", (REPOSITORY / "docs/reliability.md").read_text()
    )
    assert len(named) > 40
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not re.search(rf"^def {test}\(", (REPOSITORY / file).read_text(), re.M)
    ]
    assert missing == []

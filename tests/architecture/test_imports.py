"""No circle of imports, none that runs up; and the check itself finds what it must find."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.architecture.imports import (
    faults,
    layers_of,
    module_circles,
    package_circles,
    read_imports,
    wrong_ways,
)

ROOT = Path(__file__).parents[2]

LAYERS = [["p.top"], ["p.left", "p.right"], ["p.low"]]


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Write a package `p`; every folder of it is a package."""
    root = folder / "p"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in [root, *root.rglob("*")]:
        if path.is_dir() and not (path / "__init__.py").exists():
            (path / "__init__.py").write_text("")
    return root


def test_the_package_has_no_fault() -> None:
    layers = layers_of(ROOT / "pyproject.toml")
    assert faults(ROOT / "src" / "crypto_lakehouse", layers) == []


@pytest.mark.parametrize(
    "back",
    [
        "from p.low.a import x",
        "import p.low.a",
        "from p.low import a",
        "def f():\n    from p.low.a import x",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.low.a import x",
        "from importlib import import_module\nimport_module('p.low.a')",
    ],
)
def test_a_circle_of_two_modules_is_found_wherever_the_import_stands(
    tmp_path: Path, back: str
) -> None:
    root = tree(tmp_path, {"low/a.py": "import p.low.b\nx = 1", "low/b.py": back})
    assert module_circles(read_imports(root)) == [["p.low.a", "p.low.b"]]
    (fault,) = faults(root, LAYERS)
    assert fault.startswith("a circle of imports: p.low.a, p.low.b\n  p.low.a:1 imports p.low.b")


def test_a_long_circle_is_found_as_one(tmp_path: Path) -> None:
    files = {
        "low/a.py": "import p.low.b",
        "low/b.py": "import p.low.c",
        "low/c.py": "import p.low.a",
        "low/d.py": "import p.low.a",
    }
    assert module_circles(read_imports(tree(tmp_path, files))) == [
        ["p.low.a", "p.low.b", "p.low.c"]
    ]


def test_folders_in_a_circle_are_found_although_no_modules_are(tmp_path: Path) -> None:
    files = {
        "low/one/a.py": "import p.low.two.a",
        "low/two/a.py": "",
        "low/two/b.py": "import p.low.one.b",
        "low/one/b.py": "",
    }
    imports = read_imports(tree(tmp_path, files))
    assert module_circles(imports) == []
    assert package_circles(imports) == [["p.low.one", "p.low.two"]]


def test_a_face_that_imports_what_is_inside_is_no_circle(tmp_path: Path) -> None:
    files = {"low/__init__.py": "from p.low.a import x", "low/a.py": "x = 1", "low/b.py": ""}
    assert faults(tree(tmp_path, files), LAYERS) == []


def test_a_module_that_imports_its_own_face_is_a_circle(tmp_path: Path) -> None:
    files = {"low/__init__.py": "from p.low.a import x", "low/a.py": "from p.low import y"}
    assert module_circles(read_imports(tree(tmp_path, files))) == [["p.low", "p.low.a"]]


@pytest.mark.parametrize(
    ("importer", "imported", "is_wrong"),
    [
        ("top", "left", False),
        ("top", "low", False),
        ("left", "low", False),
        ("left", "right", True),
        ("low", "left", True),
        ("left", "top", True),
    ],
)
def test_imports_run_down_and_never_sideways(
    tmp_path: Path, importer: str, imported: str, is_wrong: bool
) -> None:
    root = tree(tmp_path, {f"{importer}/a.py": f"import p.{imported}.b", f"{imported}/b.py": ""})
    assert bool(wrong_ways(read_imports(root), LAYERS)) is is_wrong


def test_a_package_without_a_layer_is_told(tmp_path: Path) -> None:
    root = tree(tmp_path, {"new/a.py": "import p.low.b", "low/b.py": ""})
    assert faults(root, LAYERS) == ["p.new has no layer in pyproject.toml"]


def test_the_command_and_the_face_may_import_all_and_the_version_be_imported(
    tmp_path: Path,
) -> None:
    files = {
        "__init__.py": "from p.version import v\ndef f():\n    import p.top.a",
        "__main__.py": "import p.top.a",
        "version.py": "v = 1",
        "top/a.py": "from p.version import v",
    }
    assert faults(tree(tmp_path, files), LAYERS) == []

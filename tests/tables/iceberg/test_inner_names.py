"""Names of pyiceberg that it does not promise stand in one file."""

from __future__ import annotations

import ast
from pathlib import Path

import crypto_lakehouse

INNER = {
    "pyiceberg.io.pyarrow",
    "pyiceberg.conversions",
    "pyiceberg.typedef",
    "pyiceberg.table.update.snapshot",
}


def test_one_file_alone_imports_inner_names() -> None:
    root = Path(crypto_lakehouse.__file__).parent
    users = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in INNER
    }
    assert users == {"tables/iceberg/inner_names.py"}

"""Imports go one way: the core knows no host, and only its command line knows what is made for one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dft_plugin

CORE = Path(dft_plugin.__file__).parent
FILES = sorted(str(path.relative_to(CORE)) for path in CORE.rglob("*.py"))
INTEGRATIONS = {"dft_plugin_axolotl", "dft_plugin_check", "dft_plugin_trl"}


def imported(tree: ast.AST) -> Iterator[str]:
    """The packages that a module imports anywhere, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("file", FILES)
def test_the_core_imports_no_host(file: str) -> None:
    found = set(imported(ast.parse((CORE / file).read_text(encoding="utf-8"))))
    assert not found & {"trl", "axolotl"}
    assert not found & INTEGRATIONS or file == "cli.py"

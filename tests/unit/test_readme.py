"""The generated parts of the README and of the findings are what the code and the results say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_parts_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "benchmarks/update_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path in module.DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        assert module.filled(text) == text, f"{path.name}: run python benchmarks/update_readme.py"
    everything = "".join(path.read_text(encoding="utf-8") for path in module.DOCUMENTS)
    assert [name for name in module.parts() if f"<!-- {name}:begin -->" not in everything] == []


def test_code_by_line_20() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert any("callbacks=[DFTCallback()]" in line for line in lines[:20])

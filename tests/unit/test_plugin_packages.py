"""Installed packages that bring plugins: what is wrong with one is told with its name."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dft_plugin import plugins
from dft_plugin.cli import commands

START = """
from dft_plugin import hookimpl
from dft_plugin.statistics.entropy import EntropyRate

class Mine(EntropyRate):
    name = "mine"

"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """As pip would, for a plugin manager that has found nothing yet."""

    def installed(module: str) -> None:
        (tmp_path / "dft_theirs.py").write_text(START + module)
        information = tmp_path / "dft_theirs-0.1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: dft-theirs\nVersion: 0.1\n")
        (information / "entry_points.txt").write_text("[dft_plugin]\ntheirs = dft_theirs\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(plugins, "manager", cache(plugins.manager.__wrapped__))

    yield installed
    sys.modules.pop("dft_theirs", None)


LIST = "@hookimpl\ndef dft_statistics(): return "
REFERENCES = "@hookimpl\ndef dft_references(): return "
PACKAGE = r"package dft-theirs \(entry point theirs = dft_theirs\)"


@pytest.mark.parametrize(
    ("module", "find", "said"),
    [
        ("import not_there", plugins.statistics, f"{PACKAGE} cannot be loaded: ModuleNotFoundError.*'not_there'"),
        ("@hookimpl\ndef dft_distances(options): return []", plugins.distances, f"{PACKAGE} cannot be loaded"),
        ("@hookimpl\ndef dft_statistic(): return []", plugins.statistics, f'{PACKAGE}.*mean "dft_statistics"'),
        ("def dft_statistics(): return [Mine]", plugins.statistics, f"{PACKAGE} brings nothing: decorate"),
        (LIST + "Mine", plugins.statistics, f"{PACKAGE}: dft_statistics: .*a list of subclasses of Statistic"),
        (LIST + "[Mine(None, None)]", plugins.statistics, f"{PACKAGE}: .*dft_theirs.Mine object.* is none"),
        (LIST + "[object]", plugins.statistics, f"{PACKAGE}: .*has no `name`"),
        (
            "Mine.name = 'novelty'\n" + LIST + "[Mine]",
            plugins.statistics,
            f'"novelty", dft-plugin itself and {PACKAGE}',
        ),
        (REFERENCES + "['a.safetensors']", plugins.references, f"{PACKAGE}: .*a mapping of names to files"),
    ],
)
def test_a_faulty_package(module: str, find: Callable[[], Any], said: str, install: Callable[[str], None]) -> None:
    install(module)
    with pytest.raises(ValueError, match=said):
        find()


def test_a_package_is_found(install: Callable[[str], None]) -> None:
    install(f"{LIST}[Mine]\n{REFERENCES}{{'tales': 'tales.safetensors'}}")
    assert list(plugins.statistics())[-1] == "mine"
    assert plugins.references()["tales"] == Path("tales.safetensors")


@pytest.mark.parametrize("command", ["statistics", "schema"])
def test_a_faulty_package_in_one_line(command: str, install: Callable[[str], None]) -> None:
    install("import not_there")
    said = CliRunner().invoke(commands, [command])
    assert said.exit_code == 1
    assert re.fullmatch(f"Error: (dft: )?{PACKAGE} cannot be loaded.*\n", said.output)

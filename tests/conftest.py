"""What every test needs: no network, one thread, quiet libraries, no deadlines, the plugin manager left as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Before any import of transformers or datasets: nothing here may look for a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

# Machines are shared: how long an example takes says nothing about the code.
settings.register_profile("without deadlines", deadline=None)
settings.load_profile("without deadlines")


@pytest.fixture(autouse=True)
def plugins_as_found() -> Iterator[None]:
    """Takes away the plugins that a test registered."""
    from dft_plugin.plugins import manager

    plugins = manager()
    before = set(plugins.get_plugins())
    yield
    for plugin in set(plugins.get_plugins()) - before:
        plugins.unregister(plugin)

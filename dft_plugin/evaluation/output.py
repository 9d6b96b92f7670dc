"""Where a command writes, checked before it measures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dft_plugin.evaluation.texts import TextsError
from dft_plugin.reference.corpus import SUFFIXES


def check_output(option: str, path: Path, example: str, read: Iterable[str | Path | None]) -> None:
    """Whether a file can be written there, and is none of those that are read.

    Args:
        option: that names it.
        path: of the file.
        example: a name for it.
        read: files, folders and names of what is read; None where there is none.

    Raises:
        TextsError: when not, with the mend.
    """
    if path.is_dir():
        raise TextsError(f"{option} {path} is a folder: give a file in it, such as {path / example}")
    written = path.resolve()
    folder = next(parent for parent in written.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise TextsError(f"{option} {path}: nothing can be written into {folder}; give a file elsewhere")
    for source in (Path(one) for one in read if one):
        if source.resolve() == written:
            raise TextsError(f"{option} {path} would be written over what is read from it; give another name")
        if source.is_dir() and source.resolve() in written.parents and path.name.lower().endswith(SUFFIXES):
            raise TextsError(f"{option} {path} lies in {source}, whose files are read as texts; give a file elsewhere")

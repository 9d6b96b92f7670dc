"""Local paths in a configuration of TRL or Axolotl: those at which there is nothing, and the files of data sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import Any

from dft_plugin.plugins import nearest
from dft_plugin_check.host_settings import AXOLOTL, TRL

_MODELS = {TRL: ("model_name_or_path",), AXOLOTL: ("base_model", "tokenizer_config")}
_DATA_SETS = {TRL: ("dataset_name", "datasets"), AXOLOTL: ("datasets", "test_datasets", "pretraining_dataset")}
_SETTINGS = ("deepspeed", "deepspeed_config_file", "accelerate_config", "config_file")
_SUFFIXES = {
    ".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".txt": "text", ".arrow": "arrow",
}  # fmt: skip
"""Ends of data files' names, and what reads them."""
_READERS = set(_SUFFIXES.values())
"""What `datasets` takes as the path of a data set where `data_files` names the files."""


def missing_paths(config: Mapping[str, Any], host: str) -> Iterator[str]:
    """Every model, data set and file of settings that is no name on the hub and is not on this machine."""
    for key in _MODELS.get(host, ()):
        if missing_folder(str(config.get(key) or "")):
            yield (
                f"{key}: {config[key]}: there is no such folder.{_nearby(config[key])}{_from_here(config[key])} "
                "(give the folder that holds the model, or its name on the hub)"
            )
    for key in _DATA_SETS.get(host, ()):
        for entry in entries(config.get(key)):
            yield from (f"{key}: {said}" for said in _missing_data(entry, host))
    for key in _SETTINGS:
        given = config.get(key)
        if isinstance(given, str) and Path(given).suffix in (".json", ".yaml", ".yml") and not Path(given).is_file():
            yield f"{key}: {given}: there is no such file.{_nearby(given)}{_from_here(given)}"


def missing_folder(name: str) -> bool:
    """Whether it can only be a local folder, and is none."""
    return _explicit(name) and not Path(name).is_dir()


def _explicit(name: str) -> bool:
    return Path(name).is_absolute() or name.startswith(("./", "../"))


def entries(given: Any) -> Iterator[Mapping[str, Any]]:
    """The data sets that a key names: one or a list, each a path or its keys."""
    for entry in given if isinstance(given, list | tuple) else [given]:
        if isinstance(entry, Mapping):
            yield entry
        elif isinstance(entry, str):
            yield {"path": entry}


def local_data(entry: Mapping[str, Any]) -> list[Path]:
    """The files or the folder a data set is read from, those that are on this machine."""
    path = str(entry.get("path") or "")
    if path not in _READERS:
        return [Path(path)] if path and Path(path).exists() else []
    return [Path(found) for _, file in _data_files(entry) for found in sorted(glob(str(file), recursive=True))]


def _missing_data(entry: Mapping[str, Any], host: str) -> Iterator[str]:
    path = str(entry.get("path") or "")
    suffix = Path(path).suffix
    a_file = suffix in _SUFFIXES and "://" not in path
    if (_explicit(path) or a_file) and not Path(path).exists():
        yield f"{path}: there is no such file or folder.{_nearby(path)}{_from_here(path)}"
    elif host == TRL and a_file and Path(path).is_file():
        yield (
            f"{path}: it is a file, and TRL takes a folder or a name on the hub there: give "
            f"`datasets: [{{path: {_SUFFIXES[suffix]}, data_files: {path}}}]`"
        )
    elif path in _READERS or Path(path).is_dir():
        for file, at in _data_files(entry):
            if "://" not in file and not _found(at):
                yield f"data_files: {file}: there is no such file.{_nearby(str(at))}{_from_here(file)}"


def _data_files(entry: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """The files that a data set names, each as it is written and where it is looked for."""
    path = str(entry.get("path") or "")
    folder = Path(str(entry.get("data_dir") or "")) if path in _READERS else Path(path)
    for file in _files(entry.get("data_files")):
        yield file, folder / Path(file).expanduser()


def _files(given: Any) -> Iterator[str]:
    """The names in a name, a list of them, or such by split."""
    for entry in given.values() if isinstance(given, Mapping) else [given]:
        for file in entry if isinstance(entry, list | tuple) else [entry]:
            if file:
                yield str(file)


def _found(path: Path) -> bool:
    return path.exists() or bool(glob(str(path), recursive=True))


def _nearby(path: str) -> str:
    folder = Path(path).parent
    return nearest(Path(path).name, [entry.name for entry in folder.iterdir()] if folder.is_dir() else [])


def _from_here(path: str) -> str:
    """Where a relative path begins, which a run started elsewhere gets wrong."""
    return "" if Path(path).is_absolute() else f" Relative paths begin at {Path.cwd()}"


__all__ = ["entries", "local_data", "missing_folder", "missing_paths"]

"""Human text from files and Hugging Face data sets, read in chunks: memory does not grow with the corpus."""

from __future__ import annotations

import glob
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from dft_plugin.reference import readers
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.errors import HumanReferenceError
from dft_plugin.reference.rows import Chunk, Parsed, ReadOptions, Row, parse

logger = logging.getLogger("dft_plugin")

TEXT_SUFFIXES = (".txt", ".txt.gz", ".txt.zst")
"""Of files that hold plain text and no rows."""
SUFFIXES = (".txt", ".jsonl", ".json", ".parquet", ".jsonl.gz", ".txt.gz", ".jsonl.zst", ".txt.zst")
KINDS_SHOWN = 5


@dataclass(frozen=True)
class Source:
    """One file, or one data set.

    Attributes:
        name: as given, or found in a folder; a data set's name or folder.
        kind: one of `SUFFIXES`, "dataset" (`datasets.load_dataset`) or "saved" (`save_to_disk` wrote it).
    """

    name: str
    kind: str


def sources(corpora: Sequence[str | Path], options: ReadOptions) -> list[Source]:
    """Files, the corpus files of folders and their subfolders, those of globs; else Hugging Face data sets.

    Sources stand in the order given, a folder's and a glob's by name; one named twice is read once. A folder
    is a data set if `save_to_disk` wrote it or a split is asked for. Hidden files are left out of folders; other
    files that are left out are logged.

    Raises:
        HumanReferenceError: for a missing, empty or unknown file, for a folder or glob without corpus files, and for a
            split where nothing has one.
    """
    found: dict[Path, Source] = {}
    for source in chain.from_iterable(_expand(str(corpus), options) for corpus in corpora):
        found.setdefault(Path(source.name).resolve(), source)
    if options.split is not None and not any(source.kind in ("dataset", "saved") for source in found.values()):
        raise HumanReferenceError(
            f'a split ("{options.split}") is asked for, and {", ".join(map(str, corpora))} has none: files have no '
            "splits, only Hugging Face data sets; leave --split out"
        )
    return list(found.values())


def _expand(given: str, options: ReadOptions) -> list[Source]:
    path = Path(given)
    if path.is_file():
        return [_file(path)]
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return [Source(given, "saved")]
        if options.split is not None:
            return [Source(given, "dataset")]
        inside = [file for file in path.rglob("*") if not any(p.startswith(".") for p in file.relative_to(path).parts)]
        return _corpus_files(inside, f"{given}: the folder")
    if any(sign in given for sign in "*?["):
        return _corpus_files(map(Path, glob.glob(given, recursive=True)), f"{given}: the pattern")
    if given.lower().endswith(SUFFIXES) or not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", given):
        raise HumanReferenceError(f"{given}: there is no such file or folder")
    return [Source(given, "dataset")]


def _corpus_files(paths: Iterable[Path], whose: str) -> list[Source]:
    there = [path for path in sorted(paths) if path.is_file()]
    files = [_file(path) for path in there if _kind(path) is not None]
    if not files:
        raise HumanReferenceError(f"{whose} has no corpus file; these end in {', '.join(SUFFIXES)}")
    if others := [path for path in there if _kind(path) is None]:
        kinds = sorted({"".join(path.suffixes[-2:]) or path.name for path in others})
        logger.warning(
            "dft: %s has %d files that are not read (%s%s); these are: %s",
            whose,
            len(others),
            ", ".join(kinds[:KINDS_SHOWN]),
            ", ..." if len(kinds) > KINDS_SHOWN else "",
            ", ".join(SUFFIXES),
        )
    return files


def _kind(path: Path) -> str | None:
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


def _file(path: Path) -> Source:
    kind = _kind(path)
    if kind is None:
        raise HumanReferenceError(f"{path}: unknown kind of corpus; there are {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise HumanReferenceError(f"{path} is empty (0 bytes): fetch or write it again, or leave it out")
    return Source(str(path), kind)


def chunks(given: Sequence[Source], options: ReadOptions, size: int = readers.CHUNK) -> Iterator[Chunk]:
    """The sources' content in order, in chunks of about `size` bytes, none of two sources.

    A chunk is larger where one line or row is, and a .json file is read whole. A .txt file over
    `readers.DOCUMENT` bytes is cut into several documents, at blank lines if there are any.

    Raises:
        HumanReferenceError: when a source cannot be read to its end, naming it.
    """
    for source in given:
        if source.kind in ("dataset", "saved"):
            rows = readers.dataset_rows(source.name, source.kind == "saved", options)
            yield from readers.in_chunks(source.name, rows, size)
        elif source.kind == ".parquet":
            yield from readers.in_chunks(source.name, readers.parquet_rows(source.name, options), size)
        elif source.kind == ".json":
            yield from readers.in_chunks(source.name, readers.json_list(source.name), size)
        elif source.kind.startswith(".txt"):
            yield from readers.documents(source.name, size)
        else:
            yield from readers.lines(source.name, size)


def read(corpora: str | Path | Sequence[str | Path], options: ReadOptions | None = None) -> Iterator[Parsed]:
    """The rows of each chunk of a corpus, parsed in this process.

    Raises:
        HumanReferenceError: as `sources`, `chunks`, `parse` and `BadLines`.
    """
    options = options or ReadOptions()
    lines = BadLines(options.max_bad)
    given = [corpora] if isinstance(corpora, str | Path) else corpora
    for chunk in chunks(sources(given, options), options):
        parsed = parse(chunk, options)
        lines.add(parsed)
        yield parsed
    lines.finish()


def read_rows(corpora: str | Path | Sequence[str | Path], options: ReadOptions | None = None) -> Iterator[Row]:
    """The rows of `read`, one by one."""
    return chain.from_iterable(parsed.rows for parsed in read(corpora, options))

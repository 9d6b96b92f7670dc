"""`dft reference`: click commands only. What they do is imported when they run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dft_plugin.user_errors import user_errors


@click.group()
def reference() -> None:
    """Reference files: the statistics of human text, computed once."""


@reference.command()
@click.argument("corpus", nargs=-1, required=True)
@click.option("--tokenizer", required=True, help="Folder or hub name of the model that will be trained.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .safetensors file to write.")
@click.option("--config", type=click.Path(), help="YAML with a dft: block: its statistics, rollout lengths and seed.")
@click.option("--split", help="Split of a Hugging Face data set.")
@click.option("--text-column", help="Column that holds plain text; default: text, prompt + completion, or messages.")
@click.option(
    "--max-bad",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="Largest share of unreadable rows that is skipped.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; default: one for each core.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: a task for each file over a Ray cluster (RAY_ADDRESS, else one on this machine).",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted build.")
@click.option("--vocabulary-size", type=click.IntRange(min=1), help="Rows of the lm_head, if config.json is not there.")
@click.option("--from-start", is_flag=True, help="For training data with prompts: texts count from their first token.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@user_errors
def build(
    corpus: tuple[str, ...],
    tokenizer: str,
    output: Path,
    config: str | None,
    split: str | None,
    text_column: str | None,
    max_bad: float,
    workers: int | None,
    engine: str,
    resume: bool,
    vocabulary_size: int | None,
    from_start: bool,
    overwrite: bool,
) -> None:
    """Build a reference of CORPUS: files (.txt and .jsonl, also .gz or .zst; .json, .parquet), folders, patterns or
    Hugging Face data set names."""
    from dft_plugin.config import DFTConfig
    from dft_plugin.reference.build import WITHOUT_CONFIG, Request, build_file
    from dft_plugin.reference.built import built
    from dft_plugin.reference.progress import progress_bar
    from dft_plugin.reference.rows import ReadOptions

    request = Request(
        corpus,
        output,
        tokenizer,
        WITHOUT_CONFIG if config is None else DFTConfig.from_yaml(config),
        ReadOptions(split, text_column, max_bad),
        vocabulary_size,
        from_start,
        workers,
        engine,
        overwrite,
        resume,
    )
    with progress_bar() as progress:
        reference, lines = build_file(request, progress)
    click.echo(built(output, reference, lines), nl=False)


@reference.command()
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The .safetensors file to write.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@user_errors
def merge(files: tuple[str, ...], output: Path, overwrite: bool) -> None:
    """Merge references into what one build over all their corpora gives, byte for byte."""
    from dft_plugin.reference.build import check_output
    from dft_plugin.reference.errors import HumanReferenceError
    from dft_plugin.reference.finish import merged
    from dft_plugin.reference.named import mergeable

    check_output(output, overwrite)
    if twice := [file for file in files if files.count(file) > 1]:
        raise HumanReferenceError(f"{twice[0]} is given {len(twice)} times: name each reference once")
    reference = merged({file: mergeable(file) for file in files})
    reference.save(output)
    click.echo(f"{output}: {reference.windows:,} windows of {reference.metadata['documents']:,} documents")


def _print(renderable: object) -> None:
    from rich.console import Console

    Console().print(renderable)


@reference.command()
@click.argument("name")
@click.option("--plot", type=click.Path(path_type=Path), help="A picture as well: .png, .svg or .pdf.")
@user_errors
def show(name: str, plot: Path | None) -> None:
    """Show what a reference holds: NAME is a file or a shipped domain."""
    from dft_plugin.reference.named import described
    from dft_plugin.reference.plot import plot as draw
    from dft_plugin.reference.show import show as shown

    description = described(name)
    if plot is not None:
        draw(description, plot)
    _print(shown(description))


@reference.command("list")
@click.argument("folders", nargs=-1, type=click.Path())
@user_errors
def list_(folders: tuple[str, ...]) -> None:
    """List the shipped domains, and the references in FOLDERS."""
    from dft_plugin.plugins import references
    from dft_plugin.reference.show import list_references

    _print(list_references(references(), folders))


@reference.command()
@click.argument("a")
@click.argument("b")
@user_errors
def diff(a: str, b: str) -> None:
    """Say in what reference A differs most from reference B; each is a file or a shipped domain."""
    from dft_plugin.reference.diff import diff as differing
    from dft_plugin.reference.named import described

    _print(differing(described(a), described(b)))


@reference.command()
@click.argument("name")
@click.option("--background", help="Reference whose words it is compared with; default: the nearest shipped domain.")
@click.option("--tokenizer", help="Where NAME is a corpus: folder or hub name of the model that will be trained.")
@click.option("--strict", is_flag=True, help="Exit code 1 where something should be mended.")
@user_errors
def audit(name: str, background: str | None, tokenizer: str | None, strict: bool) -> None:
    """Say what a model matched to NAME would learn: a reference file, a shipped domain or a corpus."""
    from dft_plugin.reference.audit import audit as audited
    from dft_plugin.reference.build import describe_corpus
    from dft_plugin.reference.errors import HumanReferenceError
    from dft_plugin.reference.named import described, is_reference, nearest_domain
    from dft_plugin.reference.progress import progress_bar

    if is_reference(name):
        if tokenizer is not None:
            raise HumanReferenceError(
                f"--tokenizer is for a corpus; {name} is a reference already, counted before: leave --tokenizer out"
            )
        description = described(name)
    else:
        with progress_bar() as progress:
            description = describe_corpus(name, tokenizer, progress)
    found = audited(description, described(background) if background else nearest_domain(description))
    _print(found.render())
    sys.exit(1 if strict and found.problems else 0)

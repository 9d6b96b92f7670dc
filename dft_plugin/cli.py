"""The `dft` command: click commands only. What they do is imported when they run, so that help is instant."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from dft_plugin import __version__

Command = TypeVar("Command", bound=Callable[..., Any])
INTERRUPTED = 130


def user_errors(command: Command) -> Command:
    """What the user can mend becomes one line on stderr and exit code 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error

    return wrapped  # type: ignore[return-value]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dft")
def commands() -> None:
    """Distribution Fine-Tuning: make the distribution of what a fine-tuned model generates match human text.

    Not Dynamic Fine-Tuning (TRL's loss_type: dft).
    """


@commands.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["yaml", "json", "markdown"]),
    default="yaml",
    show_default=True,
    help="A commented block with every default, a JSON schema for editors, or tables.",
)
def schema(form: str) -> None:
    """Print every option of the dft: block."""
    import json

    from dft_plugin import schema as schemas

    if form == "json":
        click.echo(json.dumps(schemas.json_schema(), indent=2))
    else:
        click.echo(schemas.yaml_block() if form == "yaml" else schemas.option_table(), nl=False)


@commands.command()
def statistics() -> None:
    """List the statistics and distances, one line each."""
    from dft_plugin import schema as schemas

    click.echo(schemas.listing(), nl=False)


@click.command("check")
@click.argument("config", type=click.Path())
@user_errors
def check(config: str) -> None:
    """Find what a TRL or Axolotl CONFIG would leave inactive in silence; exit code 1 if there is anything."""
    from dft_plugin import check as checks

    findings = checks.check(checks.read_yaml(config))
    click.echo(checks.report(config, findings), nl=False)
    sys.exit(1 if findings.problems else 0)


commands.add_command(check)
axolotl_check = check
"""`axolotl dft-check`: Axolotl finds it by the entry point group `axolotl.cli_commands`."""


@commands.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    short_help="Run TRL's SFT script with the dft: block of its config.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@user_errors
def sft(arguments: tuple[str, ...]) -> None:
    """Run TRL's SFT script: `dft sft --config sft.yaml`, any `trl sft` configuration plus a dft: block."""
    from dft_plugin_trl.sft import launch

    sys.exit(launch(arguments))


@commands.group()
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
    """Build a reference of CORPUS: files (.txt, .jsonl, .json, .parquet, also .gz and .zst), folders, patterns or
    Hugging Face data set names."""
    from dft_plugin.config import DFTConfig
    from dft_plugin.reference.build import Request, build_file, progress_bar
    from dft_plugin.reference.built import built
    from dft_plugin.reference.rows import ReadOptions

    request = Request(
        corpus,
        output,
        tokenizer,
        DFTConfig() if config is None else DFTConfig.from_yaml(config),
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
    from dft_plugin.reference.accumulated import Reference
    from dft_plugin.reference.build import check_output
    from dft_plugin.reference.finish import merged

    check_output(output, overwrite)
    reference = merged({file: Reference.load(file) for file in files})
    reference.save(output)
    click.echo(f"{output}: {reference.windows:,} windows of {reference.metadata['documents']:,} documents")


def main() -> None:
    """The console script: exit code 1 or 2 with one line for what the user can mend, 130 for Ctrl-C."""
    try:
        commands(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()

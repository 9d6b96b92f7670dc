"""The `dft` command: click commands only. What they do is imported when they run, so that help is instant."""

from __future__ import annotations

import sys

import click

from dft_plugin import __version__
from dft_plugin.evaluation.commands import compare, evaluate
from dft_plugin.reference_commands import reference
from dft_plugin.user_errors import user_errors

INTERRUPTED = 130


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
@user_errors
def schema(form: str) -> None:
    """Print every option of the dft: block."""
    import json

    from dft_plugin import schema as schemas

    if form == "json":
        click.echo(json.dumps(schemas.json_schema(), indent=2))
    else:
        click.echo(schemas.yaml_block() if form == "yaml" else schemas.option_table(), nl=False)


@commands.command()
@user_errors
def statistics() -> None:
    """List the statistics and distances, one line each."""
    from dft_plugin import schema as schemas

    click.echo(schemas.listing(), nl=False)


@click.command("check")
@click.argument("config", type=click.Path())
@user_errors
def check(config: str) -> None:
    """Find what a TRL or Axolotl CONFIG would leave inactive in silence; exit code 1 if there is anything."""
    from dft_plugin_check import check as checks
    from dft_plugin_check.findings import report

    findings = checks.check(checks.read_yaml(config))
    click.echo(report(config, findings), nl=False)
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


for command in (evaluate, compare, reference):
    commands.add_command(command)


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

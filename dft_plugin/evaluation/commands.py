"""`dft evaluate` and `dft compare`: click commands only. What they do is imported when they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource

from dft_plugin.user_errors import user_errors

OF_A_MODEL = (
    "temperature", "top_k", "top_p", "min_p", "max_new_tokens", "prompt_words", "engine", "batch_size",
)  # fmt: skip
OF_A_JUDGE = ("judge_pairs", "judge_price", "judge_key")
OF_TEXTS = ("words", "resamples", "seed")


def refuse(options: Sequence[str], why: str) -> None:
    """Ends with the options that were given on the command line and would be of no effect.

    Raises:
        ClickException: naming them, if there are any.
    """
    source = click.get_current_context().get_parameter_source
    if given := [name for name in options if source(name) is ParameterSource.COMMANDLINE]:
        raise click.ClickException(f"{', '.join('--' + name.replace('_', '-') for name in given)}: {why}")


@click.command()
@click.argument("model", required=False)
@click.option(
    "--texts", type=click.Path(), help="Measure texts that exist already, from any source, instead of MODEL's."
)
@click.option(
    "--reference",
    required=True,
    help="Human texts (.jsonl, .txt, .json, .parquet, folder, data set), or their laws: a reference file or a domain.",
)
@click.option(
    "--prompts",
    help="Prompts for MODEL: a column `prompt`, chats, or texts that are continued from their "
    "first words; default: the human texts are.",
)
@click.option("-n", "--count", type=click.IntRange(min=1), help="Texts to generate, or to draw of --texts.")
@click.option("--adapter", help="Folder of a PEFT adapter to load onto MODEL.")
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True), default=1.0, show_default=True)
@click.option("--top-k", type=click.IntRange(min=0), default=0, show_default=True, help="0 is off.")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True, help="1 is off.")
@click.option("--min-p", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True, help="0 is off.")
@click.option("--max-new-tokens", type=click.IntRange(min=2), default=256, show_default=True)
@click.option(
    "--prompt-words",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Words of a text that are the prompt, where it has none of its own.",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=32, show_default=True, help="Texts generated at once."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "transformers", "vllm"]),
    default="auto",
    show_default=True,
    help="auto: vllm where it is installed and there is a GPU.",
)
@click.option(
    "--text-column",
    help="Column of the texts; default: text, completion beside prompt, or messages. Human texts and prompts are read "
    "from it where they have none of these.",
)
@click.option("--tokenizer", help="Laws of its tokens instead of words; MODEL's own if MODEL is given.")
@click.option("--words", type=click.IntRange(min=1), help="Measure each text on its first so many words.")
@click.option("--resamples", type=click.IntRange(min=20), default=200, show_default=True, help="Behind each interval.")
@click.option("--embedding", help="A sentence-transformers model for the two-sample tests, instead of hashed n-grams.")
@click.option("--mauve", is_flag=True, help="MAUVE as well (pip install mauve-text; GPL).")
@click.option("--judge", help="Base URL of an OpenAI-compatible endpoint: pairwise win rate against human texts.")
@click.option("--judge-model", help="The judge's model name.")
@click.option("--judge-pairs", type=click.IntRange(min=1), default=200, show_default=True)
@click.option(
    "--judge-price", type=(float, float), help="Price of a million tokens in, and out: the cost is shown first."
)
@click.option("--judge-key", default="OPENAI_API_KEY", show_default=True, help="Environment variable with the API key.")
@click.option("--yes", is_flag=True, help="Do not ask before requests that cost money.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--name", help="What the result is called in tables.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default="dft-result.json", show_default=True)
@user_errors
def evaluate(**options: object) -> None:
    """Measure how far from human text MODEL writes (a folder or hub name), or --texts are."""
    from rich.console import Console

    from dft_plugin.evaluation.run import Request, run
    from dft_plugin.evaluation.table import give_away_table, result_table

    request = Request(**options)  # type: ignore[arg-type]
    if request.texts is not None:
        refuse(OF_A_MODEL, "--texts exist already; these are for a MODEL")
    else:
        refuse(["tokenizer"], "laws are of MODEL's own tokens; this is for --texts")
    if request.judge is None:
        refuse(OF_A_JUDGE, "no judge is asked: give --judge as well")
    result = run(request, lambda question: request.yes or click.confirm(question, err=True))
    console = Console()
    console.print(result_table(result), crop=False)
    console.print(give_away_table(result), crop=False)
    console.print(f"written: {request.output}", highlight=False, markup=False)


@click.command()
@click.argument("human")
@click.argument("others", nargs=-1, required=True)
@click.option("--html", type=click.Path(path_type=Path), help="Write a report with pictures to this file.")
@click.option(
    "--trainer-state", type=click.Path(), help="A run's trainer_state.json or output folder: its curves in the report."
)
@click.option(
    "--text-column",
    help="Column of the texts; default: text, completion beside prompt, or messages. HUMAN is read from it where it "
    "has none of these.",
)
@click.option("--words", type=click.IntRange(min=1), help="Measure each text on its first so many words.")
@click.option("--resamples", type=click.IntRange(min=20), default=200, show_default=True, help="Behind each interval.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@user_errors
def compare(
    human: str,
    others: tuple[str, ...],
    html: Path | None,
    trainer_state: str | None,
    text_column: str | None,
    words: int | None,
    resamples: int,
    seed: int,
) -> None:
    """Put OTHERS side by side: results of `dft evaluate`, or texts, which are measured against HUMAN.

    Results keep the human text they were measured against; HUMAN must be there all the same.

    Each is compared with the first of them.
    """
    from rich.console import Console

    from dft_plugin.evaluation.compare_files import compare_files, is_result
    from dft_plugin.evaluation.measuring import Options
    from dft_plugin.evaluation.table import comparison_table

    if trainer_state is not None and html is None:
        raise click.UsageError("--trainer-state is drawn in the report: give --html report.html as well")
    if all(map(is_result, others)):
        refuse(OF_TEXTS, "results are shown as they were measured; these are for texts")
    if html is not None:
        from dft_plugin.evaluation.output import check_output
        from dft_plugin.evaluation.report.html import write_report
        from dft_plugin.evaluation.report.training import file_of, read_trainer_state

        history = None if trainer_state is None else file_of(trainer_state)
        check_output("--html", html, "report.html", (human, *others, history))
        state = None if history is None else read_trainer_state(history)
    options = Options(words=words, resamples=resamples, seed=seed)
    compared, results = compare_files(human, others, text_column, options)
    console = Console()
    console.print(comparison_table(compared), crop=False)
    if html is not None:
        console.print(f"written: {write_report(html, results, state)}", highlight=False, markup=False)

"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dft_plugin import __version__
from dft_plugin.evaluation.compare import compare, unique_names
from dft_plugin.evaluation.report import comparison, laws, numbers
from dft_plugin.evaluation.report.charts import symbol
from dft_plugin.evaluation.report.habits import CHARTED, habits
from dft_plugin.evaluation.report.labels import shortened
from dft_plugin.evaluation.report.samples import side_by_side
from dft_plugin.evaluation.report.training import read_trainer_state, training_charts
from dft_plugin.evaluation.result import Result, ResultError

HEADING = "How far from human text"
STYLES = 6
"""Colours and marks of results in the style sheet; more results begin again at the first."""
NAME = 40
"""Characters of a result's name; the whole name stands with its sources."""
# Pages may not hold most control characters, and a lone surrogate is no UTF-8: shown, not dropped.
_VISIBLE = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}


def render(results: Sequence[Result], trainer_state: Mapping[str, Any] | None = None) -> str:
    """The report of one result, or of several compared with the first.

    The page asks for nothing over the network (its content security policy forbids it), runs no script, and holds
    every text of models, corpora and the user escaped.

    Args:
        results: of `dft evaluate`, the one that the others are compared with first.
        trainer_state: transformers' trainer state of the run, for its curves.

    Raises:
        ResultError: when there is no result.
        TrainerStateError: when the trainer state has no log.
    """
    if not results:
        raise ResultError("a report needs at least one result")
    compared = compare(results)
    names = unique_names(["human", *(shortened(result.name, NAME) for result in results)])[1:]
    styles = [f"s{index % STYLES + 1}" for index in range(len(results))]
    template = _environment().get_template("page.html")
    page = template.render(
        title=f"{HEADING}: {', '.join(names)}",
        heading=HEADING,
        version=__version__,
        results=list(zip(results, names, styles, strict=True)),
        counted=_counted(results),
        notes=compared.notes,
        cards=comparison.cards(compared, results, names, styles),
        measures=comparison.measures(compared, names, styles),
        sentences=laws.sentence_chart(results, names, styles),
        punctuation=laws.punctuation_charts(results, names, styles),
        ranks=laws.rank_chart(results, names, styles),
        habits=habits(results, names, styles),
        charted=CHARTED,
        training=[] if trainer_state is None else training_charts(trainer_state),
        samples=side_by_side(results, names, styles),
    )
    return page.translate(_VISIBLE).encode("utf-8", "replace").decode("utf-8")


def write_report(
    path: str | Path,
    results: Sequence[Result],
    trainer_state: Mapping[str, Any] | str | Path | None = None,
) -> Path:
    """Writes the report, complete or not at all.

    Args:
        path: the HTML file.
        results: as for `render`.
        trainer_state: the state itself, its file, or the output folder of the run.

    Raises:
        ResultError, TrainerStateError: as `render` and `read_trainer_state`.
    """
    path = Path(path)
    state = read_trainer_state(trainer_state) if isinstance(trainer_state, (str, Path)) else trainer_state
    page = render(results, state)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, encoding="utf-8")
    partial.replace(path)
    return path


def _counted(results: Sequence[Result]) -> str:
    """How many texts there are of each result and of people."""
    sizes = [result.provenance.texts.texts for result in results]
    if len(set(sizes)) == 1:
        own = f"{sizes[0]:,} texts{' each' if len(sizes) > 1 else ''}"
    else:
        own = f"{', '.join(f'{size:,}' for size in sizes)} texts"
    return f"{own}, beside {people(results[0])}"


def people(result: Result) -> str:
    """The human side of a result: texts, or laws without them."""
    human = result.provenance.human
    laws = "the laws of " if human.kind == "laws" else ""
    return f"{laws}{human.texts:,} human texts of {Path(human.name).name or human.name}"


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dft_plugin.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=numbers.figure, times=numbers.times)
    environment.globals.update(symbol=symbol, people=people)
    return environment

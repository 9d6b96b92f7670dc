"""What `dft evaluate` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dft_plugin.evaluation.evaluate import Origin, evaluate, evaluate_by_laws
from dft_plugin.evaluation.measuring import Options, Progress
from dft_plugin.evaluation.model_texts import of_model
from dft_plugin.evaluation.output import check_output
from dft_plugin.evaluation.result import Result
from dft_plugin.evaluation.texts import (
    Text,
    Texts,
    TextsError,
    in_random_order,
    name_of,
    read_texts,
    read_texts_or_column,
)
from dft_plugin.plugins import nearest, references
from dft_plugin.reference.errors import HumanReferenceError

if TYPE_CHECKING:
    from dft_plugin.reference.description import Description


@dataclass(frozen=True)
class Request:
    """The arguments of `dft evaluate`; see its help."""

    reference: str
    model: str | None = None
    texts: str | None = None
    prompts: str | None = None
    count: int | None = None
    adapter: str | None = None
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    max_new_tokens: int = 256
    prompt_words: int = 16
    batch_size: int = 32
    engine: str = "auto"
    text_column: str | None = None
    tokenizer: str | None = None
    words: int | None = None
    resamples: int = 200
    embedding: str | None = None
    mauve: bool = False
    judge: str | None = None
    judge_model: str | None = None
    judge_pairs: int = 200
    judge_price: tuple[float, float] | None = None
    judge_key: str = "OPENAI_API_KEY"
    yes: bool = False
    seed: int = 0
    name: str | None = None
    output: Path = Path("dft-result.json")

    def __post_init__(self) -> None:
        if (self.model is None) == (self.texts is None):
            raise TextsError("give a MODEL to generate with, or --texts to measure, one of the two")
        if self.texts is not None and (self.adapter or self.prompts):
            raise TextsError("--adapter and --prompts are for a MODEL; --texts exist already")
        if (self.judge is None) != (self.judge_model is None):
            raise TextsError("a judge needs both --judge URL and --judge-model NAME")
        check_output("-o", self.output, "result.json", (self.texts, self.reference, self.prompts))


def run(request: Request, confirm: Callable[[str], bool] = lambda question: True) -> Result:
    """Generates if need be, measures, writes the result; errors are for the user to mend.

    Args:
        request: what to do.
        confirm: asked before requests that may cost money.
    """
    human = human_side(request.reference, request.text_column)
    if (request.judge or request.mauve or request.embedding) and not isinstance(human, Texts):
        raise TextsError(f"{request.reference} holds no texts: --judge, --mauve and --embedding need human texts")
    if request.tokenizer and not isinstance(human, Texts):
        raise TextsError(f"{request.reference} holds laws of words, not of --tokenizer's tokens: leave --tokenizer out")
    if request.texts is not None:
        texts = drawn(read_texts(request.texts, request.text_column), request.count)
        tokenizer = _tokenizer(request.tokenizer)
        origin = Origin(tokenizer=request.tokenizer)
    else:
        texts, human, tokenizer, origin = of_model(request, human)
    options = Options(
        words=request.words,
        resamples=request.resamples,
        seed=request.seed,
        tokenizer=tokenizer,
        embedding=request.embedding,
        mauve=request.mauve,
    )
    name = request.name or name_of(request.adapter or request.model or request.texts or "")
    with progress_bar() as progress:
        if isinstance(human, Texts):
            result = evaluate(name, texts, human, options, origin, progress)
        else:
            result = evaluate_by_laws(name, texts, human, options, origin)
    result.save(request.output)
    if request.judge is not None and isinstance(human, Texts):
        result = _judged(request, result, texts.texts, human.texts, confirm)
        result.save(request.output)
    return result


def drawn(texts: Texts, count: int | None) -> Texts:
    """So many of the texts at most, drawn at random; all, in random order, without a number."""
    chosen, notes = in_random_order(texts.texts)[:count], [*texts.notes]
    if len(chosen) < len(texts.texts):
        notes.append(f"{len(chosen):,} of {len(texts.texts):,} texts are measured, drawn at random")
    return Texts(texts.name, chosen, notes)


def human_side(reference: str, column: str | None = None) -> Texts | Description:
    """Human texts in random order, or the laws of a reference file or a shipped domain.

    Args:
        reference: a path or a name.
        column: of the texts, where there are none of the default columns.

    Raises:
        HumanReferenceError, TextsError: when it is neither.
    """
    from dft_plugin.reference.named import described, is_reference

    if is_reference(reference):
        return described(reference)
    try:
        return drawn(read_texts_or_column(reference, column), None)
    except (TextsError, HumanReferenceError) as error:
        hint = "" if Path(reference).exists() else nearest(reference, references())
        raise type(error)(f"{error}.{hint}" if hint else str(error)) from error


def _judged(
    request: Request, result: Result, texts: Sequence[Text], human: Sequence[Text], confirm: Callable[[str], bool]
) -> Result:
    """The result with the judge's win rate, or a note that it was not asked."""
    from tqdm import tqdm

    from dft_plugin.evaluation import ask, judge

    assert request.judge is not None
    assert request.judge_model is not None
    endpoint = ask.Endpoint(request.judge, request.judge_model, os.environ.get(request.judge_key))
    own, other = judge.pairs(texts, human, request.judge_pairs, result.basis.words, request.seed)
    asked = judge.questions(own, other, request.seed)
    path = request.output.with_name(request.output.stem + ".judge.jsonl")
    expected = judge.estimate(asked, ask.cached(path), endpoint.model, request.judge_price)
    if expected.requests and not confirm(f"The judge: {expected}. Go on?"):
        return result.model_copy(update={"notes": (*result.notes, "the judge was not asked")})
    with tqdm(total=expected.requests, desc="judge", unit="answer") as bar:
        answers = ask.ask(endpoint, asked, path, lambda done: bar.update(done - bar.n) and None)
    measure, notes = judge.win_rate(asked, answers, endpoint.model)
    measures = {**result.measures, "judge": measure}
    return result.model_copy(update={"measures": measures, "notes": (*result.notes, *notes)})


def _tokenizer(name: str | None) -> Any:
    from dft_plugin.evaluation.models import load_tokenizer

    return None if name is None else load_tokenizer(name)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr that shows what is being measured."""
    from tqdm import tqdm

    with tqdm(total=100, bar_format="{desc}{percentage:3.0f}% |{bar}| {elapsed}", leave=False) as bar:

        def progress(what: str, share: float) -> None:
            bar.set_description(what, refresh=False)
            bar.update(100 * share - bar.n)

        yield progress

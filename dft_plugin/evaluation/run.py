"""What `dft evaluate` does."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dft_plugin.evaluation.evaluate import Origin, evaluate, evaluate_by_laws
from dft_plugin.evaluation.measuring import Options, Progress
from dft_plugin.evaluation.result import Result, Sampling
from dft_plugin.evaluation.texts import Text, Texts, TextsError, read_texts
from dft_plugin.plugins import nearest, references
from dft_plugin.reference.errors import ReferenceError

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


def run(request: Request, confirm: Callable[[str], bool] = lambda question: True) -> Result:
    """Generates if need be, measures, writes the result; errors are for the user to mend.

    Args:
        request: what to do.
        confirm: asked before requests that may cost money.
    """
    human = human_side(request.reference)
    if (request.judge or request.mauve or request.embedding) and not isinstance(human, Texts):
        raise TextsError(f"{request.reference} holds no texts: --judge, --mauve and --embedding need human texts")
    if request.texts is not None:
        found = read_texts(request.texts, request.text_column)
        texts = replace(found, texts=found.texts[: request.count])
        tokenizer = _tokenizer(request.tokenizer)
        origin = Origin(tokenizer=request.tokenizer)
    else:
        texts, human, tokenizer, origin = _of_model(request, human)
    options = Options(
        words=request.words,
        resamples=request.resamples,
        seed=request.seed,
        tokenizer=tokenizer,
        embedding=request.embedding,
        mauve=request.mauve,
    )
    name = request.name or Path(request.adapter or request.model or request.texts or "").name.split(".jsonl")[0]
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


def human_side(reference: str) -> Texts | Description:
    """Human texts, or the laws of a reference file or a shipped domain.

    Raises:
        ReferenceError, TextsError: when it is neither.
    """
    from dft_plugin.reference.named import described, is_reference

    if is_reference(reference):
        return described(reference)
    try:
        return read_texts(reference)
    except (TextsError, ReferenceError) as error:
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
    measure, notes = judge.win_rate(asked, answers, endpoint.model, request.resamples, request.seed)
    measures = {**result.measures, "judge": measure}
    return result.model_copy(update={"measures": measures, "notes": (*result.notes, *notes)})


def _tokenizer(name: str | None) -> Any:
    from dft_plugin.evaluation.models import load_tokenizer

    return None if name is None else load_tokenizer(name)


def _of_model(request: Request, human: Texts | Description) -> tuple[Texts, Texts | Description, Any, Origin]:
    """The model's texts, the human texts they are compared with, its tokenizer, and what to record."""
    import torch
    from tqdm import tqdm

    from dft_plugin.evaluation import perplexity
    from dft_plugin.evaluation.generate import Job, generate_texts, transformers_engine, vllm_engine
    from dft_plugin.evaluation.models import check_there, load
    from dft_plugin.evaluation.prompts import continuations, read_prompts

    assert request.model is not None
    check_there(request.model)
    engine = _engine(request.engine)
    if request.prompts is not None:
        prompts = read_prompts(request.prompts, request.prompt_words)
    elif isinstance(human, Texts):
        prompts, human = continuations(human, request.prompt_words)
    else:
        raise TextsError(f"{request.reference} holds no texts to continue: give --prompts")
    loaded = load(request.model, request.adapter)
    sampling = Sampling(
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        min_p=request.min_p,
        max_new_tokens=request.max_new_tokens,
        seed=request.seed,
        engine=engine,
    )
    job = Job(request.model, request.adapter, sampling, request.count or len(prompts), request.batch_size)
    longest = getattr(loaded.model.config, "max_position_embeddings", None)
    path = request.output.with_name(request.output.stem + ".texts.jsonl")
    people = human.texts[: perplexity.TEXTS] if isinstance(human, Texts) else []
    windows = perplexity.human_windows(people, loaded.tokenizer, longest)
    with tqdm(total=len(windows), desc="perplexity", unit="text", leave=False) as bar:
        rows = perplexity.surprisals(loaded, windows, job.sampler, lambda done: bar.update(done - bar.n) and None)
    with tqdm(total=job.count, desc="generating", unit="text") as bar:
        if engine == "transformers":
            generate = transformers_engine(loaded, job)
        else:
            loaded = replace(loaded, model=None)  # vLLM takes most of the GPU's memory for itself
            torch.cuda.empty_cache()
            generate = vllm_engine(job)
        made = generate_texts(
            job,
            prompts,
            loaded.tokenizer,
            longest,
            generate,
            path,
            lambda done, total: bar.update(done - bar.n) and None,
        )
    chats = {prompt.text: prompt.messages for prompt in prompts}
    filled = [Text(one.completion, one.prompt, chats[one.prompt]) for one in made if one.completion.strip()]
    notes = [*loaded.notes]
    if unfinished := sum(not one.finished for one in made):
        notes.append(
            f"{unfinished:,} of {len(made):,} generated texts stopped at --max-new-tokens {request.max_new_tokens}: "
            "their length is not the model's choice"
        )
    if len(filled) < len(made):
        notes.append(f"{len(made) - len(filled):,} of {len(made):,} generated texts are empty and were left out")
    if not filled:
        raise TextsError(f"{request.model}: every generated text is empty")
    origin = Origin(
        model=request.model,
        adapter=request.adapter,
        tokenizer=request.model,
        prompts=request.prompts or request.reference,
        sampling=sampling,
        measures=perplexity.perplexities(rows, request.resamples, request.seed) if people else {},
        notes=notes,
    )
    return Texts(str(path), filled), human, loaded.tokenizer, origin


def _engine(asked: str) -> str:
    import torch

    installed = importlib.util.find_spec("vllm") is not None
    if asked == "vllm" and not installed:
        raise TextsError("--engine vllm: vllm is not installed; pip install vllm, or --engine transformers")
    if asked == "auto":
        return "vllm" if installed and torch.cuda.is_available() else "transformers"
    return asked


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr that shows what is being measured."""
    from tqdm import tqdm

    with tqdm(total=100, bar_format="{desc}{percentage:3.0f}% |{bar}| {elapsed}", leave=False) as bar:

        def progress(what: str, share: float) -> None:
            bar.set_description(what, refresh=False)
            bar.update(100 * share - bar.n)

        yield progress

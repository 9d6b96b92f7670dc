"""What a model writes, and how well it predicts what people wrote."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dft_plugin.evaluation.evaluate import Origin
from dft_plugin.evaluation.result import Measure, Sampling
from dft_plugin.evaluation.texts import Text, Texts, TextsError, in_random_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dft_plugin.evaluation.generate import Generated, Job
    from dft_plugin.evaluation.models import Loaded
    from dft_plugin.evaluation.prompts import Prompt
    from dft_plugin.evaluation.run import Request
    from dft_plugin.reference.description import Description


def of_model(request: Request, human: Texts | Description) -> tuple[Texts, Texts | Description, Any, Origin]:
    """The model's texts, the human texts they are compared with, its tokenizer, and what to record."""
    from dft_plugin.evaluation.generate import Job
    from dft_plugin.evaluation.identity import weights_digest
    from dft_plugin.evaluation.models import check_there, load

    assert request.model is not None
    check_there(request.model)
    engine = _engine(request.engine)
    prompts, human, left_out = _prompts(request, human)
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
    digest = weights_digest(loaded.model)
    job = Job(request.model, request.adapter, sampling, request.count or len(prompts), request.batch_size, digest)
    people = human.texts if isinstance(human, Texts) else []
    measures, unmeasured = _perplexities(request, loaded, job, people)
    made, there = _generated(request, loaded, job, prompts)
    texts = [
        Text(one.completion, prompt.text, prompt.messages, prompt.template)
        for one, prompt in zip(made, cycle(prompts), strict=False)
        if one.completion.strip()
    ]
    if not texts:
        raise TextsError(f"{request.model}: every generated text is empty")
    origin = Origin(
        model=request.model,
        adapter=request.adapter,
        tokenizer=request.model if isinstance(human, Texts) else None,  # a reference's laws are of words
        prompts=request.prompts or request.reference,
        sampling=sampling,
        measures=measures,
        notes=[*loaded.notes, *left_out, *unmeasured, *_notes(request, made, there)],
    )
    return Texts(str(_path(request)), texts), human, loaded.tokenizer, origin


def _prompts(request: Request, human: Texts | Description) -> tuple[list[Prompt], Texts | Description, list[str]]:
    """What the model is to go on from, the human texts it is compared with, and a note on what was left out."""
    from dft_plugin.evaluation.prompts import continuations, read_prompts

    if request.prompts is not None:
        found, left_out = read_prompts(request.prompts, request.prompt_words, request.text_column)
        return in_random_order(found), human, left_out
    if isinstance(human, Texts):
        return *continuations(human, request.prompt_words), []
    raise TextsError(f"{request.reference} holds no texts to continue: give --prompts")


def _perplexities(
    request: Request, loaded: Loaded, job: Job, people: Sequence[Text]
) -> tuple[Mapping[str, Measure], list[str]]:
    """Perplexity of human text; none, and a note, where the model's head cannot be read."""
    import torch
    from tqdm import tqdm

    from dft_plugin.evaluation import perplexity
    from dft_plugin.evaluation.identity import vocabulary_name
    from dft_plugin.language_model import UnsupportedModelError
    from dft_plugin.model_check import check_model

    if not people:
        return {}, []
    longest = _longest(loaded)
    windows = perplexity.human_windows(people[: perplexity.TEXTS], loaded.tokenizer, longest)
    try:
        for window in windows[:1]:
            check_model(loaded.model, torch.tensor([window.tokens], device=next(loaded.model.parameters()).device))
        with tqdm(total=len(windows), desc="perplexity", unit="text", leave=False) as bar:
            rows = perplexity.surprisals(loaded, windows, job.sampler, lambda done: bar.update(done - bar.n) and None)
    except UnsupportedModelError as error:
        return {}, [f"perplexity is not measured: {error}"]
    vocabulary = vocabulary_name(loaded.tokenizer)
    return perplexity.perplexities(rows, request.resamples, request.seed, vocabulary, job.sampling.settings), []


def _generated(request: Request, loaded: Loaded, job: Job, prompts: Sequence[Prompt]) -> tuple[list[Generated], int]:
    """The texts, and how many of them an earlier run had left."""
    import torch
    from tqdm import tqdm

    from dft_plugin.evaluation.generate import generate_texts, transformers_engine, vllm_engine

    longest, seen = _longest(loaded), []
    with tqdm(total=job.count, desc="generating", unit="text") as bar:

        def progress(done: int, total: int) -> None:
            seen.append(done)
            bar.update(done - bar.n)

        if job.sampling.engine == "transformers":
            generate = transformers_engine(loaded, job)
        else:
            loaded = replace(loaded, model=None)  # vLLM takes most of the GPU's memory for itself
            torch.cuda.empty_cache()
            generate = vllm_engine(job)
        made = generate_texts(job, prompts, loaded.tokenizer, longest, generate, _path(request), progress)
    return made, seen[0]


def _notes(request: Request, made: Sequence[Generated], there: int) -> list[str]:
    notes = []
    if there:
        notes.append(
            f"{there:,} of {len(made):,} texts were there already, from an earlier run of the same model and settings"
        )
    if unfinished := sum(not one.finished for one in made):
        notes.append(
            f"{unfinished:,} of {len(made):,} generated texts stopped at --max-new-tokens {request.max_new_tokens}: "
            "their length is not the model's choice"
        )
    if empty := sum(not one.completion.strip() for one in made):
        notes.append(f"{empty:,} of {len(made):,} generated texts are empty and were left out")
    return notes


def _path(request: Request) -> Path:
    return request.output.with_name(request.output.stem + ".texts.jsonl")


def _longest(loaded: Loaded) -> int | None:
    found: int | None = getattr(loaded.model.config, "max_position_embeddings", None)
    return found


def _engine(asked: str) -> str:
    import torch

    installed = importlib.util.find_spec("vllm") is not None
    if asked == "vllm" and not installed:
        raise TextsError("--engine vllm: vllm is not installed; pip install vllm, or --engine transformers")
    if asked == "auto":
        return "vllm" if installed and torch.cuda.is_available() else "transformers"
    return asked

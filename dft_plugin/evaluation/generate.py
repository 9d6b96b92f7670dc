"""Texts of a model, generated in batches that are on disk before the next one begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dft_plugin.ends_of_text import end_of_text_ids
from dft_plugin.evaluation.models import Loaded
from dft_plugin.evaluation.prompts import Prompt
from dft_plugin.evaluation.result import Sampling
from dft_plugin.evaluation.texts import TextsError
from dft_plugin.rollout import TransformersEngine, seed_of
from dft_plugin.sampling import Sampler

Generate = Callable[[Sequence[Sequence[int]], int], list[list[int]]]
"""From contexts and a seed to the new tokens of each."""


@dataclass(frozen=True)
class Job:
    """What to generate; two jobs are the same if every field is.

    Attributes:
        model, adapter: names, for the record.
        sampling: the deployment sampler, lengths and seed.
        count: texts.
        batch_size: texts generated at once; part of the job, because each batch has a seed.
        weights: digest of the loaded model's: a model may have been trained further under the same name.
    """

    model: str
    adapter: str | None
    sampling: Sampling
    count: int
    batch_size: int
    weights: str = ""

    @property
    def sampler(self) -> Sampler:
        return Sampler(self.sampling.temperature, self.sampling.top_k, self.sampling.top_p, self.sampling.min_p)


@dataclass(frozen=True)
class Generated:
    """A generated text; not finished if it stopped at max_new_tokens."""

    prompt: str
    completion: str
    finished: bool


def transformers_engine(loaded: Loaded, job: Job) -> Generate:
    """transformers' `generate`, as rollouts use it."""
    engine, ends = TransformersEngine(), end_of_text_ids(loaded.tokenizer, loaded.model)

    def generate(contexts: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
        return engine.generate(loaded.model, contexts, job.sampler, job.sampling.max_new_tokens, ends, seed)

    return generate


def vllm_engine(job: Job) -> Generate:
    """vLLM's offline engine."""
    from vllm import LLM, SamplingParams  # type: ignore[import-not-found]
    from vllm.lora.request import LoRARequest  # type: ignore[import-not-found]

    model = LLM(model=job.model, enable_lora=job.adapter is not None, seed=job.sampling.seed)
    adapter = None if job.adapter is None else LoRARequest("adapter", 1, job.adapter)
    sampling = job.sampling

    def generate(contexts: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
        parameters = [
            SamplingParams(
                temperature=sampling.temperature,
                top_k=sampling.top_k or -1,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                max_tokens=sampling.max_new_tokens,
                seed=seed_of(seed, number) % 2**31,
            )
            for number in range(len(contexts))
        ]
        prompts = [{"prompt_token_ids": list(context)} for context in contexts]
        outputs = model.generate(prompts, parameters, lora_request=adapter, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    return generate


def generate_texts(
    job: Job,
    prompts: Sequence[Prompt],
    tokenizer: Any,
    longest: int | None,
    engine: Generate,
    path: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Generated]:
    """Generates the job's texts, or those that an interrupted run left undone.

    Args:
        job: what to generate.
        prompts: used in turn, again from the first if there are fewer than texts.
        tokenizer: the model's.
        longest: tokens that the model can attend to, or None; longer prompts lose their beginning.
        engine: what generates.
        path: JSON lines, one text each as it is generated: {"prompt": ..., "completion": ..., "finished": ...}.
        progress: told how many texts there are, and of how many; first of all how many there were already.

    Returns:
        The first `job.count` of them; the file may hold more.

    Raises:
        TextsError: when the file holds texts of another job, or prompts leave no room for new tokens.
    """
    room = None if longest is None else longest - job.sampling.max_new_tokens
    if room is not None and room < 1:
        raise TextsError(
            f"--max-new-tokens {job.sampling.max_new_tokens} leaves no room for a prompt: {job.model} attends to "
            f"{longest} tokens"
        )
    done = resume(path, fingerprint(job, prompts, tokenizer))[: job.count]
    progress(len(done), job.count)
    with path.open("a", encoding="utf-8") as file:
        for first in range(len(done), job.count, job.batch_size):
            chosen = [prompts[index % len(prompts)] for index in range(first, min(first + job.batch_size, job.count))]
            contexts = [prompt.tokens(tokenizer, room or 1 << 30) for prompt in chosen]
            new = engine(contexts, seed_of(job.sampling.seed, first))
            most = job.sampling.max_new_tokens
            made = [
                Generated(prompt.text, tokenizer.decode(tokens, skip_special_tokens=True), len(tokens) < most)
                for tokens, prompt in zip(new, chosen, strict=True)
            ]
            file.write("".join(json.dumps(asdict(one)) + "\n" for one in made))
            file.flush()
            done += made
            progress(len(done), job.count)
    return done


def fingerprint(job: Job, prompts: Sequence[Prompt], tokenizer: Any) -> str:
    """Tells jobs apart."""
    described = [
        asdict(job) | {"sampling": job.sampling.model_dump(), "count": None},
        [asdict(prompt) for prompt in prompts],
        [len(tokenizer), tokenizer.chat_template],
    ]
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def resume(path: Path, job: str) -> list[Generated]:
    """The texts that a file holds already, in whole lines; it is begun, or cut after the last of them.

    Raises:
        TextsError: when they are of another job.
    """
    record = path.with_name(path.name + ".job")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or not path.stat().st_size:
        record.write_text(job + "\n", encoding="utf-8")
        path.touch()
        return []
    if not record.exists() or record.read_text(encoding="utf-8").strip() != job:
        raise TextsError(
            f"{path} holds texts of other settings, another model (or this one before it was trained further) or other "
            f"prompts: measure them with --texts {path}, move them away, or choose another -o"
        )
    return list(_whole_lines(path))


def _whole_lines(path: Path) -> Iterator[Generated]:
    with path.open("rb+") as file:
        while line := file.readline():
            if not line.endswith(b"\n"):  # the run was stopped while it wrote
                file.truncate(file.tell() - len(line))
                return
            yield Generated(**json.loads(line))

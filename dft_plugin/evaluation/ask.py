"""Asking a judge: an OpenAI-compatible endpoint, with retries, and every answer on disk as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dft_plugin.evaluation.texts import TextsError

ANSWER_TOKENS = 16
TRIES = 6
RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
TIMEOUT = 120


@dataclass(frozen=True)
class Endpoint:
    """Where the judge answers.

    Attributes:
        url: base URL; "/chat/completions" is appended.
        model: its name there.
        key: API key, or None.
        workers: requests under way at once.
        pause: seconds before the first retry; each further one waits twice as long.
    """

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    workers: int = 8
    pause: float = 1.0


@dataclass(frozen=True)
class Question:
    """One order of a pair: which of two texts is shown first."""

    pair: int
    own_first: bool
    messages: tuple[Mapping[str, str], ...]

    def key(self, model: str) -> str:
        """Names the question in the cache."""
        return hashlib.sha256(json.dumps([model, self.messages]).encode()).hexdigest()


def unanswered(asked: Sequence[Question], answers: Mapping[str, str], model: str) -> list[Question]:
    """The questions without an answer, each once."""
    return list({key: question for question in asked if (key := question.key(model)) not in answers}.values())


def cached(path: Path) -> dict[str, str]:
    """Answers of earlier runs; a line that was cut off is left out."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[row["key"]] = row["answer"]
    return found


def ask(
    endpoint: Endpoint, asked: Sequence[Question], path: Path, progress: Callable[[int], None] = lambda done: None
) -> dict[str, str]:
    """Every question's answer, each on disk as soon as it is there.

    Raises:
        TextsError: when the endpoint cannot be reached or refuses; what was answered is kept, and a second run asks
            only the rest.
    """
    answers = cached(path)
    new = unanswered(asked, answers, endpoint.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file, ThreadPoolExecutor(endpoint.workers) as pool:
        _end_line(path, file)
        waiting = {pool.submit(request, endpoint, question.messages): question for question in new}
        try:
            for done, answered in enumerate(as_completed(waiting), start=1):
                key = waiting[answered].key(endpoint.model)
                answers[key] = answered.result()
                file.write(json.dumps({"key": key, "answer": answers[key]}) + "\n")
                file.flush()
                progress(done)
        except BaseException:  # also Ctrl-C: what was answered is kept
            pool.shutdown(cancel_futures=True)
            for answered, question in waiting.items():
                if answered.done() and not answered.cancelled() and answered.exception() is None:
                    key = question.key(endpoint.model)
                    if key not in answers:
                        file.write(json.dumps({"key": key, "answer": answered.result()}) + "\n")
            raise
    return answers


def _end_line(path: Path, file: Any) -> None:
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        file.write("\n")


def request(endpoint: Endpoint, messages: Sequence[Mapping[str, str]]) -> str:
    """One answer; what may pass is tried again."""
    body = {"model": endpoint.model, "messages": list(messages), "temperature": 0, "max_tokens": ANSWER_TOKENS}
    headers = {"Content-Type": "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    url = endpoint.url.rstrip("/") + "/chat/completions"
    for attempt in range(TRIES):
        try:
            made = urllib.request.Request(url, json.dumps(body).encode(), headers)
            with urllib.request.urlopen(made, timeout=TIMEOUT) as response:
                return str(json.load(response)["choices"][0]["message"]["content"] or "")
        except urllib.error.HTTPError as error:
            said = error.read(300).decode(errors="replace").strip()
            problem = f"{error.code} {error.reason}: {said}"
            if error.code not in RETRIED:
                raise TextsError(f"the judge at {url} refuses: {problem}") from error
        except (OSError, ValueError) as error:
            problem = str(error)
        except (KeyError, IndexError, TypeError) as error:
            raise TextsError(f"{url} does not answer like an OpenAI-compatible endpoint (no choices)") from error
        if attempt < TRIES - 1:
            time.sleep(endpoint.pause * 2**attempt)
    raise TextsError(
        f"the judge at {url} did not answer in {TRIES} tries ({problem}); answers so far are kept, run it again"
    )

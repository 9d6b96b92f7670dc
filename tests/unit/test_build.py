"""`dft reference build`: one count however the work is shared out, merged, interrupted or read."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from dft_plugin.cli import commands
from dft_plugin.config import parse
from dft_plugin.document_windows import spans
from dft_plugin.documents import Document
from dft_plugin.reference import HumanReferenceError, Reference, mapping
from dft_plugin.reference import build as building
from dft_plugin.reference.bad_lines import BadLines
from dft_plugin.reference.build import Request, build_file
from dft_plugin.reference.build_state import State
from dft_plugin.reference.built import built
from dft_plugin.reference.corpus import chunks, sources
from dft_plugin.reference.finish import merged
from dft_plugin.reference.named import described
from dft_plugin.reference.progress import Progress
from dft_plugin.reference.rows import ReadOptions
from dft_plugin.statistics.frequency import TokenFrequency
from tests import tiny
from tests.unit.test_plugins import register

CONFIG = {"rollout": {"max_new_tokens": 24, "context_tokens": 6}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three corpora and the tokenizer of a model."""
    path = tmp_path_factory.mktemp("build")
    tiny.tokenizer().save_pretrained(path / "model")
    rows = [json.dumps({"text": text}) for text in tiny.paragraphs()[:120]]
    (path / "a.jsonl").write_text("\n".join(rows[:50]) + "\n")
    (path / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(rows[50:80]).encode()))
    (path / "c.jsonl").write_text("\n".join(rows[80:]) + "\n")
    (path / "all.jsonl").write_text("\n".join(rows) + "\n")
    return path


def request(folder: Path, corpora: Sequence[str], output: Path, **changed: Any) -> Request:
    given = {"tokenizer": str(folder / "model"), "config": parse(CONFIG), **changed}
    return Request([str(folder / corpus) for corpus in corpora], output, **given)


def build(folder: Path, corpora: Sequence[str], output: Path, **changed: Any) -> bytes:
    build_file(request(folder, corpora, output, **changed))
    return output.read_bytes()


@pytest.fixture(scope="module")
def whole(folder: Path) -> bytes:
    return build(folder, ["a.jsonl", "b.jsonl.gz", "c.jsonl"], folder / "whole.safetensors")


def test_what_a_reference_says(folder: Path, whole: bytes) -> None:
    """Against a plain count of the same windows."""
    reference = Reference.load(folder / "whole.safetensors")
    known = tiny.tokenizer()
    texts = list(tiny.paragraphs()[:120])
    tokens = [[*ids, known.eos_token_id] for ids in known(texts)["input_ids"]]
    assert reference.metadata["documents"] == 120
    assert reference.metadata["corpus"] == ["a.jsonl", "b.jsonl.gz", "c.jsonl"]
    # All but what stands before a document's random first cut, which is less than a window.
    everything = sum(map(len, tokens))
    assert everything - 120 * 24 <= reference.metadata["tokens"] <= everything - 120
    assert reference.metadata["tokens"] == int(reference.totals["token_frequency"].sum())
    lengths = [len(ids).bit_length() - 1 for ids in tokens]
    assert reference.metadata["document_tokens"][:16] == [lengths.count(power) for power in range(16)]
    assert reference.windows == pytest.approx(everything / 24, rel=0.15)
    assert len(reference.count.sample) == min(1024, reference.windows)
    points = reference.metadata["floors"]["token_frequency"]["components"]["token"]
    assert [size for size, _ in points] == sorted(size for size, _ in points)
    assert [value for _, value in points] == sorted((value for _, value in points), reverse=True)


def test_windows_of_a_document_hold_it_in_order() -> None:
    document = Document(tuple(range(100)), 0, 100, False)
    cut = spans(document, 6, 24, offset=31)
    assert cut.first.tolist() == [8, 32, 56, 80]
    assert cut.end.tolist() == [32, 56, 80, 100]
    assert cut.begin.tolist() == [2, 26, 50, 74]
    assert not cut.starts_at_begin.any()


@pytest.mark.parametrize("corpora", [["all.jsonl"], ["c.jsonl", "a.jsonl", "b.jsonl.gz"]])
def test_the_order_and_the_cut_of_a_corpus_do_not_matter(
    folder: Path, tmp_path: Path, whole: bytes, corpora: list[str]
) -> None:
    build(folder, corpora, tmp_path / "other.safetensors")
    first, other = Reference.load(folder / "whole.safetensors"), Reference.load(tmp_path / "other.safetensors")
    for name, total in first.totals.items():
        assert torch.equal(other.totals[name], total)
    assert {**first.metadata, "corpus": other.metadata["corpus"]} == other.metadata


@pytest.mark.parametrize("size", [300, 5000])
def test_the_size_of_chunks_does_not_matter(
    folder: Path, tmp_path: Path, whole: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = building.chunks
    monkeypatch.setattr(building, "chunks", lambda given, options: chunks(given, options, size))
    assert build(folder, ["a.jsonl", "b.jsonl.gz", "c.jsonl"], tmp_path / "x.safetensors") == whole


def test_workers_give_the_same_bytes(folder: Path, tmp_path: Path, whole: bytes) -> None:
    assert build(folder, ["a.jsonl", "b.jsonl.gz", "c.jsonl"], tmp_path / "x.safetensors", workers=2) == whole


def test_merging_gives_the_same_bytes(folder: Path, tmp_path: Path, whole: bytes) -> None:
    parts = {}
    for corpus in ("c.jsonl", "a.jsonl", "b.jsonl.gz"):
        build(folder, [corpus], tmp_path / f"{corpus}.safetensors")
        parts[corpus] = Reference.load(tmp_path / f"{corpus}.safetensors")
    merged(parts).save(tmp_path / "merged.safetensors")
    assert (tmp_path / "merged.safetensors").read_bytes() == whole
    (first, *others) = parts.items()
    twice = merged(dict([first, others[0]]))
    merged({"two": twice, **dict(others[1:])}).save(tmp_path / "nested.safetensors")
    assert (tmp_path / "nested.safetensors").read_bytes() == whole


def test_merging_what_does_not_fit(folder: Path, tmp_path: Path) -> None:
    build(folder, ["a.jsonl"], tmp_path / "a.safetensors")
    build(folder, ["c.jsonl"], tmp_path / "c.safetensors", config=parse({**CONFIG, "seed": 1}))
    a, c = Reference.load(tmp_path / "a.safetensors"), Reference.load(tmp_path / "c.safetensors")
    with pytest.raises(HumanReferenceError, match="a and c were built differently: seed is 0 and 1"):
        merged({"a": a, "c": c})
    for key, other in (("from_start", True), ("statistics", {**c.metadata["statistics"], "novelty": {}})):
        changed = replace(c, metadata={**c.metadata, "seed": 0, key: other})
        with pytest.raises(HumanReferenceError, match=f"built differently: {key} is"):
            merged({"a": a, "c": changed})
    with pytest.raises(HumanReferenceError, match="a and b hold the same text"):
        merged({"a": a, "b": a})
    with pytest.raises(HumanReferenceError, match="two references or more"):
        merged({"a": a})


def test_ray_gives_the_same_bytes(folder: Path, tmp_path: Path, whole: bytes) -> None:
    """A cluster of two workers on this machine, in a process of its own: Ray changes much of the one it runs in."""
    pytest.importorskip("ray.data", reason="ray is not installed")
    config = tmp_path / "dft.yaml"
    config.write_text(json.dumps({"dft": CONFIG}))
    arguments = ["a.jsonl", "b.jsonl.gz", "c.jsonl", "--tokenizer", "model", "-o", str(tmp_path / "x.safetensors")]
    options = ["--config", str(config), "--engine", "ray", "--workers", "2"]
    ran = subprocess.run(
        [sys.executable, "-m", "dft_plugin.cli", "reference", "build", *arguments, *options],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "x.safetensors").read_bytes() == whole


def test_an_interrupted_build_goes_on(
    folder: Path, tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks, mapped = building.chunks, []
    monkeypatch.setattr(building, "chunks", lambda given, options: chunks(given, options, 2000))
    output = tmp_path / "x.safetensors"
    asked = request(folder, ["a.jsonl", "b.jsonl.gz", "c.jsonl"], output)

    def interrupt(done: Progress) -> None:
        mapped.append(done.documents)
        if len(mapped) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_file(asked, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors.resume"]
    resumed: list[int] = []
    build_file(
        request(folder, ["a.jsonl", "b.jsonl.gz", "c.jsonl"], output, resume=True),
        lambda done: resumed.append(done.documents),
    )
    assert resumed[0] > mapped[-1]  # nothing is counted twice, nothing again
    assert resumed[-1] == 120
    assert output.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_going_on_with_something_else(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.safetensors"
    with pytest.raises(HumanReferenceError, match="no interrupted build"):
        build(folder, ["a.jsonl"], output, resume=True)

    def interrupt(done: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_file(request(folder, ["a.jsonl"], output), interrupt)
    with pytest.raises(HumanReferenceError, match="other corpora, options or tokenizer"):
        build(folder, ["c.jsonl"], output, resume=True)
    Path(f"{output}.resume").write_bytes(b"half a file")
    with pytest.raises(HumanReferenceError, match="delete it and start again"):
        build(folder, ["a.jsonl"], output, resume=True)


@pytest.mark.parametrize("what", ["tokenizer", "corpus", "template"])
def test_going_on_with_what_was_replaced_under_the_same_name(folder: Path, tmp_path: Path, what: str) -> None:
    output, model, corpus = tmp_path / "x.safetensors", tmp_path / "model", tmp_path / "a.jsonl"
    shutil.copytree(folder / "model", model)
    shutil.copy(folder / "a.jsonl", corpus)
    asked = replace(request(folder, ["a.jsonl"], output), corpora=[str(corpus)], tokenizer=str(model))

    def interrupt(done: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_file(asked, interrupt)
    tokenizer = tiny.tokenizer()
    if what == "corpus":
        content = corpus.read_bytes()
        corpus.write_bytes(content.swapcase())  # of the same size
    elif what == "tokenizer":
        tokenizer.add_tokens(["another"])
    else:
        tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    tokenizer.save_pretrained(model)
    mapping.worker.cache_clear()  # as another process would find it
    with pytest.raises(HumanReferenceError, match="other corpora, options or tokenizer, or a corpus file has changed"):
        build_file(replace(asked, resume=True))


def test_an_interruption_counts_a_chunk_or_does_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = building.make_job(request(folder, ["a.jsonl"], tmp_path / "x.safetensors"))
    given = sources([str(folder / "a.jsonl")], job.options)
    state = State.start(tmp_path / "notes", job, given, resume=False)
    (counted,) = (mapping.worker(job).map(chunk) for chunk in chunks(given, job.options))

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(BadLines, "count", interrupted)
        with pytest.raises(KeyboardInterrupt):
            state.add(counted)
    assert (state.chunks, state.count.documents, state.lines.good) == (0, 0, 0)
    state.add(counted)
    assert (state.chunks, state.count.documents, state.lines.good) == (1, counted.good, counted.good)


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Ctrl-C is sent to a process group")
def test_ctrl_c_leaves_nothing_half_written(folder: Path, tmp_path: Path) -> None:
    """A build of two workers, interrupted as from a terminal."""
    line = json.dumps({"text": " ".join(tiny.paragraphs()[:40])})
    (tmp_path / "long.jsonl").write_text("\n".join([line] * 6000))
    output = tmp_path / "x.safetensors"
    arguments = [str(tmp_path / "long.jsonl"), "--tokenizer", str(folder / "model"), "-o", str(output)]
    running = subprocess.Popen(
        [sys.executable, "-m", "dft_plugin.cli", "reference", "build", *arguments, "--workers", "2"],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background job ignores the interrupt, and hands that on to all it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    time.sleep(8)
    assert running.poll() is None
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert not output.exists()
    assert not list(tmp_path.glob("*.partial"))


def test_bad_lines_are_counted_up_to_a_limit(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "all.jsonl").read_bytes().splitlines()
    lines[7] = b'{"text": "broken'
    lines[70] = b"\xff\xfe not a text"
    (tmp_path / "bad.jsonl").write_bytes(b"\n".join(lines))
    output = tmp_path / "x.safetensors"
    with pytest.raises(HumanReferenceError, match=r"bad\.jsonl, line 8: not valid JSON.*--max-bad"):
        build(tmp_path, ["bad.jsonl"], output, tokenizer=str(folder / "model"))
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.jsonl"]
    asked = Request(
        [str(tmp_path / "bad.jsonl")], output, str(folder / "model"), parse(CONFIG), ReadOptions(max_bad=0.05)
    )
    reference, found = build_file(asked)
    assert (reference.metadata["bad_lines"], reference.metadata["documents"]) == (2, 118)
    assert [line.line for line in found.kept] == [8, 71]


def test_weights_by_frequency_need_the_frequencies_first(folder: Path, tmp_path: Path) -> None:
    entry = {"name": "ngram_frequency", "weighting": "inverse_root_frequency"}
    config = parse({**CONFIG, "statistics": ["token_frequency", entry]})
    with pytest.raises(HumanReferenceError, match="give the corpus itself as `reference:`"):
        build(folder, ["a.jsonl"], tmp_path / "x.safetensors", config=config)


def test_what_looks_up_in_human_text_is_not_built(folder: Path, tmp_path: Path) -> None:
    config = parse({**CONFIG, "statistics": ["token_frequency", "ngram_rarity"]})
    with pytest.raises(HumanReferenceError, match="give the corpus itself as `reference:`, or leave ngram_rarity out"):
        build(folder, ["a.jsonl"], tmp_path / "x.safetensors", config=config)


def test_what_a_run_would_refuse_is_not_built(folder: Path, tmp_path: Path) -> None:
    class Mine(TokenFrequency):
        name = "mine"

        def summarize(self, accumulators: Sequence[Tensor]) -> Mapping[str, Tensor]:
            return {"law": accumulators[0]}

    register(dft_statistics=[Mine])
    config = parse({**CONFIG, "statistics": ["mine"]})
    with pytest.raises(ValueError, match="statistic mine: `summarize` gives another law for a sum of texts"):
        build(folder, ["a.jsonl"], tmp_path / "x.safetensors", config=config)
    assert not (tmp_path / "x.safetensors").exists()


def test_too_little_text(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": "One short text."}))
    asked = Request([str(tmp_path / "one.jsonl")], tmp_path / "x.safetensors", str(folder / "model"), parse(CONFIG))
    with pytest.raises(HumanReferenceError, match=r"1 windows of 24; at least 32 windows"):
        build_file(asked)
    (tmp_path / "none.jsonl").write_text("\n\n")
    asked = Request([str(tmp_path / "none.jsonl")], tmp_path / "x.safetensors", str(folder / "model"), parse(CONFIG))
    with pytest.raises(HumanReferenceError, match=r"none\.jsonl: no text in it"):
        build_file(asked)


def test_answers_of_one_word_have_no_phrases(folder: Path, tmp_path: Path) -> None:
    rows = [{"prompt": f"Is it so, {number}?", "completion": " Yes"} for number in range(40)]
    (tmp_path / "yes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build(folder, [str(tmp_path / "yes.jsonl")], tmp_path / "yes.safetensors")
    assert not described(str(tmp_path / "yes.safetensors")).phrases[4]


def test_a_tokenizer_that_is_broken(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "model", tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(HumanReferenceError, match=r"the tokenizer of .*model could not be loaded: "):
        build(folder, ["a.jsonl"], tmp_path / "x.safetensors", tokenizer=str(tmp_path / "model"))


def test_fewer_rows_than_tokens(folder: Path, tmp_path: Path) -> None:
    ids = len(tiny.tokenizer())
    with pytest.raises(HumanReferenceError, match=rf"--vocabulary-size is 100 and the tokenizer has {ids:,} ids"):
        build(folder, ["a.jsonl"], tmp_path / "x.safetensors", vocabulary_size=100)


def test_an_audit_of_a_file_takes_no_tokenizer(folder: Path, whole: bytes) -> None:
    given = ["reference", "audit", str(folder / "whole.safetensors"), "--tokenizer", str(folder / "model")]
    ran = CliRunner().invoke(commands, given)
    assert ran.exit_code != 0
    assert "leave --tokenizer out" in ran.output


def test_chats_that_end_with_the_user_are_not_called_empty(folder: Path, tmp_path: Path) -> None:
    rows = [json.dumps({"messages": [{"role": "user", "content": "Go on."}]})] * 3
    (tmp_path / "chats.jsonl").write_text("\n".join([*rows, (folder / "a.jsonl").read_text()]))
    asked = replace(request(folder, [], tmp_path / "x.safetensors"), corpora=[str(tmp_path / "chats.jsonl")])
    reference, lines = build_file(asked)
    said = built(tmp_path / "x.safetensors", reference, lines)
    assert "3 documents without text to count (empty, or chats without an answer) were left out" in said

"""The judge, against a local server that answers like an OpenAI-compatible endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from dft_plugin.evaluation import ask, judge
from dft_plugin.evaluation.pairing import same_prompts
from dft_plugin.evaluation.result import Measure, Result
from dft_plugin.evaluation.run import Request, run
from dft_plugin.evaluation.texts import Text, TextsError
from tests.stub_judge import Stub, serving
from tests.unit.evaluation.samples import made_up


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def url(stub: Stub) -> Iterator[str]:
    with serving(stub) as address:
        yield address


def endpoint(url: str, **options: Any) -> ask.Endpoint:
    return ask.Endpoint(url, "stub-model", **{"workers": 4, "pause": 0.01, **options})


OWN = ["long enough text " * 3] * 6 + ["x"] * 6
HUMAN = ["shorter"] * 12


def test_win_rate_averages_both_orders(stub: Stub, url: str, tmp_path: Path) -> None:
    asked = judge.questions(OWN, HUMAN, seed=0)
    assert len(asked) == 24
    orders = [question.own_first for question in asked]
    assert orders != sorted(orders)
    answers = ask.ask(endpoint(url, key="secret"), asked, tmp_path / "judge.jsonl")
    measure, notes = judge.win_rate(asked, answers, "stub-model")
    assert measure.value == 50
    assert measure.human == 50
    assert measure.verdict == "too small to tell"  # twelve pairs, none of them decided
    assert "100% of pairs" in notes[0]
    assert stub.headers[0] == "Bearer secret"
    assert stub.requests[0]["temperature"] == 0
    wins, _ = judge.win_rate(
        always := judge.questions(OWN[:6] * 4, HUMAN[:6] * 4, 1),
        ask.ask(endpoint(url), always, tmp_path / "b.jsonl"),
        "stub-model",
    )  # fmt: skip
    assert (wins.value, wins.verdict) == (100, "differs")


def test_a_judge_that_always_says_a_sees_no_difference(stub: Stub, url: str, tmp_path: Path) -> None:
    stub.answer = "A"
    asked = judge.questions(OWN, HUMAN, seed=0)
    measure, notes = judge.win_rate(asked, ask.ask(endpoint(url), asked, tmp_path / "j.jsonl"), "stub-model")
    assert measure.value == 50
    assert "0% of pairs" in notes[0]


def test_unclear_answers_are_counted_and_left_out(stub: Stub, url: str, tmp_path: Path) -> None:
    stub.answer = "Both are fine, A and B."
    asked = judge.questions(OWN, HUMAN, seed=0)
    measure, notes = judge.win_rate(asked, ask.ask(endpoint(url), asked, tmp_path / "j.jsonl"), "stub-model")
    assert measure.verdict == "cannot be measured"
    assert "24 of 24 answers" in notes[0]


def test_answers_are_kept_and_not_asked_again(stub: Stub, url: str, tmp_path: Path) -> None:
    path = tmp_path / "folder" / "judge.jsonl"
    own = [f"text number {i}" for i in range(12)]
    asked = judge.questions(own, HUMAN, seed=0)
    stub.fail_after = 10
    with pytest.raises(TextsError, match=r"refuses: 401.*no credit"):
        ask.ask(endpoint(url, workers=1), asked, path)
    kept = ask.cached(path)
    assert len(kept) == 10
    with path.open("a") as file:
        file.write('{"key": "cut o')
    stub.fail_after = None
    before = len(stub.requests)
    estimate = judge.estimate(asked, ask.cached(path), "stub-model", (10.0, 30.0))
    assert (estimate.requests, estimate.cached) == (14, 10)
    answers = ask.ask(endpoint(url), asked, path)
    assert len(stub.requests) == before + 14
    assert kept.items() <= answers.items()
    assert ask.ask(endpoint(url), asked, path) == answers
    assert len(stub.requests) == before + 14
    # Another judge is another question.
    assert judge.estimate(asked, answers, "other-model", None).requests == 24


def test_what_may_pass_is_tried_again(stub: Stub, url: str, tmp_path: Path) -> None:
    stub.failures = [429, 503, 500]
    asked = judge.questions(["one", "two"], HUMAN[:2], seed=0)
    assert len(ask.ask(endpoint(url), asked, tmp_path / "j.jsonl")) == 4
    assert len(stub.requests) == 7


def test_an_endpoint_that_is_not_there(tmp_path: Path) -> None:
    asked = judge.questions(OWN[:1], HUMAN[:1], seed=0)
    with pytest.raises(TextsError, match=r"did not answer in 6 tries.*run it again"):
        ask.ask(endpoint("http://127.0.0.1:9/v1", pause=0.001), asked, tmp_path / "j.jsonl")


def test_cost_is_estimated_from_characters() -> None:
    asked = judge.questions(["a" * 4000], ["b" * 4000], seed=0)
    found = judge.estimate(asked, {}, "m", (2.0, 8.0))
    assert found.requests == 2
    assert 4000 < found.tokens_in < 4400
    assert found.cost == pytest.approx((2 * found.tokens_in + 8 * 32) / 1e6)
    assert "2 requests" in str(found)
    assert judge.estimate(asked, {}, "m", None).cost is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("**B**", "B"),
        ("Text A", "A"),
        ("(a)", "A"),
        ("A or B", None),
        ("neither", None),
        ("As a language model, I cannot", None),
        ("It is a close call: B", "B"),
        ("a", "A"),
        ("", None),
    ],
)
def test_answers(answer: str, letter: str | None) -> None:
    assert judge.preference(answer) == letter


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 0), (8, 2), (40, 61), (200, 100)])
def test_the_sign_test_is_the_binomial_one_and_the_interval_wilsons(wins: int, losses: int) -> None:
    decided = wins + losses
    if decided:
        exact = binomtest(wins, decided)
        assert judge.sign_test(wins, losses) == pytest.approx(exact.pvalue)
        interval = exact.proportion_ci(0.95, method="wilson")
        assert judge.wilson(wins / decided, decided) == pytest.approx((interval.low, interval.high))
    else:
        assert judge.sign_test(0, 0) == 1


def judged(wins: int, losses: int, undecided: int) -> Measure:
    """What so many pairs would say."""
    said = [*[("A", "B")] * wins, *[("B", "A")] * losses, *[("A", "A")] * undecided]
    asked = judge.questions([f"own {i}" for i in range(len(said))], [f"human {i}" for i in range(len(said))], 0)
    answers = {one.key("m"): said[one.pair][0 if one.own_first else 1] for one in asked}
    return judge.win_rate(asked, answers, "m")[0]


def test_a_few_pairs_that_all_agree_are_too_few() -> None:
    assert judged(5, 0, 0).verdict == "too small to tell"
    assert judged(0, 9, 0).verdict == "too small to tell"  # one in 256
    assert judged(0, 12, 0).verdict == "differs"  # one in 2048
    assert judged(20, 15, 5).verdict == "no difference shown"
    assert judged(70, 20, 10).verdict == "differs"
    unanimous = judged(12, 0, 0)
    assert unanimous.interval is not None
    assert unanimous.interval[0] < 80
    assert unanimous.gap_interval == pytest.approx((unanimous.interval[0] - 50, 50))
    assert judged(6, 6, 0).gap_interval[0] == 0  # type: ignore[index]


def test_no_human_text_is_in_two_pairs() -> None:
    own = [Text(f"own {i}", prompt="p") for i in range(6)]
    human = [Text(f"human {i}", prompt="p") for i in range(4)]
    mine, theirs = judge.pairs(own, human, 10, 5, seed=0)
    assert mine == [f"own {i}" for i in range(4)]
    assert theirs == [f"human {i}" for i in range(4)]
    # Two of five could be paired by their prompts: drawn at random then.
    human = [Text(f"human {i}", prompt="p" if i < 2 else "q") for i in range(5)]
    assert len(judge.pairs(own, human, 10, 5, seed=0)[0]) == 5


def test_chats_that_end_alike_are_not_the_same_prompt() -> None:
    def chat(first: str) -> tuple[dict[str, str], ...]:
        return tuple({"role": role, "content": said} for role, said in (("user", first), ("user", "Go on.")))

    own = [Text(f"own {first}", "Go on.", chat(first)) for first in "ab"]
    human = [Text(f"human {first}", "Go on.", chat(first)) for first in "ba"]
    assert judge.pairs(own, human, 10, 5, seed=0) == (["own a", "own b"], ["human a", "human b"])
    assert same_prompts([Text("x", "Hi?", ({"role": "user", "content": "Hi?"},))], [Text("y", "Hi?")])


def test_pairs_share_prompts_where_there_are_any() -> None:
    own = [Text(f"own {i} and more", prompt=f"p{i}") for i in range(5)]
    human = [Text(f"human {i}", prompt=f"p{i}") for i in (3, 1)]
    assert judge.pairs(own, human, 10, 2, 0) == (["own 1", "own 3"], ["human 1", "human 3"])
    mine, theirs = judge.pairs([Text(f"o{i}") for i in range(9)], [Text(f"h{i}") for i in range(4)], 3, 5, seed=0)
    assert len(mine) == len(theirs) == 3
    assert len(set(mine)) == len(set(theirs)) == 3


def test_an_evaluation_with_a_judge_asks_first(stub: Stub, url: str, tmp_path: Path) -> None:
    for name, seed in (("human", 1), ("mine", 2)):
        rows = [{"text": text.text} for text in made_up(12, seed)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    request = Request(
        reference=str(tmp_path / "human.jsonl"), texts=str(tmp_path / "mine.jsonl"),
        judge=url, judge_model="stub-model", judge_pairs=8, judge_price=(1.0, 2.0), resamples=10,
        output=tmp_path / "r.json",
    )  # fmt: skip
    asked: list[str] = []
    refused = run(request, lambda question: bool(asked.append(question)))
    assert "16 requests (0 answered before)" in asked[0]
    assert "in the currency of the price given" in asked[0]
    assert not stub.requests
    assert "judge" not in refused.measures
    assert "the judge was not asked" in refused.notes
    agreed = run(request, lambda question: True)
    assert len(stub.requests) == 16
    assert agreed.measures["judge"].value is not None
    assert Result.load(tmp_path / "r.json") == agreed
    # Nothing new to ask: nothing to agree to.
    run(request, lambda question: pytest.fail("asked again"))
    assert len(stub.requests) == 16

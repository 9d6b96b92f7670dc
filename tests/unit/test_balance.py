"""The balance of `weight: auto`, against norms that autograd finds on the whole vocabulary at once."""

from __future__ import annotations

import copy
import math
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor

from dft_plugin import terms
from dft_plugin.assembly import Setting, assemble
from dft_plugin.balance import (
    HIDDEN_STATES,
    PARAMETERS,
    factors,
    log_ratio,
    mean_strength,
    over_components,
    ratios_of,
    shares,
    strength,
)
from dft_plugin.config import parse
from dft_plugin.documents import Document
from dft_plugin.latest_texts import LatestTexts
from dft_plugin.objective import Distances
from dft_plugin.sharing import Processes
from dft_plugin.term import DistributionTerm
from tests import tiny
from tests.training import term_options

STATISTICS = ["token_frequency", "sentence_length", {"novelty": {"n": [1, 2], "weight": 2.0}}]


def term_of(weight: float | str, credit: float, **options: Any) -> DistributionTerm:
    tokenizer = tiny.tokenizer()
    documents = []
    for paragraph in tiny.paragraphs()[:40]:
        tokens = tuple(tokenizer(paragraph)["input_ids"])
        documents.append(Document(tokens, 0, len(tokens), False))
    options["rollout"] = {"steps_per_generation": 1}  # the same texts whenever they are asked for
    config = parse(term_options(statistics=STATISTICS, weight=weight, credit=credit, **options))
    return assemble(config, Setting(tiny.model("llama"), tokenizer, None, Processes(), documents=documents))


def gradients_at_hidden(term: DistributionTerm, derivative: Tensor) -> dict[str, Tensor]:
    """statistic -> the pathwise gradient at the hidden states, from a softmax over everything at once."""
    texts = evaluation_texts(term)
    hidden = term.live.hidden(texts).detach().requires_grad_()
    head: Any = term.live.module.get_output_embeddings()  # type: ignore[operator]
    law = torch.softmax(hidden.double() @ head.weight.detach().double().T, dim=-1)
    plan = term.objective.accumulation.plan(texts)
    found = {}
    for entry in term.objective.matched:
        part = term.objective.accumulation.part(entry.statistic)
        total = law.new_zeros(())
        for number, one in enumerate(plan.layout.terms):
            where = plan.layout.part[number]
            if not part.start <= where.start < part.stop:
                continue
            own = derivative[:, where].double()[texts.text]
            if isinstance(one, terms.Marginal):
                total = total + (one.mask.double() * (law * own).sum(1)).sum()
            elif isinstance(one, terms.Placed):
                at = one.slot >= 0
                gain = own[at].gather(1, one.slot[at, None]).squeeze(1)
                total = total + (gain * (law[at] @ one.column.double())).sum()
            elif isinstance(one, terms.Pairs):
                total = total + (own[one.row, 0] * law[one.row, one.token]).sum()
            else:
                assert isinstance(one, terms.Counts)
        (found[entry.name],) = torch.autograd.grad(total / len(texts), hidden, retain_graph=True)
    return found


def evaluation_texts(term: DistributionTerm) -> Any:
    return term.rollout(3).to(term.device)


def frobenius(gradient: Tensor, hidden: Tensor) -> float:
    """||g||, or where hidden states are given ||sum_n g_n h_n^T||."""
    return float((gradient.double().T @ hidden.double()).norm()) if len(hidden) else float(gradient.norm())


@pytest.mark.parametrize("balance", ["hidden_states", "parameters"])
def test_each_statistic_gets_its_share(balance: str) -> None:
    """After balancing the norm is w_k share_k times one number, and each direction is as before."""
    plain, balanced = term_of(1.0, 0.0), term_of("auto", 0.0, balance=balance)
    before = plain.evaluate(evaluation_texts(plain), 3)
    after = balanced.evaluate(evaluation_texts(balanced), 3)
    assert torch.equal(before.texts.tokens, after.texts.tokens)
    matched = balanced.objective.matched
    ratios = ratios_of(after.distances, after.floors)
    share = over_components(strength if balance == "hidden_states" else log_ratio, ratios)
    hidden = balanced.live.hidden(evaluation_texts(balanced)).detach()
    hidden = hidden[:0] if balance == "hidden_states" else hidden
    own, raw = gradients_at_hidden(balanced, after.derivative), gradients_at_hidden(plain, before.derivative)
    acting = [entry for entry in matched if share[entry.name] > 0]
    scale = {e.name: frobenius(own[e.name], hidden) / (e.weight * share[e.name]) for e in acting}
    assert len(scale) >= 2
    mean = fmean(frobenius(raw[entry.name], hidden) for entry in matched)
    for name, found in scale.items():
        assert found == pytest.approx(mean, rel=1e-4)
        direction = torch.nn.functional.cosine_similarity(own[name].flatten(), raw[name].flatten(), dim=0)
        assert float(direction) == pytest.approx(1.0, abs=1e-6)
    assert len({round(frobenius(raw[name], hidden), 6) for name in scale}) > 1, "nothing is shown"


def test_a_number_leaves_the_gradient_as_it_is() -> None:
    plain = term_of(1.0, 0.0)
    evaluation = plain.evaluate(evaluation_texts(plain), 3)
    objective = copy.copy(plain.objective)
    objective.latest = LatestTexts(1)
    own = torch.cat([objective.accumulation.accumulate(p, plain.live.law(p, plain.live.hidden(p.texts)))
                     for p in evaluation.plans])  # fmt: skip
    without = objective.leave_one_out(own.detach()).without
    expected = objective.derivative(without, plain.human.to(plain.device), evaluation.floors)
    assert torch.allclose(evaluation.derivative, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("credit", [0.0, 0.9])
def test_credit_is_part_of_the_norm(credit: float) -> None:
    """With credit the advantages follow the balanced derivative: linear in it, statistic by statistic."""
    term = term_of("auto", credit)
    evaluation = term.evaluate(evaluation_texts(term), 3)
    assert (evaluation.advantage is not None) == (credit > 0)
    assert evaluation.finite
    assert 0 < evaluation.strength <= 1


def test_strength_and_share_by_hand() -> None:
    term = term_of("auto", 0.0)
    matched = term.objective.matched
    raw = {
        "token_frequency": {"tokens": torch.tensor(4.0)},
        "sentence_length": {"words": torch.tensor(0.5)},
        "novelty": {"rep-1": torch.tensor(1.0), "rep-2": torch.tensor(3.0)},
    }
    floors = {
        "token_frequency": {"tokens": 1.0},
        "sentence_length": {"words": 1.0},
        "novelty": {"rep-1": 1.0, "rep-2": 1.0},
    }
    ratios = ratios_of(Distances(raw, torch.tensor(0.0)), floors)
    # A component at the floor adds nothing, however far the other one is.
    expected = {"token_frequency": 0.75, "sentence_length": 0.0, "novelty": (0.0 + 2 / 3) / 2}
    assert over_components(HIDDEN_STATES.share, ratios) == pytest.approx(expected)
    expected = {"token_frequency": math.log(4), "sentence_length": 0.0, "novelty": (0.0 + math.log(3)) / 2}
    assert over_components(PARAMETERS.share, ratios) == pytest.approx(expected)
    assert mean_strength(matched, ratios) == pytest.approx((0.75 + 0.0 + 2 * 1 / 3) / 4)
    # Where a component's distance is about to vanish its share is smaller, or turns round.
    assert shares(PARAMETERS, ratios) == pytest.approx(expected)
    ahead = {"token_frequency": [0.5], "sentence_length": [-1.0], "novelty": [1.0, -0.5]}
    expected = {"token_frequency": math.log(4) / 2, "sentence_length": 0.0, "novelty": (0.0 - math.log(3) / 2) / 2}
    assert shares(PARAMETERS, ratios, ahead) == pytest.approx(expected)


@pytest.mark.parametrize("lead", [None, 0.0, 0.75])
def test_a_share_looks_ahead_once_the_latest_texts_are_elsewhere(lead: float | None) -> None:
    """At a run's first step they are all there is; after it each statistic's part is scaled by its outlook alone."""
    window = {"window": 64, "derivative_window": 4}
    ahead, alone = term_of("auto", 0.0, lead=lead, **window), term_of("auto", 0.0, lead=None, **window)
    first = [term.evaluate(term.rollout(0).to(term.device), 0).derivative for term in (ahead, alone)]
    assert torch.equal(*first)
    texts = ahead.rollout(1).to(ahead.device)
    found, plain = (term.evaluate(texts, 1) for term in (ahead, alone))
    assert torch.equal(found.derivative, plain.derivative) == (lead is None)
    assert found.strength == plain.strength
    token = ahead.objective.accumulation.part(ahead.objective.matched[0].statistic)
    mine, theirs = found.derivative[:, token].double(), plain.derivative[:, token].double()
    scale = float((mine * theirs).sum() / theirs.square().sum())
    torch.testing.assert_close(mine, scale * theirs, rtol=1e-5, atol=1e-12)


def test_a_statistic_without_gradient_is_left_out() -> None:
    term = term_of("auto", 0.0)
    matched, accumulation = term.objective.matched, term.objective.accumulation
    share = dict.fromkeys([entry.name for entry in matched], 1.0)
    found = factors(matched, accumulation, share, torch.tensor([4.0, 0.0, 16.0]))
    assert bool((found[accumulation.part(matched[0].statistic)] == 1.0 * 3.0 / 2.0).all())
    assert bool((found[accumulation.part(matched[1].statistic)] == 0.0).all())
    assert bool((found[accumulation.part(matched[2].statistic)] == 2.0 * 3.0 / 4.0).all())

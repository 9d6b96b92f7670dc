"""What a result shows of the texts themselves, and what it says about how far it can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dft_plugin.evaluation.pairing import same_prompts
from dft_plugin.evaluation.pool import Pool
from dft_plugin.evaluation.resampling import FEW_TEXTS
from dft_plugin.evaluation.result import Sample, Samples
from dft_plugin.evaluation.scripts import scripts
from dft_plugin.evaluation.texts import Text, Texts

SHOWN = 6
"""Sample texts in a result."""
SHOWN_CHARACTERS = 4000
REPEATED = 0.01
"""Share of texts that occur more than once which is worth telling."""
WITHOUT_SPACES = frozenset({"Thai", "Lao", "Khmer", "Myanmar"})
WORTH_TELLING = 0.05


def samples(texts: Sequence[Text], human: Sequence[Text]) -> Samples:
    """The first texts, beside human texts of the same prompts where there are any."""
    pairs = same_prompts(texts, human)[:SHOWN]
    chosen = [text for text, _ in pairs] or texts[:SHOWN]
    beside = [other for _, other in pairs] or human[:SHOWN]
    own, other = (tuple(Sample(text=t.text[:SHOWN_CHARACTERS], prompt=t.prompt) for t in s) for s in (chosen, beside))
    return Samples(texts=own, human=other)


def notes_on(texts: Texts, human: Texts, pool: Pool) -> list[str]:
    """What limits a comparison of texts with human texts."""
    notes = []
    used = len(pool) - pool.measured
    if used < len(human.texts):
        notes.append(f"{used:,} of {len(human.texts):,} human texts were used, drawn at random")
    half = min(pool.measured, used) // 2
    if used < pool.measured:
        notes.append(
            f"there are fewer human texts ({used:,}) than measured ones ({pool.measured:,}): floors are of samples of "
            f"{half:,} texts"
        )
    if half < FEW_TEXTS:
        notes.append(
            f"{pool.measured:,} texts and {used:,} human texts are too few to tell much: samples of at least "
            f"{2 * FEW_TEXTS} a side say something, of 1,000 most"
        )
    for side in (texts, human):
        repeated = len(side.texts) - len({text.text for text in side.texts})
        if repeated > REPEATED * len(side.texts):
            notes.append(f"{side.name}: {repeated:,} of {len(side.texts):,} texts are there more than once")
    known = {text.text for text in human.texts}
    if shared := sum(text.text in known for text in texts.texts):
        notes.append(f"{shared:,} of the texts are among the human texts, word for word")
    return [*notes, *kind_notes(texts, human), *prompt_notes(texts), *script_notes(pool)]


def kind_notes(texts: Texts, human: Texts) -> list[str]:
    """Whether what goes on from a prompt is compared with what begins where its author began; answers begin afresh."""

    def share(side: Texts, chats: bool) -> float:
        prompted = sum(bool(text.prompt) and (chats or text.messages is None) for text in side.texts)
        return prompted / len(side.texts)

    return [
        f"most of {after.name} go on from a prompt, and most of {before.name} are whole texts, which begin otherwise: "
        "give both as rows with prompt and completion, or measure a MODEL without --prompts, which goes on with the "
        "human texts"
        for after, before in ((texts, human), (human, texts))
        if share(after, chats=False) > 0.5 > share(before, chats=True)
    ]


def prompt_notes(texts: Texts) -> list[str]:
    """Whether several texts go on from the same prompt."""
    uses = Counter(text.asked for text in texts.texts if text.asked is not None)
    if uses.total() - len(uses) <= REPEATED * uses.total():
        return []
    return [
        f"{texts.name}: {len(uses):,} prompts, each used up to {max(uses.values()):,} times: texts of one prompt are "
        "alike, so that intervals are too narrow"
    ]


def script_notes(pool: Pool) -> list[str]:
    """What does not fit the scripts that the measured texts are written in."""
    letters: Counter[str] = sum((scripts(pool.clipped[i]) for i in pool.own), Counter())
    telling = [name for name, count in letters.items() if count > WORTH_TELLING * letters.total()]
    notes = []
    if spaceless := ", ".join(sorted(WITHOUT_SPACES.intersection(telling))):
        notes.append(
            f"{spaceless}: written without spaces between words, so that measures in words count whole phrases"
        )
    if set(telling) - {"Latin"}:
        notes.append("the constructions made of words (not X but Y, as if) are English only")
    return notes

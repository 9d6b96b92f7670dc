"""What a result shows of the texts themselves, and what it says about how far it can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
    by_prompt = {text.prompt: text for text in human if text.prompt}
    chosen = [text for text in texts if text.prompt in by_prompt][:SHOWN] or list(texts[:SHOWN])
    beside = [by_prompt[text.prompt] for text in chosen if text.prompt in by_prompt] or human[:SHOWN]
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
    return [*notes, *script_notes(pool)]


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

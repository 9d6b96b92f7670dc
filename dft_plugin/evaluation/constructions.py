"""Simple constructions that models overdo, found by patterns; those of words are English."""

from __future__ import annotations

import re

import numpy as np

from dft_plugin.evaluation.contexts import Place, contexts
from dft_plugin.evaluation.pool import Pool
from dft_plugin.evaluation.result import GiveAway
from dft_plugin.log_likelihood import log_likelihood_ratio, smoothed_ratio

_ITEM = r"[^\W_][\w'’-]*(?: [^\W_][\w'’-]*){0,2}"
_BE = r"(?:'s|’s|'re|’re| is| was| are| were)"
PATTERNS = {
    "not X but Y": re.compile(
        r"\bnot (?:just |only |merely |simply )?[^.!?;:\n]{1,60}?,? but (?:also |rather )?\w", re.I
    ),
    "it is not X, it is Y": re.compile(
        rf"\b(?:it|this|that|he|she|they)(?:{_BE} not|(?: is| was| are| were)n['’]t) [^.!?\n]{{1,60}}?[,;.—–-]+ ?"
        rf"(?:it|this|that|he|she|they){_BE}\b",
        re.I,
    ),
    "a, b, and c": re.compile(rf"\b{_ITEM}, {_ITEM},? and [^\W_]"),
    "em dash": re.compile(r"—|–|(?<=\w)--(?=\w)| -- "),
    ", doing": re.compile(r", [a-z]{2,}ing\b"),
    "as if, as though": re.compile(r"\bas (?:if|though)\b", re.I),
    "bold text": re.compile(r"\*\*[^*\n]+\*\*"),
    "list items": re.compile(r"^[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]+[^\W_]", re.M),
    "headings": re.compile(r"^#{1,6} \S", re.M),
}


def constructions(pool: Pool) -> list[GiveAway]:
    """How often each occurs on the two sides, the strongest first; those that neither has are left out.

    Unlike words, which are listed only where the sides surely differ, every construction is: there are few.
    """
    words = [max(1, int(pool.words[side].sum())) for side in (pool.own, pool.human)]
    found = []
    for name, pattern in PATTERNS.items():
        matches = [[match.span() for match in pattern.finditer(text)] for text in pool.clipped]
        counts = np.array([len(spans) for spans in matches])
        sides = [counts[: pool.measured], counts[pool.measured :]]
        if not counts.any():
            continue
        own, human = (np.array([side.sum()]) for side in sides)
        ratio = float(smoothed_ratio(own, words[0], human, words[1])[0])
        texts = range(pool.measured) if ratio > 1 else range(pool.measured, len(pool))
        places = [Place(text, *matches[text][0]) for text in texts if matches[text]]
        found.append(
            GiveAway(
                kind="construction",
                text=name,
                count=int(own[0]),
                human_count=int(human[0]),
                documents=int((sides[0] > 0).sum()),
                human_documents=int((sides[1] > 0).sum()),
                rate=1e6 * float(own[0]) / words[0],
                human_rate=1e6 * float(human[0]) / words[1],
                ratio=ratio,
                g2=float(log_likelihood_ratio(own, words[0], human, words[1])[0]),
                examples=tuple(contexts(pool, places)),
            )
        )
    return sorted(found, key=lambda entry: -entry.g2)

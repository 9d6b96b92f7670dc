"""What to know of a reference before a model is matched to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dft_plugin.reference.description import LENGTHS, MARKS, Description
from dft_plugin.reference.diff import LEAST_DOCUMENTS, LEAST_SHARE, over_used, summary
from dft_plugin.reference.group_words import GROUPS, PRONOUNS, STOP_WORDS
from dft_plugin.reference.show import number, percent, table
from dft_plugin.reference.window_sample import REPEATED

if TYPE_CHECKING:
    from rich.console import RenderableType

FINE, NOTE, PROBLEM = "fine", "note", "problem"
FORMULA_RATE, FORMULA_SHARE = 400e-6, (0.05, 0.5)
"""A phrase of four words is a formula from that many occurrences a word (the most frequent of free English text has
a quarter of it) and share of the documents on; a problem from the second share on."""
REFRAIN = 5.0
"""Occurrences in each document that holds it, from which on a phrase of four words is a refrain."""
OTHERS = (0.05, 0.2)
"""Shares of letters or stop words beside the main script or language: a note, a problem."""
FEW_DOCUMENTS = 100
BATCHES = (64, 256)
"""Texts of a batch that a reference should be large enough for."""
ENOUGH = 10
"""Windows of the reference to one of the batch: its own error then makes distances at most a tenth larger."""
LEAST_MARKS = 10
"""Marks in a batch below which its rhythm is mostly chance."""
RAISED = 0.05
"""A floor raised by that share is listed."""
LISTED = 8


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        severity: "fine", "note" or "problem".
        title: what it is about.
        said: sentences.
        rows: counts side by side, if there are any: the first row is the header.
    """

    severity: str
    title: str
    said: Sequence[str]
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True)
class Audit:
    """All findings about one reference."""

    name: str
    findings: Sequence[Finding]

    @property
    def problems(self) -> bool:
        """Whether anything should be mended before it is used."""
        return any(finding.severity == PROBLEM for finding in self.findings)

    def render(self) -> RenderableType:
        """The findings, problems first."""
        from rich.console import Group
        from rich.padding import Padding
        from rich.text import Text

        style = {FINE: "green", NOTE: "yellow", PROBLEM: "red"}
        lines: list[RenderableType] = [Text(f"Audit of {self.name}", style="bold")]
        for finding in sorted(self.findings, key=lambda finding: (PROBLEM, NOTE, FINE).index(finding.severity)):
            lines += [
                Text(),
                Text.assemble((f"{finding.severity:8}", style[finding.severity]), (finding.title, "bold")),
            ]
            lines += [Padding(Text(sentence), (0, 0, 0, 2)) for sentence in finding.said]
            if finding.rows:
                header, *rows = finding.rows
                lines.append(Padding(table(None, header, rows), (0, 0, 0, 2)))
        lines += [Text(), Text(BIASES)]
        return Group(*lines)


BIASES = (
    "A model matched to this text will reproduce what it is like, its topics, names, stereotypes and mistakes among "
    "it: whatever is listed here as frequent will be frequent in what the model writes."
)


def audit(description: Description, background: Description | None = None) -> Audit:
    """What to know of a reference; `background` is text to compare its words with."""
    checks: Sequence[Callable[[Description], Iterator[Finding]]] = (
        _size,
        _marks,
        _duplicates,
        _formulas,
        _scripts,
        _languages,
        _document_lengths,
        _pronouns,
        _groups,
    )
    found = [finding for check in checks for finding in check(description)]
    if background is not None:
        found.append(_topics(description, background))
    return Audit(description.name, found)


def _graded(value: float, limits: tuple[float, float]) -> str:
    return PROBLEM if value >= limits[1] else NOTE if value >= limits[0] else FINE


def _size(it: Description) -> Iterator[Finding]:
    """Whether the reference's own sampling error is small beside the floor: with distances as (1/n + 1/m)^b, m
    windows of it serve batches of n texts well from m = 10 n on."""
    if it.windows is not None:
        served = [size for size in BATCHES if it.windows >= ENOUGH * size]
        severity = FINE if len(served) == len(BATCHES) else NOTE if served else PROBLEM
        said = [f"{it.windows:,} windows serve batches of up to {it.windows // ENOUGH:,} texts: {ENOUGH} to each text."]
        if severity != FINE:
            wanted = next(size for size in BATCHES if size not in served)
            said.append(
                f"For a batch of {wanted} texts give {ENOUGH * wanted / max(it.windows, 1):.1f} times as much text; "
                "until then distances are larger than they would be, from the errors of the reference itself."
            )
        yield Finding(severity, "size", said, _own_errors(it))
    if it.documents < FEW_DOCUMENTS:
        said = [f"{it.documents:,} documents: what is frequent in one of them weighs heavily."]
        yield Finding(NOTE, "documents", said)
    if it.skipped:
        yield Finding(NOTE, "left out", [f"{count:,} {what} were left out." for what, count in it.skipped.items()])


def _own_errors(it: Description) -> list[list[str]]:
    """By how much the reference's own error raises the floors: those that it raises noticeably."""
    rows = [["statistic", *(f"floor for {size} texts raised by" for size in BATCHES)]]
    for statistic, components in it.floors.items():
        for component, curve in components.items():
            raised = [(1 + size / curve.reference) ** curve.exponent - 1 for size in BATCHES]
            if max(raised) >= RAISED:
                rows.append([f"{statistic}, {component}", *map(percent, raised)])
    return rows if len(rows) > 1 else []


def _marks(it: Description) -> Iterator[Finding]:
    """Marks that a batch holds too few of, or that the text holds none of."""
    if not it.windows or not it.words:
        return
    words = it.counted_words / it.windows  # not of whole documents: most of one may be in no window, or in a prompt
    in_batch = {event: mark.per_thousand_words * BATCHES[0] * words / 1000 for event, mark in it.marks.items()}
    rare = [f"{MARKS[event]} ({count:.0f} in a batch)" for event, count in in_batch.items() if count < LEAST_MARKS]
    none = [name for event, name in MARKS.items() if event not in it.marks]
    said = [f"Too rare to match in batches of {BATCHES[0]} texts: {', '.join(rare)}."] if rare else []
    said += [f"The text has no {' and no '.join(none)}."] if none else []
    if said:
        yield Finding(NOTE, "marks", said)


def _duplicates(it: Description) -> Iterator[Finding]:
    if it.windows is not None:
        share = it.repeated_windows
        # Windows are told apart by the whole document they are from: an answer may come again after another prompt.
        said = "No whole document, its prompt included, occurs twice in the sample of windows."
        if share:
            said = (
                f"{percent(share)} of the windows in the sample are of documents that occur more than once, prompt "
                "included: leave duplicates out."
            )
        yield Finding(_graded(share, REPEATED), "duplicates", [said])


def _formulas(it: Description) -> Iterator[Finding]:
    """Phrases of four words that stand in too many documents, or too often in those that hold them."""
    if not it.words:
        return
    spread = [
        (phrase, count, documents)
        for phrase, (count, documents) in it.phrases[4].items()
        if documents >= max(LEAST_DOCUMENTS, FORMULA_SHARE[0] * it.documents)
        and count >= max(10, FORMULA_RATE * it.words)
    ]
    # Estimated numbers of documents mean something from a few dozen on.
    exact = it.tokenizer is not None and it.find([], 4)[1] == 0
    least = max(LEAST_DOCUMENTS if exact else 30, LEAST_SHARE * it.documents)
    refrains = [
        (phrase, count, documents)
        for phrase, (count, documents) in it.phrases[4].items()
        if count >= REFRAIN * documents and documents >= least
    ]
    if not spread and not refrains:
        yield Finding(FINE, "formulas", ["No phrase of four words stands in an outsized share of the documents."])
        return
    said = []
    if spread:
        said.append(f"In an outsized share of the documents (boilerplate?): {len(spread)} phrases of four words.")
    if refrains:
        said.append(f"Repeated {REFRAIN:.0f} times or more in each document that holds them: {len(refrains)} phrases.")
    rows = [["phrase", "count", "share of documents", "in each of them"]]
    listed = [*spread[:LISTED], *(entry for entry in refrains[:LISTED] if entry not in spread[:LISTED])]
    for phrase, count, documents in listed:
        rows.append([phrase, f"{count:,}", percent(documents / it.documents), f"{count / documents:.1f} times"])
    most = max((documents / it.documents for _, _, documents in spread), default=0.0)
    yield Finding(PROBLEM if most >= FORMULA_SHARE[1] else NOTE, "formulas", said, rows)


def _scripts(it: Description) -> Iterator[Finding]:
    if it.scripts:
        main, *_ = sorted(it.scripts, key=lambda name: -it.scripts[name])
        other = 1 - it.scripts[main]
        names = ", ".join(f"{name} {percent(share)}" for name, share in it.scripts.items() if name != main)
        said = f"{percent(it.scripts[main])} of the letters are {main}{'; ' + names if names else ''}."
        yield Finding(_graded(other, OTHERS), "scripts", [said])


def _languages(it: Description) -> Iterator[Finding]:
    """Languages by their stop words: shares among the stop words found, not among the documents."""
    found = {name: _count(it, words) for name, words in STOP_WORDS.items()}
    total = sum(found.values())
    if total < 100:
        yield Finding(NOTE, "languages", ["Too few stop words of the languages known here to tell the language."])
        return
    shares = {name: count / total for name, count in found.items() if count / total >= 0.005}
    main, *others = sorted(shares, key=lambda name: -shares[name])
    said = [f"By stop words the text is {main}" + "".join(f", {name} {percent(shares[name])}" for name in others) + "."]
    yield Finding(_graded(1 - found[main] / total, OTHERS), "languages", said)


def _count(it: Description, words: str) -> int:
    return sum(it.phrases[1].get(word, (0, 0))[0] for word in words.split())


def _document_lengths(it: Description) -> Iterator[Finding]:
    """How many documents have how many tokens."""
    filled = [index for index, count in enumerate(it.document_tokens) if count]
    if filled:
        total, most = sum(it.document_tokens), max(it.document_tokens)
        rows = [["tokens", "documents", ""]]
        for index in range(filled[0], filled[-1] + 1):
            count = it.document_tokens[index]
            rows.append([f"{2**index:,} to {2 ** (index + 1) - 1:,}", f"{count:,}", "█" * round(20 * count / most)])
        said = f"{total:,} documents of {it.words / max(it.documents, 1):,.0f} words on average."
        yield Finding(FINE, "document lengths", [said], rows)


def _pronouns(it: Description) -> Iterator[Finding]:
    counts = {name: _count(it, words) for name, words in PRONOUNS.items()}
    if sum(counts.values()):
        rows = [["", "count", "per 1,000 words"]]
        rows += [[name, f"{count:,}", number(1000 * count / it.words)] for name, count in counts.items()]
        yield Finding(FINE, "pronouns", ["Whom the text speaks of:"], rows)


def _groups(it: Description) -> Iterator[Finding]:
    rows = [["", "count", "documents", "per million words"]]
    for kind, names in GROUPS.items():
        counted = [(word, *it.phrases[1][word]) for word in names.split() if word in it.phrases[1]]
        for word, count, documents in sorted(counted, key=lambda entry: -entry[1])[:LISTED]:
            rate = number(1e6 * count / it.words)
            rows.append([f"{word} ({kind})", f"{count:,}", f"{documents:,}", rate])
    if len(rows) > 1:
        yield Finding(FINE, "groups of people", ["Named most often; how they are spoken of is for you to read:"], rows)


def _topics(it: Description, background: Description) -> Finding:
    """Words and phrases that the text uses more than the background."""
    said = []
    for n in LENGTHS:
        if uses := over_used(it, background, n):
            kind = "words" if n == 1 else f"phrases of {n} words"
            said.append(f"Over-represented {kind} beside {background.name}: {summary(uses)}.")
    return Finding(NOTE if said else FINE, "topics", said or [f"No word is used more than in {background.name}."])

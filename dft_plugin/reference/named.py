"""References by the name that users give them: a shipped domain's, or a file's; and the domain nearest to one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dft_plugin import plugins
from dft_plugin.reference import accumulated, domain
from dft_plugin.reference.accumulated import Reference
from dft_plugin.reference.container import format_of
from dft_plugin.reference.description import Description, describe
from dft_plugin.reference.domain import Domain
from dft_plugin.reference.errors import HumanReferenceError

COMMON_WORDS = 1000


def load(name: str) -> Reference | Domain:
    """A shipped domain, or a file that `dft reference build` or `examples/build_domains` wrote.

    Raises:
        HumanReferenceError: when it is neither, naming what there is.
    """
    shipped = plugins.references()
    if name in shipped:
        return Domain.load(shipped[name])
    if not Path(name).is_file():
        raise HumanReferenceError(
            f'reference "{name}": there is no such file, and no such domain.{plugins.nearest(name, shipped)} There are '
            f"{', '.join(shipped)}; `dft reference build` makes others"
        )
    kind = format_of(name)
    if kind is None and not name.endswith(".safetensors"):
        raise HumanReferenceError(
            f'reference "{name}" is no file that `dft reference build` wrote; of a corpus it makes one: '
            f"dft reference build {name} --tokenizer MODEL -o human.safetensors"
        )
    return Domain.load(name) if kind == domain.KIND.name else Reference.load(name)


def mergeable(name: str) -> Reference:
    """A built reference.

    Raises:
        HumanReferenceError: when it is not there, or a domain, whose counts are of pieces of text, not of tokens.
    """
    found = load(name)
    if isinstance(found, Domain):
        raise HumanReferenceError(
            f'reference "{name}" is a domain: it is of no tokenizer, and cannot be merged with a built reference; '
            "build one of texts with `dft reference build`"
        )
    return found


def described(name: str) -> Description:
    """What `load` loads, described."""
    return describe(load(name), name)


def is_reference(name: str) -> bool:
    """Whether a name is that of a domain or a reference file, not of a corpus."""
    known = (accumulated.KIND.name, domain.KIND.name)
    return name in plugins.references() or name.endswith(".safetensors") or format_of(name) in known


def nearest_domain(description: Description) -> Description | None:
    """The shipped domain, other than itself, whose common words are the most like these: the greatest cosine of their
    frequencies."""
    own, content = _frequencies(description.phrases[1]), description.provenance.get("content")
    others = [other for other in map(described, plugins.references()) if other.provenance.get("content") != content]
    found = [(_cosine(own, _frequencies(other.phrases[1])), other) for other in others]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _frequencies(words: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    return {word: count for word, (count, _) in list(words.items())[:COMMON_WORDS]}


def _cosine(one: Mapping[str, int], other: Mapping[str, int]) -> float:
    common = sum(count * other.get(word, 0) for word, count in one.items())
    norms = [float(np.linalg.norm(list(each.values()) or [0])) for each in (one, other)]
    return common / max(1e-12, norms[0] * norms[1])

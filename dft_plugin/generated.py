"""What a rollout engine returned, as the term takes it."""

from __future__ import annotations

from collections.abc import Sequence

from dft_plugin.rollout import until_end


def generated_texts(
    engine: str, returned: Sequence[list[int]], contexts: int, max_new_tokens: int, end_of_text: Sequence[int]
) -> list[list[int]]:
    """One text to each context, none going on after its end.

    Args:
        engine: its name.
        returned: new tokens of each context.
        contexts: how many there were.
        max_new_tokens: longest text.
        end_of_text: ids that end a text.

    Raises:
        ValueError: for another number of texts, an empty one, or one that is too long.
    """
    said = f"rollout engine {engine} returned"
    if len(returned) != contexts:
        raise ValueError(f"{said} {len(returned)} texts for {contexts} contexts: one each (RolloutEngine.generate)")
    for number, tokens in enumerate(returned):
        if len(tokens) == 0:
            raise ValueError(
                f"{said} no new token for context {number} of {contexts}: at least one each, and the one that ends a "
                "text is part of it (RolloutEngine.generate)"
            )
        if len(tokens) > max_new_tokens:
            raise ValueError(
                f"{said} {len(tokens)} new tokens, and rollout.max_new_tokens is {max_new_tokens}: an engine stops "
                "there (RolloutEngine.generate)"
            )
    return [until_end(tokens, end_of_text) for tokens in returned]

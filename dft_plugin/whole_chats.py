"""Chats that are trained on as a whole: what is asked is then human text to match, as the answers are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from dft_plugin.documents import Document
from dft_plugin.shared_beginning import shared_beginning

logger = logging.getLogger("dft_plugin")

TOLD = (
    "chats are trained on as a whole: what users say is human text to match, as answers are, and rollouts write it; "
    "set assistant_only_loss: true (Axolotl: train_on_inputs: false), so that answers alone are matched"
)
LOOKED_AT = 64
"""Documents, at equal distances."""


def warn_of_whole_chats(documents: Sequence[Document], tokenizer: Any) -> None:
    """Says so where most documents are plain and hold what the chat template writes before a user's turn.

    Args:
        documents: of the training set, before they are cut at ends of text.
        tokenizer: of the model.
    """
    header = _users_header(tokenizer)
    if not header:
        return
    looked_at = documents[:: -(-len(documents) // LOOKED_AT) or 1]
    texts = [tokenizer.decode(it.tokens[it.start : it.stop]) for it in looked_at if not it.prompted]
    if 2 * sum(header in _unspaced(text) for text in texts) > len(looked_at):
        logger.warning("dft: %s", TOLD)


def _users_header(tokenizer: Any) -> str:
    """What the template writes before a user's turn, wherever that stands, unspaced; "" where it writes nothing."""
    asked, said, more = "dft-asked", "dft-said", "dft-more"
    turns = [("user", asked), ("assistant", said), ("user", more)]
    try:
        written = tokenizer.apply_chat_template(
            [{"role": role, "content": content} for role, content in turns], tokenize=False
        )
    except Exception:  # there is none; and templates are programs: they raise what they like
        return ""
    first, _, rest = written.partition(asked)
    second = rest.partition(said)[2].partition(more)[0]
    for token in filter(None, (tokenizer.bos_token, tokenizer.eos_token)):
        first, second = first.rpartition(token)[2], second.rpartition(token)[2]
    return _unspaced(first[len(first) - shared_beginning(first[::-1], second[::-1]) :])


def _unspaced(text: str) -> str:
    """Tokenizers differ in the spaces that they put around special tokens."""
    return "".join(text.split())

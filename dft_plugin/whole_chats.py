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
    "set assistant_only_loss: true (Axolotl: train_on_inputs: false, roles_to_train: [assistant]), so that answers "
    "alone are matched. Where chats are written out in a `text` column, which TRL refuses that for, give `messages` or "
    "prompt and completion"
)
LOOKED_AT = 64
"""Documents, at equal distances."""
HEADER_TOKENS = 64
"""More than any template writes before a turn."""


def warn_of_whole_chats(documents: Sequence[Document], tokenizer: Any) -> None:
    """Says so where many documents hold what the chat template writes before a user's turn, or begin right after it.

    A third is many: where each turn is a document by itself (Axolotl), every second is a user's.

    Args:
        documents: of the training set, before they are cut at ends of text.
        tokenizer: of the model.
    """
    header = _users_header(tokenizer)
    if not header:
        return
    looked_at = documents[:: -(-len(documents) // LOOKED_AT) or 1]
    if 3 * sum(_of_user(document, header, tokenizer) for document in looked_at) > len(looked_at):
        logger.warning("dft: %s", TOLD)


def _of_user(document: Document, header: str, tokenizer: Any) -> bool:
    """Whether a user's words are trained on in a document."""
    if document.prompted:
        before = document.tokens[max(0, document.start - HEADER_TOKENS) : document.start]
        return _unspaced(tokenizer.decode(before)).endswith(header)
    return header in _unspaced(tokenizer.decode(document.tokens[document.start : document.stop]))


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

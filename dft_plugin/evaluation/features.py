"""Texts as vectors: hashed n-grams of words and characters, or embeddings of a model the user names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dft_plugin.evaluation.pool import Ints, Pool
from dft_plugin.evaluation.texts import TextsError
from dft_plugin.reference.word_scan import mixed

BUCKETS = 2048
"""Of each kind of n-gram."""
WORD_LENGTHS, CHARACTER_LENGTHS = (1, 2), (3, 4)
_STEP = np.uint64(0x9E3779B97F4A7C15)

Vectors = npt.NDArray[np.float32]


def hashed_ngrams(pool: Pool, texts: Ints) -> Vectors:
    """(len(texts), 2 * BUCKETS): the root of the share of a text's word 1- and 2-grams, and of its character 3- and
    4-grams, that fall into each bucket of a hash.

    Roots make common n-grams count less (the distance of two texts is the Hellinger distance of their laws). Each
    of the two halves has norm 1, or 0 in a text without any such n-gram.

    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009 (here without signs).
    """
    owner = np.full(len(pool), -1)
    owner[texts] = np.arange(len(texts))
    joined = "\n".join(pool.clipped[i] for i in texts)
    lengths = np.array([len(pool.clipped[i]) + 1 for i in texts])
    codes = np.frombuffer(joined.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    of_character = np.repeat(np.arange(len(texts)), lengths)[: len(codes)]
    blocks = [
        _shares(pool.scan.hash, owner[pool.scan.document], WORD_LENGTHS, len(texts)),
        _shares(mixed(codes + _STEP), of_character, CHARACTER_LENGTHS, len(texts)),
    ]
    return np.concatenate(blocks, axis=1)


def _shares(hashes: npt.NDArray[np.uint64], owner: Ints, lengths: Sequence[int], texts: int) -> Vectors:
    """(texts, BUCKETS) roots of shares; n-grams of owner -1 and those over a text's end are left out."""
    counts = np.zeros(texts * BUCKETS)
    for n in lengths:
        if len(hashes) < n:
            continue
        rolled = hashes[: len(hashes) - n + 1]
        for place in range(1, n):
            rolled = mixed(rolled * _STEP + hashes[place : len(hashes) - n + 1 + place])
        own = owner[: len(rolled)]
        kept = (own >= 0) & (own == owner[n - 1 :])
        bucket = (rolled[kept] % np.uint64(BUCKETS)).astype(np.int64)
        counts += np.bincount(own[kept] * BUCKETS + bucket, minlength=len(counts))
    table = counts.reshape(texts, BUCKETS)
    total = table.sum(1, keepdims=True)
    return np.sqrt(np.divide(table, total, out=np.zeros_like(table), where=total > 0)).astype(np.float32)


def embeddings(texts: Sequence[str], model: str) -> Vectors:
    """(len(texts), dimensions) of norm 1, by a sentence-transformers model, a folder or a hub name.

    Raises:
        TextsError: when sentence-transformers is not installed, or cannot load the model.
    """
    try:
        from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
    except ImportError as error:
        raise TextsError("--embedding needs sentence-transformers: pip install sentence-transformers") from error
    try:
        encoder: Any = SentenceTransformer(model)
    except (OSError, ValueError) as error:
        raise TextsError(f"--embedding {model}: cannot be loaded ({str(error).splitlines()[0]})") from error
    found = encoder.encode(list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
    return np.asarray(found, dtype=np.float32)

"""Documents from training batches, and the windows cut from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from dft_plugin.document_windows import WindowSampler, spans
from dft_plugin.documents import (
    Document,
    counted_from_start,
    cut_at_ends,
    split_row,
)
from dft_plugin.host import UnsupportedRunError
from dft_plugin.texts import Window
from dft_plugin.training_documents import UsedUpError, from_batch, from_dataloader

IGNORED = -100


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plain(*lengths: int) -> list[Document]:
    """Documents whose tokens are all different, so that a token says where it stands."""
    documents, number = [], 0
    for length in lengths:
        documents.append(Document(tuple(range(number, number + length)), 0, length, False))
        number += length
    return documents


def test_row_of_one_text() -> None:
    assert split_row([5, 6, 7], [5, 6, 7], None) == [Document((5, 6, 7), 0, 3, False)]


def test_packed_row_is_split_where_positions_begin_again() -> None:
    tokens = [1, 2, 3, 4, 5, 6, 7, 8]
    labels = [IGNORED, 2, 3, IGNORED, 5, IGNORED, 7, 8]  # packing masks each text's first label
    found = split_row(tokens, labels, [0, 1, 2, 0, 1, 0, 1, 2])
    assert found == [
        Document((1, 2, 3), 0, 3, False),
        Document((4, 5), 0, 2, False),
        Document((6, 7, 8), 0, 3, False),
    ]


def test_a_packed_row_that_begins_mid_text_keeps_its_beginning() -> None:
    """Wrapped packing cuts rows anywhere: the first piece's positions need not begin at 0."""
    found = split_row([1, 2, 3, 4], [1, 2, 3, 4], [7, 8, 0, 1])
    assert [document.tokens for document in found] == [(1, 2), (3, 4)]
    assert [document.tokens for document in split_row([1, 2], [1, 2], [7, 8])] == [(1, 2)]


def test_no_document_goes_on_after_an_end_of_text() -> None:
    """9 ends a text. What a template writes after an answer falls away; a plain text goes on as another one."""
    answer, chat, packed = (
        Document((1, 9, 3, 4, 9, 6), 3, 6, True),
        Document((1, 2, 9, 4, 5, 8, 7), 0, 7, False),
        Document((1, 2, 9, 9, 5, 9), 0, 6, False),
    )
    assert cut_at_ends([answer], [9]) == [Document((1, 9, 3, 4, 9), 3, 5, True)]
    assert cut_at_ends([chat], (8, 9), past=2) == [
        Document((1, 2, 9), 0, 3, False),
        Document((2, 9, 4, 5, 8), 2, 5, False),
        Document((5, 8, 7), 2, 3, False),
    ]
    assert [document.tokens for document in cut_at_ends([packed], [9])] == [(1, 2, 9), (9,), (5, 9)]
    kept = cut_at_ends([answer, chat, packed], [])
    assert kept == [replace(answer, tokens=answer.tokens[:6]), chat, packed]


def test_windows_hold_what_a_rollout_can() -> None:
    """Of a chat that is trained on as a whole: what is counted stops at the first end of text, as generated text does,
    and every token is counted once in a round but those before a random beginning."""
    end = 99
    chat = Document((*range(1, 30), end, *range(30, 37), end, *range(40, 95), end), 0, 93, False)
    documents = cut_at_ends([chat], [end], past=6)
    windows = WindowSampler(documents, 6, 16).sample(400, generator())
    counted = [window.tokens[window.first :] for window in windows]
    assert all(end not in tokens[:-1] for tokens in counted)
    assert {token for tokens in counted for token in tokens} == set(chat.tokens[1:])
    # A turn's first window has what was said before it for its context, and none a longer one than it may.
    assert any(window.tokens[: window.first] == (*range(25, 30), end) for window in windows)
    assert max(window.first for window in windows) == 6


def test_prompt_and_completion() -> None:
    found = split_row([1, 2, 3, 4, 5], [IGNORED, IGNORED, IGNORED, 4, 5], None)
    assert found == [Document((1, 2, 3, 4, 5), 3, 5, True)]


def test_a_prompt_of_one_token() -> None:
    """Or an empty one after a BOS; where texts are packed the first label of each is masked, prompt or not."""
    labels = [IGNORED, 2, 3]
    assert split_row([1, 2, 3], labels, None, [9]) == [Document((1, 2, 3), 1, 3, True)]
    assert split_row([1, 2, 3], labels, [0, 1, 2], [9]) == [Document((1, 2, 3), 0, 3, False)]


def test_each_turn_of_a_chat_is_a_document_with_all_before_it_as_prompt() -> None:
    labels = [IGNORED, IGNORED, 3, 4, IGNORED, IGNORED, 7]
    assert split_row([1, 2, 3, 4, 5, 6, 7], labels, None) == [
        Document((1, 2, 3, 4), 2, 4, True),
        Document((1, 2, 3, 4, 5, 6, 7), 6, 7, True),
    ]


def test_a_token_left_out_of_the_loss_is_no_prompt() -> None:
    """The text goes on over it; what follows an answer that has ended (9) keeps the whole conversation."""
    tokens = [1, 2, 3, 4, 5, 6, 7]
    assert split_row(tokens, [1, 2, IGNORED, 4, 5, IGNORED, 7], None, [9]) == [Document((*tokens,), 0, 7, False)]
    answer = split_row(tokens, [IGNORED, IGNORED, 3, IGNORED, 5, IGNORED, 7], None, [9])
    assert answer == [Document((*tokens,), 2, 7, True)]
    assert split_row([1, 2, 3, 9, 5, 6], [IGNORED, IGNORED, 3, 9, IGNORED, 6], None, [9]) == [
        Document((1, 2, 3, 9), 2, 4, True),
        Document((1, 2, 3, 9, 5, 6), 5, 6, True),
    ]


def test_ends_that_are_not_trained_on_are_no_prompt() -> None:
    """As with transformers' collator where the padding token is the end of text: another text begins after them."""
    tokens = [1, 2, 9, 4, 5, 9, 9, 7, 8, 9]
    labels = [IGNORED if token == 9 else token for token in tokens]
    found = split_row(tokens, labels, None, [9])
    assert found == [
        Document((1, 2), 0, 2, False),
        Document((1, 2, 9, 4, 5), 3, 5, False),
        Document((4, 5, 9, 9, 7, 8), 4, 6, False),
    ]
    windows = WindowSampler(cut_at_ends(found, [9], past=2), 2, 16).sample(20, generator())
    assert {window.tokens[window.first :] for window in windows} == {(2,), (4, 5), (5,), (7, 8), (8,)}


def test_a_prompts_end_that_is_trained_on_is_no_text() -> None:
    """As with Axolotl's `train_on_eos: all`: of two turns the users' ends are trained on, beside the answers."""
    tokens = [1, 5, 9, 2, 6, 7, 9, 1, 5, 9, 2, 8, 9]
    labels = [IGNORED, IGNORED, 9, IGNORED, 6, 7, 9, IGNORED, IGNORED, 9, IGNORED, 8, 9]
    assert split_row(tokens, labels, None, [9]) == [
        Document((*tokens[:7],), 4, 7, True),
        Document((*tokens,), 11, 13, True),
    ]
    assert split_row([1, 2, 9], [IGNORED, IGNORED, 9], None, [9]) == []
    # An end beside a token that is left out ends the text before it.
    assert split_row([1, 2, 3, 9], [1, 2, IGNORED, 9], None, [9]) == [Document((1, 2, 3, 9), 0, 4, False)]


def test_an_end_that_begins_a_row_is_no_prompt() -> None:
    """As where one token both begins and ends texts: there is none before the row's first."""
    assert split_row([9, 1, 2], [IGNORED, 1, 2], None, [9]) == [Document((9, 1, 2), 0, 3, False)]


def test_images_beside_text_are_refused() -> None:
    tokens = torch.tensor([[1, 2, 3]])
    batch = {"input_ids": tokens, "labels": tokens, "pixel_values": torch.zeros(1, 3, 2, 2), "image_sizes": None}
    with pytest.raises(UnsupportedRunError, match="a training batch holds pixel_values: rollouts would go on without"):
        from_batch(batch)


def test_row_without_anything_trained_on() -> None:
    assert split_row([1, 2, 3], [IGNORED] * 3, None) == []


@pytest.mark.parametrize("padding_free", [False, True])
def test_through_the_collator_of_trl(padding_free: bool) -> None:
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)
    rows = [{"input_ids": [1, 2, 3]}, {"input_ids": [4, 5]}, {"input_ids": [6, 7, 8, 9]}]
    found = from_batch(collate(rows))
    assert [document.tokens for document in found] == [(1, 2, 3), (4, 5), (6, 7, 8, 9)]
    assert all((document.start, document.stop) == (0, len(document.tokens)) for document in found)
    assert not any(document.prompted for document in found)


def test_completions_through_the_collator_of_trl() -> None:
    collate = DataCollatorForLanguageModeling(pad_token_id=0)
    rows = [
        {"input_ids": [1, 2, 3, 4], "labels": [IGNORED, IGNORED, 3, 4]},
        {"input_ids": [5, 6, 7], "labels": [IGNORED, IGNORED, 7]},
    ]
    assert from_batch(collate(rows)) == [Document((1, 2, 3, 4), 2, 4, True), Document((5, 6, 7), 2, 3, True)]


def test_left_padding_and_no_labels() -> None:
    batch = {
        "input_ids": torch.tensor([[0, 0, 1, 2], [3, 4, 5, 6]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]),
    }
    assert [document.tokens for document in from_batch(batch)] == [(1, 2), (3, 4, 5, 6)]


def test_packed_rows_that_are_padded_keep_their_own_positions() -> None:
    """Padding on either side is no text, and each row is split where its own positions begin again."""
    batch = {
        "input_ids": torch.tensor([[0, 1, 2, 3, 4], [5, 6, 7, 8, 0]]),
        "attention_mask": torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]]),
        "position_ids": torch.tensor([[1, 0, 1, 0, 1], [0, 1, 2, 0, 0]]),
    }
    assert [document.tokens for document in from_batch(batch)] == [(1, 2), (3, 4), (5, 6, 7), (8,)]


class Loader:
    """What is asked of a dataloader."""

    def __init__(self, dataset: object) -> None:
        self.dataset = dataset
        self.collate_fn = DataCollatorForLanguageModeling(pad_token_id=0)


def test_rows_read_are_spread_over_the_data_set() -> None:
    rows = [{"input_ids": [index, index]} for index in range(100)]
    found = [[document.tokens[0] for document in from_dataloader(Loader(rows), limit=50)] for _ in range(2)]
    assert found[0] == found[1] == sorted(set(found[0]))
    assert len(found[0]) == 50
    assert 15 < sum(number < 50 for number in found[0]) < 35
    assert 15 < sum(number % 2 for number in found[0]) < 35  # of two sources that take turns both are read
    assert [document.tokens[0] for document in from_dataloader(Loader(rows), limit=1000)] == [*range(100)]


def test_iterable_data_set() -> None:
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self) -> object:
            return iter([{"input_ids": [index, index]} for index in range(9)])

    assert len(from_dataloader(Loader(Stream()), limit=5)) == 5


class Rows(torch.utils.data.IterableDataset):
    """A stream that begins anew, or goes on, where it is read again; it counts what is read."""

    def __init__(self, count: int, *, anew: bool) -> None:
        self.rows = [{"input_ids": [index] * 8} for index in range(count)]
        self.left = iter(self.rows)
        self.anew, self.read = anew, 0

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        for row in iter(self.rows) if self.anew else self.left:
            self.read += 1
            yield row


def test_a_stream_is_read_no_further_than_there_is_enough() -> None:
    def windows(documents: Sequence[Document]) -> int:
        return WindowSampler(documents, 2, 2).pieces()

    stream = Rows(100, anew=True)
    assert [found.tokens[0] for found in from_dataloader(Loader(stream), 9, windows=windows)] == [0, 1, 2]
    assert stream.read == 4  # and the first once more
    assert len(from_dataloader(Loader(Rows(100, anew=True)), 8, windows=windows)) == 2  # of four windows each
    nothing = Rows(100, anew=True)
    assert len(from_dataloader(Loader(nothing), 9, windows=lambda documents: 0)) == 9  # a limit of rows as well
    assert nothing.read == 10


@pytest.mark.parametrize("limit", [9, 101])
def test_human_text_of_a_streams_beginning_is_told(limit: int, caplog: pytest.LogCaptureFixture) -> None:
    from_dataloader(Loader(Rows(100, anew=True)), limit)
    assert ("of the stream's first 9 rows: shuffle it" in caplog.text) == (limit == 9)


@pytest.mark.parametrize("anew", [True, False])
def test_rows_that_reading_takes_away_from_training_are_told(anew: bool, caplog: pytest.LogCaptureFixture) -> None:
    from_dataloader(Loader(Rows(100, anew=anew)), 5)
    assert ("training misses the 5 rows read" in caplog.text) != anew


def test_the_same_texts_in_another_order_are_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    """As Axolotl packs a stream: rows, and texts in rows, come in another order each time."""

    class Reordered(Rows):
        def __iter__(self) -> Iterator[dict[str, list[int]]]:
            self.rows = self.rows[1:] + self.rows[:1]
            return iter(self.rows)

    from_dataloader(Loader(Reordered(100, anew=True)), 5)
    assert "another row" not in caplog.text


def test_a_stream_of_which_nothing_is_left() -> None:
    with pytest.raises(UsedUpError, match="no row left after its 5 were read"):
        from_dataloader(Loader(Rows(5, anew=False)), 5)


def counted(windows: Sequence[Window]) -> list[int]:
    return [token for window in windows for token in window.tokens[window.first :]]


@pytest.mark.parametrize("seed", range(5))
def test_no_token_is_counted_twice_before_every_piece_was_used(seed: int) -> None:
    documents = plain(100, 7, 33, 2, 16, 17, 240)
    sampler = WindowSampler(documents, context_tokens=6, max_new_tokens=16)
    windows = sampler.sample(sampler.pieces(), generator(seed))
    assert len(windows) == sampler.pieces()
    assert max(Counter(counted(windows)).values()) == 1


def test_every_position_but_the_first_can_be_counted() -> None:
    """No part of a document is out of reach: random offsets cover it, but for its very first token."""
    (document,) = plain(50)
    sampler = WindowSampler([document], context_tokens=6, max_new_tokens=16)
    seen = {token for seed in range(200) for token in counted(sampler.sample(sampler.pieces(), generator(seed)))}
    assert seen == set(range(1, 50))


def test_a_context_is_what_stands_before_and_holds_nothing_counted() -> None:
    documents = plain(100, 7, 33)
    sampler = WindowSampler(documents, context_tokens=6, max_new_tokens=16)
    for window in sampler.sample(60, generator()):
        assert 1 <= window.first <= 6 or window.starts_at_begin
        assert 1 <= len(window.tokens) - window.first <= 16
        context, rest = window.tokens[: window.first], window.tokens[window.first :]
        assert not set(context) & set(rest)
        # Unbroken text: what follows the context is what followed it in the document.
        assert list(window.tokens) == list(range(window.tokens[0], window.tokens[0] + len(window.tokens)))
        starts = {document.tokens[0] for document in documents}
        assert window.starts_at_begin == (window.tokens[0] in starts)
        assert window.begin == 0


def test_what_stands_before_a_text_is_none_of_it() -> None:
    """The last tokens of an earlier text are context, and begin no sentence of this one."""
    document = Document((97, 98, 99, *range(40)), 3, 43, False)
    for window in WindowSampler([document], 6, 16).sample(60, generator()):
        own = window.tokens[window.begin :]
        assert own == tuple(range(own[0], own[0] + len(own)))
        assert window.starts_at_begin == (own[0] == 0)


@pytest.mark.parametrize("length", [2, 3, 9])
def test_a_text_shorter_than_a_window_is_one_wherever_it_is_cut(length: int) -> None:
    (document,) = plain(length)
    cut = [spans(document, 6, 16, offset) for offset in range(50)]
    assert all(len(found.first) == 1 for found in cut)
    assert {int(found.first[0]) for found in cut} == set(range(1, length))
    assert WindowSampler([document, *plain(33)], 6, 16).pieces() == 1 + 2


def test_the_first_windows_are_of_documents_anywhere() -> None:
    sampler = WindowSampler(plain(*[17] * 100), 6, 16)
    found = [window.tokens[0] // 17 for window in sampler.sample(50, generator())]
    assert found != sorted(found)
    assert min(found) < 25 < 75 < max(found)


def test_longer_documents_give_more_windows() -> None:
    documents = plain(320, 32)
    sampler = WindowSampler(documents, context_tokens=4, max_new_tokens=16)
    found = Counter(window.tokens[0] >= 320 for window in sampler.sample(4000, generator()))
    assert found[False] / found[True] == pytest.approx(10, rel=0.25)


def test_from_the_start() -> None:
    """Every token counts; the one before is none of the text's."""
    documents = [counted_from_start(document) for document in plain(40, 9)]
    windows = WindowSampler(documents, 6, 16).sample(2, generator())
    assert sorted(windows, key=lambda window: len(window.tokens), reverse=True) == [
        Window((39, *range(16)), 1, 1, True),
        Window((48, *range(40, 49)), 1, 1, True),
    ]


def test_prompted_documents_begin_after_the_prompt_and_keep_all_of_it() -> None:
    document = Document(tuple(range(60)), 40, 60, True)
    assert WindowSampler([document], 6, 16).sample(2, generator()) == 2 * [Window(tuple(range(56)), 40, 40, True)]
    assert WindowSampler([document], 6, 16).one_each
    assert not WindowSampler([document, *plain(50)], 6, 16).one_each


def test_documents_too_short_to_continue() -> None:
    sampler = WindowSampler([*plain(1), Document((1, 2), 2, 2, True)], 6, 16)
    assert sampler.usable() == []
    assert sampler.pieces() == 0
    with pytest.raises(ValueError, match="no document has two or more tokens"):
        sampler.sample(1, generator())


def test_windows_depend_on_the_seed_only() -> None:
    sampler = WindowSampler(plain(100, 80), 6, 16)
    assert sampler.sample(9, generator(1)) == sampler.sample(9, generator(1))
    assert sampler.sample(9, generator(1)) != sampler.sample(9, generator(2))

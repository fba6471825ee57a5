"""Words <-> ids."""

from __future__ import annotations

import pytest

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.caption import all_slots, caption_of, vocabulary
from neurovlm.language.tokenizer import END, WordTokenizer


def test_every_caption_of_the_grammar_comes_back():
    tokenizer = WordTokenizer(vocabulary())
    for slots in all_slots():
        caption = caption_of(slots)
        ids = tokenizer.encode(caption)
        assert ids[-1] == END and END not in ids[:-1]
        assert tokenizer.decode(ids) == caption


def test_vocabulary_from_captions_is_sorted_and_complete():
    tokenizer = WordTokenizer.from_captions(["b a", "c a"])
    assert tokenizer.words == ("a", "b", "c")
    assert len(tokenizer) == 4
    assert tokenizer.encode("c b") == [3, 2, END]


def test_decode_stops_at_the_end():
    assert WordTokenizer(("a", "b")).decode([2, END, 1]) == "b"


def test_unknown_word_is_named():
    with pytest.raises(UsageError, match="'zebra' in 'a zebra'"):
        WordTokenizer(("a",)).encode("a zebra")


@pytest.mark.parametrize("words", [("a", "a"), ("",), ("a b",)])
def test_vocabulary_must_be_plain_words(words):
    with pytest.raises(UsageError, match="distinct"):
        WordTokenizer(words)

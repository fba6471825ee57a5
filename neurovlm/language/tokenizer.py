"""Words of a closed grammar <-> token ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from neurovlm.core.errors import UsageError

END = 0
"""Id that ends a caption and pads it."""


@dataclass(frozen=True)
class WordTokenizer:
    """One id per word; id 0 is the end of the caption, word i of the vocabulary is id i + 1.

    A word outside the vocabulary is an error: the grammar is closed, so it is a fault upstream.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.words)) != len(self.words) or not all(
            word and word == "".join(word.split()) for word in self.words
        ):
            raise UsageError("tokenizer: words must be distinct, not empty and free of spaces")

    @classmethod
    def from_captions(cls, captions: Iterable[str]) -> WordTokenizer:
        """Vocabulary of all words in ``captions``, sorted."""
        return cls(tuple(sorted({word for caption in captions for word in caption.split()})))

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i + 1 for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        """Ids in use, the end included."""
        return len(self.words) + 1

    def encode(self, caption: str) -> list[int]:
        """Ids of the caption's words, then `END`.

        Raises
        ------
        UsageError
            For a word outside the vocabulary, naming it.
        """
        unknown = [word for word in caption.split() if word not in self._ids]
        if unknown:
            raise UsageError(
                f"tokenizer: {unknown[0]!r} in {caption!r} is not among the {len(self.words)} words"
            )
        return [*(self._ids[word] for word in caption.split()), END]

    def decode(self, ids: Sequence[int]) -> str:
        """Words up to the first `END`."""
        words = []
        for i in ids:
            if i == END:
                break
            words.append(self.words[i - 1])
        return " ".join(words)

"""Prompts as words and numbers: a number in a sentence keeps its value, so that 0.31 lies between 0.30 and 0.32."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid
from interpolants.foundations.records import record

# Codes of what is no word of the vocabulary: nothing, a number, and a word that was never seen.
NOTHING, NUMBER, UNKNOWN = 0, 1, 2
_FIRST = 3
_TOKEN = re.compile(
    r"(?<![\w.])[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?|[^\W\d_]+(?:-[^\W\d_]+)*|\d+(?:\.\d+)?"
)
# A minus sign of typography, or a dash right before a number and behind a space.
_MINUS = re.compile(r"\u2212|(?<!\S)[\u2012\u2013](?=\.?\d)")
_COMMA = re.compile(r"(?<![\w.])\d[\d.]*,\.?\d[\d.]*")


def split_prompt(text: str) -> list[str | float]:
    """Words in small letters and numbers, in their order; signs between them are left out.

    ::

        >>> split_prompt("Smoke at x = 0.31 heads north-east.")
        ['smoke', 'at', 'x', 0.31, 'heads', 'north-east']
    """
    found = _TOKEN.findall(_plain(text).lower())
    return [float(part) if part[-1].isdigit() else part for part in found]


def comma_numbers(text: str) -> list[str]:
    """Numbers with a comma and no space behind it, which may be one number or two; they are read as two."""
    return _COMMA.findall(_plain(text))


def _plain(text: str) -> str:
    """Letters with accents as one sign, without signs that nobody sees, and minus as a hyphen."""
    seen = "".join(c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) != "Cf")
    return _MINUS.sub("-", seen)


@record("prompt_vocabulary")
@dataclass(frozen=True)
class PromptVocabulary:
    """The words of the training prompts, and the range of their numbers.

    Attributes:
        words: In the order of the alphabet.
        low: Smallest number.
        high: Largest number.
    """

    words: tuple[str, ...]
    low: float
    high: float

    @classmethod
    def of(cls, texts: Iterable[str]) -> "PromptVocabulary":
        """All words and numbers of some prompts."""
        parts = [part for text in texts for part in split_prompt(text)]
        numbers = [part for part in parts if isinstance(part, float)] or [0.0]
        words = sorted({part for part in parts if isinstance(part, str)})
        return cls(tuple(words), min(numbers), max(numbers))

    def __len__(self) -> int:
        return _FIRST + len(self.words)

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {word: _FIRST + k for k, word in enumerate(self.words)}

    def unknown(self, text: str) -> list[str]:
        """Words that it does not know."""
        return [part for part in split_prompt(text) if isinstance(part, str) and part not in self._codes]

    def outside(self, text: str) -> list[float]:
        """Numbers that are smaller or larger than any it was made of."""
        numbers = [part for part in split_prompt(text) if isinstance(part, float)]
        return [value for value in numbers if not self.low <= value <= self.high]

    def encode(self, texts: Sequence[str | None], longest: int, who: str) -> tuple[Tensor, Tensor]:
        """Codes ``(N, longest)`` int64 and numbers ``(N, longest)``, 0 where there is none.

        Numbers are scaled so that the range of the training is 0 to 1. None is a row without a prompt.

        Raises:
            InvalidInputError: If a prompt is empty or too long.
        """
        codes = torch.zeros(len(texts), longest, dtype=torch.long)
        numbers = torch.zeros(len(texts), longest, dtype=torch.float32)
        span = (self.high - self.low) or 1.0
        for row, text in enumerate(texts):
            parts = [] if text is None else split_prompt(text)
            if text is not None and not parts:
                raise invalid(who, "a prompt must have words", repr(text), "Leave the prompt out.")
            if len(parts) > longest:
                rule = f"a prompt must have at most {longest} words and numbers"
                raise invalid(who, rule, f"{len(parts)} of them", "Shorten it, or fit with a larger longest.")
            for place, part in enumerate(parts):
                is_word = isinstance(part, str)
                codes[row, place] = self._codes.get(part, UNKNOWN) if isinstance(part, str) else NUMBER
                numbers[row, place] = 0.0 if is_word else (float(part) - self.low) / span
        return codes, numbers

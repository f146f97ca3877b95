"""Alphabet: characters to tokens and back, with a placeholder for positions to fill in."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from interpolants.foundations.errors import invalid

BLANK = "_"
# In sequences of different lengths: a gap that any number of characters may fill, and the token behind the last one.
STAR, END = "*", -1


def pad_ends(rows: list[Tensor]) -> Tensor:
    """Tokens ``(L_i,)`` of different lengths as rows ``(N, L)``, with -1 behind the shorter ones."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=END)


@dataclass(frozen=True)
class Alphabet:
    """The characters that tokens 0, 1, ... stand for; the token after the last is a blank, the mask.

    Args:
        symbols: One character each, all different.

    Raises:
        InvalidInputError: If a symbol is no single character or comes twice.
    """

    symbols: tuple[str, ...]

    def __post_init__(self) -> None:
        long = [s for s in self.symbols if not isinstance(s, str) or len(s) != 1]
        if long or len(self.symbols) < 2:
            raise invalid("Alphabet", "symbols must be two or more single characters", long or self.symbols)
        if len(set(self.symbols)) != len(self.symbols):
            twice = sorted({s for s in self.symbols if self.symbols.count(s) > 1})
            raise invalid("Alphabet", "symbols must all be different", twice)

    @classmethod
    def of(cls, text: str) -> "Alphabet":
        """The characters of a text, in the order of their code points."""
        return cls(tuple(sorted(set(text))))

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str, *, blank: str | None = None, who: str = "Alphabet") -> Tensor:
        """A text as tokens ``(N,)`` int64; ``blank`` is a character that stands for the mask.

        Raises:
            InvalidInputError: If a character is not in the alphabet.
        """
        number = {symbol: k for k, symbol in enumerate(self.symbols)}
        if blank is not None and blank not in number:
            number[blank] = len(self.symbols)
        strange = sorted({character for character in text if character not in number})
        if strange:
            rule = f"characters must be among {''.join(self.symbols)!r}"
            remedy = f"Use {blank!r} for what is to be filled in." if blank is not None else ""
            raise invalid(who, rule, "".join(strange[:8]), remedy)
        return torch.tensor([number[character] for character in text], dtype=torch.int64)

    def encode_rows(self, texts: Iterable[str], *, blank: str | None = None, who: str = "Alphabet") -> Tensor:
        """Texts of one length as rows of tokens, ``(N, L)``.

        Raises:
            InvalidInputError: If lengths differ or a character is unknown.
        """
        rows = [self.encode(text, blank=blank, who=who) for text in texts]
        if len({len(row) for row in rows}) != 1:
            lengths = sorted({len(row) for row in rows})
            remedy = "Pad them with blanks, or use TokenBridge(path='insert')."
            raise invalid(who, "texts must have one length", lengths[:4], remedy)
        return torch.stack(rows)

    def encode_padded(
        self, texts: Iterable[str], *, blank: str | None = None, caller: str = "Alphabet"
    ) -> Tensor:
        """Texts of any lengths as rows of tokens, ``(N, L)``, with -1 behind the shorter ones.

        Raises:
            InvalidInputError: If a character is unknown.
        """
        return pad_ends([self.encode(text, blank=blank, who=caller) for text in texts])

    def decode(self, tokens: Tensor, *, blank: str = BLANK) -> list[str]:
        """Rows of tokens ``(N, L)`` as texts; the mask becomes ``blank``, and -1 behind the last token nothing."""
        shown = (*self.symbols, blank)
        return ["".join(shown[token] for token in row if token != END) for row in tokens.tolist()]

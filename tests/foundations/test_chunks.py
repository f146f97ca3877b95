"""Batches are cut at multiples of 64, padded where small, and put together again; states may be tokens."""

import pytest
import torch
from torch import nn

from interpolants.foundations.chunks import Chunks
from interpolants.foundations.invariance import SMALLEST, rows_are_independent
from interpolants.foundations.randomness import BLOCK


class Shy(nn.Module):
    """A network whose rows feel how many there are."""

    def forward(self, x, cond=None):
        return x * (1 + len(x))


def together(chunks):
    """All rows, through ``take`` and ``lead``."""
    parts = []
    for rows, first in chunks:
        states, cond = chunks.take(rows, first)
        keep = slice(chunks.lead(rows, first), chunks.lead(rows, first) + rows.stop - rows.start)
        parts.append((states[keep], cond[keep]))
    return torch.cat([x for x, _ in parts]), torch.cat([c for _, c in parts])


@pytest.mark.parametrize("first_index", [0, 5, 130])
@pytest.mark.parametrize("owner", [nn.Identity(), Shy()], ids=["independent rows", "dependent rows"])
def test_the_chunks_are_the_batch(owner, first_index):
    x, cond = torch.arange(300.0)[:, None], torch.arange(300)
    chunks = Chunks(owner, lambda s, c: owner(s), x, cond, chunk=128, first_index=first_index, invariant=True)
    states, given = together(chunks)
    assert torch.equal(states, x)
    assert torch.equal(given, cond)
    assert chunks.pad == (BLOCK if isinstance(owner, Shy) else SMALLEST)


def test_rows_of_a_table_of_tokens_are_independent_and_of_a_shy_one_are_not():
    tokens = torch.tensor([[0, 4, 2]])
    table, shy = nn.Embedding(5, 3), Shy()
    seen = []

    def call(x):
        seen.append(x)
        return table(x)

    assert rows_are_independent(table, call, tokens, 128)
    assert all(x.dtype == torch.int64 and int(x.max()) <= 4 for x in seen)
    assert not rows_are_independent(shy, shy, tokens, 128)

"""Batches are cut at multiples of 64, padded where small, and put together again; states may be tokens."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from interpolants.foundations.chunks import Chunks
from interpolants.foundations.invariance import VECTOR, rows_are_independent
from interpolants.foundations.randomness import BLOCK


class Shy(nn.Module):
    """A network whose rows feel how many there are."""

    def forward(self, x, cond=None):
        return x * (1 + len(x))


class Answers(NamedTuple):
    x: Tensor
    index: Tensor
    beside: dict[str, Any]
    calls: int
    nothing: None


@pytest.mark.parametrize("first_index", [0, 5, 130])
@pytest.mark.parametrize("owner", [nn.Identity(), Shy()], ids=["independent rows", "dependent rows"])
def test_a_map_over_the_chunks_gives_the_rows_of_the_batch(owner, first_index):
    x, cond, sizes, done = torch.arange(300.0)[:, None], torch.arange(300), [], []
    chunks = Chunks(owner, lambda s, c: owner(s), x, cond, chunk=128, first_index=first_index, invariant=True)

    def run(chunk):
        sizes.append(len(chunk.x))
        index = chunk.first + torch.arange(len(chunk.x))
        return Answers(chunk.x, index, {"cond": chunk.cond}, 7, None)

    found = chunks.map(run, done.append)
    assert torch.equal(found.x, x)
    assert torch.equal(found.index, first_index + torch.arange(300))
    assert torch.equal(found.beside["cond"], cond)
    assert (found.calls, found.nothing) == (7, None)
    assert done == sorted(done)
    assert done[-1] == 300
    pad = BLOCK if isinstance(owner, Shy) else VECTOR  # one entry per row is an odd number
    assert (chunks.pad, min(sizes) >= pad) == (pad, True)


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


@pytest.mark.parametrize("answers", [1, 2])
def test_plain_tuples_are_put_together_like_named_ones(answers):
    x = torch.randn(200, 3)
    chunks = Chunks(None, lambda x, cond: x, x, None, chunk=70, first_index=0, invariant=False)
    found = chunks.map(lambda part: (part.x.sum(1),) * answers)
    assert len(found) == answers
    assert all(torch.equal(one, x.sum(1)) for one in found)

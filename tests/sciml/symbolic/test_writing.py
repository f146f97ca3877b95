"""Beam search over equations against all texts there are, with a toy distribution that remembers two words."""

import itertools

import pytest
import torch
from torch.nn import functional

from interpolants.data.equation_tokens import EquationTokens
from interpolants.sciml.symbolic.writing import written

VOCABULARY = EquationTokens(states=2, longest=5)
# Words with a finite logit: the others are never written.
WORDS = ("<end>", "|", "mul", "neg", "u1", "u2")
ROWS = 3
TOKENS = (torch.zeros(ROWS, 1, 1), torch.ones(ROWS, 1, dtype=torch.bool))


class Toy:
    """Logits that depend on the row, on the last word and on the one before it, which only the memory knows."""

    def __init__(self, seed):
        g = torch.Generator().manual_seed(seed)
        n, able = len(VOCABULARY), [VOCABULARY.code[word] for word in WORDS]
        self.last = torch.full((n, n), -1e4)
        self.last[:, able] = 2 * torch.randn(n, len(able), generator=g)
        self.before, self.row = 2 * torch.randn(n, n, generator=g), torch.randn(ROWS, n, generator=g)

    def contexts(self, tokens):
        rows = torch.arange(ROWS).float()[:, None, None, None]
        return [(rows, rows)]

    def words(self, codes, contexts, seen, before=None, place=0):
        past = codes if before is None else before[0][0][:, 0, :, 0].long()
        row = contexts[0][0].flatten().long()
        logits = self.last[codes[:, 0]] + self.before[past[:, -1]] + self.row[row]
        memory = codes.float()[:, None, :, None]
        return logits[:, None], [(memory, -memory), None]  # keys and values are not the same

    def log_prob(self, row, text):
        begin = VOCABULARY.code["<begin>"]
        words, total = [begin, begin, *text], 0.0
        for i in range(2, len(words)):
            logits = self.last[words[i - 1]] + self.before[words[i - 2]] + self.row[row]
            total += float(functional.log_softmax(logits, 0)[words[i]])
        return total


def systems(d):
    """All texts of d equations in at most four words and <end>."""
    able, end = [VOCABULARY.code[word] for word in WORDS[1:]], VOCABULARY.code["<end>"]
    for n in range(1, VOCABULARY.longest):
        for text in itertools.product(able, repeat=n):
            if VOCABULARY.is_valid(text):
                found = VOCABULARY.decode(text)
                if len(found) == d and max(max(tree.states, default=0) for tree in found) <= d:
                    yield [*text, end]


@pytest.mark.parametrize("d", [1, 2])
def test_a_wide_search_finds_the_likeliest_of_all_systems(d):
    every = list(systems(d))
    assert len(every) >= 8
    dims = torch.full((ROWS,), d)
    for seed in range(3):
        toy = Toy(seed)
        found = written(toy, VOCABULARY, TOKENS, dims, beams=60)
        for row in range(ROWS):
            assert found[row] == max(every, key=lambda text: toy.log_prob(row, text))


def test_more_beams_find_likelier_texts_where_the_first_word_misleads():
    gains = []
    for seed in range(6):
        toy, dims = Toy(seed), torch.full((ROWS,), 2)
        nats = [
            sum(toy.log_prob(r, t) for r, t in enumerate(written(toy, VOCABULARY, TOKENS, dims, beams=k)))
            for k in (1, 3, 60)
        ]
        assert nats[2] >= nats[1] - 1e-4
        assert nats[2] >= nats[0] - 1e-4
        gains.append([nats[1] - nats[0], nats[2] - nats[0]])
    few, most = torch.tensor(gains).mean(0)
    assert 0.2 < float(few) <= float(most) + 1e-4


def test_free_texts_are_searched_among_all_words():
    toy = Toy(1)
    able, end = [VOCABULARY.code[word] for word in WORDS[1:]], VOCABULARY.code["<end>"]
    every = [[*text, end] for n in range(5) for text in itertools.product(able, repeat=n)]
    found = written(toy, VOCABULARY, TOKENS, torch.full((ROWS,), 1), free=True, beams=600)
    for row in range(ROWS):
        best = max(every, key=lambda text: toy.log_prob(row, text))
        assert toy.log_prob(row, found[row]) >= toy.log_prob(row, best) - 1e-4

"""Decoding of equations, word by word, within the grammar or free: greedily, or by beam search."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from interpolants.data.equation_tokens import EquationTokens, Grammar
from interpolants.nets.query_decoder import Memory
from interpolants.sciml.symbolic.network import SymbolicOperatorNet, Tokens


def written(
    net: SymbolicOperatorNet,
    vocabulary: EquationTokens,
    tokens: Tokens,
    dims: Tensor,
    *,
    free: bool = False,
    beams: int = 1,
) -> list[list[int]]:
    """Codes of likely equations.

    Args:
        net: The network.
        vocabulary: Its words.
        tokens: Fused tokens of B rows.
        dims: Number of equations of each, ``(B,)``.
        free: Any word may follow any other, so that a text may be no system; else the grammar decides which may.
        beams: Texts that are kept at each word. With 1 each word is the likeliest one after those before it.
    """
    if beams > 1:
        return _searched(net, vocabulary, tokens, dims, free=free, beams=beams)
    grammar = Grammar(vocabulary, dims)
    contexts, memory = net.contexts(tokens), None
    codes = torch.full((len(dims), 1), vocabulary.code["<begin>"])
    ended = torch.zeros(len(dims), dtype=torch.bool)
    found = []
    for place in range(vocabulary.longest):
        logits, memory = net.words(codes, contexts, tokens[1], memory, place)
        scores = logits[:, 0]
        if not free:
            scores = scores.masked_fill(~grammar.allowed(), -torch.inf)
        chosen = torch.where(ended, 0, scores.argmax(1))
        if not free:
            grammar.choose(chosen)
        found.append(chosen)
        ended |= chosen == vocabulary.code["<end>"]
        if bool(ended.all()):
            break
        codes = chosen[:, None]
    return [[code for code in row if code] for row in torch.stack(found, 1).tolist()]


def _searched(
    net: SymbolicOperatorNet,
    vocabulary: EquationTokens,
    tokens: Tokens,
    dims: Tensor,
    *,
    free: bool,
    beams: int,
) -> list[list[int]]:
    """Beam search: codes of the likeliest text that was found for each row.

    A text counts with its probability under the network, ``sum_i log p(w_i | w_<i)`` over all words of the vocabulary;
    the grammar only rules texts out. Beams of a row are next to each other, and ``texts`` is ``(B K, place)``.
    """
    rows, end = len(dims), vocabulary.code["<end>"]
    grammar = Grammar(vocabulary, dims.repeat_interleave(beams))
    contexts = [_taken(one, torch.arange(rows).repeat_interleave(beams)) for one in net.contexts(tokens)]
    seen = tokens[1].repeat_interleave(beams, 0)
    texts = torch.full((rows * beams, 1), vocabulary.code["<begin>"])
    # All beams begin with the same word: only the first of each row counts.
    totals = torch.full((rows, beams), -torch.inf)
    totals[:, 0] = 0.0
    ended = torch.zeros(rows * beams, dtype=torch.bool)
    memory: Sequence[Memory | None] | None = None
    for place in range(vocabulary.longest):
        logits, memory = net.words(texts[:, -1:], contexts, seen, memory, place)
        scores = functional.log_softmax(logits[:, 0], 1)
        if not free:
            scores = scores.masked_fill(~grammar.allowed(), -torch.inf)
        # A text that has ended goes on with <pad>, at no cost.
        scores[ended] = -torch.inf
        scores[ended, vocabulary.code["<pad>"]] = 0.0
        every = (totals[..., None] + scores.unflatten(0, (rows, beams))).flatten(1)  # type: ignore[no-untyped-call]
        totals, best = every.topk(beams, 1)
        parents = (best // len(vocabulary) + beams * torch.arange(rows)[:, None]).flatten()
        chosen = (best % len(vocabulary)).flatten()
        texts = torch.cat([texts[parents], chosen[:, None]], 1)
        memory = [None if one is None else _taken(one, parents) for one in memory]
        ended = ended[parents] | (chosen == end)
        if not free:
            grammar.take(parents)
            grammar.choose(chosen)
        # Totals only fall, so that a best text which has ended stays the best.
        if bool(ended.unflatten(0, (rows, beams))[:, 0].all()):
            break
    return [[code for code in row if code] for row in texts[::beams, 1:].tolist()]


def _taken(memory: Memory, rows: Tensor) -> Memory:
    return memory[0][rows], memory[1][rows]

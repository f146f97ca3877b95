"""Writing down equations, word by word: the likeliest next word, within the grammar or free."""

import torch
from torch import Tensor

from interpolants.data.equation_tokens import EquationTokens, Grammar
from interpolants.sciml.symbolic.network import SymbolicOperatorNet, Tokens


def written(
    net: SymbolicOperatorNet, vocabulary: EquationTokens, tokens: Tokens, dims: Tensor, *, free: bool = False
) -> list[list[int]]:
    """Codes of the likeliest equations, greedily.

    Args:
        net: The network.
        vocabulary: Its words.
        tokens: Fused tokens of B rows.
        dims: Number of equations of each, ``(B,)``.
        free: Any word may follow any other, so that a text may be no system; else the grammar decides which may.
    """
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

"""Transformer parts that attend from one set of tokens to another: a decoder that can be asked anywhere.

Letters: B rows, N tokens, Q queries, E width, H heads, F features of a query, C numbers that it answers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import invalid

# Keys and values of tokens that were seen before, ``(B, H, N, E / H)`` each.
Memory = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Attention of several heads from x to the tokens of ``context``, or to x itself.

    Args:
        width: E.
        heads: H; must divide E.

    Raises:
        InvalidInputError: If it does not.

    Source: Vaswani et al. (2017), arXiv:1706.03762.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        whole("Attention", "width", width, at_least=1), whole("Attention", "heads", heads, at_least=1)
        if width % heads:
            raise invalid("Attention", "width must be a multiple of heads", (width, heads))
        self.heads = heads
        self.ask = nn.Linear(width, width)
        self.known = nn.Linear(width, 2 * width)
        self.mix = nn.Linear(width, width)

    def remember(self, context: Tensor) -> Memory:
        """Keys and values of tokens ``(B, N, E)``."""
        k, v = self.known(context).chunk(2, -1)
        return self._split(k), self._split(v)

    def forward(
        self, x: Tensor, memory: Memory, *, seen: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """What the tokens tell, ``(B, Q, E)``.

        Args:
            x: ``(B, Q, E)``.
            memory: Keys and values of the tokens.
            seen: Which tokens may be looked at, truth values ``(B, N)``; all without it.
            causal: Each may look at those up to its own place.
        """
        mask = None if seen is None else seen[:, None, None, :]
        found = functional.scaled_dot_product_attention(
            self._split(self.ask(x)), *memory, attn_mask=mask, is_causal=causal
        )
        mixed: Tensor = self.mix(found.transpose(1, 2).flatten(2))
        return mixed

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Layer(nn.Module):
    """Attention among x (if ``own``), attention to a context (if ``crossed``), then a perceptron; each is added.

    Args:
        width: E.
        heads: H.
        own: Whether x attends to itself.
        crossed: Whether x attends to a context.
    """

    def __init__(self, width: int, heads: int, *, own: bool = True, crossed: bool = False) -> None:
        super().__init__()
        self.own = Attention(width, heads) if own else None
        self.crossed = Attention(width, heads) if crossed else None
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(
        self,
        x: Tensor,
        *,
        seen: Tensor | None = None,
        context: Memory | None = None,
        context_seen: Tensor | None = None,
        causal: bool = False,
        before: Memory | None = None,
    ) -> tuple[Tensor, Memory | None]:
        """The next state ``(B, N, E)``, and keys and values of all tokens so far, ``before`` among them.

        Args:
            x: Tokens.
            seen: Which of x may be looked at, ``(B, N)``.
            context: Keys and values of the context, from :meth:`remembered`.
            context_seen: Which tokens of it may be looked at.
            causal: Each of x may look at those up to its own place.
            before: Keys and values of earlier tokens: x is one token that follows them.
        """
        memory = None
        if self.own is not None:
            inner = self.norms[0](x)
            memory = self.own.remember(inner)
            if before is not None:
                memory = (torch.cat([before[0], memory[0]], 2), torch.cat([before[1], memory[1]], 2))
            x = x + self.own(inner, memory, seen=seen, causal=causal and before is None)
        if self.crossed is not None and context is not None:
            x = x + self.crossed(self.norms[1](x), context, seen=context_seen)
        return x + self.narrow(functional.gelu(self.wide(self.norms[2](x)))), memory

    def remembered(self, context: Tensor) -> Memory:
        """Keys and values of a context ``(B, N, E)``, once for all queries."""
        assert self.crossed is not None
        return self.crossed.remember(context)


class QueryDecoder(nn.Module):
    """A function of queries that is told by tokens: ``f(q; tokens)``, each query by itself.

    Queries never look at each other, so that the answer to one does not depend on which others are asked, nor on
    their order: a field on a mesh, a trajectory at any times.

    Args:
        features: F of a query.
        width: E of the tokens.
        depth: Layers of cross-attention.
        heads: H.
        outputs: C.

    Source: Jaegle et al. (2022), arXiv:2107.14795; Liu, Zhang & Schaeffer (2024), arXiv:2309.16816.
    """

    def __init__(self, features: int, *, width: int, depth: int, heads: int, outputs: int) -> None:
        super().__init__()
        whole("QueryDecoder", "depth", depth, at_least=1)
        self.first, self.second = nn.Linear(features, width), nn.Linear(width, width)
        self.layers = nn.ModuleList(Layer(width, heads, own=False, crossed=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, outputs)

    def forward(self, queries: Tensor, tokens: Tensor, seen: Tensor | None = None) -> Tensor:
        """Answers ``(B, Q, C)``.

        Args:
            queries: ``(B, Q, F)``.
            tokens: ``(B, N, E)``.
            seen: Which tokens count, truth values ``(B, N)``; all without it.
        """
        x: Tensor = self.second(functional.gelu(self.first(queries)))
        for layer in self.layers:
            assert isinstance(layer, Layer)
            x, _ = layer(x, context=layer.remembered(tokens), context_seen=seen)
        out: Tensor = self.output(self.norm(x))
        return out

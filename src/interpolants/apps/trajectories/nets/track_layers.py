"""Layers for moving points that turn, mirror and shift with their input: messages within frames, attention over time.

Letters: B cases, T frames, N nodes, K channels of positions per node, D dimensions, W width, R rank of gates.
Positions ``x (B, T, N, K, D)`` enter by distances alone and leave changed by differences ``x_i - x_j`` times numbers;
features ``h (B, T, N, W)`` are numbers that no symmetry changes.

Source: Satorras, Hoogeboom & Welling (2021), arXiv:2102.09844; over time Han et al. (2024), arXiv:2410.13027.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

# Added to squared distances: coincident points have a gradient, and logarithms an end.
_TINY, _NEAR = 1e-12, 1e-2


def safe_length(squared: Tensor) -> Tensor:
    """Square roots with a finite slope at zero."""
    return (squared + _TINY).sqrt()


class PairLayer(nn.Module):
    """Messages between the nodes of a frame.

    ``m_ij = MLP(h_i, h_j, distances)``, ``h_i' = h_i + MLP(h_i, sum_j m_ij)`` and
    ``x_ik' = x_ik + mean_j sum_l phi_kl(m_ij) (x_il - x_jl) / (1 + |x_il - x_jl|)``.
    Without neighbours nothing changes.

    Args:
        width: W.
        channels: K.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.norm = nn.LayerNorm(width)
        self.own, self.other = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.distance = nn.Linear(2 * channels, width, bias=False)
        self.push = nn.Linear(width, channels**2)
        self.update, self.out = nn.Linear(2 * width, width), nn.Linear(width, width)

    def forward(self, h: Tensor, x: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Changes of h and x.

        Args:
            h: Features.
            x: Positions.
            pairs: Whether i listens to j, ``(B, T, N, N)`` of numbers 0 and 1; 0 for i = j.
        """
        gap = x[:, :, :, None] - x[:, :, None]
        length = safe_length(gap.square().sum(-1))
        told = torch.cat([(length.square() + _NEAR).log(), 1 / (1 + length)], -1)
        seen = self.norm(h)
        m = functional.silu(
            self.own(seen)[:, :, :, None] + self.other(seen)[:, :, None] + self.distance(told)
        )
        m = m * pairs[..., None]
        share = pairs / pairs.sum(-1, keepdim=True).clamp_min(1)
        weight = self.push(m).unflatten(-1, (self.channels, self.channels)) * share[..., None, None]
        moved = torch.einsum("btijkl,btijld->btikd", weight, gap / (1 + length)[..., None])
        change = self.out(functional.silu(self.update(torch.cat([seen, m.sum(3)], -1))))
        return change * (pairs.sum(-1, keepdim=True) > 0), moved


class TimeLayer(nn.Module):
    """Attention of each node over its frames, by their distance in time.

    ``a_ts = softmax_s(q_t . (k_s + psi_ts))``, ``h_t' = h_t + sum_s a_ts (v_s + psi_ts)`` and
    ``x_tk' = x_tk + sum_s a_ts sum_l g_kl,ts (x_tl - x_sl)`` with gates ``g_ts = G(h_t, h_s) . psi_ts``; psi is a code
    of ``t - s``, so that a shift of all times changes nothing.

    Args:
        width: W.
        channels: K.
        rank: R.
        codes: Numbers in the code of a difference of times, even.
    """

    def __init__(self, width: int, channels: int, rank: int = 6, codes: int = 16) -> None:
        super().__init__()
        self.channels, self.rank, self.codes = channels, rank, codes
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.key_time, self.value_time = nn.Linear(codes, width), nn.Linear(codes, width)
        self.gate, self.gate_own = (nn.Linear(width, channels**2 * rank) for _ in range(2))
        self.gate_time = nn.Linear(codes, rank)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, x: Tensor, seen: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        """Changes of h and x.

        Args:
            h: Features.
            x: Positions.
            seen: Which nodes are there, ``(B, T, N)`` bool.
            times: Numbers of the frames, ``(T,)``.
        """
        code = _difference_code(times.to(h), self.codes)
        z = self.norm(h).transpose(1, 2)  # (B, N, T, W)
        attention = self._attention(z, seen.transpose(1, 2), code)
        told = attention @ self.value(z) + torch.einsum("bnts,tsw->bntw", attention, self.value_time(code))
        weight = self._gates(z, code) * attention[:, :, :, None, :, None]  # (B, N, T, K, S, K)
        here = x.transpose(1, 2)
        there = weight.flatten(4).flatten(2, 3) @ here.flatten(2, 3)
        moved = weight.sum(4) @ here - there.reshape(here.shape)
        return self.out(told).transpose(1, 2), moved.transpose(1, 2)

    def _attention(self, z: Tensor, seen: Tensor, code: Tensor) -> Tensor:
        q = self.query(z) / math.sqrt(z.shape[-1])
        score = q @ self.key(z).transpose(-1, -2)
        score = score + torch.einsum("bntw,tsw->bnts", q, self.key_time(code))
        found: Tensor = score.masked_fill(~seen[:, :, None], torch.finfo(score.dtype).min).softmax(-1)
        return found

    def _gates(self, z: Tensor, code: Tensor) -> Tensor:
        """``(B, N, T, K, S, K)``: how much of ``x_tl - x_sl`` goes to ``x_tk``, before attention."""
        shape = (self.channels, self.channels, self.rank)
        theirs, own = (layer(z).unflatten(-1, shape) for layer in (self.gate, self.gate_own))
        when = self.gate_time(code)
        return torch.einsum("bnsklr,tsr->bntksl", theirs, when) + torch.einsum(
            "bntklr,tsr->bntksl", own, when
        )


def _difference_code(times: Tensor, codes: int) -> Tensor:
    """Sines and cosines of all differences of times, ``(T, S, codes)``, and their sign by the sines."""
    rate = 0.5 * 0.6 ** torch.arange(codes // 2, dtype=times.dtype, device=times.device)
    phase = (times[:, None] - times)[..., None] * rate
    return torch.cat([phase.sin(), phase.cos()], -1)


class HandedLayer(nn.Module):
    """A change that is mirrored into its opposite: turned by a right angle in the plane, a cross product in space.

    Args:
        width: W.
        channels: K.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Linear(width, 2 * channels)

    def forward(self, h: Tensor, within: Tensor, over_time: Tensor) -> Tensor:
        """Change of x from the changes of the two other layers, ``(B, T, N, K, D)`` each."""
        a: Tensor
        b: Tensor
        a, b = self.weight(h).chunk(2, -1)
        if within.shape[-1] == 2:
            return a[..., None] * _quarter_turn(within) + b[..., None] * _quarter_turn(over_time)
        product = torch.linalg.cross(within, over_time)
        bounded: Tensor = product / (1 + safe_length(product.square().sum(-1, keepdim=True)))
        return a[..., None] * bounded


def _quarter_turn(x: Tensor) -> Tensor:
    return torch.stack([-x[..., 1], x[..., 0]], -1)

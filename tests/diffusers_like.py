"""A network with the parts and the call of those of diffusers, which need not be installed."""

from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Down(nn.Module):
    """A block of the form that diffusers has on the way down."""

    def __init__(self, inside, outside):
        super().__init__()
        self.first, self.second = nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 1)
        self.time = nn.Linear(8, outside)

    def forward(self, hidden_states, temb):
        h = torch.tanh(self.first(hidden_states) + self.time(temb)[:, :, None, None])
        more = self.second(h)
        return more, (h, more)


class Up(nn.Module):
    """And on the way up: it takes the last ``len(resnets)`` skips."""

    def __init__(self, inside, skips, outside):
        super().__init__()
        self.resnets = nn.ModuleList(nn.Identity() for _ in skips)
        self.join, self.time = nn.Conv2d(inside + sum(skips), outside, 1), nn.Linear(8, outside)

    def forward(self, h, res_hidden_states_tuple, temb):
        joined = self.join(torch.cat([h, *res_hidden_states_tuple], 1))
        return torch.tanh(joined + self.time(temb)[:, :, None, None])


class Middle(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner, self.time = nn.Conv2d(width, width, 1), nn.Linear(8, width)

    def forward(self, h, temb):
        return h + self.inner(h) * self.time(temb)[:, :, None, None]


class UNetLike(nn.Module):
    """A U-Net with the parts and the call of ``UNet2DModel``, written out as one function."""

    def __init__(self, classes=None, variance=False, embedding="positional", centred=False):
        super().__init__()
        with seeded():
            self.conv_in = nn.Conv2d(1, 4, 3, padding=1)
            self.time_embedding = nn.Linear(2, 8)
            self.class_embedding = nn.Embedding(classes, 8) if classes else None
            self.down_blocks = nn.ModuleList([Down(4, 4), Down(4, 6)])
            self.mid_block = Middle(6)
            self.up_blocks = nn.ModuleList([Up(6, (6, 6), 5), Up(5, (4, 4, 4), 4)])
            self.conv_norm_out, self.conv_act = nn.GroupNorm(2, 4), nn.SiLU()
            self.conv_out = nn.Conv2d(4, 2 if variance else 1, 3, padding=1)
        self.config = {"in_channels": 1, "num_class_embeds": classes, "time_embedding_type": embedding,
                       "center_input_sample": centred}  # fmt: skip

    def time_proj(self, k):
        return torch.stack([torch.sin(k / 50), torch.cos(k / 50)], -1)

    def forward(self, x, k, class_labels=None, return_dict=True):
        k = (k[None] if k.ndim == 0 else k) * torch.ones(len(x), dtype=k.dtype)
        temb = self.time_embedding(self.time_proj(k).to(x.dtype))
        if class_labels is not None:
            temb = temb + self.class_embedding(class_labels)
        first = self.conv_in(2 * x - 1.0 if self.config["center_input_sample"] else x)
        h, one = self.down_blocks[0](first, temb)
        h, two = self.down_blocks[1](h, temb)
        h = self.mid_block(h, temb)
        h = self.up_blocks[0](h, two, temb)
        h = self.up_blocks[1](h, (first, *one), temb)
        out = self.conv_out(self.conv_act(self.conv_norm_out(h)))
        out = out / k.reshape(-1, 1, 1, 1) if self.config["time_embedding_type"] == "fourier" else out
        return (out,)

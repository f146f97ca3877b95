"""Draw ``docs/images/masked_diffusion.png``: ``python docs/figures/masked_diffusion.py``.

A sample that appears call by call, drawn with the exact posterior of a source with the triples of letters of the Bible;
the times of its unmaskings; and what float32 noise makes of a large vocabulary. Nothing is trained. Needs the Debian
package bible-kjv-text.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from interpolants.generative.tokens.data.text import load_kjv
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.paths import Masked
from interpolants.generative.tokens.discrete.posterior import ExactPosterior
from interpolants.generative.tokens.discrete.precision import gumbel_cap, truncated_gumbel_distribution
from interpolants.generative.tokens.discrete.schedules import CosineKeep, LinearKeep
from interpolants.generative.tokens.problems.token_sources import MarkovTokens

IMAGES = Path(__file__).parents[1] / "images"
HUES, GREY = ("#0072b2", "#d55e00", "#007d5c"), "#999999"
SYMBOLS, LENGTH, WORDS = " abcdefghijklmnopqrstuvwxyz", 40, 50_257


def figure() -> Figure:
    """Three panels."""
    source = MarkovTokens.from_tokens(load_kjv("train", length=1000).x, LENGTH, 27)
    made = Figure(figsize=(13.2, 3.9), layout="constrained")
    left, middle, right = made.subplots(1, 3, width_ratios=(1.45, 1, 1))
    draw_calls(left, source)
    draw_times(middle, source)
    draw_noise(right)
    return made


def draw_calls(axes: Axes, source: MarkovTokens) -> None:
    """What one sample shows after every fifth call."""
    done = FirstHitting().sample(ExactPosterior(source, Masked(27)), 1, LENGTH, seed=4)
    tokens, times = done.x[0], done.hit_times[0]
    order = times.argsort()
    rows = range(0, LENGTH + 1, 5)
    for row, calls in enumerate(rows):
        shown = set(order[:calls].tolist())
        fresh = set(order[max(0, calls - 5) : calls].tolist())
        for place in range(LENGTH):
            known = place in shown
            text = SYMBOLS[int(tokens[place])].replace(" ", "␣") if known else "·"
            hue = HUES[1] if place in fresh else "black" if known else GREY
            axes.text(place, row, text, family="monospace", fontsize=9, ha="center", va="center", color=hue)
    axes.set(xlim=(-1, LENGTH), ylim=(len(rows) - 0.4, -0.6), ylabel="network calls", xticks=[])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_title("from masks to text, one letter per call", fontsize=10)


def draw_times(axes: Axes, source: MarkovTokens) -> None:
    """How many letters are visible over time, beside kappa."""
    t = torch.linspace(0, 1, 201, dtype=torch.float64)
    for hue, schedule, name in ((HUES[0], LinearKeep(), "linear"), (HUES[2], CosineKeep(), "cosine")):
        done = FirstHitting().sample(ExactPosterior(source, Masked(27, schedule)), 1, LENGTH, seed=4)
        hits = np.sort(done.hit_times[0].numpy())
        axes.plot(t, schedule.keep(t), color=hue, linewidth=1, alpha=0.6)
        axes.step([0, *hits], np.arange(LENGTH + 1) / LENGTH, where="post", color=hue, label=name)
    axes.set(xlabel="t", ylabel="share of visible letters", xlim=(0, 1), ylim=(0, 1.01))
    axes.set_title("times of the unmaskings, and their distribution", fontsize=10)
    axes.legend(frameon=False, title="schedule", fontsize=9)


def draw_noise(axes: Axes) -> None:
    """How much more or less often a word is drawn than it should be, half-way, by float32 noise."""
    rank = torch.arange(1, WORDS + 1, dtype=torch.float64)
    mu = 1 / rank / (1 / rank).sum()
    for hue, steps in zip(HUES, (64, 1024, 16384), strict=True):
        delta = 2 / steps
        distribution = truncated_gumbel_distribution(
            torch.cat([delta * mu, mu.new_tensor([1 - delta])]), gumbel_cap(24)
        )[:-1]
        axes.plot(rank, distribution / distribution.sum() / mu, color=hue, label=f"{steps:,} steps")
    axes.axhline(1, color=GREY, linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlabel="rank of the word", ylabel="drawn / asked for", ylim=(1e-3, 10)
    )
    axes.set_title(f"float32 noise, {WORDS:,} words (Zipf)", fontsize=10)
    axes.legend(frameon=False, fontsize=9)


if __name__ == "__main__":
    figure().savefig(IMAGES / "masked_diffusion.png", dpi=85)

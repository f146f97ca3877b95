"""Draw ``docs/images/masked_diffusion.png``: ``python docs/figures/masked_diffusion.py``.

A sample that appears call by call, drawn with the exact posterior of a source with the triples of letters of the Bible;
the times of its unmaskings; and what float32 noise makes of a large vocabulary. Nothing is trained. Needs the Debian
package bible-kjv-text.
"""

from pathlib import Path

import torch

from interpolants.framework.figures import Axis, Figure, Panel, Series, across, curve
from interpolants.generative.tokens.data.text import load_kjv
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.paths import Masked
from interpolants.generative.tokens.discrete.posterior import ExactPosterior
from interpolants.generative.tokens.discrete.precision import gumbel_cap, truncated_gumbel_distribution
from interpolants.generative.tokens.discrete.schedules import CosineKeep, LinearKeep
from interpolants.generative.tokens.problems.token_sources import MarkovTokens
from interpolants.reports.draw import save

IMAGES = Path(__file__).parents[1] / "images"
SYMBOLS, LENGTH, WORDS = " abcdefghijklmnopqrstuvwxyz", 40, 50_257


def figure() -> Figure:
    """Three panels."""
    source = MarkovTokens.from_tokens(load_kjv("train", length=1000).x, LENGTH, 27)
    panels = (calls(source), times(source), noise())
    return Figure(name="masked_diffusion", panels=panels, width=1120, height=330)


def calls(source: MarkovTokens) -> Panel:
    """What one sample shows after every fifth call: new letters in a colour of their own."""
    done = FirstHitting().sample(ExactPosterior(source, Masked(27)), 1, LENGTH, seed=4)
    letters = [SYMBOLS[k].replace(" ", "␣") for k in done.x[0].tolist()]
    nth = done.hit_times[0].argsort().argsort().tolist()  # call at which a place appears
    rows, series = range(0, LENGTH + 1, 5), []
    for row, calls in enumerate(rows):
        for hue, first, last in (("muted", 0, calls - 5), (1, calls - 5, calls)):
            shown = "".join(one if first <= k < last else " " for one, k in zip(letters, nth, strict=True))
            series.append(Series(mark="text", arrays={"x": 0.0, "y": row}, name=shown, hue=hue, size=10))
        masks = "".join("·" if k >= calls else " " for k in nth)
        series.append(
            Series(mark="text", arrays={"x": 0.0, "y": row}, name=masks, hue="muted", size=10, alpha=0.6)
        )
    y = Axis(
        label="network calls",
        low=len(rows) - 0.4,
        high=-0.6,
        ticks=tuple(range(len(rows))),
        names=tuple(map(str, rows)),
    )
    x, title = Axis(low=-0.02, high=1, ticks=()), "from masks to text, one letter per call"
    return Panel(series=tuple(series), title=title, x=x, y=y, width=1.25)


def times(source: MarkovTokens) -> Panel:
    """How many letters are visible over time, beside kappa."""
    t, series = torch.linspace(0, 1, 201, dtype=torch.float64), []
    for hue, schedule, name in ((0, LinearKeep(), "linear"), (2, CosineKeep(), "cosine")):
        done = FirstHitting().sample(ExactPosterior(source, Masked(27, schedule)), 1, LENGTH, seed=4)
        hits = done.hit_times[0].double().sort().values
        edges = torch.cat([hits.new_zeros(1), hits, hits.new_ones(1)])
        share = {"edges": edges, "counts": torch.arange(LENGTH + 1) / LENGTH}
        series += [curve(t, schedule.keep(t), hue=hue, size=1.0, alpha=0.6)]
        series += [Series(mark="histogram", arrays=share, name=f"{name} schedule", hue=hue)]
    x, y = Axis(label="t", low=0, high=1), Axis(label="share of visible letters", low=0, high=1.01)
    title = "times of the unmaskings, and their distribution"
    return Panel(series=tuple(series), title=title, x=x, y=y, legend="upper left")


def noise() -> Panel:
    """How much more or less often a word is drawn than it should be, half-way, by float32 noise."""
    rank = torch.arange(1, WORDS + 1, dtype=torch.float64)
    mu = 1 / rank / (1 / rank).sum()
    series = [across(1.0, "", dash="-")]
    for hue, steps in enumerate((64, 1024, 16384)):
        delta = 2 / steps
        distribution = truncated_gumbel_distribution(
            torch.cat([delta * mu, mu.new_tensor([1 - delta])]), gumbel_cap(24)
        )[:-1]
        series.append(curve(rank, distribution / distribution.sum() / mu, f"{steps:,} steps", hue))
    x = Axis(label="rank of the word", scale="log")
    y = Axis(label="drawn / asked for", scale="log", low=1e-3, high=10)
    title = f"float32 noise, {WORDS:,} words (Zipf)"
    return Panel(series=tuple(series), title=title, x=x, y=y, legend="lower left")


if __name__ == "__main__":
    save([figure()], IMAGES, dpi=100)

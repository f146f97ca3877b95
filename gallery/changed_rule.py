"""The rule changes without notice.

A small network was trained on twenty sequences: half repeat 1, 0, the other half alternate 1, 0 and a
random symbol. It follows a new sequence symbol by symbol. When the rule changes, its prediction errors rise
and move it to the new rule.
"""

import torch

from gallery.common import HUES, figure, label, legend, main
from interpolants.sciml import PVRNN
from interpolants.sciml.processes.problems.symbol_skeletons import hidden_regime

METHOD = "docs/methods/predictive_rnn.md"
CHANGE = 16  # symbols of the first rule
COINS = (0, 0, 1, 0, 0, 1, 0)


def stream() -> torch.Tensor:
    """1, 0 eight times, then seven times 1, 0 and a coin."""
    return torch.tensor([1.0, 0.0] * (CHANGE // 2) + [x for coin in COINS for x in (1.0, 0.0, float(coin))])


def draw(quick: bool) -> object:
    """Predicted chances beside what came, and the surprise; how much the regression helps on average."""
    problem = hidden_regime()
    series = problem.sample(20, generator=torch.Generator().manual_seed(0))
    model = PVRNN(output="bernoulli", steps=30 if quick else 1000, window=9, seed=0).fit(
        series, progress=False
    )
    session, seen = model.follow(members=20, steps=6), stream()
    told = [session.feed(value) for value in (seen[:12] if quick else seen)]
    steps = range(1, len(told) + 1)

    made = figure(860, 380)
    left, right = made.subfigures(1, 2, width_ratios=(2, 1))
    above, below = left.subplots(2, 1, sharex=True, height_ratios=(1.6, 1))
    above.plot(
        steps, [float(one.expected) for one in told], color=HUES[0], label="chance of a one, as predicted"
    )
    above.plot(steps, seen[: len(told)].tolist(), "o", color="black", markersize=3.5, label="what came")
    label(above, title="1, 0, 1, 0, ... and from the dashed line on 1, 0, coin")
    legend(above, loc="lower center", bbox_to_anchor=(0.5, -0.3), ncols=2)
    below.bar(steps, [one.surprise for one in told], color=HUES[1])
    label(below, x="symbol", y="surprise, nats")
    for axes in (above, below):
        axes.axvline(CHANGE + 0.5, color="#8a93a0", linestyle="--", linewidth=1)

    x = problem.sample(20 if quick else 200, generator=torch.Generator().manual_seed(1))
    past, ahead = x[:, :12], x[:, 12:18]
    efforts = (0, 3) if quick else (0, 2, 5, 10, 20, 50)
    means = [model.forecast(past, members=30, steps=6, iterations=k).mean for k in efforts]
    errors = [float((mean - ahead).square().mean() / x.var(correction=0)) for mean in means]
    axes = right.subplots()
    axes.plot(efforts, errors, "o-", color=HUES[0], markersize=4, label="error regression")
    exact = float((problem.forecast(past, 6) - ahead).square().mean() / x.var(correction=0))
    axes.axhline(exact, color="#8a93a0", linestyle="--", label="exact forecast")
    axes.set_ylim(bottom=0)
    label(
        axes,
        title="the next six, 200 sequences",
        x="iterations a step",
        y="squared error / variance",
    )
    legend(axes)
    return made


if __name__ == "__main__":
    main(draw)

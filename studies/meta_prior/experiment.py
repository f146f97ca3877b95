"""What does the weight of the divergence do to what a predictive-coding network generates?

Twenty sequences 1, 0, X of 24 symbols, X a coin with a chance of 0.3, from a place by chance. Networks of 12 units and
one latent unit with five weights w (the meta-prior), and a variational network with an encoder of as many units. What
they generate freely is compared with the exact law; how they explain their training sequences is beside it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from interpolants.foundations.randomness import generator
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, across
from interpolants.framework.method import Method
from interpolants.framework.questions import ask
from interpolants.framework.seeds import Results, Stated, markdown
from interpolants.framework.task import Split, Task
from interpolants.sciml.processes.predictive_questions import FreeGeneration
from interpolants.sciml.processes.problems.symbol_skeletons import stochastic_skeleton
from interpolants.sciml.processes.pvrnn import PVRNN
from interpolants.sciml.processes.variational_rnn import VariationalRNN
from studies.common import Study

Settings = Mapping[str, Any]
WEIGHTS = (1e-4, 0.01, 0.05, 0.2, 1.0)
ENCODER = "VRNN"
NUMBERS = {
    "misfit": "misfit, nats a step",
    "complexity": "divergence, nats a step",
    "obeyed": "periods obeyed",
    "chance": "P(X = 1)",
    "blocks": "divergence of blocks, nats",
    "spread_ratio": "ratio of deviations",
    "exponent": "exponent, 1/step",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {"sequences": 6, "steps": 20, "generated": 20},
    "laptop": {"sequences": 20, "steps": 1500, "generated": 400},
    "full": {"sequences": 20, "steps": 50_000, "generated": 2000},
}


def named(weight: float) -> str:
    """Name of the case."""
    return f"w = {weight:g}"


def cases(settings: Settings) -> Sequence[str]:
    """The weights, and the network with an encoder."""
    return [*map(named, WEIGHTS), ENCODER]


def measure(case: str, seed: int, settings: Settings) -> Answered:
    """Fit one network, and let it generate."""
    problem = stochastic_skeleton()
    x = problem.sample(settings["sequences"], generator=generator(seed, "training sequences"))
    weight = dict(zip(map(named, WEIGHTS), WEIGHTS, strict=True)).get(case)
    common = {"output": "bernoulli", "seed": seed, "steps": settings["steps"]}
    model: Method = VariationalRNN(**common) if weight is None else PVRNN(meta_prior=weight, **common)
    task = Task.of(model.roles(), {"series": x}, Split(by="none"), truths={"series": problem})
    found = ask(FreeGeneration(n=settings["generated"], seed=seed), task.fit(model), task)
    values = {score.name: score.value for score in found.scores}
    values["floor"] = next(float(score.floor) for score in found.scores if score.name == "blocks")
    spread = found.arrays.get("spread")
    return measured(values, {} if spread is None else {"spread": spread.nanmean(0)})


def table(results: Results) -> str:
    """All numbers by weight."""
    rows = []
    for case in results.cases:
        known = results.names(case)
        rows.append([case, *(results.shown(case, name) if name in known else "" for name in NUMBERS)])
    floor = results.mean(results.cases[0], "floor")
    tail = f"\nDivergence of blocks of as many sequences of the problem itself: {floor:.4f}.\n"
    return results.head + "\n" + markdown(["", *NUMBERS.values()], rows) + tail


def figures(results: Results) -> list[Figure]:
    """Chance and obedience, and both parts of the bound, by weight."""
    weights = [w for w in WEIGHTS if named(w) in results.cases]

    def curve(name: str, label: str, hue: int) -> Any:
        return results.curve(weights, [(named(w), name) for w in weights], label, hue)

    x = Axis(label="w", scale="log")
    law = Panel(
        series=(curve("chance", "P(X = 1)", 0), curve("obeyed", "periods obeyed", 1), across(0.3, "a coin of 0.3")),
        title="free generation", x=x, y=Axis(low=0, high=1.05), legend="below",
    )  # fmt: skip
    parts = Panel(
        series=(
            curve("misfit", "misfit", 0), curve("complexity", "divergence", 1), across(0.2036, "entropy of the coin"),
        ),
        title="training sequences", x=x, y=Axis(label="nats a step", low=0), legend="below",
    )  # fmt: skip
    return [Figure(name="meta_prior", panels=(law, parts), width=760, height=340)]


def _claims() -> tuple[Stated, ...]:
    words = dict(zip(("tiny", "small", "middle", "strong", "large"), map(named, WEIGHTS), strict=True))
    middle, large = words["middle"], words["large"]
    found = [
        Stated(f"{word}.obeyed > 0.98", (case, "obeyed"), expected="undecided" if word == "tiny" else "holds")
        for word, case in words.items()
    ]
    found += [
        Stated("middle.chance_off < 0.12", (middle, "chance_off")),
        Stated("middle.spread_ratio > 2", (middle, "spread_ratio")),
        Stated("large.chance < 0.05", (large, "chance"), expected="undecided"),
        Stated("large.misfit > 0.15", (large, "misfit")),
        Stated("middle.blocks < large", (middle, "blocks"), (large, "blocks")),
        Stated(
            "middle.blocks < encoder", (middle, "blocks"), (ENCODER, "blocks"), "peer", expected="undecided"
        ),
    ]
    found += [
        Stated(f"{more}.complexity < {less}", (words[more], "complexity"), (words[less], "complexity"))
        for less, more in pairwise(words)
    ]
    return tuple(found)


CLAIMS = _claims()
STUDY = Study("meta_prior", SETTINGS, cases, measure, table, figures, CLAIMS)

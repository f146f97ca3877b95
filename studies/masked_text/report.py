"""Tables and figures of the study of masked text, and the study itself."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from interpolants.data.text import SYMBOLS
from studies.common import Results, Study, markdown, mean_and_error, paired_gap, shown
from studies.drawing import HUES, MARKS, figure, label, legend, save
from studies.masked_text import experiment


def table(results: Results) -> str:
    """Samplers on the exact source and on the model, the model's bound, and noise of a few bits."""
    parts = [f"Seeds {', '.join(map(str, results.seeds))}; mean ± standard error over seeds.\n"]
    parts += ["**Letters of an order-2 Markov source, exact posterior**\n", _source(results)]
    parts += ["**A transformer that learnt the Bible letter by letter**\n", _bound(results), _model(results)]
    parts += ["**Independent words, ancestral sampling with one joint draw per step**\n", _words(results)]
    return "\n".join([*parts, _texts(results)])


def _source(results: Results) -> str:
    names = list(experiment.samplers(results.settings))
    rows = [
        [
            name,
            *(shown(results.values(f"source: {name}", key), digits) for key, digits in _SOURCE.items()),
        ]
        for name in names
    ]
    truth = shown(results.values(f"source: {names[0]}", "true bits"), 4)
    rows.append(["the source itself", truth, "", "", "", ""])
    head = ["", "bits per letter", "calls", "draws x classes", "CPU seconds", "entropy of letters"]
    told = markdown(head, rows)
    first, last = (results.values(f"source: {name}", "bits") for name in (names[0], names[-1]))
    if len(first) == len(last) > 1:
        gap, error, _ = paired_gap(first, last)
        speed = [
            slow / fast
            for slow, fast in zip(
                results.values(f"source: {names[-1]}", "seconds"),
                results.values(f"source: {names[0]}", "seconds"),
                strict=True,
            )
        ]
        told += f"\nFirst hitting minus {names[-1]}: {gap:+.4f} ± {error:.4f} bits per letter; "
        told += f"{shown(speed, 2)} times faster.\n"
    return told


_SOURCE = {"bits": 4, "calls": 0, "draws": 0, "seconds": 1, "entropy": 3}
_MODEL = {"bits": 3, "pairs": 3, "real words": 3, "entropy": 3, "calls": 1, "draws": 0, "seconds": 1}


def _bound(results: Results) -> str:
    keys = {
        "bits": 3,
        "bits error": 3,
        "bits, triples": 3,
        "bits, single letters": 3,
        "spread, time_free": 2,
        "spread, time": 2,
    }
    head = [
        "",
        "bound, bits per letter",
        "its error",
        "order-2 Markov source",
        "single letters",
        "spread of one draw, sum over masks",
        "integral over time",
    ]
    cells = [shown(results.values("model: bound", key), digits) for key, digits in keys.items()]
    return markdown(head, [["held-out text", *cells]])


def _model(results: Results) -> str:
    settings = results.settings
    names = [*experiment.samplers(settings), *experiment.coarse_samplers(settings), "held-out text"]
    rows = [
        [name, *(shown(results.values(f"model: {name}", key), digits) for key, digits in _MODEL.items())]
        for name in names
    ]
    head = [
        "",
        "bits per letter, order-2 source",
        "distance of pairs",
        "real words",
        "entropy of letters",
        "calls",
        "draws x classes",
        "CPU seconds",
    ]
    return markdown(head, rows)


def _words(results: Results) -> str:
    rows = []
    for steps in results.settings["word_steps"]:
        case = f"words: {steps} steps"
        rows.append(
            [
                f"{steps} steps, closed form",
                *(
                    shown(results.values(case, f"{key}, {name}")[:1], 3)
                    for key in ("entropy", "cross-entropy", "temperature")
                    for name in ("float32", "float64")
                ),
            ]
        )
    emulated = [
        shown(results.values("words: emulated", f"cross-entropy, {n}"), 2) for n in ("float32", "float64")
    ]
    rows.append([f"{results.settings['emulated']} steps, draws", "", "", *emulated, "", ""])
    head = [
        "nats",
        "entropy, float32",
        "float64",
        "cross-entropy, float32",
        "float64",
        "temperature, float32",
        "float64",
    ]
    return markdown(head, rows)


def _texts(results: Results) -> str:
    """Samples of the first seed, as they came."""
    seed = results.seeds[0]
    parts = []
    for name in ("first hitting", f"first hitting, {results.settings['few']} calls", "held-out text"):
        stored = results.arrays(f"model: {name}", seed)
        if stored:
            parts += [f"**{name}**, seed {seed}, the first ones\n", _block(stored["tokens"])]
    stored = results.arrays("model: bound", seed)
    if stored:
        parts += [
            "**in the beginning god ______ the heaven and the earth**, filled in\n",
            _block(stored["infilled"]),
        ]
    return "\n".join(parts)


def _block(tokens: np.ndarray[Any, Any]) -> str:
    lines = ["".join(SYMBOLS[k] for k in row) for row in tokens.tolist()]
    return "\n".join(["```text", *lines, "```\n"])


def figures(results: Results, folder: Path) -> None:
    """Quality against the price of a sample, and the entropy of words against the number of steps."""
    made = figure(940, 300)
    left, middle, right = made.subplots(1, 3)
    _likelihoods(results, left)
    _seconds(results, middle)
    _entropies(results, right)
    save(made, folder / "masked_text.png", dpi=110)


def _likelihoods(results: Results, axes: Any) -> None:
    """Bits per letter under the true source, over calls."""
    names = list(experiment.samplers(results.settings))
    for k, name in enumerate(names):
        bits = results.values(f"source: {name}", "bits")
        calls = results.values(f"source: {name}", "calls")
        if bits:
            mean, error = mean_and_error(bits)
            hue, mark = HUES[name.startswith("grid")], MARKS[k]
            axes.errorbar(np.mean(calls), mean, yerr=error, color=hue, marker=mark, label=name, linestyle="")
    truth = results.values(f"source: {names[0]}", "true bits")
    if truth:
        axes.axhline(truth[0], color="#777777", linewidth=1, label="the source itself")
    axes.set_xscale("log")
    ticks = [results.settings[name] for name in ("few", "length", "grid")]
    axes.set_xticks(ticks, [f"{n}" for n in ticks])
    axes.minorticks_off()
    label(axes, title="exact source", x="network calls", y="bits per letter", grid="y")
    legend(axes)


def _seconds(results: Results, axes: Any) -> None:
    """Processor time of the same samplers."""
    names = list(experiment.samplers(results.settings))
    values = [mean_and_error(results.values(f"source: {n}", "seconds"))[0] for n in names]
    hues = [HUES[name.startswith("grid")] for name in names]
    axes.barh(range(len(names)), values, color=hues, height=0.6)
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=7)
    axes.invert_yaxis()
    label(axes, title="their price", x="CPU seconds", grid="x")


def _entropies(results: Results, axes: Any) -> None:
    """Entropy of independent words after sampling with noise of 24 and 53 bits."""
    steps = [k for k in results.settings["word_steps"] if results.values(f"words: {k} steps", "true entropy")]
    for k, (name, shown_as) in enumerate((("float32", "float32 noise"), ("float64", "float64 noise"))):
        found = [results.values(f"words: {s} steps", f"cross-entropy, {name}")[0] for s in steps]
        axes.plot(steps, found, color=HUES[k], marker=MARKS[k], markersize=4, label=shown_as)
        drawn, errors = (
            results.values("words: emulated", f"{key}, {name}") for key in ("cross-entropy", "error")
        )
        if drawn:
            pooled = math.sqrt(sum(e * e for e in errors)) / len(errors)
            axes.errorbar(
                results.settings["emulated"],
                np.mean(drawn),
                yerr=pooled,
                color=HUES[k],
                marker="x",
                linestyle="",
                label="drawn" if k == 0 else None,
            )
    axes.set_xscale("log")
    count = results.values(f"words: {steps[0]} steps", "vocabulary")[0] if steps else 0
    label(axes, title=f"{count:,.0f} words", x="steps of the grid", y="cross-entropy, nats", grid="y")
    legend(axes)


STUDY = Study(
    name="masked_text",
    settings=experiment.SETTINGS,
    cases=experiment.cases,
    measure=experiment.measure,
    table=table,
    figures=figures,
)

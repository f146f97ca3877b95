"""Text from masks: what the first-hitting sampler saves, what it costs to be fast, and what float32 noise does.

Three kinds of case. *source*: letters with the frequencies of triples of letters in the King James Bible, a Markov
source of order two, whose posterior is exact; sequences are scored by their true likelihood. *model*: a small
transformer that learnt the Bible letter by letter. *words*: the Bible's words drawn independently, a vocabulary of
12,544, where the distribution of a token follows in closed form. Seconds are those of the processor, one thread.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from interpolants.foundations.randomness import generator as seeded
from interpolants.framework.answered import Answered, measured
from interpolants.framework.figures import Axis, Figure, Panel, Series, across
from interpolants.framework.scores import paired_gap
from interpolants.framework.seeds import MARKERS, Results, Stated, markdown, shown
from interpolants.generative.tokens.data.text import SYMBOLS, kjv_chapters, load_kjv
from interpolants.generative.tokens.discrete import nelbo
from interpolants.generative.tokens.discrete.first_hitting import FirstHitting
from interpolants.generative.tokens.discrete.nelbo import Form
from interpolants.generative.tokens.discrete.paths import Masked
from interpolants.generative.tokens.discrete.posterior import ExactPosterior, Posterior
from interpolants.generative.tokens.discrete.precision import (
    effective_temperature,
    entropy,
    gumbel_cap,
    gumbel_draw,
    token_entropy,
    truncated_gumbel_distribution,
)
from interpolants.generative.tokens.discrete.sampler import TokenSampler
from interpolants.generative.tokens.discrete.tau_leaping import TauLeaping
from interpolants.generative.tokens.metrics.ngrams import ngram_distance
from interpolants.generative.tokens.problems.token_sources import MarkovTokens
from interpolants.generative.tokens.token_bridge import TokenBridge
from studies.common import Study

LETTERS = 27
FLOAT32, FLOAT64, COARSE = 24, 53, 12
SETTINGS: dict[str, dict[str, Any]] = {
    "quick": {
        "length": 24,
        "n": 8,
        "grid": 30,
        "few": 6,
        "model_length": 16,
        "steps": 20,
        "width": 16,
        "depth": 1,
        "batch_size": 16,
        "model_n": 40,
        "word_steps": [16, 64],
        "word_tokens": 4,
        "emulated": 16,
    },
    "laptop": {
        "length": 128,
        "n": 16,
        "grid": 500,
        "few": 16,
        "model_length": 64,
        "steps": 500,
        "width": 64,
        "depth": 2,
        "batch_size": 32,
        "model_n": 24,
        "word_steps": [16, 64, 256, 1024, 4096, 16384],
        "word_tokens": 96,
        "emulated": 256,
    },
    "full": {
        "length": 256,
        "n": 256,
        "grid": 1000,
        "few": 32,
        "model_length": 256,
        "steps": 100_000,
        "width": 384,
        "depth": 8,
        "batch_size": 128,
        "model_n": 1000,
        "word_steps": [16, 64, 256, 1024, 4096, 16384],
        "word_tokens": 4096,
        "emulated": 1024,
    },
}


def samplers(settings: Mapping[str, Any]) -> dict[str, TokenSampler]:
    """The ways to draw sequences, by name."""
    grid, few = settings["grid"], settings["few"]
    return {
        "first hitting": FirstHitting(),
        f"first hitting, {few} calls": FirstHitting(num_steps=few),
        f"grid, {few} steps": TauLeaping(num_steps=few),
        f"grid, {grid} steps": TauLeaping(num_steps=grid),
    }


def coarse_samplers(settings: Mapping[str, Any]) -> dict[str, TokenSampler]:
    """Grids that draw in one stage, with noise of a few bits; remembered answers, since the network is the same."""
    grid = settings["grid"]
    made: dict[str, TokenSampler] = {f"grid, {grid} steps, cached": TauLeaping(num_steps=grid, cache=True)}
    for bits, name in ((FLOAT32, "float32 noise"), (COARSE, f"{COARSE}-bit noise")):
        made[f"grid, {grid} steps, {name}"] = TauLeaping(
            num_steps=grid, cache=True, draw="joint", joint_sampler=gumbel_of(bits)
        )
    return made


def gumbel_of(bits: int) -> Callable[[Tensor, Generator], Tensor]:
    """A draw by Gumbel-max with uniforms of so many bits."""
    return lambda distribution, generator: gumbel_draw(distribution, bits=bits, generator=generator)


def cases(settings: Mapping[str, Any]) -> list[str]:
    """What is measured."""
    return [
        *(f"source: {name}" for name in samplers(settings)),
        "model: bound",
        *(f"model: {name}" for name in (*samplers(settings), *coarse_samplers(settings))),
        "model: held-out text",
        *(f"words: {steps} steps" for steps in settings["word_steps"]),
        "words: emulated",
    ]


def measure(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """One case; sequences are kept of the first seed only."""
    found = _measured(case, seed, settings)
    return found if seed == 0 else replace(found, arrays={})


def _measured(case: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    kind, _, name = case.partition(": ")
    if kind == "source":
        return from_source(samplers(settings)[name], seed, settings)
    if kind == "words":
        return emulated_words(seed, settings) if name == "emulated" else words(int(name.split()[0]))
    if name == "bound":
        return bound(seed, settings)
    return from_model(name, seed, settings)


# --- an exact source -----------------------------------------------------------------------------------------


def from_source(sampler: TokenSampler, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Sequences drawn with the exact posterior, scored by the source itself."""
    source = bible_source(settings["length"])
    posterior = ExactPosterior(source, Masked(LETTERS))
    done, seconds = timed(sampler, posterior, settings["n"], settings["length"], seed)
    bits = -source.log_prob(done.x) / settings["length"] / math.log(2)
    values = {
        "bits": float(bits.mean()),
        "bits error": float(bits.std()) / len(bits) ** 0.5,
        "true bits": source.entropy() / settings["length"] / math.log(2),
        "seconds": seconds,
        "calls": float(done.nfe.double().mean()),
        "draws": done.draws,
        "entropy": token_entropy(done.x, LETTERS) / math.log(2),
    }
    return measured(values, {"tokens": done.x[:4]}, timed=("seconds",))


@lru_cache(maxsize=2)
def bible_source(length: int) -> MarkovTokens:
    """Letters with the frequencies of triples in the Bible; counts are raised by 0.01."""
    text = load_kjv("train", length=1000).x
    return MarkovTokens.from_tokens(text, length, LETTERS, order=2)


def timed(sampler: TokenSampler, posterior: Posterior, n: int, length: int, seed: int) -> tuple[Any, float]:
    """Samples and the processor's seconds that they took."""
    began = time.process_time()
    done = sampler.sample(posterior, n, length, seed=seed, invariant=False, chunk=n)
    return done, time.process_time() - began


# --- a model of the Bible -------------------------------------------------------------------------------------


def from_model(name: str, seed: int, settings: Mapping[str, Any]) -> Answered:
    """Samples of the learnt model beside held-out text, which is a case of its own."""
    n, length = settings["model_n"], settings["model_length"]
    held = load_kjv("test", length=length).x
    if name == "held-out text":
        rows = torch.randperm(len(held), generator=seeded(seed, 3))
        x, values, held = held[rows[:n]], {}, held[rows[n:]]
    else:
        sampler = {**samplers(settings), **coarse_samplers(settings)}[name]
        done, seconds = timed(sampler, model(seed, frozen(settings))[0].posterior, n, length, seed + 1)
        calls = float(done.nfe.double().mean())
        x, values = done.x, {"seconds": seconds, "calls": calls, "draws": done.draws}
    source = bible_source(length)
    bits = -source.log_prob(x) / length / math.log(2)
    pairs = ngram_distance(x, held[:5000], generator=seeded(seed, 4))
    values |= {
        "bits": float(bits.mean()),
        "bits error": float(bits.std()) / len(bits) ** 0.5,
        "pairs": pairs.value,
        "entropy": token_entropy(x, LETTERS) / math.log(2),
        "real words": share_of_words(x),
    }
    return measured(values, {"tokens": x[:8]}, timed=("seconds",))


def bound(seed: int, settings: Mapping[str, Any]) -> Answered:
    """The likelihood bound on held-out text, and the spread of its two forms from a single mask per sequence."""
    fitted, seconds = model(seed, frozen(settings))
    held = load_kjv("test", length=settings["model_length"]).x
    rows = torch.randperm(len(held), generator=seeded(seed, 2))[: 20 * settings["model_n"]]
    found = nelbo(fitted.posterior, held[rows], draws=4, generator=seeded(seed, 5))
    values = {"bits": found.bits_per_token, "bits error": found.bits_error}
    forms: tuple[Form, ...] = ("time_free", "time")
    for form in forms:
        one = nelbo(fitted.posterior, held[rows], draws=1, form=form, generator=seeded(seed, 6))
        values[f"spread, {form}"] = float(one.per_sequence.std()) / settings["model_length"] / math.log(2)
    values["parameters"] = float(sum(p.numel() for p in fitted.state["net"].parameters()))
    values["training seconds"] = seconds
    counts = torch.bincount(load_kjv("train", length=1000).x.flatten(), minlength=LETTERS).double()
    share = counts / counts.sum()
    letters = torch.bincount(held[rows].flatten(), minlength=LETTERS).double()
    values["bits, single letters"] = float(-letters @ share.log2() / letters.sum())
    source = bible_source(settings["model_length"])
    values["bits, triples"] = (
        float(-source.log_prob(held[rows]).mean()) / settings["model_length"] / math.log(2)
    )
    prompt = "in the beginning god ______ the heaven and the earth and the ea"[: held.shape[1]]
    filled = fitted.complete(fitted.codes(prompt), n=4)
    return measured(values, {"infilled": filled}, timed=("training seconds",))


@lru_cache(maxsize=1)
def model(seed: int, settings: tuple[tuple[str, Any], ...]) -> tuple[TokenBridge, float]:
    """A transformer without time, trained on the letters of four chapters in five; and the seconds of its training."""
    table = dict(settings)
    net = {"positions": False, "width": table["width"], "depth": table["depth"], "attention_heads": 4}
    steps, batch_size = table["steps"], table["batch_size"]
    fitted = TokenBridge(net=net, seed=seed, steps=steps, batch_size=batch_size, lr=3e-3, ema=0.995)
    letters, began = load_kjv("train", length=table["model_length"]), time.perf_counter()
    return fitted.fit(letters), time.perf_counter() - began


def frozen(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What the model depends on, hashable."""
    return tuple((k, settings[k]) for k in ("steps", "width", "depth", "batch_size", "model_length"))


def share_of_words(x: Tensor) -> float:
    """Share of whole words in sequences of letters that are words of the Bible."""
    known = set(bible_words())
    texts = ["".join(" abcdefghijklmnopqrstuvwxyz"[k] for k in row) for row in x.tolist()]
    # The first and the last word of a piece may be cut off.
    found = [word for text in texts for word in text.split(" ")[1:-1] if word]
    return sum(word in known for word in found) / max(1, len(found))


@lru_cache(maxsize=1)
def bible_words() -> Counter[str]:
    """How often each word occurs."""
    return Counter(re.findall("[a-z]+", " ".join(kjv_chapters().values()).lower()))


# --- words, and noise of a few bits ----------------------------------------------------------------------------


def word_distribution() -> Tensor:
    """Frequencies of the Bible's words, falling."""
    counts = torch.tensor(sorted(bible_words().values(), reverse=True), dtype=torch.float64)
    return counts / counts.sum()


@lru_cache(maxsize=16)
def words(steps: int) -> Answered:
    """Distribution of a word after ancestral sampling with truncated noise, in closed form; the same for every seed."""
    mu = word_distribution()
    values = {"vocabulary": float(len(mu)), "true entropy": float(entropy(mu))}
    for name, bits in (("float32", FLOAT32), ("float64", FLOAT64)):
        distribution = distribution_of_token(mu, steps, gumbel_cap(bits))
        values[f"entropy, {name}"] = float(entropy(distribution))
        values[f"cross-entropy, {name}"] = float(-(distribution * mu.log()).sum())
        values[f"temperature, {name}"] = effective_temperature(mu, distribution)
    return measured(values)


def distribution_of_token(mu: Tensor, steps: int, cap: float) -> Tensor:
    """Distribution of an independent token after ``steps`` equal steps whose draws have Gumbel noise below ``cap``.

    A token that is masked before step k is unmasked in it with the chance 1 / (steps - k), and stays masked more often
    than it should where noise is truncated; the last step must unmask it. Steps with nearly the same chance share it.
    """
    found, masked = torch.zeros_like(mu), 1.0
    for begin, end in blocks(steps):
        delta = 1 / (steps - (begin + end - 1) / 2)
        if end == steps:
            return found + masked * truncated_gumbel_distribution(mu, cap)
        distribution = truncated_gumbel_distribution(torch.cat([delta * mu, mu.new_tensor([1 - delta])]), cap)
        unmask = float(distribution[:-1].sum())
        leaves = -math.expm1((end - begin) * math.log1p(-unmask))
        found += masked * leaves * distribution[:-1] / unmask
        masked *= 1 - leaves
    return found


def blocks(steps: int) -> list[tuple[int, int]]:
    """Steps in groups of about one in two hundred of what is left, and the last by itself."""
    begin, found = 0, []
    while begin < steps - 1:
        end = min(steps - 1, begin + max(1, (steps - begin) // 200))
        found.append((begin, end))
        begin = end
    return [*found, (steps - 1, steps)]


def emulated_words(seed: int, settings: Mapping[str, Any]) -> Answered:
    """The same by draws: the cross-entropy of words that were drawn with noise of 24 and of 53 bits."""
    mu, steps, n = word_distribution(), settings["emulated"], settings["word_tokens"]
    values = {}
    for name, bits in (("float32", FLOAT32), ("float64", FLOAT64)):
        source = seeded(seed, 7, bits)
        drawn = torch.full((n,), len(mu))
        for k in range(steps):
            rows = (drawn == len(mu)).nonzero().flatten()
            if len(rows):
                delta = 1 / (steps - k)
                distribution = torch.cat([delta * mu, mu.new_tensor([1 - delta])])
                drawn[rows] = gumbel_draw(distribution.expand(len(rows), -1), bits=bits, generator=source)
        nats = -mu[drawn].log()
        values[f"cross-entropy, {name}"] = float(nats.mean())
        values[f"error, {name}"] = float(nats.std()) / n**0.5
    return measured(values)


# --- table and figures ---------------------------------------------------------------------------------------


def table(results: Results) -> str:
    """Samplers on the exact source and on the model, the model's bound, and noise of a few bits."""
    parts = [results.head]
    parts += ["**Letters of an order-2 Markov source, exact posterior**\n", _source(results)]
    parts += ["**A transformer that learnt the Bible letter by letter**\n", _bound(results), _model(results)]
    parts += ["**Independent words, ancestral sampling with one joint draw per step**\n", _words(results)]
    return "\n".join([*parts, _texts(results)])


def _source(results: Results) -> str:
    names = list(samplers(results.settings))
    rows = results.rows({name: f"source: {name}" for name in names}, _SOURCE)
    truth = results.shown(f"source: {names[0]}", "true bits", 4)
    rows.append(["the source itself", truth, "", "", "", ""])
    head = ["", "bits per letter", "calls", "draws x classes", "CPU seconds", "entropy of letters"]
    told = markdown(head, rows)
    first, last = (results.values(f"source: {name}", "bits") for name in (names[0], names[-1]))
    if len(first) == len(last) > 1:
        gap, error, _ = paired_gap(first, last)
        fast, slow = (results.values(f"source: {name}", "seconds") for name in (names[0], names[-1]))
        speed = [b / a for a, b in zip(fast, slow, strict=True)]
        told += f"\nFirst hitting minus {names[-1]}: {gap:+.4f} ± {error:.4f} bits per letter; "
        told += f"{shown(speed, 2)} times faster.\n"
    return told


_FLOATS = ("float32", "float64")
_SOURCE = {"bits": 4, "calls": 0, "draws": 0, "seconds": 1, "entropy": 3}
_MODEL = {"bits": 3, "pairs": 3, "real words": 3, "entropy": 3, "calls": 1, "draws": 0, "seconds": 1}


def _bound(results: Results) -> str:
    numbers = {"bits": 3, "bits error": 3, "bits, triples": 3, "bits, single letters": 3}
    numbers |= {"spread, time_free": 2, "spread, time": 2}
    head = ["", "bound, bits per letter", "its error", "order-2 Markov source", "single letters"]
    head += ["spread of one draw, sum over masks", "integral over time"]
    return markdown(head, results.rows({"held-out text": "model: bound"}, numbers))


def _model(results: Results) -> str:
    settings = results.settings
    names = [*samplers(settings), *coarse_samplers(settings), "held-out text"]
    head = ["", "bits per letter, order-2 source", "distance of pairs", "real words", "entropy of letters"]
    head += ["calls", "draws x classes", "CPU seconds"]
    return markdown(head, results.rows({name: f"model: {name}" for name in names}, _MODEL))


def _words(results: Results) -> str:
    kinds, rows = [(k, n) for k in ("entropy", "cross-entropy", "temperature") for n in _FLOATS], []
    for steps in results.settings["word_steps"]:
        found = [results.values(f"words: {steps} steps", f"{key}, {name}") for key, name in kinds]
        rows.append([f"{steps} steps, closed form", *(shown(values[:1]) for values in found)])
    emulated = [results.shown("words: emulated", f"cross-entropy, {n}", 2) for n in _FLOATS]
    rows.append([f"{results.settings['emulated']} steps, draws", "", "", *emulated, "", ""])
    head = ["nats", *(name if k % 2 else f"{key}, {name}" for k, (key, name) in enumerate(kinds))]
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
        title = "**in the beginning god ______ the heaven and the earth**, filled in\n"
        parts += [title, _block(stored["infilled"])]
    return "\n".join(parts)


def _block(tokens: np.ndarray[Any, Any]) -> str:
    lines = ["".join(SYMBOLS[k] for k in row) for row in tokens.tolist()]
    return "\n".join(["```text", *lines, "```\n"])


def figures(results: Results) -> list[Figure]:
    """Quality against the price of a sample, and the entropy of words against the number of steps."""
    panels = (_likelihoods(results), _seconds(results), _entropies(results))
    return [Figure(name="masked_text", panels=panels, width=940, height=300)]


def _likelihoods(results: Results) -> Panel:
    """Bits per letter under the true source, over calls."""
    names, series = list(samplers(results.settings)), []
    for k, name in enumerate(names):
        case = f"source: {name}"
        found = results.curve(
            [results.mean(case, "calls")], [(case, "bits")], name, int(name.startswith("grid"))
        )
        series.append(replace(found, symbol=MARKERS[k]))
    series.append(across(results.mean(f"source: {names[0]}", "true bits"), "the source itself", dash="-"))
    ticks = tuple(results.settings[name] for name in ("few", "length", "grid"))
    x, y = Axis(label="network calls", scale="log", ticks=ticks), Axis(label="bits per letter", grid=True)
    return Panel(series=tuple(series), title="exact source", x=x, y=y, legend="best")


def _seconds(results: Results) -> Panel:
    """Processor time of the same samplers."""
    names = list(samplers(results.settings))
    bars = tuple(
        Series(
            mark="bars", hue=int(name.startswith("grid")), size=0.6,
            arrays={"x": [k], "height": [results.mean(f"source: {name}", "seconds")]},
        )
        for k, name in enumerate(names)
    )  # fmt: skip
    x = Axis(ticks=tuple(range(len(names))), names=tuple(re.sub("[, ]+", "\n", name) for name in names))
    return Panel(series=bars, title="their price", x=x, y=Axis(label="CPU seconds", grid=True))


def _entropies(results: Results) -> Panel:
    """Entropy of independent words after sampling with noise of 24 and 53 bits."""
    steps = [k for k in results.settings["word_steps"] if results.values(f"words: {k} steps", "true entropy")]
    series = []
    for k, name in enumerate(_FLOATS):
        y = [results.values(f"words: {s} steps", f"cross-entropy, {name}")[0] for s in steps]
        line = {"x": steps, "y": y}
        series.append(
            Series(mark="line", arrays=line, name=f"{name} noise", hue=k, symbol=MARKERS[k], size=4)
        )
        drawn, errors = (
            results.values("words: emulated", f"{key}, {name}") for key in ("cross-entropy", "error")
        )
        if drawn:
            pooled = math.sqrt(sum(e * e for e in errors)) / len(errors)
            point = {"x": [results.settings["emulated"]], "y": [np.mean(drawn)], "error": [pooled]}
            series.append(
                Series(mark="line", arrays=point, name="" if k else "drawn", hue=k, dash="", symbol="x")
            )
    count = results.values(f"words: {steps[0]} steps", "vocabulary")[0] if steps else 0
    x, y = Axis(label="steps of the grid", scale="log"), Axis(label="cross-entropy", unit="nats", grid=True)
    return Panel(series=tuple(series), title=f"{count:,.0f} words", x=x, y=y, legend="best")


_FIRST, _GRID = "source: first hitting", "source: grid, 500 steps"
CLAIMS = (
    Stated("first_hitting.bits < grid + 0.05", (_FIRST, "bits"), (_GRID, "bits"), "peer"),
    Stated("first_hitting.calls < 0.3 grid", (_FIRST, "calls"), (_GRID, "calls"), "peer"),
    Stated("first_hitting.seconds < 0.333 grid", (_FIRST, "seconds"), (_GRID, "seconds"), "peer"),
)

STUDY = Study("masked_text", SETTINGS, cases, measure, table, figures, CLAIMS)

"""Report sections with facts of a task: text, tables and curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations import registry
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths.path import Path, SpatiallyLinearPath
from interpolants.reports import figures, sentences
from interpolants.reports.page import Child, Markup, el, facts, link, table
from interpolants.reports.view import Array, TaskView, absent, mapping


class Tables(TaskView):
    """Data, model, training, likelihood, measures, noise levels, checks."""

    def data_section(self) -> list[Child]:
        """Sources, sizes and shapes of both data sets."""
        rows = []
        for key, side in (("x0", "start, t = 0"), ("x1", "end, t = 1")):
            entry = mapping(self.data.get(key))
            if not entry:
                continue
            size = sentences.count(entry.get("n")) if entry.get("n") is not None else "drawn as needed"
            source = link(str(entry["source"])) if entry.get("source") else "–"
            name = [str(entry.get("name") or key), el("span", side, cls="note")]
            rows.append(
                [name, source, str(entry.get("licence") or "–"), sentences.shape(entry.get("shape")), size]
            )
        if not rows:
            return [absent("The run says nothing about its data.")]
        held = self.data.get("heldout n", self.data.get("heldout_n"))
        caption: list[Child] = [self.album.table_label(), "The two distributions that are bridged."]
        if sentences.real(held) is not None:
            caption.append(
                f" {sentences.count(held)} held-out {sentences.things(self.shape)} were kept from training;"
            )
            caption.append(" every measure below uses these.")
        head = ["Data", "Source", "Licence", "Shape", "Number"]
        return [table(caption, head, rows, label=f"Data of {self.name}", text=4)]

    def model(self) -> list[Child]:
        """The path with its formula, what was learnt, and the network."""
        path = mapping(self.facts.get("path"))
        kind = str(path.get("kind") or "")
        learn = [str(field) for field in self.facts.get("learn") or []]
        net = self.facts.get("net", mapping(self.facts.get("train")).get("net"))
        net_name = _spec(net) if net else None
        size = sentences.real(self.facts.get("parameters"))
        listed = facts(
            [
                ("Path", kind.replace("_", " ") or None),
                ("Learnt", sentences.listing(learn) if learn else None),
                ("Network", net_name),
                ("Parameters", sentences.count(size) if size is not None else None),
            ]
        )
        formula = self._formula(path)
        if not listed:
            return [absent("The run does not describe its model.")]
        told = el("p", "The bridge follows random paths from ", _sub("x", "0"), " to ", _sub("x", "1"), ":")
        text = el("div", [told, formula] if formula else None, listed)
        curves = self._schedule(path)
        return [el("div", text, curves, cls="split") if curves else text]

    def _formula(self, path: Mapping[str, Any]) -> Child:
        built = _path(path)
        lines = [sentences.formula(line) for line in built.formulas] if built is not None else []
        return el("p", Markup("<br>".join(lines)), cls="formula") if lines else None

    def _schedule(self, path: Mapping[str, Any]) -> Child:
        """The weights of the path, where it is one that this library can rebuild from its name."""
        built = _path(path)
        if not isinstance(built, SpatiallyLinearPath):
            return None
        t = torch.linspace(0, 1, 201, dtype=torch.float64)
        told = "The weights of the path over time."
        if built.basis is not None:
            curves = _first_and_last(built.beta(t))
            told = "The weight of x₁ over time, for the coordinates of the basis that take up their data first, in the "
            told += "middle and last."
        else:
            curves = {"α, weight of x₀": built.alpha(t).numpy(), "β, weight of x₁": built.beta(t).numpy()}
        if not built.is_one_sided and built.has_latent:
            curves["γ, weight of z"] = built.envelope.gamma(t).numpy()
        alt = f"Curves over time from 0 to 1: {sentences.listing(list(curves))}."
        panel = self._panel("path", alt, lambda theme: figures.schedule(t.numpy(), curves, theme=theme))
        return self.album.figure([panel], told)

    def training(self) -> list[Child]:
        """The loss curve and what training cost."""
        history = [row for row in self.facts.get("history") or [] if isinstance(row, dict)]
        train = mapping(self.facts.get("train"))
        told = el("p", sentences.training_sentence(train, self.facts.get("parameters"))) if train else None
        losses = figures.losses_of(history)
        if len(history) < 2 or not losses:
            return [told, absent("No loss curve was stored.")]
        alt = f"Loss over {sentences.count(len(history))} logged steps: {sentences.listing(losses)}."
        panel = self._panel("loss", alt, lambda theme: figures.loss_curve(history, theme=theme))
        caption = (
            "Training loss. Faint: as logged; bold: running mean. The losses are not zero at their best: "
        )
        caption += "what cannot be predicted from a point and its time remains."
        return [told, self.album.figure([panel], caption)]

    def text_section(self) -> list[Child]:
        """Lines of text under their headings."""
        texts = mapping(self.facts.get("texts"))
        return [
            [el("p", el("b", str(heading))), el("pre", el("code", "\n".join(map(str, lines))))]
            for heading, lines in texts.items()
            if isinstance(lines, list) and lines
        ]

    def likelihood(self) -> list[Child]:
        """Log-densities of training and held-out data."""
        stored = (self.arrays.get(f"log_prob_{which}") for which in ("train", "heldout"))
        train, held = (None if values is None else values.ravel() for values in stored)
        if train is None and held is None:
            return [] if self.missing else [absent("No log-likelihoods were computed in this run.")]
        dimension = int(np.prod(self.shape)) if self.shape else 1
        told = sentences.likelihood_sentence(_list(train), _list(held), dimension)
        alt = "Histograms of log-densities of training and held-out data. " + told
        panel = self._panel("log-prob", alt, lambda theme: figures.log_prob(train, held, theme=theme))
        caption = (
            "Log-density under the model, by the probability flow. Where the two histograms agree, the model "
        )
        caption += "has not learnt its training data by heart."
        return [el("p", told) if told else None, self.album.figure([panel], caption)]

    def metrics(self) -> list[Child]:
        """Each measure beside its floor and its baseline, with its reading."""
        rows = [m for m in self.facts.get("metrics") or [] if isinstance(m, dict)]
        if not rows:
            return [absent("No metric was measured.")]
        cells: list[list[Child]] = []
        for metric in rows:
            title = str(metric.get("title") or metric.get("id") or "metric")
            unit = f" ({metric['unit']})" if metric.get("unit") else ""
            note = f" {metric['note']}" if metric.get("note") else ""
            size = (
                f" n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{sentences.count(metric['n'])}."
                if sentences.real(metric.get("n"))
                else ""
            )
            name = [title + unit, el("span", sentences.reading(metric), note, size, cls="note")]
            base: Child = sentences.number(metric.get("baseline"))
            if metric.get("baseline_name"):
                base = [base, el("span", metric["baseline_name"], cls="note brief")]
            value = sentences.with_error(metric.get("value"), metric.get("error"))
            arrow = {"lower": "↓", "higher": "↑"}.get(str(metric.get("better") or "lower"), "")
            told = f"{metric.get('better') or 'lower'} is better"
            hint = el("span", arrow, title=told, aria_hidden="true") if arrow else None
            floor = sentences.with_error(metric.get("floor"), metric.get("floor_error"))
            cells.append([name, [el("b", value), " ", hint], floor, base])
        caption: list[Child] = [
            self.album.table_label(),
            "Measures with one standard error. ↓ smaller is better, ↑ larger is better. Two halves of real data show "
            "what sampling alone gives: no model can be asked for more.",
        ]
        head = ["Measure", "This model", "Real data, two halves", "Trivial baseline"]
        return [table(caption, head, cells, label=f"Measures of {self.name}"), self._scale(rows)]

    def _scale(self, metrics: list[dict[str, Any]]) -> Child:
        placed = []
        for metric in metrics:
            place = sentences.standing(metric)
            if place is None:
                continue
            span = abs(float(metric["floor"]) - float(metric["baseline"]))
            error = (sentences.real(metric.get("error")) or 0.0) / span
            placed.append((str(metric.get("title") or metric.get("id")), place, error))
        if not placed:
            return None
        told = sentences.listing([f"{title} {sentences.percent(place)}" for title, place, _ in placed])
        panel = self._panel(
            "metrics",
            f"Share of the way to real data: {told}.",
            lambda theme: figures.metric_scale(placed, theme=theme),
        )
        caption = (
            "How far each measure has gone from the trivial baseline to real data, with one standard error."
        )
        return self.album.figure([panel], caption)

    def eps_table(self) -> list[Child]:
        """Measures over noise levels."""
        rows = [r for r in self.facts.get("table_eps") or [] if isinstance(r, dict)]
        if not rows:
            return []
        columns = {"energy": "Energy distance", "accuracy": "Accuracy", "diversity": "Diversity"}
        known = {"eps", "chosen", "method", "nfe", "sliced_w2"}
        extra = [
            key
            for key in dict.fromkeys(k for row in rows for k in row)
            if key not in known
            and not key.endswith("_error")
            and any(sentences.real(r.get(key)) is not None for r in rows)
        ]
        cells = [
            [
                f"{sentences.setting(row.get('eps'))} ({sentences.eps_word(row.get('eps'), row.get('chosen'))})",
                str(row.get("method") or "–"),
                sentences.count(row.get("nfe")),
                sentences.with_error(row.get("sliced_w2"), row.get("sliced_w2_error")),
                *(_cell(key, row) for key in extra),
            ]
            for row in rows
        ]
        names = [columns.get(key, key.replace("_", " ").capitalize()) for key in extra]
        head = ["ε", "Method", "Network calls", "Sliced W2", *names]
        caption = [self.album.table_label(), "The same model at several noise levels, against held-out data."]
        told = sentences.eps_sentence(rows)
        grid = table(caption, head, cells, label=f"Noise levels of {self.name}", text=2)
        return [el("p", told) if told else None, grid]

    def eps_choice(self) -> list[Child]:
        """Choice of the noise level: errors of the fields, the level that follows, and the levels tried."""
        choice = mapping(self.facts.get("eps_choice"))
        tried = [c for c in choice.get("candidates") or [] if isinstance(c, dict)]
        if not tried:
            return []
        schedule = choice.get("schedule")
        panels = []
        if isinstance(schedule, dict):
            times, levels = (np.asarray(schedule[key], dtype=float) for key in ("times", "levels"))
            constant = sentences.real(choice.get("predicted"))
            alt = f"Noise level of least bound over time, from {levels.min():.3g} to {levels.max():.3g}."
            panels.append(
                self._panel(
                    "eps-choice",
                    alt,
                    lambda theme: figures.noise_levels(times, levels, constant, theme=theme),
                )
            )
        told = el("p", sentences.eps_choice_sentence(choice))
        cells = [
            [
                f"{candidate.get('name')}{' (chosen)' if candidate.get('name') == choice.get('name') else ''}",
                sentences.with_error(candidate.get("score"), candidate.get("error")),
                sentences.with_error(candidate.get("gap"), candidate.get("gap_error")),
            ]
            for candidate in tried
        ]
        unit = "nats" if choice.get("criterion") == "likelihood" else "energy distance over spread"
        caption = [
            self.album.table_label(),
            f"Noise levels that were tried on held-out data; lower is better ({unit}). "
            "The gap is to the predicted schedule, from the same points and noise.",
        ]
        head = ["ε", "Score", "Gap"]
        grid = table(caption, head, cells, label=f"Noise levels tried for {self.name}", text=1)
        shown = self.album.figure(
            panels,
            "The noise level of least bound at each time, the root of the ratio of the estimated squared errors of "
            "velocity and score, and the constant of least bound.",
        )
        return [told, shown if panels else None, grid]

    def checks(self) -> list[Child]:
        """Every check with its verdict."""
        rows = [c for c in self.facts.get("checks") or [] if isinstance(c, dict)]
        if not rows:
            return [absent("The trained model was not checked in this run.")]
        cells = []
        for check in rows:
            name = [
                str(check.get("name") or "check").replace("_", " "),
                el("span", check.get("message"), cls="note"),
            ]
            cells.append(
                [
                    name,
                    _verdict(check.get("verdict")),
                    sentences.number(check.get("value")),
                    sentences.limit(check.get("limit")),
                ]
            )
        caption = [
            self.album.table_label(),
            "Self-tests of the trained model. A check passes up to its limit.",
        ]
        head = ["Check", "Verdict", "Value", "Limit"]
        told = el("p", sentences.checks_sentence(rows))
        return [told, table(caption, head, cells, label=f"Checks of {self.name}", text=2)]


def _cell(key: str, row: dict[str, Any]) -> str:
    value = sentences.real(row.get(key))
    if key == "accuracy" and value is not None and 0 <= value <= 1:
        error = sentences.real(row.get(f"{key}_error"))
        return f"{sentences.with_error(100 * value, None if error is None else 100 * error)} %"
    return sentences.with_error(value, row.get(f"{key}_error"))


def _verdict(verdict: Any) -> Markup:
    known = str(verdict) in ("pass", "warn", "fail")
    return el("span", sentences.verdict_words(verdict), cls=f"verdict {verdict}" if known else "verdict")


def _sub(letter: str, index: str) -> Markup:
    return Markup(el("var", letter) + el("sub", index))


def _spec(value: Any) -> str:
    """A method's settings in one line: ``mlp (width 256, depth 4)``."""
    if not isinstance(value, dict):
        return str(value)
    rest = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items() if k != "kind" and v is not None)
    return f"{value.get('kind', 'network')}{f' ({rest})' if rest else ''}"


def _list(values: Array | None) -> list[float]:
    return [] if values is None else [float(v) for v in values.reshape(-1)]


def _path(path: Mapping[str, Any]) -> Path | None:
    """The path that a run describes; None for one of a user's own, which has no name to make it from."""
    try:
        built = registry.rebuild(dict(path), "path")
    except (InvalidInputError, KeyError):
        return None
    return built if isinstance(built, Path) else None


def _first_and_last(weights: Tensor) -> dict[str, NDArray[np.float64]]:
    """Of weights ``(n, *D)`` per coordinate over time, those that rise first, in the middle and last."""
    flat = weights.flatten(1)
    order = flat.mean(0).argsort(descending=True)
    named = {"first": order[0], "middle": order[len(order) // 2], "last": order[-1]}
    return {f"β, {name}": flat[:, place].numpy() for name, place in named.items()}

"""The sections of a task: words, tables and figures from its facts and arrays."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interpolants.foundations import registry
from interpolants.foundations.errors import InvalidInputError
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.reports import figures, words
from interpolants.reports.album import Album
from interpolants.reports.page import Child, Markup, el, facts, link, table
from interpolants.reports.projection import Projection, fit_projection
from interpolants.reports.record import Task, by_eps
from interpolants.reports.style import Theme

Array = NDArray[Any]

MOST_PANELS = 4  # noise levels shown side by side
MOST_COLUMNS = 6  # coordinates shown as histograms


class TaskPage:
    """Writes one task of a report.

    Args:
        task: Its facts and arrays.
        album: Draws the figures.
        prefix: Start of the names of its figure files.
    """

    def __init__(self, task: Task, album: Album, prefix: str) -> None:
        self.facts, self.arrays, self.missing = task.facts, task.arrays, task.missing
        self.album, self.prefix = album, prefix
        self.name = words.task_name(self.facts)
        self.data = _mapping(self.facts.get("data"))
        self.samples = by_eps(self.arrays, "samples")
        self.real = self.arrays.get("real")
        self.reference = self._reference()
        self.shape = [] if self.reference is None else list(self.reference.shape[1:])
        self.is_image = words.is_image(self.shape)
        self.projection: Projection | None = None
        if self.reference is not None and not self.is_image:
            self.projection = fit_projection(self.reference)

    def write(self) -> list[Child]:
        """All sections, in the order of a paper."""
        parts: list[tuple[str, list[Child]]] = [
            ("Data", self.data_section()),
            ("Model", self.model()),
            ("Training", self.training()),
            ("Samples", self.text_section() or self.sample_section()),
            ("One start point, four noise levels", self.one_start()),
            ("Trajectories", self.trajectories()),
            ("Transport", self.transport()),
            ("Likelihood", self.likelihood()),
            ("Measures", self.metrics()),
            ("Noise levels compared", self.eps_table()),
            ("The noise level chosen", self.eps_choice()),
            ("Has it memorised?", self.nearest()),
            ("Checks", self.checks()),
        ]
        if (levels := len(by_eps(self.arrays, "one_start"))) != 4:
            title = "One start point, many ends" if levels != 2 else "One start point, two noise levels"
            parts[4] = (title, parts[4][1])
        if self.facts.get("method"):
            # A method draws what it has; what only bridges have is not missing.
            parts = [(title, body) for title, body in parts if not _is_absent(body)]
        notice = el("p", self.missing, cls="absent") if self.missing else None
        return [notice, [[el("h3", title), body] for title, body in parts if body]]

    # --- data, model, training ---------------------------------------------------------------------------

    def data_section(self) -> list[Child]:
        """Where both sides come from, how many there are, and of what shape."""
        rows = []
        for key, side in (("x0", "start, t = 0"), ("x1", "end, t = 1")):
            entry = _mapping(self.data.get(key))
            if not entry:
                continue
            size = words.count(entry.get("n")) if entry.get("n") is not None else "drawn as needed"
            source = link(str(entry["source"])) if entry.get("source") else "–"
            name = [str(entry.get("name") or key), el("span", side, cls="note")]
            rows.append(
                [name, source, str(entry.get("licence") or "–"), words.shape(entry.get("shape")), size]
            )
        if not rows:
            return [_absent("The run says nothing about its data.")]
        held = self.data.get("heldout n", self.data.get("heldout_n"))
        caption: list[Child] = [self.album.table_label(), "The two laws that are bridged."]
        if words.real(held) is not None:
            caption.append(
                f" {words.count(held)} held-out {words.things(self.shape)} were kept from training;"
            )
            caption.append(" every measure below uses these.")
        head = ["Data", "Source", "Licence", "Shape", "Number"]
        return [table(caption, head, rows, label=f"Data of {self.name}", text=4)]

    def model(self) -> list[Child]:
        """The path with its formula, what was learnt, and the network."""
        path = _mapping(self.facts.get("path"))
        kind = str(path.get("kind") or "")
        learn = [str(field) for field in self.facts.get("learn") or []]
        net = self.facts.get("net", _mapping(self.facts.get("train")).get("net"))
        net_name = _spec(net) if net else None
        size = words.real(self.facts.get("parameters"))
        listed = facts(
            [
                ("Path", kind.replace("_", " ") or None),
                ("Learnt", words.listing(learn) if learn else None),
                ("Network", net_name),
                ("Parameters", words.count(size) if size is not None else None),
            ]
        )
        formula = self._formula(path, kind)
        if not listed:
            return [_absent("The run does not describe its model.")]
        told = el("p", "The bridge follows random paths from ", _sub("x", "0"), " to ", _sub("x", "1"), ":")
        text = el("div", [told, formula] if formula else None, listed)
        curves = self._schedule(path)
        return [el("div", text, curves, cls="split") if curves else text]

    def _formula(self, path: Mapping[str, Any], kind: str) -> Child:
        if kind not in words.FORMULAS:
            return None
        envelope = _mapping(path.get("envelope"))
        name = str(envelope.get("kind") or ("" if kind in words.NOISELESS else "brownian"))
        noise = name in words.ENVELOPES and kind not in words.NOISELESS
        base = str(_mapping(path.get("base")).get("kind"))
        formula = words.FORMULAS[kind].replace("Gaussian", words.BASES.get(base, "Gaussian"))
        main, comma, rest = formula.partition(", ")
        latent = " + γ(<var>t</var>) <var>z</var>" if noise else ""
        told = main + latent + comma + rest if kind != "diffusive" else formula
        if not noise:
            return el("p", Markup(told), cls="formula")
        scale = words.real(envelope.get("scale"))
        tail = words.ENVELOPES[name]
        if name == "brownian":
            tail += f", <var>a</var> = {words.setting(1.0 if scale is None else scale)}"
        return el("p", Markup(f"{told}<br>{tail}"), cls="formula")

    def _schedule(self, path: Mapping[str, Any]) -> Child:
        """The weights of the path, where it is one that this library can rebuild from its name."""
        try:
            built = registry.rebuild(dict(path), "path")
        except (InvalidInputError, KeyError):
            return None  # a user's own path has no name to rebuild it from: the formula must do
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
        alt = f"Curves over time from 0 to 1: {words.listing(list(curves))}."
        panel = self._panel("path", alt, lambda theme: figures.schedule(t.numpy(), curves, theme=theme))
        return self.album.figure([panel], told)

    def training(self) -> list[Child]:
        """The loss curve and what training cost."""
        history = [row for row in self.facts.get("history") or [] if isinstance(row, dict)]
        train = _mapping(self.facts.get("train"))
        told = el("p", words.training_sentence(train, self.facts.get("parameters"))) if train else None
        losses = figures.losses_of(history)
        if len(history) < 2 or not losses:
            return [told, _absent("No loss curve was stored.")]
        alt = f"Loss over {words.count(len(history))} logged steps: {words.listing(losses)}."
        panel = self._panel("loss", alt, lambda theme: figures.loss_curve(history, theme=theme))
        caption = (
            "Training loss. Faint: as logged; bold: running mean. The losses are not zero at their best: "
        )
        caption += "what cannot be predicted from a point and its time remains."
        return [told, self.album.figure([panel], caption)]

    # --- samples -----------------------------------------------------------------------------------------

    def text_section(self) -> list[Child]:
        """Lines of text under their headings."""
        texts = _mapping(self.facts.get("texts"))
        return [
            [el("p", el("b", str(heading))), el("pre", el("code", "\n".join(map(str, lines))))]
            for heading, lines in texts.items()
            if isinstance(lines, list) and lines
        ]

    def sample_section(self) -> list[Child]:
        """Generated beside held-out data."""
        if not self.samples:
            return [_absent("No samples were stored, so none are shown.")] if not self.missing else []
        if self.is_image:
            return self._image_samples()
        parts: list[Child] = []
        if self.projection is not None:
            parts.append(self._point_samples(self.projection))
        if np.prod(self.shape) != 2:
            parts.append(self._marginals())
        return parts

    def _image_samples(self) -> list[Child]:
        labels = self._labels("samples_labels")
        panels = []
        if self.real is not None:
            grid, names = self._grid(self.real, self._labels("real_labels"))
            panels.append(self._grid_panel("samples-real", "Held-out data", grid, names))
        for eps, images in self._ends(self.samples):
            grid, names = self._grid(images, labels)
            title = f"Generated, ε = {words.setting(eps)} ({words.eps_word(eps)})"
            panels.append(self._grid_panel(f"samples-eps{eps:g}", title, grid, names))
        caption = "Held-out data and samples, not picked by hand: the first of each."
        if labels is not None:
            caption += " Each row was asked for one class."
        return [self.album.figure(panels, caption, cell=270)]

    def _grid(self, images: Array, labels: Array | None) -> tuple[Array, list[str]]:
        """The first images, by class where there are classes: at most ten rows of eight."""
        if labels is None or len(labels) != len(images):
            return images[:64], []
        classes = [c for c in np.unique(labels) if np.sum(labels == c) >= 2][:10]
        columns = min(8, min((int(np.sum(labels == c)) for c in classes), default=0))
        if columns < 2 or len(classes) < 2:
            return images[:64], []
        rows = [images[labels == c][:columns] for c in classes]
        return np.concatenate(rows), [self._class_name(int(c)) for c in classes]

    def _grid_panel(self, name: str, title: str, images: Array, labels: list[str]) -> Markup:
        columns = len(images) // len(labels) if labels else min(8, len(images))
        what = f" in rows for {words.listing(labels)}" if labels else ""
        alt = f"{title}: a grid of {len(images)} images{what}."

        def draw(theme: Theme) -> Any:
            return figures.image_grid(images, columns, row_labels=labels, title=title, theme=theme)

        return self._panel(name, alt, draw)

    def _point_samples(self, projection: Projection) -> Markup | None:
        if np.prod(self.shape) < 2:
            return None
        shown = {eps: projection(x) for eps, x in self._few(self.samples, MOST_PANELS - 1).items()}
        real = None if self.real is None else projection(self.real)
        box = figures.limits(real if real is not None else next(iter(shown.values())), *shown.values())
        panels = []
        if real is not None:
            panels.append(self._scatter("samples-real", "Held-out data", real, box, real=True))
        for eps, points in shown.items():
            title = f"Generated, ε = {words.setting(eps)} ({words.eps_word(eps)})"
            panels.append(self._scatter(f"samples-eps{eps:g}", title, points, box))
        caption = "Held-out data and samples, on the same axes."
        if not projection.is_exact:
            caption += (
                " Shown are the two directions in which real data vary most, with their share of variance."
            )
        return self.album.figure(panels, caption, cell=205)

    def _marginals(self) -> Markup:
        few = dict(list(self._few(self.samples).items())[:2])
        flat = {f"ε = {words.setting(eps)}": x.reshape(len(x), -1) for eps, x in few.items()}
        real = None if self.real is None else self.real.reshape(len(self.real), -1)
        size = next(iter(flat.values())).shape[1]
        chosen = np.arange(size)
        if size > MOST_COLUMNS and real is not None:
            chosen = np.sort(np.argsort(-real.std(0))[:MOST_COLUMNS])
        columns = self.facts.get("columns") or self.data.get("columns") or []
        panels = []
        for i in chosen[:MOST_COLUMNS]:
            name = str(columns[i]) if i < len(columns) else f"coordinate {i + 1}"
            panels.append(self._marginal(int(i), name, real, flat))
        keys = [_key("real", "fill", "held-out data")] if real is not None else []
        keys += [
            _key(role, "line", f"generated, {n}")
            for n, role in zip(flat, ("generated", "start"), strict=False)
        ]
        caption = f"Histograms of the {MOST_COLUMNS} coordinates with the largest spread. "
        if size <= MOST_COLUMNS:
            caption = "Histograms of each coordinate. " if size > 1 else "Histogram. "
        return self.album.figure(panels, [caption, keys], cell=205)

    def _marginal(self, i: int, name: str, real: Array | None, flat: dict[str, Array]) -> Markup:
        column = None if real is None else real[:, i]
        generated = {label: x[:, i] for label, x in flat.items()}
        alt = f"Histogram of {name}: held-out data and samples at {words.listing(list(flat))}."
        return self._panel(
            f"marginal-{i + 1}", alt, lambda theme: figures.marginal(column, generated, name, theme=theme)
        )

    def _scatter(self, name: str, title: str, points: Array, box: figures.Limits, **options: Any) -> Markup:
        axes = self._axis_names()
        alt = f"{title}: scatter of {words.count(len(points))} points."
        return self._panel(
            name,
            alt,
            lambda theme: figures.scatter(points, box, title=title, names=axes, theme=theme, **options),
        )

    # --- one start, trajectories, transport --------------------------------------------------------------

    def one_start(self) -> list[Child]:
        """The same start point at several noise levels: what noise adds."""
        outcomes = by_eps(self.arrays, "one_start")
        if not outcomes:
            return [] if self.missing else [_absent("No repeats from one start point were stored.")]
        start = self._single_start()
        opening = (
            "Every sample below starts from the very same point. The ODE (ε = 0) has one answer; the SDE has many, "
            "and more noise forgets the start sooner. The model is the same: ε is chosen after training."
        )
        few = self._few(outcomes)
        panels = self._start_images(few, start) if self.is_image else self._start_points(few, start)
        caption: list[Child] = [
            f"{words.count(len(next(iter(few.values()))))} repeats from one start point. "
        ]
        if not self.is_image:
            caption += [_key("real", "dot", "held-out data")] if self.real is not None else []
            caption += [_key("generated", "dot", "end points")]
            caption += [_key("start", "dot", "start (cross)")] if start is not None else []
        return [
            el("p", opening),
            self.album.figure(panels, caption, cell=165 if self.is_image else 205, small=self.is_image),
        ]

    def _start_images(self, outcomes: dict[float, Array], start: Array | None) -> list[Markup]:
        panels = []
        if start is not None:
            panels.append(self._small_grid("one-start", "Start", start.reshape(1, *self.shape), 2))
        for eps, images in outcomes.items():
            title = f"ε = {words.setting(eps)} ({words.eps_word(eps)})"
            panels.append(self._small_grid(f"one-start-eps{eps:g}", title, images[:16], min(4, len(images))))
        return panels

    def _small_grid(self, name: str, title: str, images: Array, columns: int) -> Markup:
        alt = f"{title}: {words.count(len(images), 'image')} from one start point."

        def draw(theme: Theme) -> Any:
            return figures.image_grid(images, columns, title=title, width=190, theme=theme)

        return self._panel(name, alt, draw)

    def _start_points(self, outcomes: dict[float, Array], start: Array | None) -> list[Markup]:
        assert self.projection is not None
        project = self.projection
        context = None if self.real is None else project(self.real)
        ends = {eps: project(x) for eps, x in outcomes.items()}
        mark = None if start is None else project(start.reshape(1, -1))
        base = context if context is not None else next(iter(ends.values()))
        box = figures.limits(base, *ends.values(), *([] if mark is None else [mark]))
        return [
            self._scatter(
                f"one-start-eps{eps:g}",
                f"ε = {words.setting(eps)} ({words.eps_word(eps)})",
                points,
                box,
                context=context,
                marked=mark,
            )
            for eps, points in ends.items()
        ]

    def trajectories(self) -> list[Child]:
        """How points travel, at the smallest and the largest noise."""
        stored = {e: x for e, x in by_eps(self.arrays, "trajectory").items() if x.ndim >= 3 and len(x) > 1}
        if not stored:
            return [] if self.missing else [_absent("No trajectories were stored.")]
        if self.is_image:
            panels = [self._filmstrip(eps, x) for eps, x in self._ends(stored)]
            caption = "Each row is one trajectory, from the start at t = 0 to the end at t = 1."
            return [self.album.figure(panels, caption, cell=380)]
        flat = {eps: x[:, :60] for eps, x in self._few(stored).items()}
        panels = self._timelines(flat) if np.prod(self.shape) < 2 else self._plane_paths(flat)
        caption_parts: list[Child] = [
            "Trajectories of the first points. ",
            _key("start", "ring", "start, t = 0"),
        ]
        caption_parts += [_key("generated", "dot", "end, t = 1")]
        caption_parts += [_key("real", "dot", "held-out data")] if self.real is not None else []
        return [self.album.figure(panels, caption_parts, cell=205)]

    def _times(self, trajectory: Array) -> Array:
        times = self.arrays.get("trajectory_times")
        n = len(trajectory)
        return times if times is not None and times.shape == (n,) else np.linspace(0, 1, n)

    def _filmstrip(self, eps: float, trajectory: Array) -> Markup:
        title = f"ε = {words.setting(eps)} ({words.eps_word(eps)})"
        shown, times = trajectory[:, :6], self._times(trajectory)
        alt = f"{title}: {shown.shape[1]} trajectories of images, from start to end."
        return self._panel(
            f"trajectory-eps{eps:g}",
            alt,
            lambda theme: figures.filmstrip(shown, times, title=title, theme=theme),
        )

    def _plane_paths(self, trajectories: dict[float, Array]) -> list[Markup]:
        assert self.projection is not None
        project, axes = self.projection, self._axis_names()
        context = None if self.real is None else project(self.real)
        flat = {eps: project.trajectory(x) for eps, x in trajectories.items()}
        points = [x.reshape(-1, 2) for x in flat.values()]
        box = figures.limits(context if context is not None else points[0], *points)

        def panel(eps: float, x: Array) -> Markup:
            title = f"ε = {words.setting(eps)} ({words.eps_word(eps)})"
            alt = f"{title}: {x.shape[1]} trajectories in the plane, from open rings to dots."
            return self._panel(
                f"trajectory-eps{eps:g}",
                alt,
                lambda theme: figures.paths(x, box, context=context, title=title, names=axes, theme=theme),
            )

        return [panel(eps, x) for eps, x in flat.items()]

    def _timelines(self, trajectories: dict[float, Array]) -> list[Markup]:
        def panel(eps: float, x: Array) -> Markup:
            title = f"ε = {words.setting(eps)} ({words.eps_word(eps)})"
            flat, times = x.reshape(*x.shape[:2]), self._times(x)
            alt = f"{title}: {flat.shape[1]} trajectories over time."
            return self._panel(
                f"trajectory-eps{eps:g}",
                alt,
                lambda theme: figures.paths_in_time(flat, times, title=title, theme=theme),
            )

        return [panel(eps, x) for eps, x in trajectories.items()]

    def transport(self) -> list[Child]:
        """Pairs of start and end, there and back."""
        pairs = list(self._pairs())
        if not pairs:
            return [] if self.missing else [_absent("No transported pairs were stored.")]
        if self.is_image:
            panels = [self._image_pairs(*pair) for pair in pairs]
            caption: list[Child] = [
                "Start above, end below. Forward goes from t = 0 to 1, backward from t = 1 to 0."
            ]
            return [self.album.figure(panels, caption, cell=420)]
        panels = self._point_pairs(pairs)
        caption = [
            "Each line joins a start and its end. ",
            _key("start", "ring", "start"),
            _key("generated", "dot", "end"),
        ]
        return [self.album.figure(panels, caption, cell=260)]

    def _pairs(self) -> Iterator[tuple[str, Array, Array]]:
        x0, x1 = self.arrays.get("transport_pairs_x0"), self.arrays.get("transport_pairs_x1")
        if x0 is not None and x1 is not None and x0.shape == x1.shape:
            yield "Forward", x0, x1
        back = self.arrays.get("reverse")
        source = self.arrays.get("reverse_from", self.real)
        if back is not None and source is not None and len(source) >= len(back) > 0:
            yield "Backward", source[: len(back)], back

    def _image_pairs(self, name: str, start: Array, end: Array) -> Markup:
        start, end = start[:24], end[:24]
        alt = f"{name} transport: {len(start)} images, each above what it became."
        return self._panel(
            f"transport-{name}",
            alt,
            lambda theme: figures.image_pairs(start, end, ("start", "end"), title=name, theme=theme),
        )

    def _point_pairs(self, pairs: list[tuple[str, Array, Array]]) -> list[Markup]:
        project = self.projection or fit_projection(pairs[0][2])
        axes = project.names
        flat = [(name, project(start), project(end)) for name, start, end in pairs]
        box = figures.limits(flat[0][1], *(x for _, *both in flat for x in both), reach=3.0)

        def panel(name: str, start: Array, end: Array) -> Markup:
            alt = f"{name} transport: {min(150, len(start))} starts joined to their ends."
            return self._panel(
                f"transport-{name}",
                alt,
                lambda theme: figures.point_pairs(start, end, box, title=name, names=axes, theme=theme),
            )

        return [panel(*pair) for pair in flat]

    # --- numbers -----------------------------------------------------------------------------------------

    def likelihood(self) -> list[Child]:
        """Log-densities of training and held-out data."""
        stored = (self.arrays.get(f"log_prob_{which}") for which in ("train", "heldout"))
        train, held = (None if values is None else values.ravel() for values in stored)
        if train is None and held is None:
            return [] if self.missing else [_absent("No log-likelihoods were computed in this run.")]
        dimension = int(np.prod(self.shape)) if self.shape else 1
        told = words.likelihood_sentence(_list(train), _list(held), dimension)
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
            return [_absent("No metric was measured.")]
        cells: list[list[Child]] = []
        for metric in rows:
            title = str(metric.get("title") or metric.get("id") or "metric")
            unit = f" ({metric['unit']})" if metric.get("unit") else ""
            note = f" {metric['note']}" if metric.get("note") else ""
            size = (
                f" n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{words.count(metric['n'])}."
                if words.real(metric.get("n"))
                else ""
            )
            name = [title + unit, el("span", words.reading(metric), note, size, cls="note")]
            base: Child = words.number(metric.get("baseline"))
            if metric.get("baseline_name"):
                base = [base, el("span", metric["baseline_name"], cls="note brief")]
            value = words.with_error(metric.get("value"), metric.get("error"))
            arrow = {"lower": "↓", "higher": "↑"}.get(str(metric.get("better") or "lower"), "")
            told = f"{metric.get('better') or 'lower'} is better"
            hint = el("span", arrow, title=told, aria_hidden="true") if arrow else None
            floor = words.with_error(metric.get("floor"), metric.get("floor_error"))
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
            place = words.standing(metric)
            if place is None:
                continue
            span = abs(float(metric["floor"]) - float(metric["baseline"]))
            error = (words.real(metric.get("error")) or 0.0) / span
            placed.append((str(metric.get("title") or metric.get("id")), place, error))
        if not placed:
            return None
        told = words.listing([f"{title} {words.percent(place)}" for title, place, _ in placed])
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
            and any(words.real(r.get(key)) is not None for r in rows)
        ]
        cells = [
            [
                f"{words.setting(row.get('eps'))} ({words.eps_word(row.get('eps'), row.get('chosen'))})",
                str(row.get("method") or "–"),
                words.count(row.get("nfe")),
                words.with_error(row.get("sliced_w2"), row.get("sliced_w2_error")),
                *(_cell(key, row) for key in extra),
            ]
            for row in rows
        ]
        names = [columns.get(key, key.replace("_", " ").capitalize()) for key in extra]
        head = ["ε", "Method", "Network calls", "Sliced W2", *names]
        caption = [self.album.table_label(), "The same model at several noise levels, against held-out data."]
        told = words.eps_sentence(rows)
        grid = table(caption, head, cells, label=f"Noise levels of {self.name}", text=2)
        return [el("p", told) if told else None, grid]

    def eps_choice(self) -> list[Child]:
        """How the noise level was chosen: errors of the fields, what follows from them, and what was tried."""
        choice = _mapping(self.facts.get("eps_choice"))
        tried = [c for c in choice.get("candidates") or [] if isinstance(c, dict)]
        if not tried:
            return []
        schedule = choice.get("schedule")
        panels = []
        if isinstance(schedule, dict):
            times, levels = (np.asarray(schedule[key], dtype=float) for key in ("times", "levels"))
            constant = words.real(choice.get("predicted"))
            alt = f"Noise level of least bound over time, from {levels.min():.3g} to {levels.max():.3g}."
            panels.append(
                self._panel(
                    "eps-choice",
                    alt,
                    lambda theme: figures.noise_levels(times, levels, constant, theme=theme),
                )
            )
        told = el("p", words.eps_choice_sentence(choice))
        cells = [
            [
                f"{candidate.get('name')}{' (chosen)' if candidate.get('name') == choice.get('name') else ''}",
                words.with_error(candidate.get("score"), candidate.get("error")),
                words.with_error(candidate.get("gap"), candidate.get("gap_error")),
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

    def nearest(self) -> list[Child]:
        """Samples beside the training points that are nearest to them."""
        made, near = self.arrays.get("nearest_generated"), self.arrays.get("nearest_training")
        if made is None or near is None or made.shape != near.shape:
            return []
        if words.is_image(list(made.shape[1:])):
            made, near = made[:16], near[:16]
            alt = f"{len(made)} generated images, each above its nearest training image."
            panel = self._panel(
                "nearest",
                alt,
                lambda theme: figures.image_pairs(made, near, ("Sample", "Nearest"), theme=theme),
            )
            caption = (
                "Samples, and below each the training image that is nearest to it. Twins would mean copying."
            )
        else:
            panel = self._panel(
                "nearest",
                "Histogram of the distance from samples to their nearest training point.",
                lambda theme: figures.distances(made, near, theme=theme),
            )
            caption = (
                "Distance of each sample from its nearest training point. A peak at zero would mean copying."
            )
        return [self.album.figure([panel], caption)]

    def checks(self) -> list[Child]:
        """Every check with its verdict."""
        rows = [c for c in self.facts.get("checks") or [] if isinstance(c, dict)]
        if not rows:
            return [_absent("The trained model was not checked in this run.")]
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
                    words.number(check.get("value")),
                    words.limit(check.get("limit")),
                ]
            )
        caption = [
            self.album.table_label(),
            "Self-tests of the trained model. A check passes up to its limit.",
        ]
        head = ["Check", "Verdict", "Value", "Limit"]
        told = el("p", words.checks_sentence(rows))
        return [told, table(caption, head, cells, label=f"Checks of {self.name}", text=2)]

    # --- pieces ------------------------------------------------------------------------------------------

    def _panel(self, name: str, alt: str, draw: Any) -> Markup:
        return self.album.panel(
            f"{self.prefix}-{name}", alt, draw, photo=self.is_image and self.shape[0] == 3
        )

    def _reference(self) -> Array | None:
        """Real data if there are any, else what comes closest: axes and shapes are taken from it."""
        ends = [*self.samples.values(), *by_eps(self.arrays, "one_start").values()]
        ends += [self.arrays[key] for key in ("transport_pairs_x1", "reverse") if key in self.arrays]
        ends += [x[-1] for x in by_eps(self.arrays, "trajectory").values()]
        found = [x for x in (self.real, *ends) if x is not None and x.ndim >= 2]
        return found[0] if found else None

    def _labels(self, name: str) -> Array | None:
        labels = self.arrays.get(name)
        return None if labels is None or labels.ndim != 1 else labels.round().astype(int)

    def _class_name(self, index: int) -> str:
        names = self.facts.get("classes") or []
        return str(names[index]) if isinstance(names, list) and 0 <= index < len(names) else str(index)

    def _single_start(self) -> Array | None:
        """The start of ``one_start``: the first, or the only one, of the starts."""
        start = self.arrays.get("start")
        if start is None or not self.shape:
            return None
        return start.reshape(-1, *self.shape)[0] if start.size % np.prod(self.shape) == 0 else None

    def _axis_names(self) -> tuple[str, str]:
        return self.projection.names if self.projection is not None else ("", "")

    @staticmethod
    def _few(levels: dict[float, Array], most: int = MOST_PANELS) -> dict[float, Array]:
        """At most so many levels, the first and the last among them."""
        keys = list(levels)
        if len(keys) > most:
            picked = np.linspace(0, len(keys) - 1, most).round().astype(int)
            keys = [keys[i] for i in picked]
        return {k: levels[k] for k in keys}

    @staticmethod
    def _ends(levels: dict[float, Array]) -> list[tuple[float, Array]]:
        items = list(levels.items())
        return items if len(items) <= 2 else [items[0], items[-1]]


def _cell(key: str, row: dict[str, Any]) -> str:
    value = words.real(row.get(key))
    if key == "accuracy" and value is not None and 0 <= value <= 1:
        error = words.real(row.get(f"{key}_error"))
        return f"{words.with_error(100 * value, None if error is None else 100 * error)} %"
    return words.with_error(value, row.get(f"{key}_error"))


def _verdict(verdict: Any) -> Markup:
    known = str(verdict) in ("pass", "warn", "fail")
    return el("span", words.verdict_words(verdict), cls=f"verdict {verdict}" if known else "verdict")


def _absent(sentence: str) -> Markup:
    return el("p", sentence, cls="absent")


def _is_absent(body: list[Child]) -> bool:
    """Whether a section only says that there is nothing."""
    return len(body) == 1 and str(body[0]).startswith('<p class="absent"')


def _key(role: str, kind: str, text: str) -> Markup:
    """An entry of a legend: a mark in the figure's colour and its meaning."""
    return el("span", el("i", cls=kind), text, cls=f"key {role}")


def _sub(letter: str, index: str) -> Markup:
    return Markup(el("var", letter) + el("sub", index))


def _spec(value: Any) -> str:
    """A method's settings in one line: ``mlp (width 256, depth 4)``."""
    if not isinstance(value, dict):
        return str(value)
    rest = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items() if k != "kind" and v is not None)
    return f"{value.get('kind', 'network')}{f' ({rest})' if rest else ''}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(values: Array | None) -> list[float]:
    return [] if values is None else [float(v) for v in values.reshape(-1)]


def _first_and_last(weights: Tensor) -> dict[str, NDArray[np.float64]]:
    """Of weights ``(n, *D)`` per coordinate over time, those that rise first, in the middle and last."""
    flat = weights.flatten(1)
    order = flat.mean(0).argsort(descending=True)
    named = {"first": order[0], "middle": order[len(order) // 2], "last": order[-1]}
    return {f"β, {name}": flat[:, place].numpy() for name, place in named.items()}

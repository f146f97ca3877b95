"""Report sections that show samples of a task."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from interpolants.reports import figures, sentences
from interpolants.reports.page import Child, Markup, el
from interpolants.reports.projection import Projection, fit_projection
from interpolants.reports.record import by_eps
from interpolants.reports.style import Theme
from interpolants.reports.view import MOST_PANELS, Array, TaskView, absent

MOST_COLUMNS = 6  # coordinates shown as histograms


class Pictures(TaskView):
    """Samples, single starts, trajectories, transport, neighbours."""

    def sample_section(self) -> list[Child]:
        """Generated beside held-out data."""
        if not self.samples:
            return [absent("No samples were stored, so none are shown.")] if not self.missing else []
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
            title = f"Generated, ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})"
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
        what = f" in rows for {sentences.listing(labels)}" if labels else ""
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
            title = f"Generated, ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})"
            panels.append(self._scatter(f"samples-eps{eps:g}", title, points, box))
        caption = "Held-out data and samples, on the same axes."
        if not projection.is_exact:
            caption += (
                " Shown are the two directions in which real data vary most, with their share of variance."
            )
        return self.album.figure(panels, caption, cell=205)

    def _marginals(self) -> Markup:
        few = dict(list(self._few(self.samples).items())[:2])
        flat = {f"ε = {sentences.setting(eps)}": x.reshape(len(x), -1) for eps, x in few.items()}
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
        alt = f"Histogram of {name}: held-out data and samples at {sentences.listing(list(flat))}."
        return self._panel(
            f"marginal-{i + 1}", alt, lambda theme: figures.marginal(column, generated, name, theme=theme)
        )

    def _scatter(self, name: str, title: str, points: Array, box: figures.Limits, **options: Any) -> Markup:
        axes = self._axis_names()
        alt = f"{title}: scatter of {sentences.count(len(points))} points."
        return self._panel(
            name,
            alt,
            lambda theme: figures.scatter(points, box, title=title, names=axes, theme=theme, **options),
        )

    def one_start(self) -> list[Child]:
        """The same start point at several noise levels: what noise adds."""
        outcomes = by_eps(self.arrays, "one_start")
        if not outcomes:
            return [] if self.missing else [absent("No repeats from one start point were stored.")]
        start = self._single_start()
        opening = (
            "Every sample below starts from the very same point. The ODE (ε = 0) has one answer; the SDE has many, "
            "and more noise forgets the start sooner. The model is the same: ε is chosen after training."
        )
        few = self._few(outcomes)
        panels = self._start_images(few, start) if self.is_image else self._start_points(few, start)
        caption: list[Child] = [
            f"{sentences.count(len(next(iter(few.values()))))} repeats from one start point. "
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
            title = f"ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})"
            panels.append(self._small_grid(f"one-start-eps{eps:g}", title, images[:16], min(4, len(images))))
        return panels

    def _small_grid(self, name: str, title: str, images: Array, columns: int) -> Markup:
        alt = f"{title}: {sentences.count(len(images), 'image')} from one start point."

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
                f"ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})",
                points,
                box,
                context=context,
                marked=mark,
            )
            for eps, points in ends.items()
        ]

    def trajectories(self) -> list[Child]:
        """Trajectories of points, at the smallest and the largest noise."""
        stored = {e: x for e, x in by_eps(self.arrays, "trajectory").items() if x.ndim >= 3 and len(x) > 1}
        if not stored:
            return [] if self.missing else [absent("No trajectories were stored.")]
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
        title = f"ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})"
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
            title = f"ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})"
            alt = f"{title}: {x.shape[1]} trajectories in the plane, from open rings to dots."
            return self._panel(
                f"trajectory-eps{eps:g}",
                alt,
                lambda theme: figures.paths(x, box, context=context, title=title, names=axes, theme=theme),
            )

        return [panel(eps, x) for eps, x in flat.items()]

    def _timelines(self, trajectories: dict[float, Array]) -> list[Markup]:
        def panel(eps: float, x: Array) -> Markup:
            title = f"ε = {sentences.setting(eps)} ({sentences.eps_word(eps)})"
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
            return [] if self.missing else [absent("No transported pairs were stored.")]
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

    def nearest(self) -> list[Child]:
        """Samples beside the training points that are nearest to them."""
        made, near = self.arrays.get("nearest_generated"), self.arrays.get("nearest_training")
        if made is None or near is None or made.shape != near.shape:
            return []
        if sentences.is_image(list(made.shape[1:])):
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


def _key(role: str, kind: str, text: str) -> Markup:
    """An entry of a legend: a mark in the figure's colour and its meaning."""
    return el("span", el("i", cls=kind), text, cls=f"key {role}")

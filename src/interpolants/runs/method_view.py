"""Views of a method that people read: the HTML of notebooks, a figure of its answers, and a report.

``Method.report``, ``Method.plot`` and ``Method._repr_html_`` load this module by its card: it lies above all methods.
"""

import base64
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interpolants.data.arrays import Kind, is_table
from interpolants.foundations.brief import brief
from interpolants.foundations.card_file import Card
from interpolants.foundations.errors import InterpolantsError, MissingExtraError, invalid
from interpolants.foundations.extras import require
from interpolants.foundations.registry import card_of
from interpolants.foundations.storage import write_bytes
from interpolants.framework.answered import Answered
from interpolants.framework.answers import Ensemble
from interpolants.framework.capabilities import NotAbleError, capabilities_of
from interpolants.framework.figures import Axis, Figure, Panel, Series, cloud, strips, tensor
from interpolants.framework.labels import column_names
from interpolants.framework.machine import manifest
from interpolants.framework.method import Method
from interpolants.framework.questions import Question, ask, check_able
from interpolants.framework.role import Role
from interpolants.framework.task import Task
from interpolants.methods.bridge.bridge import Bridge
from interpolants.methods.bridge.examples import held_out_task
from interpolants.methods.questions.series_parts import BANDS, fan
from interpolants.methods.questions.table_columns import TableColumns, marginals
from interpolants.reports.answers_page import write_answers
from interpolants.reports.draw import draw
from interpolants.reports.facts import CellFacts, QuestionFacts, RoleFacts, RunFacts, StageFacts
from interpolants.reports.losses import loss_figure
from interpolants.reports.page import Child, el
from interpolants.reports.pairs import pairs
from interpolants.runs.recipe import TaskTables, make_questions
from interpolants.runs.recipe_run import joined, under
from interpolants.runs.run_facts import model_facts, parameters_of, question_facts

# Question that a report asks by default of a method with each verb.
_QUESTIONS = {
    "sample": "sample_quality",
    "log_prob": "held_out_likelihood",
    "predict": "predictive_scores",
    "forecast": "forecast_quality",
}
# The same for rows with columns of any type: log densities of new dates or rounded numbers are not finite.
_OF_TYPED = {"sample": "column_quality"}
# Rival of the samples of a bridge from noise, which is fitted in 3 to 7 s, and its largest number of columns.
_RIVAL, _RIVAL_COLUMNS = "kernel_interpolant", 100
# Panels of a fan chart, columns and bins of a histogram, and images of a grid.
_CASES, _BINS, _IMAGES, _PER_ROW = 4, 40, 16, 4
# Columns of a table of any types.
_PANELS = 8
_CHANNELS = (1, 3)
# Names of columns that are shown.
_NAMES = 6
# Calls that a notebook lists, by verb.
_CALLS = {
    "sample": "sample(1000, seed=0)",
    "transport": "transport(x)",
    "log_prob": "log_prob(x)",
    "predict": "predict(x)",
    "forecast": "forecast(context)",
    "restore": "restore(observed)",
    "complete": "complete(x)",
    "classify": "classify(x)",
    "vary": "vary(x)",
    "check": "check()",
    "bill": "bill()",
}
_STYLE = "font: 14px/1.5 system-ui, sans-serif; max-width: 60em"
_CELL = "text-align: left; vertical-align: top; padding: 0.1em 1em 0.1em 0"


@dataclass(frozen=True)
class Plot:
    """A figure that notebooks show.

    Attributes:
        figure: Panels of marks with their arrays.
    """

    figure: Figure

    def save(self, file: str | Path, *, dpi: int = 200) -> Path:
        """Write the figure as a PNG file.

        Args:
            file: The file.
            dpi: Resolution. 100 is one pixel per CSS pixel.
        """
        write_bytes(Path(file), draw(self.figure, dpi=dpi))
        return Path(file)

    def _repr_png_(self) -> bytes:
        return draw(self.figure, dpi=200)

    def __repr__(self) -> str:
        return f"Plot({self.figure.name!r}: {self.figure.caption})"


@dataclass(frozen=True)
class MethodView:
    """Views of a method.

    Attributes:
        method: The method, fitted or not.
    """

    method: Method

    @property
    def _card(self) -> Card | None:
        return card_of(type(self.method))

    @property
    def _method(self) -> Any:
        """The method with its verbs, which its class declares."""
        return self.method

    @property
    def _title(self) -> str:
        return self._card.title if self._card is not None else type(self.method).__name__

    @property
    def _is_typed(self) -> bool:
        """Whether rows may have columns of any type, with missing cells."""
        return any(role.typed for role in self.method.roles())

    @property
    def _is_from_noise(self) -> bool:
        """Whether the method is a bridge from Gaussian noise to rows of few columns, fitted to nothing else."""
        method = self.method
        if not isinstance(method, Bridge) or not method.first_path.is_one_sided or {*method.given} != {"x1"}:
            return False
        shape = method.shapes["x1"]
        return len(shape) <= 1 and math.prod(shape) <= _RIVAL_COLUMNS

    # --- figure

    def plot(self, context: Any = None, **options: Any) -> Plot:
        """Draw samples or forecasts of the fitted method; see ``Method.plot``."""
        caller = f"{type(self.method).__name__}.plot"
        if not self.method.is_fitted:
            raise invalid(
                caller, f"the {self.method.noun} must be fitted", "one that is not", "Call fit first."
            )
        if context is not None:
            forecast = self._method.forecast(context, **{"seed": 0, **options})
            return Plot(_fans(forecast, int(options.get("steps", 1)), caller))
        if self.method.can("sample"):
            sample = capabilities_of(type(self.method))["sample"]
            n = options.pop("n", _IMAGES if len(self.method.shapes.get("x1", ())) == 3 else 500)
            truth = options.pop("truth", None)
            samples = self._method.sample(n, **{"seed": 0, **options})
            if self._is_typed and is_table(samples):
                return Plot(_columns(samples, truth, caller))
            return Plot(_samples(samples, self.method.columns(sample.source(sample.like)), caller, truth))
        figure = self.losses()
        if figure is None:
            verbs = ", ".join(verb for verb, reason in self.method.capabilities().items() if not reason)
            remedy = "Pass context= to draw forecasts." if self.method.can("forecast") else f"It can {verbs}."
            raise NotAbleError(
                f"{caller}: the {self.method.noun} draws no samples and logged no losses. {remedy}"
            )
        return Plot(figure)

    def losses(self) -> Figure | None:
        """Return the losses of the fit; None if none were logged."""
        return loss_figure(list(self._stages()))

    def _stages(self) -> Iterator[StageFacts]:
        validation = self.method.about.get("validation", {})
        for name, rows in self.method.about.get("history", {}).items():
            yield StageFacts(name=name, history=rows, held_out=validation.get(name, {}).get("rows", ()))

    # --- questions

    def ask(self, question: Any, task: Any, rivals: Sequence[Any], settings: Mapping[str, Any]) -> Answered:
        """Put a question to the fitted method; see ``Method.ask``."""
        caller = f"{type(self.method).__name__}.ask"
        if not self.method.is_fitted:
            raise invalid(
                caller, f"the {self.method.noun} must be fitted", "one that is not", "Call fit first."
            )
        if task is None and isinstance(self.method, Bridge):
            task = held_out_task(self.method)
        if not isinstance(task, Task):
            remedy = "Pass task=Task.of(method.roles(), values), which was fitted by task.fit(method)."
            raise invalid(caller, "task must be the task of the fit", repr(task), remedy)
        if isinstance(question, Question):
            if settings:
                rule = "a question that is an object has its own settings"
                raise invalid(caller, rule, ", ".join(settings), "Pass the name of the question.")
            return ask(question, self.method, task, rivals)
        table = {**_as_table(question), **settings}
        if rivals:
            table["rivals"] = [*table.get("rivals", ()), *rivals]
        named = [rival for rival in table.get("rivals", ()) if not isinstance(rival, Method)]
        ((_, parsed, _),) = make_questions(TaskTables(ask=[{**table, "rivals": named}]), caller)
        return ask(parsed, self.method, task, table.get("rivals", ()))

    # --- notebooks

    def html(self) -> str:
        """Return the view of a notebook: what the method is, its settings and data, losses, and calls."""
        method = self.method
        state = "fitted" if method.is_fitted else "not fitted"
        rows = [
            ("Settings that differ from the defaults", self._settings() or "none"),
            ("Roles", [el("div", line) for line in self._roles()]),
        ]
        if method.is_fitted:
            size = sum(p.numel() for p in {id(p): p for p in parameters_of(method.state)}.values())
            rows += [("Parameters", f"{size:,}")] if size else []
        rows.append(("Next", [el("div", el("code", call)) for call in self._calls()]))
        cells = [el("tr", el("th", name, style=_CELL), el("td", value, style=_CELL)) for name, value in rows]
        head = el("div", el("b", self._title), f" ({type(method).__name__}, {state})")
        opening = model_facts(method, self._card, {}).opening
        table = el("table", el("tbody", cells), style="font: inherit; border-collapse: collapse")
        return str(el("div", head, el("div", opening), table, self._picture(), style=_STYLE))

    def _settings(self) -> list[Child]:
        chosen = {**self.method.chosen_params(), **self.method.about.get("settings", {})}
        return [el("div", el("code", f"{name} = {brief(value)}")) for name, value in chosen.items()]

    def _roles(self) -> list[list[Child]]:
        """Return a line per role of the fit, or per role that the fit reads."""
        if self.method.is_fitted:
            return [_fitted_role(summary) for summary in role_facts(self.method)]
        return [_read_role(role) for role in self.method.roles()]

    def _calls(self) -> list[str]:
        method = self.method
        if not method.is_fitted:
            names = [role.name for role in method.roles() if not role.optional]
            return [f"method.fit({', '.join(f'{name}={name}' for name in names)})"]
        calls = [_CALLS[verb] for verb, why in method.capabilities().items() if not why and verb in _CALLS]
        return [f"method.{call}" for call in [*calls, "plot()", "report('folder')", "save('folder')"]]

    def _picture(self) -> Child:
        """Return the losses of the fit as an image, if there are any and matplotlib is installed."""
        figure = self.losses() if self.method.is_fitted else None
        if figure is None:
            return None
        try:
            png = base64.b64encode(draw(figure, dpi=150)).decode()
        except MissingExtraError:
            return None
        source = f"data:image/png;base64,{png}"
        return el("img", src=source, alt="Losses of the fit", style="max-width: 30em; width: 100%")

    # --- report

    def report(
        self, folder: str | Path, task: Task | None = None, questions: Sequence[Any] | None = None
    ) -> Path:
        """Write a report page; see ``Method.report``."""
        caller = f"{type(self.method).__name__}.report"
        if not self.method.is_fitted:
            raise invalid(
                caller, f"the {self.method.noun} must be fitted", "one that is not", "Call fit first."
            )
        if questions and task is None:
            remedy = "Pass task=Task.of(method.roles(), values), which was fitted by task.fit(method)."
            raise invalid(caller, "questions require a task with test rows", "task=None", remedy)
        require("matplotlib", by=caller)
        started = manifest()
        answers = self._answers(task, questions)
        has_columns = any(figure.name == "marginals" for answer in answers for figure in answer.figures)
        cell = CellFacts(
            task="main",
            title=self._title,
            model=model_facts(self.method, self._card, self.method.chosen_params()),
            seed=self.method.seed,
            data=role_facts(self.method, task),
            stages=list(self._stages()),
            questions=[*([] if has_columns else self._samples()), *answers],
            missing=[]
            if task is not None
            else ["Nothing was measured: the report had no task with test rows."],
        )
        Path(folder).mkdir(parents=True, exist_ok=True)
        names = {"python": "python", "torch": "torch", "numpy": "numpy", "library": "interpolants"}
        summary = RunFacts(
            title=self._title,
            cells=[cell],
            seed=self.method.seed,
            command=self._code(),
            versions={name: str(started[key]) for key, name in names.items()},
            machine=platform.processor() or platform.machine(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        return write_answers(folder, summary)

    def _code(self) -> str:
        settings = ", ".join(f"{name}={brief(value)}" for name, value in self.method.chosen_params().items())
        roles = ", ".join(f"{name}={name}" for name in self.method.given)
        return f"{type(self.method).__name__}({settings}).fit({roles})"

    def _samples(self) -> list[QuestionFacts]:
        """Return the figure of samples; none for methods that draw no samples without more arguments."""
        if not self.method.can("sample"):
            return []
        try:
            figure = self.plot().figure
        except InterpolantsError:  # a condition is required, or rows have no picture
            return []
        title = "Samples of the fitted method"
        return [QuestionFacts(name="samples", title=title, figures=[figure], front=(figure.name,))]

    def _answers(self, task: Task | None, questions: Sequence[Any] | None) -> list[QuestionFacts]:
        if task is None:
            return []
        tables = (
            self._default_questions(task)
            if questions is None
            else [_as_table(question) for question in questions]
        )
        kind = self._card.id if self._card is not None else type(self.method).__name__
        tables_of_task = TaskTables(method={"kind": kind}, ask=tables)
        parts = [
            under(name, ask(question, self.method, task, rivals))
            for name, question, rivals in make_questions(tables_of_task, "report")
        ]
        answered = joined(parts) if parts else Answered()
        return [question_facts(tables_of_task, table, answered) for table in tables]

    def _default_questions(self, task: Task) -> list[dict[str, Any]]:
        """Return the questions by verb that this method and this task can answer."""
        names = _OF_TYPED if self._is_typed else _QUESTIONS
        tables: list[dict[str, Any]] = [
            {"question": name} for verb, name in names.items() if self.method.can(verb)
        ]
        if self._is_from_noise:
            tables = [
                {**table, "rivals": [_RIVAL]} if table["question"] == "sample_quality" else table
                for table in tables
            ]
        able = []
        for table in tables:
            ((_, question, _),) = make_questions(TaskTables(ask=[table]), "report")
            required = [role.name for role in question.reads() if not role.optional]
            try:
                check_able(question, self.method)
            except NotAbleError:
                continue
            if all(role in task.values or role in task.truths for role in required):
                able.append(table)
        return able


def _as_table(question: Any) -> dict[str, Any]:
    return {"question": question} if isinstance(question, str) else dict(question)


def _fitted_role(summary: RoleFacts) -> list[Child]:
    n_rows = summary.rows.get("train")
    parts = ["" if n_rows is None else f"{n_rows:,} rows", summary.shape, summary.name]
    return [el("code", summary.role), ": ", ", ".join(part for part in parts if part)]


def _read_role(role: Role) -> list[Child]:
    optional = " (optional)" if role.optional else ""
    return [el("code", role.name), f"{optional}: {role.about}" if role.about else optional]


def role_facts(method: Method, task: Task | None = None) -> list[RoleFacts]:
    """Return the data of each role of a fit.

    Args:
        method: The fitted method.
        task: The task that it was fitted on, with the numbers of held-out and test rows.
    """
    about = {role.name: role.about for role in method.roles()}
    return [
        RoleFacts(
            role=name,
            name=_container(kind),
            about=about.get(name, ""),
            shape=f"shape {tuple(method.shapes[name])}" if name in method.shapes else "",
            rows=_rows_by_part(method, name, task),
        )
        for name, kind in method.given.items()
    ]


def _container(kind: Kind) -> str:
    """Return the container of a role, with the first names of its columns."""
    columns = [] if kind.container == "xarray" else [str(column) for column in column_names(kind)]
    if not columns:
        return kind.container
    return f"{kind.container} with columns {', '.join(columns[:_NAMES])}" + (
        ", ..." if columns[_NAMES:] else ""
    )


def _rows_by_part(method: Method, name: str, task: Task | None) -> dict[str, int]:
    if task is not None and name in task.axes:
        return {part: len(index) for part, index in task.rows[task.axes[name]].items()}
    rows = method.about.get("rows", {})
    return {"train": rows[name]} if name in rows else {}


# --- figures


def _samples(samples: Any, columns: Sequence[str], caller: str, truth: Any = None) -> Figure:
    x = tensor(np.array(samples) if hasattr(samples, "to_numpy") else samples)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim == 4 and x.shape[1] in _CHANNELS:
        return _grid(x)
    if x.ndim != 2:
        shapes = "rows (N, D), or images (N, 1, H, W) or (N, 3, H, W)"
        raise NotAbleError(f"{caller}: samples must be {shapes}, got {tuple(x.shape)}.")
    names = [*columns] if len(columns) == x.shape[1] else [f"column {k + 1}" for k in range(x.shape[1])]
    caption = f"{len(x):,} samples of the fitted method"
    if truth is not None or x.shape[1] > 2:
        return pairs(x, names, caption, None if truth is None else _row(truth, x.shape[1], caller))
    if x.shape[1] == 1:
        counts, edges = np.histogram(x[:, 0].numpy(), bins=_BINS)
        series = Series(mark="histogram", arrays={"edges": edges, "counts": counts})
        panel = Panel(series=(series,), x=Axis(label=names[0]), y=Axis(label="count"))
        return Figure(name="samples", panels=(panel,), caption=f"{caption}.", width=420, height=280)
    panel = Panel(series=(cloud(x, size=4),), x=Axis(label=names[0]), y=Axis(label=names[1]))
    return Figure(name="samples", panels=(panel,), caption=f"{caption}.", width=420, height=360)


def _columns(samples: Any, truth: Any, caller: str) -> Figure:
    """Distributions of the first columns of a table of any types."""
    if truth is not None:
        raise invalid(caller, "truth must be omitted for a table", type(truth).__name__)
    columns = TableColumns.of_table(samples)
    index = range(min(_PANELS, len(columns.names)))
    caption = f"{len(samples):,} samples of the fitted method"
    if len(index) < len(columns.names):
        caption += f"; the first {len(index)} of {len(columns.names)} columns"
    codes = columns.code(samples)[:, : len(index)]
    return marginals(columns.of_columns(index), {"samples": codes}, f"{caption}.")


def _row(truth: Any, columns: int, caller: str) -> Tensor:
    """Values to mark, one per column."""
    row = tensor(np.asarray(truth, dtype=np.float64)).reshape(-1)
    if len(row) != columns or not bool(row.isfinite().all()):
        raise invalid(caller, f"truth must have {columns} finite numbers, one per column", row.tolist())
    return row


def _grid(x: Tensor) -> Figure:
    """Return images ``(N, C, H, W)`` in rows of four, on one scale of grey or colour."""
    images = x[:_IMAGES].double()
    low, high = float(images.min()), float(images.max())
    images = images.permute(0, 2, 3, 1) if x.shape[1] > 1 else images[:, 0]
    if x.shape[1] > 1:  # colours have no scale: they must lie in [0, 1]
        images = (images - low) / ((high - low) or 1.0)
        low, high = 0.0, 1.0
    columns = min(_PER_ROW, len(images))
    full = images[: len(images) // columns * columns]
    panel = strips([full[k : k + columns] for k in range(0, len(full), columns)], low=low, high=high)
    caption = f"{len(full)} samples of the fitted method, from the smallest to the largest value."
    return Figure(name="samples", panels=(panel,), caption=caption, width=360, height=360)


def _fans(answer: Any, steps: int, caller: str) -> Figure:
    """Return fan charts of the first column of an ensemble over time, one panel per case."""
    if not isinstance(answer, Ensemble):
        raise NotAbleError(f"{caller}: forecast must return an ensemble, got {type(answer).__name__}.")
    x = answer.x.detach().cpu().double()
    # Without names of axes, only the requested number of steps shows that the third axis is time.
    over_time = answer.dims[:1] == ("time",) or (not answer.dims and x.ndim > 2 and x.shape[2] == steps)
    if not over_time or x.shape[2] < 2:
        rule = "a fan chart requires forecasts of several steps"
        raise invalid(caller, rule, f"members {tuple(x.shape)}", "For example, pass steps=12.")
    path = x.flatten(3)[..., 0] if x.ndim > 3 else x
    column = str(answer.columns[0]) if answer.columns else "value"
    levels = torch.tensor(BANDS, dtype=torch.float64)
    panels = tuple(
        Panel(
            series=fan(members.quantile(levels, 0), members.new_zeros(0))[:3],
            title=f"case {case + 1}" if len(path) > 1 else "",
            x=Axis(label="steps ahead"),
            y=Axis(label=column),
            legend="below",
        )
        for case, members in enumerate(path[:_CASES])
    )
    columns = min(len(panels), 2)
    height = 280.0 * -(-len(panels) // columns)
    caption = f"Median, and central intervals of 50 % and 90 %, of {path.shape[1]} members."
    return Figure(
        name="forecast", panels=panels, caption=caption, columns=columns, width=420.0 * columns, height=height
    )

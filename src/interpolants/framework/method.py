"""A method: settings that are checked once, roles, ``learn``, and a state that is all it knows afterwards.

A member writes its fields (the settings), ``roles()``, ``learn(data, run) -> state`` and its capabilities::

    class Ridge(Method):
        penalty: float = 1.0

        def roles(self):
            return Role(name="x"), Role(name="y")

        def learn(self, data, run):
            x, y = data["x"], data["y"]
            return {"w": torch.linalg.solve(x.T @ x + self.penalty * torch.eye(x.shape[1]), x.T @ y)}

        @capability(like="y")
        def predict(self, x):
            return x @ self.state["w"]

From these follow ``fit``, ``get_params``, ``set_params``, ``clone``, ``save``, ``load`` and the commands. ``learn``
runs on a clone: a fit that is refused or interrupted changes nothing.
"""

import dataclasses
import html
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from interpolants.data.arrays import Kind as Given
from interpolants.data.endless import EndlessRows
from interpolants.foundations import trees
from interpolants.foundations.asked import asking
from interpolants.foundations.brief import brief
from interpolants.foundations.devices import choose_device, moved, on_device, working_on
from interpolants.foundations.errors import InterpolantsError, InvalidInputError, invalid
from interpolants.foundations.kinds import Check, is_answer
from interpolants.foundations.links import refuse_link
from interpolants.foundations.model_addresses import is_elsewhere, local_folder
from interpolants.foundations.randomness import checked_seed, generator
from interpolants.foundations.registry import find_card
from interpolants.foundations.row_access import LazyRows
from interpolants.foundations.shared_memory import apart, lay_out_rows_first
from interpolants.foundations.size_guard import SmallTensors
from interpolants.foundations.trees import MissingCode
from interpolants.foundations.version import __version__
from interpolants.framework.capabilities import capabilities_of, take_settings
from interpolants.framework.code_probes import code_answers
from interpolants.framework.copied_rows import held_copies
from interpolants.framework.far_values import Measured, spread_of
from interpolants.framework.few_rows import fewest_rows, warn_if_by_heart
from interpolants.framework.model_card import card_to_keep, model_card
from interpolants.framework.remote_models import save_remotely
from interpolants.framework.role import Role, kind_of
from interpolants.framework.roles import count, memory_of, named, read, without_index
from interpolants.framework.scikit_learn import feature_names, mean_log_prob, n_features, tags_of
from interpolants.framework.settings import Settings, settings_of
from interpolants.framework.stages import Ended, Run, Watch, best_weights, thinned

_LEARNT = ("state", "given", "shapes", "about")
_FIT_OPTIONS = ("held", "out", "resume", "warm_start", "progress", "watch", "validate", "callbacks")
MODEL = "model"


@dataclasses.dataclass(frozen=True)
class _Training:
    """Final training state of a fit, and a digest of its data."""

    digest: str
    ended: Mapping[str, Ended]

    @classmethod
    def of(cls, data: Mapping[str, Any], ended: Mapping[str, Ended]) -> Self:
        """Return the record of a fit; the data are read only if a training can be continued."""
        return cls(trees.digest(dict(data)) if ended else "", ended)


class Method(Settings):
    """Base class of everything that is fitted and then answers requests.

    Args:
        seed: All randomness of the fit follows from it; >= 0.
        device: Where it learns and answers: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU where there is one. Random
            numbers are drawn on the CPU whatever the device, so that streams do not depend on it; roundings do.

    Attributes:
        state: Learnt state, a tree as :mod:`interpolants.foundations.trees` takes it; None before ``fit``.
        given: How each role came to ``fit``.
        shapes: Event shape of each role of rows.
        about: History of the fit by stage, settings for that fit alone, number of rows by role, the hashes of fitted
            methods that it read, what was validated, and by axis how many held-out rows are copies of rows that were
            learnt from.
    """

    seed: Annotated[int, Check(checked_seed, "whole number >= 0", {"type": "integer", "minimum": 0})] = 0
    device: str = "cpu"

    # Settings that may differ between a fit and its continuation.
    free: ClassVar[tuple[str, ...]] = ()
    # Settings of answers only: no fit depends on them, and the learnt state stays when they change. Those whose kind is
    # an `Answer` are added.
    answering: ClassVar[tuple[str, ...]] = ()
    # Settings that a single fit may replace: fit(x1=..., steps=100).
    per_fit: ClassVar[tuple[str, ...]] = ()
    # Why it works on the CPU alone; empty where it works on any device.
    only_cpu: ClassVar[str] = ""
    # Whether a network learns its rows one by one, so that few of them are learnt by heart.
    learns_rows: ClassVar[bool] = True
    # What people call it in messages.
    noun: ClassVar[str] = "method"

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        answers = {f.name: f.type for f in settings_of(cls) if is_answer(f.type)}
        cls.answering = tuple(dict.fromkeys((*cls.answering, *answers)))
        take_settings(cls, answers)

    def __post_init__(self) -> None:
        self.state: Any = None
        self.given: dict[str, Given] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.about: dict[str, Any] = {}
        # What a longer training needs: of this process alone, and in no file.
        self._training: _Training | None = None
        self._place = self._placed(type(self).__name__, self.device)
        super().__post_init__()

    # --- what a member writes

    def roles(self) -> tuple[Role, ...]:
        """Roles that ``fit`` reads, with these settings."""
        raise NotImplementedError

    def answers_without(self, role: str) -> bool:
        """Whether it was also taught to answer without a condition that it was fitted with."""
        return False

    def learn(self, data: dict[str, Any], run: Run) -> Any:
        """The state that follows from the data; what takes time goes through the run."""
        raise NotImplementedError

    def cannot(self, verb: str) -> str:
        """Why a capability is not there with these settings or data; empty where it is."""
        return ""

    def caveat(self, verb: str) -> str:
        """Caveat about the answers of a capability, shown in reports; empty without a caveat."""
        return ""

    def likened(self, verb: str, argument: str, options: Mapping[str, Any]) -> str:
        """The role of the fit in whose units an argument is: values far from all of that role's issue a warning.

        That which the argument is like; points that are carried start at the end x0, or at x1 in reverse. A method
        whose argument may be of any size gives an empty name.

        Args:
            verb: The capability.
            argument: Its argument.
            options: The other arguments.
        """
        source = capabilities_of(type(self))[verb].source(argument)
        carried = verb == "transport" and source == "x1" and any(role.name == "x0" for role in self.roles())
        return "x0" if carried and not options.get("reverse") else source

    def completed_request(
        self, verb: str, values: dict[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Values of a request, before they are read, with what callers may omit: the column to predict.

        Args:
            verb: The capability.
            values: Values of the roles, by argument.
            options: The other arguments.
        """
        return values

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a role, or of an answer, where they are known; a table may have them in any order.

        Those of a table that was given to ``fit``. A method whose problem fixes them returns them here.
        """
        given = self.given.get(name)
        return given.headings if given is not None and given.container == "pandas" else ()

    def probe(self) -> Tensor | None:
        """Answers at fixed points, for methods that hold code of a user: compared when it is passed again.

        A method that answers some verbs without the code gives None where the code is missing.
        """
        return None

    def set_params(self, **changes: Any) -> Self:
        """Change settings, all or none; the method must be fitted again afterwards, unless they are of answers alone.

        Raises:
            InvalidInputError: If a name is unknown (the nearest is named), or a setting is refused.
        """
        if changes.keys() == {"device"}:
            return self.to(changes["device"])
        learnt = self.learnt() if changes.keys() <= set(self.answering) else None
        super().set_params(**changes)
        return self if learnt is None else self.take_over(learnt)

    # --- the device

    def to(self, device: str) -> Self:
        """Move the method, with all that it learnt, to a device; see the setting ``device``.

        Args:
            device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"auto"``.

        Raises:
            InvalidInputError: If there is no such device.
        """
        place = self._placed(f"{type(self).__name__}.to", device)
        training = self._training
        self.__dict__.update(moved({**vars(self), "_training": None}, place))
        self._training = training
        self._settle(str(device), place)
        for method in _methods_in(self.state):
            method._settle(str(device), place)
        return self

    def _settle(self, device: str, place: torch.device) -> None:
        self._asks("device", device)
        self._place = place

    def _placed(self, who: str, asked: object) -> torch.device:
        """The device of a name; ``"auto"`` is the CPU for what works there alone."""
        place = choose_device(who, "cpu" if asked == "auto" and self.only_cpu else asked)
        if self.only_cpu and place.type != "cpu":
            raise invalid(who, f"device must be 'cpu': {self.only_cpu}", repr(asked), "Use 'cpu' or 'auto'.")
        return place

    @property
    def place(self) -> torch.device:
        """The device on which it works."""
        return self._place

    # --- fit

    def fit(self, *args: Any, **given: Any) -> Self:
        """Learn from the roles, in their order or by name. A fit that is refused or interrupted changes nothing.

        Args:
            args: Values of the roles, in their order; trailing None are dropped, as in ``fit(X, None)``.
            given: Values of roles by name; settings for this fit alone; and the options of :meth:`fit_roles`:
                ``held``, ``out``, ``resume``, ``progress``, ...

        Returns:
            The method itself, fitted.

        Raises:
            InvalidInputError: If a value is missing, unknown, or does not fit.
            InterruptedFitError: If a signal stopped the fit; a ``KeyboardInterrupt`` too.
        """
        while args and args[-1] is None:
            args = args[:-1]
        settings = {name: given.pop(name) for name in list(given) if name in self.per_fit}
        options = {name: given.pop(name) for name in list(given) if name in _FIT_OPTIONS}
        who, known = f"{type(self).__name__}.fit", (*_FIT_OPTIONS, *self.per_fit)
        with asking(who):
            return self.fit_roles(named(self.roles(), args, given, who, known), settings=settings, **options)

    def fit_roles(
        self,
        values: Mapping[str, Any],
        *,
        held: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        warm_start: bool = False,
        progress: bool = False,
        settings: Mapping[str, Any] | None = None,
        watch: Watch | None = None,
        **options: Any,
    ) -> Self:
        """:meth:`fit` for programs: all values in one mapping.

        Args:
            values: Values by role.
            held: Values of the same roles that must not be learnt from: to stop by, to choose by, or only to watch.
            out: Folder for checkpoints.
            resume: Continue from the checkpoints in ``out``; pass the same data and settings.
            warm_start: Train a fitted method longer, for ``steps`` more steps, on the data of its fit: weights, their
                averages and optimizer continue. With a constant learning rate 1000 steps and 1000 more end with the
                bits of 2000; a cosine schedule has ended, and is restarted.
            progress: Show progress bars.
            settings: Settings for this fit only; None among them is as if not given.
            watch: Called as ``watch(stage, k, steps)`` after every step.
            options: Further arguments of :func:`interpolants.training.fit` for every gradient stage.
        """
        who, roles = f"{type(self).__name__}.fit", self.roles()
        source = generator(self.seed, "distribution given as data")
        data, given = read(roles, named(roles, (), values, who), who, source=source)
        given = _with_spreads(roles, data, given)
        run = Run(self.seed, None if out is None else Path(out), resume, progress, watch, options=options)
        run.densities = {n: v for n, v in values.items() if callable(getattr(v, "log_prob", None))}
        if held is not None and not isinstance(held, Mapping):
            raise invalid(
                who,
                "held must be a dict of roles",
                type(held).__name__,
                "For example, pass held={'x1': rows}.",
            )
        if held is not None:
            asked = named(roles, (), held, f"{who} (held)")
            run.held = read(roles, asked, f"{who} (held)", before=given, source=source)[0]
        copied = held_copies(roles, data, run.held, who)
        if warm_start:
            run.before = self._trained_on(data, who)
        run.ended = {}
        run.few = partial(self._tell_few, who, fewest_rows(roles, data))
        changed = {name: value for name, value in (settings or {}).items() if value is not None}
        learner = self.clone().set_params(**changed)
        learner.given, learner.shapes = without_index(given), _shapes(data)
        with run.locked(who):
            code = {} if out is None else code_answers(learner.identity(), data)
            run.open({**learner.identity(), "data": data, "held": dict(run.held)}, code)
            run.held = on_device(dict(run.held), self.place)
            with working_on(self.place):
                state = learner.learn(on_device(data, self.place), run)
        state = apart(state, memory_of(roles, data, run.held))
        lay_out_rows_first(state)
        training = _Training.of(data, run.can_go_on())
        models = {name: value for name, value in data.items() if isinstance(value, Method)}
        parents = {name: trees.fingerprint(model.learnt()) for name, model in models.items()}
        about = {"history": thinned(run.history), "settings": changed, "parents": parents}
        about["rows"] = _row_counts(roles, data)
        if run.validation:
            about["validation"] = run.validation
        if copied:
            about["held_copies"] = copied
        self.take_over({"state": state, "given": learner.given, "shapes": learner.shapes, "about": about})
        self._training = training
        return self

    def _tell_few(self, who: str, rows: int | None, steps: int) -> None:
        """Warn of few rows, unless few rows are fine or the number of held-out rows was set."""
        aside = self.params().get("held_out")
        if self.learns_rows and aside in (None, "auto"):
            warn_if_by_heart(who, rows, steps, asked=aside == "auto")

    def forget_training(self) -> Self:
        """Free what ``warm_start`` needs: weights, averages and the state of the optimizer."""
        self._training = None
        return self

    def _trained_on(self, data: Mapping[str, Any], who: str) -> Mapping[str, Ended]:
        """Return the training to continue.

        Raises:
            InvalidInputError: If there is no training, or it was on different data, whose units would differ.
        """
        if self._training is None or not self._training.ended:
            remedy = "Fit it again with more steps. To continue a run: interpolants train --resume RUN --more STEPS."
            found = (
                "a method of several stages" if self._training else "one that was not fitted in this process"
            )
            raise invalid(who, f"warm_start needs a {self.noun} of one training, fitted here", found, remedy)
        if trees.digest(dict(data)) != self._training.digest:
            remedy = "Pass the data of the fit again, or fit without warm_start."
            raise invalid(who, "warm_start must continue with the same data", "other data", remedy)
        return self._training.ended

    def read_like_fit(self, what: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of roles in canonical form, checked as those of the fit were; None for what is not given.

        Args:
            what: Name of the function that asks, for errors.
            values: Values by role.
        """
        who = f"{type(self).__name__}.{what}"
        if not self.is_fitted:
            raise invalid(who, f"the {self.noun} must be fitted", "one that is not", "Call fit first.")
        roles = [role for role in self.roles() if values.get(role.name) is not None or not role.optional]
        return read(roles, values, who, before=self.given)[0]

    def identity(self) -> dict[str, Any]:
        """Settings that determine the result of a fit on the same data."""
        open_ended = (*self.free, *self.answering)
        fixed = {n: value for n, value in self.params().items() if n not in (*open_ended, "device")}
        return {**fixed, "library": __version__}

    @property
    def is_fitted(self) -> bool:
        """Whether there is a state."""
        return self.state is not None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Logged rows of the first stage that has some."""
        return next((rows for rows in self.about.get("history", {}).values() if rows), [])

    def fitted_state(self, what: str) -> Any:
        """Return the state for requests outside of a capability, such as ``fields``.

        Raises:
            InvalidInputError: If the method is not fitted.
        """
        if not self.is_fitted:
            who, roles = f"{type(self).__name__}.{what}", ", ".join(role.name for role in self.roles())
            raise invalid(
                who, f"the {self.noun} must be fitted", "one that is not", f"Call fit({roles}) first."
            )
        return self.state

    def learnt(self) -> dict[str, Any]:
        """Return everything but the settings."""
        return {name: getattr(self, name) for name in _LEARNT}

    def take_over(self, learnt: Mapping[str, Any]) -> Self:
        """Set a state that was learnt elsewhere."""
        for name in _LEARNT:
            setattr(self, name, learnt[name])
        self._training = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Pickles are for answers in other processes: what a longer training needs stays here."""
        return {**vars(self), "_training": None}

    # --- capabilities

    def capabilities(self) -> dict[str, str]:
        """Verb -> empty, or why it is not there with these settings."""
        return {verb: self.cannot(verb) for verb in capabilities_of(type(self))}

    def can(self, verb: str) -> bool:
        """Whether this instance has a capability."""
        return verb in capabilities_of(type(self)) and not self.cannot(verb)

    # --- views for people

    def report(
        self,
        folder: str | Path,
        task: Any = None,
        *,
        questions: Sequence[str | Mapping[str, Any]] | None = None,
    ) -> Path:
        """Write ``report.html`` to a folder: the method, its data, its training, samples, and what a task measures.

        ::

            task = Task.of(method.roles(), {"x1": x1})
            task.fit(method)
            method.report("reports/mine", task, questions=[{"question": "sample_quality", "rivals": ["gaussian_fit"]}])

        Args:
            folder: The folder, which is created. An older report in it is replaced.
            task: The task of the fit (:class:`interpolants.framework.task.Task`), whose test rows are used. Without a
                task nothing is measured.
            questions: Names or tables of questions, as ``[[ask]]`` of a recipe. By default, one question per verb; a
                bridge from noise to rows of at most 100 columns is compared with ``kernel_interpolant``.

        Returns:
            The file.

        Raises:
            InvalidInputError: If the method is not fitted, or questions are passed without a task.
            MissingExtraError: If matplotlib is not installed.
        """
        page: Path = self._view().report(folder, task, questions)
        return page

    def ask(self, question: Any, task: Any = None, rivals: Sequence[Any] = (), **settings: Any) -> Any:
        """Put a question to the fitted method, and to rivals, on the test rows of a task.

        ::

            task = Task.of(method.roles(), {"x1": x1})
            task.fit(method)
            print(method.ask("sample_quality", task, rivals=["gaussian_fit"], n=1000)["energy_distance"])

        Args:
            question: The name of a question, a table as in ``[[ask]]`` of a recipe, or a ``Question``.
            task: The task of the fit (:class:`interpolants.framework.task.Task`). If None, the rows
                that the fit of a ``Bridge`` held out are the test rows.
            rivals: Names or tables of methods, fitted methods, or ``{"twin": {settings}}`` for the method itself with
                other settings. Unfitted rivals are fitted on the training rows.
            settings: Settings of the question.

        Returns:
            The scores next to floor and rivals, and the figures, as ``framework.answered.Answered``.

        Raises:
            InvalidInputError: If the method is not fitted, or the question or a setting is unknown.
            NotAbleError: If the method cannot answer, with the reason.
        """
        return self._view().ask(question, task, rivals, settings)

    def plot(self, context: Any = None, **options: Any) -> Any:
        """Draw samples, or forecasts as fan charts. Notebooks show the figure; ``plot().save("x.png")`` writes it.

        Samples of one column are a histogram, of two a scatter plot, of more a pair plot of at most six; samples of
        images are a grid. Methods that draw no samples show the losses of their fit.

        Args:
            context: Context of a forecast; None for samples.
            options: Options of ``forecast`` or ``sample``, such as ``n``, ``cond``, ``steps`` and ``seed`` (default 0);
                and ``truth``, values of the columns that a pair plot marks.

        Raises:
            InvalidInputError: If the method is not fitted, or an option does not match.
            NotAbleError: If there is nothing to draw.
            MissingExtraError: If matplotlib is not installed.
        """
        return self._view().plot(context, **options)

    def _repr_html_(self) -> str:
        try:
            text: str = self._view().html()
        except Exception:  # noqa: BLE001 - a notebook must show a method whose code or card is missing
            return f"<pre>{html.escape(repr(self))}</pre>"
        return text

    def _view(self) -> Any:
        # Views lie above methods: the card names them.
        view: Any = find_card("method_view", "function", "view").load_entry()
        return view(self)

    # --- scikit-learn

    def score(self, x: Any, y: Any = None, **options: Any) -> float:
        """Mean log density of rows, in nats per row; higher is better, as ``GaussianMixture.score`` of scikit-learn.

        The density is ``p(x)`` for methods with ``log_prob``, ``p(x | y)`` after a fit with conditions, and
        ``p(y | x)`` for methods with ``predict``. It is in the units of ``x``: rows that a ``Pipeline`` has scaled have
        another density, and scores are comparable on one scale only.

        Args:
            x: Rows ``(N, *D)``, with the columns of the fit.
            y: Condition or target of each row; None for neither.
            options: Options of ``log_prob`` or ``predict``.

        Raises:
            NotAbleError: If the method has no density, with the reason.
            InvalidInputError: If there are no rows, or ``y`` does not match the fit.
        """
        return mean_log_prob(self, x, y, options)

    @property
    def n_features_in_(self) -> int:
        """Number of columns of the fit, if rows are vectors."""
        return n_features(self)

    @property
    def feature_names_in_(self) -> Any:
        """Names of the columns of the fit, if it had a table."""
        return feature_names(self)

    def __sklearn_tags__(self) -> Any:
        return tags_of(self)

    def __sklearn_clone__(self) -> Self:
        return self.clone()

    def __sklearn_is_fitted__(self) -> bool:
        return self.is_fitted

    # --- storage

    def to_parts(self) -> dict[str, Any]:
        """Return the parts from which an equal method can be rebuilt."""
        settings = {name: value for name, value in self.params().items() if name != "device"}
        return {"settings": settings, **self.learnt()}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Self:
        """Rebuild a method from the result of :meth:`to_parts`."""
        try:
            made = cls(**parts["settings"])
        except InvalidInputError:
            for value in parts["settings"].values():
                if isinstance(value, MissingCode):
                    value.refuse()
            raise
        return made if parts["state"] is None else made.take_over(parts)

    def save(
        self, folder: str | Path, *, license: str = "unknown", datasets: Sequence[str] = ()
    ) -> Path | str:
        """Write the method to a folder: safetensors and JSON, no code. An older one there is replaced.

        ``folder`` may be an address, ``s3://...``, ``hf://...``, ``memory://...`` or ``file://...``: its manifest is
        written last, so that an interrupted upload is refused by :func:`load`. The return value is then ``folder``.

        User-defined code (a network, a function) is not written: pass it to :func:`load` again. Weights of a network
        are. A model card, ``README.md``, tells ``license`` and ``datasets``; one that you edited is kept, and said so.
        """
        if not self.is_fitted:
            who = f"{type(self).__name__}.save"
            raise invalid(who, f"the {self.noun} must be fitted", "one that is not", "Call fit first.")
        with torch.no_grad():
            probe = self.probe() if trees.holds_code(self) else None
        tree, card = {"method": self, "probe": probe}, model_card(self, license=license, datasets=datasets)
        if is_elsewhere(folder):
            return save_remotely(folder, tree, card)
        return trees.write(folder, tree, readme=card_to_keep(folder, card))

    @classmethod
    def load(cls, folder: str | Path, **code: Any) -> Self:
        """Read a method of this class that :meth:`save` wrote; see :func:`load`."""
        found = load(folder, **code)
        if not isinstance(found, cls):
            remedy = "Read it with interpolants.load(folder)."
            raise invalid(
                f"{cls.__name__}.load",
                f"{folder} must contain a {cls.__name__}",
                type(found).__name__,
                remedy,
            )
        return found

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={brief(value)}" for name, value in self.chosen_params().items())
        return f"{type(self).__name__}({shown}{', ' if shown else ''}{self._fitted()})"

    def _fitted(self) -> str:
        """Whether it is fitted, and which weights it has where the fit was validated."""
        told = [best_weights(one) for one in self.about.get("validation", {}).values()]
        said = ", ".join(one for one in told if one)
        return ("fitted" if self.is_fitted else "not fitted") + (f": {said}" if said else "")


def load(folder: str | Path, **code: Any) -> Any:
    """Read any method, from its own folder or from that of a run.

    Args:
        folder: What :meth:`Method.save` wrote, or the folder of a run with one model; or an address, or
            ``"pretrained:NAME"``, as in :func:`interpolants.load`.
        code: User-defined code that the method was created with, by name, e.g. ``net=MyNet()``; it is checked against
            answers that were kept at probe points.

    Raises:
        InvalidInputError: If the folder is missing, damaged, no method, or the code answers otherwise.
    """
    place = local_folder(folder)
    refuse_link("load", place, MODEL)
    tree = trees.read(place / MODEL if trees.is_tree(place / MODEL) else place, **code)
    found = tree.get("method") if isinstance(tree, Mapping) else None
    if not isinstance(found, Method):
        raise invalid(
            "load", f"{folder} must contain a method", type(found).__name__, "Save one with save(folder)."
        )
    _check_probe(found, tree.get("probe"))
    return found


def _check_probe(method: Method, then: Tensor | None) -> None:
    if then is None:
        return
    try:
        with torch.no_grad(), SmallTensors():
            now = method.probe()
    except InterpolantsError:
        raise
    except Exception as error:  # of a folder whose state and settings do not belong together
        message = f"{type(error).__name__}: {str(error)[:200]}"
        raise invalid("load", "the method must answer at its probe points", message) from error
    if not isinstance(then, Tensor) or (now is not None and now.shape != then.shape):
        raise invalid("load", "the answers at the probe points must be a tensor", type(then).__name__)
    if now is not None and not torch.allclose(now, then, rtol=1e-5, atol=1e-8):
        gap = f"answers that differ by {float((now - then).abs().max()):.2g}"
        raise invalid("load", "the code that is passed must be that of the fit", gap)


def _shapes(data: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Event shape of each role of rows."""
    return {name: tuple(value.shape[1:]) for name, value in data.items() if _are_rows(value)}


def _row_counts(roles: Sequence[Role], data: Mapping[str, Any]) -> dict[str, int]:
    """Return the number of rows by role, for roles that have rows of a finite number."""
    counted = [role for role in roles if role.name in data and kind_of(role).has_rows]
    return {
        role.name: count(data[role.name]) for role in counted if not isinstance(data[role.name], EndlessRows)
    }


def _with_spreads(
    roles: Sequence[Role], data: Mapping[str, Any], given: Mapping[str, Given]
) -> dict[str, Given]:
    """Form of the roles, with mean and standard deviation of those with measured values."""
    kinds = {role.name: kind_of(role) for role in roles if role.name in data}
    spreads = {n: spread_of(k.numbers(data[n])) for n, k in kinds.items() if isinstance(k, Measured)}
    return {n: dataclasses.replace(one, spread=spreads.get(n, one.spread)) for n, one in given.items()}


def _methods_in(value: Any) -> Iterator[Method]:
    """The methods in a state, and in theirs."""
    if isinstance(value, Method):
        yield value
        yield from _methods_in(value.state)
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _methods_in(part)


def _are_rows(value: Any) -> bool:
    return isinstance(value, LazyRows | EndlessRows) or (
        isinstance(value, Tensor) and value.is_floating_point()
    )

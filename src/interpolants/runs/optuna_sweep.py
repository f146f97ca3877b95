"""Sweeps by Optuna: a tree-structured Parzen estimator proposes settings, and a median rule prunes trials.

A trial fits one setting with every seed. Its proposal depends on the seed of the recipe and on the trials that are
finished, not on time: the same study gives the same trials, also if it was killed and continued in between. A trial
that was killed is proposed again, and continues from its checkpoint. Trials are stored in ``optuna.db``, which tools of
Optuna read.

Source: Akiba et al. (2019), arXiv:1907.10902; Bergstra et al. (2011), Algorithms for hyper-parameter optimization.
"""

import csv
import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interpolants.foundations.checks import whole
from interpolants.foundations.errors import DivergedError, InvalidInputError, invalid, nearest
from interpolants.foundations.extras import require
from interpolants.foundations.randomness import key
from interpolants.foundations.storage import write_text
from interpolants.framework.experiment import Progress, conduct, settings_hash, stored_answers
from interpolants.framework.figures import Axis, Figure, Panel, Series, curve
from interpolants.framework.stage_logs import stage_logs
from interpolants.methods.parts.validation import HELD_OUT_LOSS
from interpolants.runs.file_hashes import file_hashes
from interpolants.runs.recipe import make_method, make_questions
from interpolants.runs.recipe_files import tables_of
from interpolants.runs.recipe_run import TRAIN
from interpolants.runs.search_space import SearchSpace, corners, described, suggested
from interpolants.runs.sweep import Sweep, cell_id
from interpolants.runs.sweep_run import BEST, TABLE, Row, as_csv, best_of, rung_rows
from interpolants.training.results import Moment

STORAGE, TRIALS, CELLS_OF_TRIALS = "optuna.db", "trials.csv", "trials"
_STUDY, _SETTING, _IDENTITY, _REASON = "sweep", "setting", "identity", "reason"
# Finished trials before the first is pruned, and the share of a training in which none is.
_STARTUP_TRIALS, _WARMUP = 5, 0.25


class PrunedTrialError(Exception):
    """Raised within a fit that is worse than the median of the finished trials."""


@dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: Number among the finished trials, from 0.
        setting: Key path -> value.
        value: Mean validation over the seeds; NaN if the trial was not completed.
        steps: Step of the last validation that was compared; 0 without one.
        reason: Why the trial was not completed: ``"pruned"``, or an error; empty if it was.
    """

    number: int
    setting: Mapping[str, Any]
    value: float
    steps: int
    reason: str = ""


@dataclass(frozen=True)
class OptunaSweep:
    """A sweep whose settings are proposed by Optuna.

    Attributes:
        sweep: The recipe, the seeds and the score. Its settings are ignored.
        space: The search space.
        trials: Number of trials, those of earlier calls included.
        prune: Whether trials are pruned by the loss on held-out rows, where that loss chooses the setting.
    """

    sweep: Sweep
    space: SearchSpace
    trials: int
    prune: bool = True

    def __post_init__(self) -> None:
        whole("sweep", "trials", self.trials, at_least=1)
        # Keys and listed values are checked before the first fit.
        for setting in corners(self.space):
            replace(self.sweep, chosen=[setting]).cells()
        self._direction()

    @property
    def prunes(self) -> bool:
        """Whether trials are pruned: by the loss, if all trainings have the same number of steps."""
        return self.prune and not self.sweep.by and "method.steps" not in self.space

    def run(self, out: Path, *, progress: Progress | None = None) -> list[Row]:
        """Run the missing trials, and return the settings of the completed ones.

        Args:
            out: Folder of the sweep. The same call continues a sweep that was killed.
            progress: Called with the number of each trial and its seconds.

        Raises:
            InvalidInputError: If the folder holds a study of other settings, or no trial was completed.
            MissingExtraError: If Optuna is not installed.
        """
        out.mkdir(parents=True, exist_ok=True)
        with self._study(out) as study:
            for trial in study.get_trials(states=(_state("RUNNING"),)):
                study.tell(trial.number, state=_state("FAIL"))
            while (finished := len(_finished(study))) < self.trials:
                self._run_trial(study, finished, out, progress)
            trials = list(_trials(study))[: self.trials]
        settings = {settings_hash(trial.setting): trial.setting for trial in trials if not trial.reason}
        if not settings:
            reasons = ", ".join(dict.fromkeys(trial.reason for trial in trials))
            raise invalid("sweep", "a trial must be completed", f"{len(trials)} that were not: {reasons}")
        rung = replace(self.sweep, chosen=list(settings.values()))
        rows = rung_rows(rung, stored_answers(rung, out / CELLS_OF_TRIALS), 1)
        write_text(out / TABLE, as_csv(rows))
        write_text(out / TRIALS, _as_csv(trials))
        best = json.dumps(self.chosen_tables(rows), indent=1, ensure_ascii=False, allow_nan=False)
        write_text(out / BEST, best + "\n")
        return rows

    def chosen_tables(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the recipe with the best setting: ``interpolants run`` evaluates it on the test part."""
        return tables_of(replace(self.sweep.recipe(best_of(rows).setting), seeds=self.sweep.seeds))

    def finished_trials(self, out: Path) -> list[Trial]:
        """Return the finished trials of a folder, in their order."""
        with self._study(out) as study:
            return list(_trials(study))

    # --- the study

    @contextmanager
    def _study(self, out: Path) -> Iterator[Any]:
        """Open the study in a folder, or create it."""
        optuna = require("optuna", by="sweep --trials")
        storages, level = require("optuna.storages", by="sweep --trials"), optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = storages.RDBStorage(f"sqlite:///{out / STORAGE}")
        try:
            study = optuna.create_study(
                storage=storage,
                study_name=_STUDY,
                direction="maximize" if self._direction() == "higher" else "minimize",
                pruner=self._pruner(optuna),
                load_if_exists=True,
            )
            self._check_same(study, out)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()
            optuna.logging.set_verbosity(level)

    def _pruner(self, optuna: Any) -> Any:
        if not self.prunes:
            return optuna.pruners.NopPruner()
        (task,) = self.sweep.recipe(next(corners(self.space))).tasks
        steps = int(getattr(make_method(task, self.sweep.seed), "steps", 0))
        return optuna.pruners.MedianPruner(
            n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=int(_WARMUP * steps)
        )

    def _direction(self) -> str:
        """Return the better direction of the score that chooses the setting."""
        if not self.sweep.by:
            return "lower"
        setting = next(corners(self.space))
        (task,) = self.sweep.recipe(setting).tasks
        with_score = replace(task, ask=self.sweep.task(setting)["ask"])
        ((_, question, _),) = make_questions(with_score)
        score = self.sweep.by.partition(".")[2]
        better = question.about(score).better if score else "neither"
        if better == "neither":
            able = [name for name, about in question.numbers.items() if about.better != "neither"]
            rule = "--trials requires a score with a better direction, QUESTION.SCORE"
            raise invalid("--by", rule, repr(self.sweep.by), nearest(score, able))
        return better

    def _check_same(self, study: Any, out: Path) -> None:
        (task,) = self.sweep.recipe(next(corners(self.space))).tasks
        identity = settings_hash(
            {
                "space": described(self.space),
                "tables": dict(self.sweep.tables),
                "files": file_hashes(task.data),
                "seeds": [self.sweep.seed, self.sweep.seeds],
                "by": self.sweep.by,
                "prunes": self.prunes,
            }
        )
        stored = study.user_attrs.get(_IDENTITY)
        if stored is None:
            study.set_user_attr(_IDENTITY, identity)
        elif stored != identity:
            rule = f"{out} must have a study of the same settings"
            remedy = "Choose another folder. Only the number of trials can change."
            raise invalid("sweep", rule, "another recipe, space, score or other seeds", remedy)

    # --- one trial

    def _run_trial(self, study: Any, number: int, out: Path, progress: Progress | None) -> None:
        """Propose a setting, fit it with every seed, and store its mean validation."""
        samplers = require("optuna.samplers", by="sweep --trials")
        # Seeded by the number of finished trials: a killed trial does not count, and is proposed again.
        study.sampler = samplers.TPESampler(seed=key(self.sweep.seed, "optuna", number) >> 32)
        trial = study.ask()
        setting = suggested(trial, self.space)
        trial.set_user_attr(_SETTING, json.dumps(setting))
        try:
            pruning = _Pruning.of(study, trial) if self.prunes else None
            values = self._values(pruning, setting, out, progress)
        except PrunedTrialError:
            reason = "pruned"
        except (DivergedError, _RefusedSettingError) as error:
            reason = str(error)
        else:
            mean = sum(values) / len(values)
            reason = "" if math.isfinite(mean) else f"validation {mean}"
        if reason:
            trial.set_user_attr(_REASON, reason)
            study.tell(trial, state=_state("PRUNED"))
        else:
            study.tell(trial, mean)

    def _values(
        self, pruning: "_Pruning | None", setting: Mapping[str, Any], out: Path, progress: Progress | None
    ) -> list[float]:
        """Return the validations of a setting, one per seed. Only the fit of the first seed is pruned."""
        try:
            self.sweep.recipe(setting)
        except InvalidInputError as error:
            raise _RefusedSettingError(str(error)) from error
        sweep = replace(self.sweep, chosen=[setting])
        for seed in range(sweep.seed, sweep.seed + sweep.seeds):
            name = cell_id(setting, seed)
            callbacks = [pruning] if pruning is not None and seed == sweep.seed else []
            fitting = replace(sweep, fit_options={"callbacks": callbacks})
            conduct(fitting, out / CELLS_OF_TRIALS, only=[name], progress=progress)
            if callbacks and len(stage_logs(out / CELLS_OF_TRIALS / "work" / name / TRAIN)) > 1:
                callbacks[0].stop()
        (row,) = rung_rows(sweep, stored_answers(sweep, out / CELLS_OF_TRIALS), 1)
        return list(row.values)


class _RefusedSettingError(Exception):
    """Raised for a proposed setting that the recipe does not accept."""


class _Pruning:
    """Callback of a fit that reports the loss on held-out rows, and stops a trial that is worse than the median."""

    # Attribute of a study whose fits have several stages: their losses are not comparable.
    STAGES = "several stages"

    def __init__(self, study: Any, trial: Any) -> None:
        self.study, self.trial = study, trial
        self.reported: set[int] = set()

    @classmethod
    def of(cls, study: Any, trial: Any) -> "_Pruning":
        """Return the callback of a trial, after the reports of the killed trial that it repeats.

        Raises:
            PrunedTrialError: If the median rule prunes the killed trial.
        """
        last = max((finished.number for finished in _finished(study)), default=-1)
        killed = study.get_trials(states=(_state("FAIL"),), deepcopy=False)
        values: dict[int, float] = {}
        for failed in killed:
            if failed.number > last and failed.user_attrs.get(_SETTING) == trial.user_attrs[_SETTING]:
                values |= failed.intermediate_values
        pruning = cls(study, trial)
        for step, loss in sorted(values.items()):
            pruning.report(step, loss)
        return pruning

    def stop(self) -> None:
        """Prune no further trial of the study."""
        self.study.set_user_attr(self.STAGES, True)

    def __call__(self, moment: Moment) -> None:
        """Report the loss of a validation."""
        loss = (moment.validation or {}).get(HELD_OUT_LOSS)
        if loss is not None and self.STAGES not in self.study.user_attrs:
            self.report(moment.step, loss)

    def report(self, step: int, loss: float) -> None:
        """Store a loss, and raise PrunedTrialError if it is worse than the median."""
        if step in self.reported:
            return
        self.reported.add(step)
        self.trial.report(loss, step)
        if self.trial.should_prune():
            raise PrunedTrialError


def _state(name: str) -> Any:
    return getattr(require("optuna.trial", by="sweep --trials").TrialState, name)


def _finished(study: Any) -> list[Any]:
    trials: list[Any] = study.get_trials(states=(_state("COMPLETE"), _state("PRUNED")), deepcopy=False)
    return trials


def _trials(study: Any) -> Iterator[Trial]:
    for number, trial in enumerate(_finished(study)):
        reason = trial.user_attrs.get(_REASON, "")
        value = math.nan if reason else float(trial.value)
        setting = json.loads(trial.user_attrs[_SETTING])
        yield Trial(number, setting, value, trial.last_step or 0, reason)


# --- table and figure


def _as_csv(trials: Sequence[Trial]) -> str:
    text, keys = io.StringIO(), list(trials[0].setting)
    rows = [
        [
            trial.number,
            *(json.dumps(trial.setting[key]) for key in keys),
            trial.value,
            trial.steps,
            trial.reason,
        ]
        for trial in trials
    ]
    csv.writer(text, lineterminator="\n").writerows(
        [["trial", *keys, "validation", "last step", "reason"], *rows]
    )
    return text.getvalue()


def trials_figure(trials: Sequence[Trial], title: str, *, higher: bool) -> Figure:
    """Draw the validation of each trial and the best so far.

    Args:
        trials: The finished trials.
        title: Name of the validation.
        higher: Whether higher values are better.
    """
    complete = [trial for trial in trials if not trial.reason]
    values = [trial.value for trial in complete]
    best = list(itertools.accumulate(values, max if higher else min))
    x = [float(trial.number) for trial in complete]
    # The best value holds until the next trial improves on it: steps, not slopes.
    steps = [number for number in x for _ in range(2)][1:]
    levels = [level for level in best for _ in range(2)][:-1]
    series = (
        curve(steps, levels, "best so far", 1),
        Series(mark="points", arrays={"x": x, "y": values}, name="trial", hue=0, size=14),
    )
    ticks = tuple(float(number) for number in range(0, len(trials), max(1, len(trials) // 10)))
    trial_axis = Axis(label="trial", ticks=ticks, names=tuple(f"{tick:.0f}" for tick in ticks))
    panel = Panel(series=series, x=trial_axis, y=Axis(label=title, grid=True), legend="below")
    pruned = sum(trial.reason == "pruned" for trial in trials)
    caption = f"Validation of {len(complete)} completed trials. {pruned} trials were pruned."
    return Figure(name="sweep", panels=(panel,), caption=caption, width=480, height=330)

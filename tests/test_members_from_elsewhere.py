"""Members of another distribution join everything that lists or builds members, with no edit in the library."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants.cli.app import app
from interpolants.foundations.registry import build, describe, members, names, rebuild
from interpolants.foundations.tell import FileWarning
from interpolants.methods.parts import choices
from interpolants.objectives.joint import joint_loss
from interpolants.reports.words import formula
from interpolants.solvers import available, get_solver
from plugins import card

MEMBERS = """
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from interpolants.objectives.losses import Objective
from interpolants.objectives.penalties import Penalty
from interpolants.objectives.times import Times, TimeSampler
from interpolants.paths.envelopes import Envelope, QuadraticEnvelope
from interpolants.paths.path import SpatiallyLinearPath
from interpolants.solvers.midpoint import Midpoint


@dataclass(frozen=True)
class Smooth(SpatiallyLinearPath):
    formula: ClassVar[str] = "x_t = (1 - w) x0 + w x1; w = t²(3 - 2t)"
    envelope: Envelope = field(default_factory=QuadraticEnvelope)

    def alpha(self, t):
        return (1 - t) ** 2 * (1 + 2 * t)

    def beta(self, t):
        return t**2 * (3 - 2 * t)

    def alpha_dot(self, t):
        return -6 * t * (1 - t)

    def beta_dot(self, t):
        return 6 * t * (1 - t)


@dataclass(frozen=True, kw_only=True)
class Quartic(Envelope):
    formula: ClassVar[str] = "γ(t) = scale t²(1 - t)²"
    scale: float = 1.0

    def gamma(self, t):
        return self.scale * (t * (1 - t)) ** 2

    def gamma_gamma_dot(self, t):
        return 2 * self.scale**2 * (t * (1 - t)) ** 3 * (1 - 2 * t)


@dataclass(frozen=True)
class Small(Penalty):
    name: ClassVar[str] = "small"

    @property
    def of(self):
        return "velocity"

    def at(self, field, points, generator=None):
        return field(points.x, points.t, points.cond).square().sum(1)


@dataclass(frozen=True)
class Late(TimeSampler):
    power: float = 2.0

    def sample(self, n, *, generator=None):
        t = torch.rand(n, generator=generator) ** (1 / self.power)
        return Times(t, torch.ones(n))


@dataclass(frozen=True)
class StepLoss(Objective):
    predicts: ClassVar[str] = "step"
    learns: ClassVar[tuple[str, ...]] = (predicts,)

    def target(self, sample):
        return sample.x1 - sample.x0


class Middle(Midpoint):
    name: ClassVar[str] = "middle"
"""
KINDS = {
    "smooth": ("path", "Smooth"),
    "quartic": ("envelope", "Quartic"),
    "small": ("penalty", "Small"),
    "late": ("time_sampler", "Late"),
    "step_loss": ("objective", "StepLoss"),
    "middle": ("solver", "Middle"),
}


@pytest.fixture
def others(install, request):
    package = f"others_{request.node.name.replace('[', '_').replace(']', '')}"
    files = {
        f"{id}.card.toml": card(kind, id, f"{package}.own:{entry}", title=f"Somebody's {id}")
        for id, (kind, entry) in KINDS.items()
    }
    install(package, {"own.py": MEMBERS, **files})


def test_they_are_listed_with_their_formula(others):
    told = CliRunner().invoke(app, ["methods", "somebody"]).stdout
    for id, (kind, _) in KINDS.items():
        assert f"Somebody's {id}" in told
        assert id in names(kind)
    shown = CliRunner().invoke(app, ["methods", "show", "smooth"]).stdout
    assert "x_t = (1 - w) x0 + w x1; w = t²(3 - 2t)" in shown
    assert "envelope = QuadraticEnvelope(scale=1.0)" in shown


def test_the_explorer_offers_and_draws_them(others):
    fastapi = pytest.importorskip("fastapi.testclient")
    from interpolants.web.app import create_app
    from interpolants.web.playground import Question, simulate

    offered = fastapi.TestClient(create_app(), base_url="http://127.0.0.1").get("/api/choices").json()
    assert "smooth" in offered["paths"]
    assert "quartic" in offered["envelopes"]
    assert "middle" in offered["methods"]
    asked = {"path": "smooth", "envelope": "quartic", "scale": 2.0, "method": "middle", "n": 20, "n_steps": 4}
    known = Question.model_validate({**asked, "method": "midpoint"})
    picture = simulate(Question.model_validate(asked))
    np.testing.assert_array_equal(picture.particles, simulate(known).particles)


def test_the_report_has_words_for_them(others):
    path = build("path", "smooth", envelope={"kind": "quartic", "scale": 3.0})
    assert rebuild(describe(path), "path") == path
    told = "".join(map(formula, path.formulas))
    assert "(1 − <var>w</var>) <var>x</var><sub>0</sub>" in told
    assert "γ(<var>t</var>) = scale <var>t</var>²(1 − <var>t</var>)², scale = 3" in told


def test_training_knows_them_by_name(others):
    path = build("path", "smooth")
    (penalty,) = choices.choose_penalties("Bridge", [{"kind": "small", "weight": 0.5}], path, ("velocity",))
    assert penalty.weight == 0.5
    times = choices.choose_times("Bridge", {"kind": "late", "power": 3.0})
    assert times == members("time_sampler")["late"](power=3.0)
    x0, x1 = torch.zeros(4, 2), torch.ones(4, 2)
    loss = joint_loss(["step"], path)(
        lambda x, t, cond=None: torch.zeros_like(x), x0=x0, x1=x1, t=torch.rand(4)
    )
    assert_close(loss["step"], torch.full((4,), 2.0))
    assert get_solver("middle").name == "middle"
    assert "middle" in available("ode")


def test_one_that_cannot_be_imported_is_left_out_with_a_warning(install):
    files = {
        "step_loss.card.toml": card("objective", "step_loss", "others_broken.own:StepLoss"),
        "own.py": "import a_package_that_nobody_has\n",
    }
    install("others_broken", files)
    told = CliRunner().invoke(app, ["methods", "show", "step_loss"]).stdout
    assert "its settings cannot be listed: No module named 'a_package_that_nobody_has'" in " ".join(
        told.split()
    )
    with pytest.warns(FileWarning, match="objective/step_loss is left out, ModuleNotFoundError"):
        found = members("objective")
    assert "step_loss" not in found
    assert "velocity_loss" in found
    assert "step_loss" in {c["id"] for c in json.loads(CliRunner().invoke(app, ["methods", "--json"]).stdout)}

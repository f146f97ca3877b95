"""Modifiers: state per chunk of a run, begun after the probes; a neutral setting is the base run; refusals say why."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.dynamics import Langevin, Modifier, Work, sample
from interpolants.fields import LearnedFields, Preconditioned
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.guidance import ClassifierFree, SizeGuard
from interpolants.nets import MLP
from interpolants.nets.scaled_condition import ScaledCondition
from interpolants.paths import EDM, VP, Linear
from stirred_nets import stirred

RUNS = {
    "ode": {"n_steps": 4},
    "heun": {"n_steps": 4, "method": "heun"},
    "sde": {"n_steps": 4, "eps": 0.5, "seed": 3},
    "sra1": {"n_steps": 4, "eps": 0.5, "seed": 3, "method": "sra1"},
    "ddim": {"n_steps": 4, "method": "ddim"},
    "reverse": {"n_steps": 4, "eps": 0.5, "seed": 3, "reverse": True},
    "denoise": {"n_steps": 4, "finish": "denoise"},
}


@dataclass(frozen=True)
class Toy(Modifier):
    """Adds ``push`` times the number of finished steps to the velocity, and puts rows back to zero after ``reset``."""

    push: float = 0.0
    reset: int | None = None
    couples: bool = False
    begun: list = field(default_factory=list, compare=False)

    @property
    def couples_rows(self):
        return self.couples

    def why_not(self, model):
        return "" if model.provides("velocity") else "it pushes the velocity"

    def begin(self, x, index, times):
        self.begun.append((index, len(x)))
        return Pushing(self, x) if self.push or self.reset else Work()


class Pushing(Work):
    def __init__(self, settings, x):
        self.settings, self.steps, self.calls, self.start = settings, 0, 0, x

    def evaluate(self, inner, x, t, want, cond):
        self.calls += 1
        found = inner.evaluate(x, t, want, cond)
        if "velocity" in found:
            found["velocity"] = found["velocity"] + self.settings.push * self.steps
        return found

    def after(self, x, t, fields):
        self.steps += 1
        return 0 * x if self.steps == self.settings.reset else x

    def report(self):
        rows = len(self.start)
        return {"steps": torch.full((rows,), self.steps), "calls": torch.full((rows,), self.calls)}


class Watching(Work):
    """An observer: no evaluation of the fields goes through it."""

    def __init__(self, x):
        self.path = [x]

    def after(self, x, t, fields):
        self.path.append(x)
        return x

    def report(self):
        return {"path": torch.stack(self.path, 1)}


@dataclass(frozen=True)
class Observer(Modifier):
    def begin(self, x, index, times):
        return Watching(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = MLP(2, width=16, depth=2, heads=2)
        stirred(self)

    def forward(self, x, t):
        return self.body(x, t)


def learned():
    return LearnedFields(Linear(), joint=Net().eval(), heads=("velocity", "noise"))


def start(rows=150):
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("neutral", [Toy(), Observer()], ids=["neutral", "observer"])
def test_a_neutral_setting_and_an_observer_give_the_bits_of_the_base_run(run, neutral):
    fields, x = learned(), start()
    base = sample(fields, x, return_path=True, **RUNS[run])
    found = sample(fields, x, return_path=True, modifiers=(neutral,), **RUNS[run])
    assert torch.equal(found.x, base.x)
    assert torch.equal(found.path, base.path)
    assert found.nfe == base.nfe


@pytest.mark.parametrize("run", RUNS)
def test_what_passes_on_to_the_base_class_changes_nothing(run):
    class Passing(Work):
        def evaluate(self, inner, x, t, want, cond):
            return super().evaluate(inner, x, t, want, cond)

        def network(self, net, x, t, cond):
            return super().network(net, x, t, cond)

    class Through(Modifier):
        def begin(self, x, index, times):
            return Passing()

    fields, x = learned(), start(5)
    found = sample(fields, x, modifiers=(Through(),), **RUNS[run])
    assert_close(found.x, sample(fields, x, **RUNS[run]).x)


@pytest.mark.parametrize("run", RUNS)
def test_an_observer_sees_the_states_after_every_step_of_its_rows(run):
    fields, x = learned(), start()
    found = sample(fields, x, return_path=True, chunk=64, modifiers=(Observer(),), **RUNS[run])
    assert torch.equal(found.reports[0]["path"].transpose(0, 1), found.path)


def test_state_begins_after_the_probes_and_anew_in_every_chunk_and_run():
    fields, x, toy = learned(), start(), Toy(push=0.1)
    for _ in range(2):
        found = sample(fields, x, chunk=64, modifiers=(toy,), **RUNS["ode"])
        # Midpoint: two evaluations a step; a probe would have been counted too.
        assert set(found.reports[0]["calls"].tolist()) == {8}
        assert set(found.reports[0]["steps"].tolist()) == {4}
        assert found.reports[0]["calls"].shape == (150,)
    assert [index for index, _ in toy.begun] == 2 * [0, 64, 128]


@pytest.mark.parametrize("run", RUNS)
def test_a_modifier_with_state_changes_samples_but_not_by_chunk_batch_or_shard(run):
    fields, x, toy = learned(), start(), Toy(push=0.3)
    whole = sample(fields, x, modifiers=(toy,), **RUNS[run]).x
    assert float((whole - sample(fields, x, **RUNS[run]).x).abs().min()) > 0 or run == "ddim"
    assert torch.equal(sample(fields, x, chunk=25, modifiers=(toy,), **RUNS[run]).x, whole)
    part = sample(fields, x[70:73], first_index=70, modifiers=(toy,), **RUNS[run]).x
    assert torch.equal(part, whole[70:73])


def test_a_known_answer_steps_are_counted_and_states_overwritten():
    still = LearnedFields(Linear(), velocity=lambda x, t: 0 * x, noise=lambda x, t: 0 * x)
    x = start(3).double()
    # Euler: steps of 1/4 with the velocities 0, 1, 2, 3.
    found = sample(still, x, method="euler", n_steps=4, modifiers=(Toy(push=1.0),)).x
    assert_close(found, x + 6 / 4)
    found = sample(still, x, method="euler", n_steps=4, modifiers=(Toy(push=1.0, reset=3),)).x
    assert_close(found, torch.full_like(x, 3 / 4))


def test_modifiers_compose_in_order():
    still = LearnedFields(Linear(), velocity=lambda x, t: 0 * x, noise=lambda x, t: 0 * x)
    x = start(3).double()

    @dataclass(frozen=True)
    class Scaled(Modifier):
        factor: float

        def begin(self, x, index, times):
            return Scaling(self.factor)

    class Scaling(Work):
        def __init__(self, factor):
            self.factor = factor

        def evaluate(self, inner, x, t, want, cond):
            return {name: self.factor * value for name, value in inner.evaluate(x, t, want, cond).items()}

    run = {"method": "euler", "n_steps": 4}
    pushed = sample(still, x, modifiers=(Toy(push=1.0), Scaled(2.0)), **run).x
    assert_close(pushed, x + 12 / 4)
    scaled = sample(still, x, modifiers=(Scaled(2.0), Toy(push=1.0)), **run).x
    assert_close(scaled, x + 6 / 4)


def test_a_corrector_asks_the_modified_fields():
    asked = []

    class Noting(Work):
        def evaluate(self, inner, x, t, want, cond):
            asked.append(tuple(want))
            return inner.evaluate(x, t, want, cond)

    @dataclass(frozen=True)
    class Notes(Modifier):
        def begin(self, x, index, times):
            return Noting()

    fields = LearnedFields(VP(), score=lambda x, t: -x)
    run = {"method": "ancestral", "n_steps": 3, "corrector": Langevin(), "seed": 0}
    base = sample(fields, start(20), **run)
    found = sample(fields, start(20), modifiers=(Notes(),), **run)
    assert_close(found.x, base.x)
    assert ("score",) in asked


def test_fields_may_be_asked_at_a_time_of_each_sample():
    @dataclass(frozen=True)
    class Late(Modifier):
        def begin(self, x, index, times):
            return Shifting(index + torch.arange(len(x)))

    class Shifting(Work):
        def __init__(self, index):
            self.late = (index % 2).double()

        def evaluate(self, inner, x, t, want, cond):
            return inner.evaluate(x, self.late, want, cond)

    fields = LearnedFields(Linear(), velocity=lambda x, t: 0 * x + t.reshape(-1, 1), noise=lambda x, t: x)
    x = start(70).double()
    found = sample(fields, x, chunk=64, modifiers=(Late(),), n_steps=3).x
    assert_close(found - x, (torch.arange(70) % 2).double()[:, None].expand(-1, 2))


def test_a_failure_is_found_again_under_a_modifier():
    fields = LearnedFields(Linear(), velocity=lambda x, t: x * x, noise=lambda x, t: x)
    x = torch.full((2, 2), 50.0)
    with pytest.raises(DivergedError, match=r"2 of 2 samples became NaN or infinite, row 0 at t="):
        sample(fields, x, n_steps=20, modifiers=(Toy(push=1.0),))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modifiers": (Toy(couples=True),)}, r"Toy makes a sample depend on its batch.*invariant=False"),
        (
            {"modifiers": (Toy(couples=True),), "invariant": False, "chunk": 64},
            "Toy makes a sample depend on its batch",
        ),
        ({"modifiers": (Toy(),), "method": "dopri5"}, "modifiers need fixed steps, got 'dopri5'"),
        ({"modifiers": "size_gard"}, "name must be the id of a registered modifier, got 'size_gard'"),
        ({"modifiers": {"kind": "size_guard", "limits": 3}}, "got 'limits'. Did you mean 'limit'"),
        ({"modifiers": (3,)}, "modifiers must be Modifier objects, ids, or tables with a kind, got int"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        sample(learned(), start(), **options)


def test_a_modifier_says_itself_why_it_does_not_fit():
    class Scores(LearnedFields):
        def provides(self, quantity):
            return quantity == "score"

    fields = Scores(Linear(), score=lambda x, t: -x)
    with pytest.raises(
        InvalidInputError, match="Toy must fit the fields: it pushes the velocity, got Scores"
    ):
        sample(fields, start(3), modifiers=(Toy(),))


def test_rows_that_are_coupled_by_design_come_in_one_chunk():
    toy = Toy(push=0.1, couples=True)
    sample(learned(), start(), modifiers=(toy,), invariant=False)
    assert toy.begun == [(0, 150)]


class Doubling(Work):
    def __init__(self):
        self.calls = 0

    def network(self, net, x, t, cond):
        self.calls += 1
        return 2 * net(x, t, cond)

    def report(self):
        return {"calls": torch.tensor([self.calls])}


@dataclass(frozen=True)
class Doubled(Modifier):
    """Twice what every network answers."""

    times: list = field(default_factory=list, compare=False)

    def begin(self, x, index, times):
        self.times.append(times)
        return Doubling()


class Twice(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, t, cond=None):
        return 2 * self.net(x, t, cond)


def small_net(**settings):
    return stirred(MLP(2, width=16, depth=2, **settings)).eval()


def preconditioned(around):
    return LearnedFields(EDM(), denoised=Preconditioned(around(small_net()), EDM(), ("denoised",), 0.7))


NETWORKS = {
    "joint": lambda around: LearnedFields(
        Linear(), joint=around(small_net(heads=2)), heads=("velocity", "noise")
    ),
    "preconditioned": preconditioned,
    "scaled condition": lambda around: LearnedFields(
        VP(), score=ScaledCondition(around(small_net(cond_dim=3)), [0.0, 1.0, 2.0], [1.0, 2.0, 3.0])
    ),
    "guided": lambda around: ClassifierFree(LearnedFields(VP(), score=around(small_net(cond_dim=3))), 2.0),
}


@pytest.mark.parametrize("run", ["ode", "denoise"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_networks_are_replaced_inside_all_that_is_around_them(kind, run):
    plain, twice = NETWORKS[kind](lambda net: net), NETWORKS[kind](Twice)
    given = {} if kind in ("joint", "preconditioned") else {"cond": torch.randn(150, 3)}
    x, toy = start(), Doubled()
    before = sample(plain, x, **given, **RUNS[run]).x
    found = sample(plain, x, modifiers=(toy,), **given, **RUNS[run])
    size = float(found.x.abs().max())
    assert_close(found.x, sample(twice, x, **given, **RUNS[run]).x, rtol=0, atol=1e-4 * size)
    assert float((found.x - before).abs().max()) > 0.05 * size
    assert torch.equal(sample(plain, x, **given, **RUNS[run]).x, before)  # nothing was changed for good
    assert toy.times[0].tolist() == sample(plain, x, **given, **RUNS[run]).times.tolist()


def test_a_network_inside_a_gradient_is_replaced():
    class Energy(nn.Module):
        def forward(self, x, t, cond=None):
            return 0.5 * x.square().sum(1)

    fields, x = LearnedFields(VP(), energy=Energy()), start(5)
    doubled = LearnedFields(VP(), energy=lambda x, t: x.square().sum(1))
    found = sample(fields, x, modifiers=(Doubled(),), **RUNS["ode"]).x
    assert_close(found, sample(doubled, x, **RUNS["ode"]).x)


def test_asking_networks_through_a_modifier_costs_no_bits():
    class Same(Work):
        def network(self, net, x, t, cond):
            return net(x, t, cond)

    @dataclass(frozen=True)
    class Asked(Modifier):
        def begin(self, x, index, times):
            return Same()

    fields, x = learned(), start()
    for run in RUNS.values():
        assert torch.equal(sample(fields, x, modifiers=(Asked(),), **run).x, sample(fields, x, **run).x)


def test_a_table_or_an_object_may_stand_for_a_modifier():
    x = start(5)
    base = sample(learned(), x, n_steps=4).x
    for one in ({"kind": "size_guard", "limit": 1e6}, [SizeGuard(1e6)], SizeGuard(1e6)):
        assert torch.equal(sample(learned(), x, n_steps=4, modifiers=one).x, base)
    with pytest.raises(DivergedError, match=r"above the limit 0\.01"):
        sample(learned(), x, n_steps=4, modifiers={"kind": "size_guard", "limit": 0.01})

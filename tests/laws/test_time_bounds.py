"""Law of modifiers and guided fields: a bound on time lies at the same step in float32, float64, and one rounding off.

A step that begins at 0.9 begins at 0.89999998 in float32, and at 0.30000000000000004 where 0.3 is meant: compared
without a tolerance it drops out of a window. Every setting of every card that can be such a bound is set to times at
which steps begin; settings that are no times pass, as runs are continuous in them.
"""

import dataclasses
import inspect
import warnings
from functools import cache
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torture.bits import worn

from interpolants.dynamics import sample
from interpolants.dynamics.modifiers import Modifier, Work
from interpolants.fields import LearnedFields
from interpolants.foundations import registry
from interpolants.foundations.errors import DivergedError, InvalidInputError
from interpolants.guidance import APG, Autoguided, ClassifierFree, ClassifierGuided, ZeroStar
from interpolants.nets import MLP, MLPUNet
from interpolants.paths import VP

STEPS, ROWS, SHAPE = 10, 6, (1, 4, 4)
# Of 0, 0.1, ... 1 these are rounded down in float32, or up in float64 by linspace.
AWKWARD = (0.3, 0.6, 0.7, 0.9)
# Settings without a default, and those beside which a bound acts on a run of this size.
BESIDE = {
    "size_guard": {"limit": 1e6},
    "noise_scaling": {"factor": 0.97},
    "time_shift": {"variance": 0.3},
    "prior_noise": {"strength": 0.1},
}
# A width, not a time: the candidate times within it, 1/1000 apart, follow its rounding.
# The momentum is a factor, and its fields are those of a rule of guidance.
WIDTHS = {("time_shift", "window"), ("apg_momentum", "momentum")}
GUIDED = {
    "apg": APG,
    "autoguided": Autoguided,
    "classifier_free": ClassifierFree,
    "classifier_guided": ClassifierGuided,
    "zero_star": ZeroStar,
}
LABELS = torch.arange(ROWS) % 3


@cache  # and with them what is remembered of their networks
def fields(dtype):
    net = worn(MLPUNet(SHAPE, widths=(16, 8), cond_dim=2, seed=1)).eval()
    return LearnedFields(VP(), noise=net.to(dtype))


@cache
def weak(dtype):
    net = worn(MLPUNet(SHAPE, widths=(8, 8), cond_dim=2, seed=2)).eval()
    return LearnedFields(VP(), noise=net.to(dtype))


def conditions(dtype):
    return torch.linspace(-1, 1, 2 * ROWS, dtype=torch.float64).reshape(ROWS, 2).to(dtype)


def judge(x, t):
    """Logits of three classes."""
    return x.flatten(1)[:, :3] + x.flatten(1)[:, 3:6].sin()


@cache
def unconditional(dtype):
    return LearnedFields(VP(), noise=worn(MLP(SHAPE, width=16, depth=2, seed=1)).eval().to(dtype))


def run(guided, cond, modifiers, dtype):
    """States and reports of a run, or the error that ended it."""
    source = torch.Generator().manual_seed(2)
    x = torch.randn(ROWS, *SHAPE, generator=source, dtype=torch.float64).to(dtype)
    options = {
        "method": "ddim",
        "n_steps": STEPS,
        "time_grid": "uniform",
        "modifiers": modifiers,
        "invariant": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            done = sample(guided, x, cond=cond, **options)
        except (InvalidInputError, DivergedError) as error:
            return {"refused": type(error).__name__}
    return {"x": done.x, **{name: value for report in done.reports for name, value in report.items()}}


def check(ask):
    """``ask(bound, dtype)`` gives a run; the same for bounds one rounding apart, and in both precisions."""
    for time in AWKWARD:
        expected = ask(time, torch.float64)
        others = [ask(float(np.nextafter(time, end)), torch.float64) for end in (0, 1)]
        for found in (*others, ask(time, torch.float32)):
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                if isinstance(value, str):
                    assert found[name] == value
                else:
                    close = (
                        {"rtol": 2e-3, "atol": 2e-3} if value.is_floating_point() else {"rtol": 0, "atol": 0}
                    )
                    assert_close(found[name].to(value.dtype), value, equal_nan=True, **close)


def bounds(member):
    """Settings that a time may stand for: numbers, and either end of a pair of them."""
    for setting in dataclasses.fields(member):
        value = getattr(member, setting.name)
        if isinstance(value, tuple):
            yield from ((setting.name, place) for place in range(len(value)))
        elif isinstance(value, float):
            yield setting.name, None


def with_bound(member, setting, place, bound):
    """The member with a bound, or None where this value is out of its range."""
    value = bound if place is None else ((bound, 1.0) if place == 0 else (0.0, bound))
    try:
        return dataclasses.replace(member, **{setting: value})
    except InvalidInputError:
        return None


def variants(name):
    """The member by default, and with each other value of a setting with few."""
    member = registry.build("modifier", name, **BESIDE.get(name, {}))
    yield member
    for setting, hint in get_type_hints(type(member)).items():
        few = get_args(hint) if get_origin(hint) is Literal else ()
        yield from (dataclasses.replace(member, **{setting: v}) for v in few if v != getattr(member, setting))


CASES = [
    pytest.param(member, *bound, id=f"{name}-{number}-{'-'.join(map(str, bound))}")
    for name in registry.names("modifier")
    for number, member in enumerate(variants(name))
    for bound in bounds(member)
    if (name, bound[0]) not in WIDTHS
]


@pytest.mark.parametrize(("modifier", "setting", "place"), CASES)
def test_a_bound_of_a_modifier_lies_at_one_step_in_both_precisions(modifier, setting, place):
    def ask(bound, dtype):
        member = with_bound(modifier, setting, place, bound)
        if member is None:
            return {}
        return run(fields(dtype), conditions(dtype), member, dtype)

    check(ask)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", GUIDED)
def test_an_interval_of_guidance_lies_at_one_step_in_both_precisions(name, place):
    def ask(bound, dtype):
        interval = (bound, 1.0) if place == 0 else (0.0, bound)
        if name == "autoguided":
            return run(Autoguided(fields(dtype), weak(dtype), 2.0, interval), conditions(dtype), (), dtype)
        if name != "classifier_guided":
            return run(GUIDED[name](fields(dtype), 2.0, interval), conditions(dtype), (), dtype)
        return run(ClassifierGuided(unconditional(dtype), judge, 2.0, interval), LABELS, (), dtype)

    check(ask)


def test_the_law_has_every_guidance_with_an_interval():
    entries = registry.members("guidance")
    assert {n for n, entry in entries.items() if "interval" in inspect.signature(entry).parameters} == set(
        GUIDED
    )


@dataclasses.dataclass(frozen=True)
class Careless(Modifier):
    """Doubles the states of steps from a time on, without a tolerance."""

    since: float = 0.5

    def begin(self, x, index, times):
        return _Doubling(self.since)


class _Doubling(Work):
    def __init__(self, since):
        self.since = since

    def after(self, x, t, inner):
        return 2 * x if float(t) >= self.since else x


def test_the_law_catches_a_bound_without_a_tolerance():
    with pytest.raises(AssertionError):
        check(lambda bound, dtype: run(fields(dtype), conditions(dtype), Careless(bound), dtype))

"""The form of a method, on a ridge regression: settings, roles, fits, answers in kind, storage."""

import inspect
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.framework import stored
from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError, capability
from interpolants.framework.method import Method
from interpolants.framework.role import Role
from interpolants.framework.roles import read
from interpolants.framework.stages import Run
from interpolants.framework.task import Split, Task


class Ridge(Method):
    """Least squares with a penalty, learnt by conjugate steps so that it has a loop to interrupt."""

    penalty: float = 1.0
    steps: int = 6

    def roles(self):
        return Role(name="x"), Role(name="y")

    def learn(self, data, run: Run):
        x, y = data["x"].double(), data["y"].double()
        matrix = x.T @ x + self.penalty * torch.eye(x.shape[1], dtype=torch.float64)

        def step(w, k, generator):
            r = x.T @ y - matrix @ w
            return w + r * (r * r).sum() / (r * (matrix @ r)).sum().clamp_min(1e-300)

        w = run.loop(
            "descent", lambda g: torch.zeros(x.shape[1], y.shape[1]).double(), step, self.steps, every=2
        )
        return {"w": w, "noise": (y - x @ w).std()}

    def cannot(self, verb):
        return "no density without a penalty." if verb == "density" and not self.penalty else ""

    @capability(like="y")
    def predict(self, x):
        return x.double() @ self.state["w"]

    @capability(reads={"x": "x"}, like="y", blocks=True)
    def density(self, x):
        loc = (x.double() @ self.state["w"])[None]
        return Predictive(loc=loc, scale=self.state["noise"].expand_as(loc))


X = torch.randn(100, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]], dtype=torch.float64)


def test_arrays_and_tables_go_in_and_come_out_with_names_and_index():
    method = Ridge(penalty=0.0, steps=200).fit(X.numpy(), Y[:, 0].numpy())
    assert isinstance(method.predict(X.numpy()), np.ndarray)
    assert method.predict(X.numpy()[:4]).shape == (4,)
    table = pd.DataFrame(X.numpy(), columns=["a", "b", "c"], index=range(500, 600))
    again = Ridge(penalty=0.0, steps=200).fit(table, pd.Series(Y[:, 0].numpy(), name="target"))
    answer = again.predict(table[["c", "a", "b"]][:5])
    assert list(answer.index) == [500, 501, 502, 503, 504]
    assert answer.name == "target"
    assert_close(torch.from_numpy(answer.to_numpy(copy=True)), Y[:5, 0], atol=1e-6, rtol=0)
    assert stored.fingerprint(method.state) == stored.fingerprint(again.state)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: Ridge(penalti=1.0), "Did you mean 'penalty'"),
        (lambda m: Ridge(seed=-1), "seed"),
        (lambda m: m.set_params(penalti=1.0), "Did you mean 'penalty'"),
        (lambda m: m.fit(X), "y is needed"),
        (lambda m: m.fit(X, Y[:7]), "as many rows, one for one, got x 100, y 7"),
        (lambda m: m.fit(X, Y, z=1), "must be a role"),
        (lambda m: m.fit(X, Y, resum=True), "must be a role.*Did you mean 'resume'"),
        (lambda m: m.fit(X / 0, Y), "x must be finite"),
        (lambda m: m.predict(X[:, :2]), r"event shape the method was fitted to, \(3,\), got \(2,\)"),
        (lambda m: m.predict(z=X), "argument must be one"),
        (lambda m: Ridge().predict(X), r"must be fitted.*Call fit\(x, y\) first"),
    ],
)
def test_what_is_refused_is_said_and_changes_nothing(call, words):
    method = Ridge().fit(X, Y)
    before = stored.fingerprint(method.to_parts()["state"])
    with pytest.raises(InvalidInputError, match=words):
        call(method)
    assert stored.fingerprint(method.state) == before


def test_a_capability_that_is_not_there_says_why():
    method = Ridge(penalty=0.0).fit(X, Y)
    assert method.capabilities() == {"predict": "", "density": "no density without a penalty."}
    assert not method.can("density")
    with pytest.raises(NotAbleError, match=r"Ridge\.density: no density without a penalty"):
        method.density(X)


def test_a_model_must_be_fitted_and_capable_of_what_is_needed():
    roles = (Role(name="model", kind="model", axis="", needs="density"),)
    able = Ridge().fit(X, Y)
    found = read(roles, {"model": able}, "fit")[0]["model"]
    assert found is not able
    assert found.state is able.state
    with pytest.raises(InvalidInputError, match=r"model must be a fitted method, got Ridge\(not fitted\)"):
        read(roles, {"model": Ridge()}, "fit")
    with pytest.raises(InvalidInputError, match="model must be a fitted method"):
        read(roles, {"model": X}, "fit")
    with pytest.raises(InvalidInputError, match=r"must be a method that can density.*no density without"):
        read(roles, {"model": Ridge(penalty=0.0).fit(X, Y)}, "fit")


class Follower(Method):
    """Learns what another one predicts."""

    def roles(self):
        return (Role(name="model", kind="model", axis="", needs="predict"),)

    def learn(self, data, run):
        return {"at zero": data["model"].predict(torch.zeros(1, 3, dtype=torch.float64))}


def test_a_model_of_a_users_own_class_can_be_learnt_from_and_is_told_by_its_hash():
    first, other = Ridge().fit(X, Y), Ridge().fit(X, 2 * Y)
    hashes = [Follower().fit(model).about["parents"]["model"] for model in (first, first, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_in_blocks_a_row_does_not_feel_its_neighbours():
    method = Ridge().fit(X, Y)
    whole = method.density(X)
    assert torch.equal(method.density(X[:3]).loc, whole.loc[:, :3])
    assert whole.loc.shape == (1, 100, 1)


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_killed_loop_resumes_to_the_same_bits(tmp_path, at):
    undisturbed = Ridge().fit(X, Y)

    class KilledError(Exception):
        pass

    def kill(stage, k, steps):
        if k == at:
            raise KilledError

    with pytest.raises(KilledError):
        Ridge().fit(X, Y, out=tmp_path, watch=kill)
    seen = []
    resumed = Ridge().fit(X, Y, out=tmp_path, resume=True, watch=lambda stage, k, steps: seen.append(k))
    assert stored.fingerprint(resumed.state) == stored.fingerprint(undisturbed.state)
    assert seen[0] == at - at % 2 + 1
    with pytest.raises(InvalidInputError, match="another penalty"):
        Ridge(penalty=2.0).fit(X, Y, out=tmp_path, resume=True)
    with pytest.raises(InvalidInputError, match="another data"):
        Ridge().fit(2 * X, Y, out=tmp_path, resume=True)
    with pytest.raises(InvalidInputError, match="out must not hold another run"):
        Ridge().fit(X, Y, out=tmp_path)


def test_a_tree_holds_plain_values_tensors_and_records_and_refuses_the_rest(tmp_path):
    tree = {
        "a": [1, 2.5, math.inf, None, "x"],
        "b": (torch.arange(3), torch.tensor([1 + 2j])),
        "p": Predictive(loc=torch.zeros(1, 2, 1), scale=torch.ones(1, 2, 1)),
    }
    back = stored.read(stored.write(tmp_path / "t", tree))
    assert stored.fingerprint(back) == stored.fingerprint(tree)
    assert {f.suffix for f in (tmp_path / "t").iterdir()} == {".json", ".safetensors"}
    for bad in ({1: 2}, {"a": {3}}, np.zeros(2), object()):
        with pytest.raises(InvalidInputError, match="must"):
            stored.write(tmp_path / "bad", bad)


def test_code_of_a_user_is_passed_again_and_missing_code_refuses_to_be_used(tmp_path):
    net = nn.Linear(2, 2)
    folder = stored.write(tmp_path / "t", {"net": net, "f": lambda x: x})
    missing = stored.read(folder)
    with pytest.raises(InvalidInputError, match=r"Pass load\(folder, net=\.\.\.\)"):
        missing["net"](torch.zeros(2))
    back = stored.read(folder, net=nn.Linear(2, 2), f=len)
    assert torch.equal(back["net"].weight, net.weight)
    with pytest.raises(InvalidInputError, match="Did you mean 'net'"):
        stored.read(folder, nett=net)


def test_a_task_parts_rows_before_anything_is_estimated():
    task = Task.of(Ridge().roles(), {"x": X, "y": Y}, Split(test=0.2, held=0.1))
    assert [len(task.part(name)["x"]) for name in ("train", "held", "test")] == [70, 10, 20]
    parts = torch.cat([task.part(name)["x"] for name in ("train", "held", "test")])
    assert_close(parts.sort(0).values, X.sort(0).values)
    assert torch.equal(task.test["y"], task.test["x"] @ torch.tensor([[1.0], [-2.0], [0.5]]).double())
    late = Task.of(Ridge().roles(), {"x": X, "y": Y}, Split(by="time", test=10))
    assert torch.equal(late.test["x"], X[-10:])
    groups = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    split = Split(by="group", role="who", test=["b"])
    by_group = Task.of(Ridge().roles(), {"x": X, "y": Y, "who": groups}, split)
    assert torch.equal(by_group.test["x"], X[50:80])
    with pytest.raises(InvalidInputError, match="Did you mean"):
        Task.of(Ridge().roles(), {"x": X, "yy": Y})


def test_a_task_may_learn_from_few_rows_and_hold_out_the_others():
    groups = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    split = Split(by="group", role="who", test=["b"], train=0.2)
    few = Task.of(Ridge().roles(), {"x": X, "y": Y, "who": groups}, split)
    assert [len(few.part(name)["x"]) for name in ("train", "held", "test")] == [14, 56, 30]
    assert torch.equal(few.test["x"], X[50:80])
    parts = torch.cat([few.part(name)["x"] for name in ("train", "held", "test")])
    assert_close(parts.sort(0).values, X.sort(0).values)
    assert len(Task.of(Ridge().roles(), {"x": X, "y": Y}, Split(train=500)).train["x"]) == 80


def test_a_split_by_group_replaces_the_one_that_data_bring():
    brought = {"x": {"train": torch.arange(90), "test": torch.arange(90, 100)}}
    values = {"x": X, "y": Y, "who": ["a"] * 50 + ["b"] * 50}
    split = Split(by="group", role="who", test=["a"])
    assert torch.equal(Task.of(Ridge().roles(), values, split, parts=brought).test["x"], X[:50])
    del values["who"]
    assert torch.equal(Task.of(Ridge().roles(), values, parts=brought).test["x"], X[90:])


@pytest.mark.slow
def test_a_predictive_mixture_has_the_moments_quantiles_and_draws_of_its_density():
    loc = torch.tensor([[[0.0]], [[3.0]]], dtype=torch.float64)
    scale = torch.tensor([[[1.0]], [[0.5]]], dtype=torch.float64)
    weight = torch.tensor([[0.25], [0.75]], dtype=torch.float64).log()
    p = Predictive(loc=loc, scale=scale, log_weight=weight)
    assert_close(p.mean, torch.tensor([[2.25]], dtype=torch.float64))
    variance = 0.25 * (1 + 0) + 0.75 * (0.25 + 9) - 2.25**2
    assert_close(p.std**2, torch.tensor([[variance]], dtype=torch.float64))
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.stack([p.log_prob(y) for y in grid]).exp()
    assert_close(torch.trapezoid(density[:, 0], grid), torch.tensor(1.0, dtype=torch.float64))
    q = p.quantile(0.9)
    assert_close(p.cdf(q), torch.tensor([[0.9]], dtype=torch.float64))
    draws = p.sample(4000, seed=1)[:, 0, 0]
    assert abs(float(draws.mean()) - 2.25) < 4 * variance**0.5 / 4000**0.5
    assert abs(float((draws < 1).double().mean()) - float(p.cdf(torch.ones(1, 1)))) < 4 * 0.5 / 4000**0.5


def test_what_a_method_once_had_is_refused_with_what_takes_its_place():
    class Renamed(Ridge):
        former: ClassVar = {"guess": "Call predict(x).", "strength": "It is called penalty."}

    with pytest.raises(AttributeError, match=r"Renamed has no attribute 'guess'\. Call predict\(x\)\."):
        Renamed().guess(X)
    with pytest.raises(InvalidInputError, match=r"got 'strength'\. It is called penalty\."):
        Renamed(strength=2.0)
    assert not hasattr(Renamed(), "guess")
    with pytest.raises(AttributeError, match=r"has no attribute 'other'$"):
        _ = Renamed().other


class Plane(Method):
    """``u(t, x) = slope t + x`` with columns that its own problem names; it has no rows to fit to."""

    slope: float = 2.0

    def roles(self):
        return (Role(name="problem", kind="problem", axis=""),)

    def learn(self, data, run):
        return {}

    def columns(self, name):
        return {"points": ("t", "x"), "u": ("height",)}.get(name, ())

    @capability(reads={"points": Role(name="points")}, like="u")
    def solve(self, points):
        return (self.slope * points[:, 0] + points[:, 1])[:, None]


def test_columns_that_a_problem_names_are_found_in_any_order_and_name_the_answer():
    method = Plane().fit("a problem")
    table = pd.DataFrame({"x": [1.0, 2.0], "more": [9.0, 9.0], "t": [10.0, 20.0]}, index=["a", "b"])
    answer = method.solve(table)
    assert list(answer.columns) == ["height"]
    assert list(answer.index) == ["a", "b"]
    assert answer["height"].tolist() == [21.0, 42.0]
    found = method.solve(table[["t", "x"]].to_numpy())
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[21.0], [42.0]]
    with pytest.raises(InvalidInputError, match="points must have the columns t, x, got none named 't'"):
        method.solve(pd.DataFrame({"time": [1.0], "x": [1.0]}))


def test_a_problem_alone_is_not_judged_on_what_was_learnt_from():
    assert not Task.of(Plane().roles(), {"problem": "a problem"}).in_sample
    assert Task.of(Ridge().roles(), {"x": X, "y": Y}, Split(by="none")).in_sample


def test_a_setting_may_not_hide_what_a_base_class_has():
    with pytest.raises(TypeError, match=r"Hiding: the setting 'columns' hides Method\.columns"):

        class Hiding(Method):
            columns: int = 3

    class Base(Method):
        width: int = 3

    class Wider(Base):
        width: int = 4  # another default for the same setting

    assert Wider().width == 4


class Switched(Ridge):
    """A ridge with a switch."""

    on: bool = False


def test_a_word_is_no_truth_value():
    assert [Switched(on=value).on for value in (True, np.False_, 1)] == [True, False, True]
    for word in ("False", None, 2, 1.0):
        with pytest.raises(InvalidInputError, match="on must be True or False, got"):
            Switched(on=word)


# --- arguments that verbs share, and settings that they pass on ---------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wished:
    """What is wished for.

    Args:
        steps: How many steps.
        seed: Seed of the noise.
    """

    steps: int = 5
    seed: int = 0


class Walker(Ridge):
    """Answers with what it was asked."""

    @capability(like="y", shares=Wished)
    def predict(self, x, *, details=False, **options):
        """Walk.

        Args:
            x: Starts.
            details: Everything.
            options: What is wished for.
        """
        assert not details
        return torch.full((len(x), 1), float(Wished(**options).steps))


def test_shared_arguments_are_a_verbs_own():
    walker = Walker().fit(X, Y)
    assert float(walker.predict(X[:1])) == 5
    assert float(walker.predict(X[:1], steps=7)) == 7
    assert [*inspect.signature(Walker.predict).parameters] == [
        "self",
        "x",
        "steps",
        "seed",
        "details",
        "options",
    ]
    assert "    steps: How many steps.\n    seed: Seed of the noise.\n    options:" in Walker.predict.__doc__
    with pytest.raises(InvalidInputError, match="Did you mean 'steps'"):
        walker.predict(X[:1], step=7)
    with pytest.raises(InvalidInputError, match="seed must be"):
        walker.predict(X[:1], seed="a")


def test_a_verb_cannot_pass_on_options_that_are_not_named():
    def run(x, **changes):
        raise AssertionError

    with pytest.raises(InvalidInputError, match="passes must name each option"):
        capability(passes=run)(lambda self, n, **options: None)

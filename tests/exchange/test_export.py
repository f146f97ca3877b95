"""Exported programs: read back by PyTorch and onnxruntime, they answer as the library does, in data units."""

import itertools
import json
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import interpolants as itp
from interpolants.dynamics import sample
from interpolants.dynamics.samplers import BROWNIAN_STREAM
from interpolants.exchange import export
from interpolants.fields import LearnedFields
from interpolants.foundations.brownian import BrownianPath
from interpolants.foundations.errors import InvalidInputError, MissingExtraError, NotIdentifiableError
from interpolants.foundations.randomness import BlockNoise
from interpolants.methods.flow_map.flow_map import FlowMap
from interpolants.methods.rectification.rectification import Rectification
from interpolants.methods.rivals.gaussian_fit import GaussianFit
from interpolants.paths import Linear, OneSidedLinear, ZeroEnvelope

SMALL = {"net": {"kind": "mlp", "width": 16, "depth": 1}, "steps": 10, "batch_size": 32}
QUIET = {"progress": False}
BOTH = ["pt2", pytest.param("onnx", marks=pytest.mark.slow)]
G = torch.Generator().manual_seed(0)
X0 = torch.randn(200, 2, generator=G)
X1 = torch.randn(200, 2, generator=G) @ torch.tensor([[3.0, 1.0], [0.0, 0.5]]) + torch.tensor([5.0, -40.0])
LABELS = (X1[:, 0] > 5).long()


@pytest.fixture(scope="module")
def one():
    return itp.Bridge("one_sided_linear", **SMALL).fit(x1=X1, **QUIET)


@pytest.fixture(scope="module")
def two():
    return itp.Bridge("linear", held_out=0, **SMALL).fit(X0, X1, **QUIET)


@pytest.fixture(scope="module")
def labelled():
    return itp.Bridge("one_sided_linear", drop_condition=0.2, **SMALL).fit(x1=X1, cond=LABELS, **QUIET)


def runs(file):
    """What a stranger with the file alone would write."""
    if file.suffix == ".pt2":
        module = torch.export.load(file).module()
        return lambda **given: module(**given).detach()
    session = pytest.importorskip("onnxruntime").InferenceSession(
        str(file), providers=["CPUExecutionProvider"]
    )
    return lambda **given: torch.from_numpy(session.run(None, {k: v.numpy() for k, v in given.items()})[0])


def noise_of(bridge, n, seed):
    return bridge.frame.encode(bridge.start_points(n, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("ending", BOTH)
def test_a_sampler_gives_the_samples_of_the_library(one, tmp_path, ending):
    file = tmp_path / f"sampler.{ending}"
    done = export(one, file, method="heun", n_steps=2)
    run = runs(file)
    for n in (1, 4, 70):
        found = run(noise=noise_of(one, n, seed=n))
        assert_close(found, one.sample(n, method="heun", n_steps=2, seed=n), rtol=1e-5, atol=1e-4)
    assert max(max(gaps.values()) for gaps in done.gaps.values()) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("method", ["euler", "rk4", "ddim", "dpmpp_2m", "exponential_ab2"])
def test_solvers_of_every_kind_go_out(one, tmp_path, method):
    file = export(one, tmp_path / "sampler.pt2", method=method, n_steps=2).file
    expected = one.sample(5, method=method, n_steps=2, seed=0)
    assert_close(runs(file)(noise=noise_of(one, 5, 0)), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("ending", BOTH)
@pytest.mark.parametrize(
    "method", ["euler_maruyama", pytest.param("stochastic_heun", marks=pytest.mark.slow)]
)
def test_the_noise_of_an_sde_is_an_input(two, tmp_path, ending, method):
    file, steps = tmp_path / f"sampler.{ending}", 3
    about = export(two, file, method=method, eps=0.5, n_steps=steps).about
    grid = np.array(about["sampler"]["times"])
    x = X0[:6]
    motion = BrownianPath(grid, lambda level: BlockNoise.like(x, 7, BROWNIAN_STREAM, level, first=0))
    increments = [dw / h**0.5 for (dw, _), h in zip(motion, np.diff(grid).tolist(), strict=True)]
    expected = two.transport(x, method=method, eps=0.5, n_steps=steps, seed=7)
    found = runs(file)(x=x, brownian=torch.stack(increments, 1))
    assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_it_runs_backwards(one, tmp_path):
    file = export(one, tmp_path / "back.pt2", reverse=True, method="euler", n_steps=3).file
    expected = one.transport(X1[:5], reverse=True, method="euler", n_steps=3)
    assert_close(runs(file)(x=X1[:5]), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("ending", ["onnx", pytest.param("pt2", marks=pytest.mark.slow)])
def test_labels_and_guidance_are_inputs(labelled, tmp_path, ending):
    file = tmp_path / f"guided.{ending}"
    export(labelled, file, method="euler", n_steps=2, guidance=True)
    cond, strength = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([1.0, 0.0, 2.5, 3.0, 1.5])
    expected = labelled.sample(5, cond=cond, guidance=strength, method="euler", n_steps=2, seed=0)
    noise = noise_of(labelled, 5, 0)
    assert_close(runs(file)(noise=noise, cond=cond, guidance=strength), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_a_strength_that_is_kept_is_that_strength(labelled, tmp_path):
    file = export(labelled, tmp_path / "kept.pt2", method="euler", n_steps=2, guidance=2.5).file
    cond = torch.tensor([0, 1, 1])
    expected = labelled.sample(3, cond=cond, guidance=2.5, method="euler", n_steps=2, seed=0)
    assert_close(runs(file)(noise=noise_of(labelled, 3, 0), cond=cond), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_vectors_are_told_in_data_units(tmp_path):
    cond = X1 * 100
    bridge = itp.Bridge("one_sided_linear", **SMALL).fit(x1=X1, cond=cond, **QUIET)
    file = export(bridge, tmp_path / "told.pt2", method="euler", n_steps=2).file
    expected = bridge.sample(4, cond=cond[:4], method="euler", n_steps=2, seed=0)
    assert_close(runs(file)(noise=noise_of(bridge, 4, 0), cond=cond[:4]), expected, rtol=1e-5, atol=1e-4)


def test_columns_and_parts_of_a_condition_are_told_in_their_order(tmp_path):
    pandas = pytest.importorskip("pandas")
    x1 = pandas.DataFrame(X1.numpy(), columns=["height", "weight"])
    cond = {"age": X1[:, 0] * 10, "place": ["a", "b"] * 100, "two": X1}
    bridge = itp.Bridge("one_sided_linear", **SMALL).fit(x1=x1, cond=cond, **QUIET)
    about = export(bridge, tmp_path / "v.pt2", what="velocity").about
    told = {port["name"]: port["about"] for port in about["inputs"]}
    assert told["cond"] == "Condition in data units, with columns age, place = a, place = b, two[0], two[1]."
    assert told["x"].endswith("Columns: height, weight.")
    assert about["output"]["about"].endswith("Columns: height, weight.")


@pytest.mark.slow
@pytest.mark.parametrize("ending", BOTH)
def test_a_velocity_is_in_data_units_and_a_score_in_their_inverse(one, tmp_path, ending):
    """By the Jacobian of the units, differentiated."""
    x, t = X1[:5], torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    u = one.frame.encode(x)
    decode = torch.autograd.functional.jacobian(lambda row: one.frame.decode(row[None])[0], u[0].double())
    for what, matrix in (("velocity", decode), ("score", torch.linalg.inv(decode).T)):
        file = tmp_path / f"{what}.{ending}"
        export(one, file, what=what)
        with torch.no_grad():
            expected = getattr(one.fields, what)(u, t).double() @ matrix.T
        assert_close(runs(file)(x=x, t=t).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_means_go_through_the_units(one, tmp_path):
    x, t = X1[:5], torch.linspace(0.1, 0.9, 5)
    file = export(one, tmp_path / "denoised.pt2", what="denoised").file
    with torch.no_grad():
        expected = one.frame.decode(one.fields.denoised(one.frame.encode(x), t))
    assert_close(runs(file)(x=x, t=t), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_in_float64_rounding_is_all_that_is_left(one, tmp_path):
    done = export(one, tmp_path / "wide.pt2", method="rk4", n_steps=2, dtype="float64")
    assert max(done.gaps["torch.export"].values()) < 1e-12
    narrow = export(one, tmp_path / "narrow.pt2", method="rk4", n_steps=2).file
    noise = noise_of(one, 4, 0)
    found = runs(done.file)(noise=noise.double())
    assert found.dtype == torch.float64
    assert_close(found.float(), runs(narrow)(noise=noise), rtol=1e-5, atol=1e-4)
    assert next(one.network.parameters()).dtype == torch.float32, "the bridge itself is as it was"


@pytest.mark.slow
def test_constant_columns_come_back_and_rest(tmp_path):
    x1 = torch.cat([X1, torch.full((200, 1), 7.0)], 1)[:, [0, 2, 1]]
    with pytest.warns(UserWarning, match="column 1 of x1 is constant"):
        bridge = itp.Bridge("one_sided_linear", **SMALL).fit(x1=x1, **QUIET)
    file = export(bridge, tmp_path / "sampler.onnx", method="euler", n_steps=2).file
    found = runs(file)(noise=torch.randn(4, 2, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(found[:, 1], torch.full((4,), 7.0))
    file = export(bridge, tmp_path / "velocity.pt2", what="velocity").file
    moved = runs(file)(x=x1[:4], t=torch.full((4,), 0.5))
    assert bool((moved[:, 1] == 0).all() and (moved[:, 0] != 0).all())
    assert export(bridge, tmp_path / "noise.pt2", what="noise").about["output"]["shape"] == ["batch", 2]


@pytest.mark.slow
def test_transformed_columns_go_out_but_their_means_do_not(tmp_path):
    x1 = (X1 / 10).exp() + 0.1
    bridge = itp.Bridge("one_sided_linear", transform="log", **SMALL).fit(x1=x1, **QUIET)
    file = export(bridge, tmp_path / "sampler.onnx", method="euler", n_steps=2).file
    expected = bridge.sample(4, method="euler", n_steps=2, seed=0)
    assert_close(runs(file)(noise=noise_of(bridge, 4, 0)), expected, rtol=1e-4, atol=1e-4)
    x, t = x1[:4], torch.full((4,), 0.5)
    file = export(bridge, tmp_path / "velocity.pt2", what="velocity").file
    u = bridge.frame.encode(x)
    with torch.no_grad():
        v = bridge.fields.velocity(u, t)
    expected = torch.autograd.functional.jvp(bridge.frame.decode, u.double(), v.double())[1]
    assert_close(runs(file)(x=x, t=t).double(), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(InvalidInputError, match="denoised needs data units that are an affine map"):
        export(bridge, tmp_path / "denoised.pt2", what="denoised")
    quantile = itp.Bridge("one_sided_linear", transform="quantile", **SMALL).fit(x1=x1, **QUIET)
    with pytest.raises(InvalidInputError, match="ONNX must have operators"):
        export(quantile, tmp_path / "quantile.onnx", method="euler", n_steps=1)
    assert not (tmp_path / "quantile.onnx").exists()
    export(quantile, tmp_path / "quantile.pt2", method="euler", n_steps=1)


@pytest.mark.slow
def test_images_and_other_methods_with_fields(tmp_path):
    images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    net = {"kind": "unet", "channels": 8}
    drawn = itp.Bridge("vp", net=net, steps=2, batch_size=8).fit(x1=images, **QUIET)
    file = export(drawn, tmp_path / "unet.onnx", method="euler", n_steps=2).file
    expected = drawn.sample(3, method="euler", n_steps=2, seed=0)
    assert_close(runs(file)(noise=noise_of(drawn, 3, 0)), expected, rtol=1e-4, atol=1e-4)
    straight = Rectification(rounds=1, n_steps=4, **SMALL).fit(X0, X1, **QUIET)
    file = export(straight, tmp_path / "straight.pt2", method="heun", n_steps=2).file
    expected = straight.transport(X0[:5], method="heun", n_steps=2)
    assert_close(runs(file)(x=X0[:5]), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_fields_alone_need_a_shape(tmp_path):
    """Exact fields of N(1, 0.25) on the straight path: the flow is z -> 1 + z/2."""

    def denoised(x, t, cond):
        t = t.reshape(-1, 1)
        return cond[:, None] + 0.25 * t / (0.25 * t**2 + (1 - t) ** 2) * (x - t * cond[:, None])

    fields = LearnedFields(OneSidedLinear(), denoised=denoised)
    cond = torch.tensor([1.0, 2.0])
    options = {"shape": (1,), "cond": cond, "method": "midpoint", "n_steps": 4, "dtype": "float64"}
    file = export(fields, tmp_path / "exact.pt2", **{**options, "cond": cond.double()}).file
    z = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    means = torch.full((5,), 3.0, dtype=torch.float64)
    assert_close(runs(file)(noise=z, cond=means), 3.0 + z / 2, rtol=0, atol=0.03)
    with pytest.raises(InvalidInputError, match="fields alone need the shape"):
        export(fields, tmp_path / "none.pt2")


@pytest.mark.slow
def test_the_file_says_what_it_is(labelled, tmp_path):
    file = tmp_path / "guided.onnx"
    done = export(labelled, file, method="heun", n_steps=2, guidance=True)
    meta = pytest.importorskip("onnxruntime").InferenceSession(str(file)).get_modelmeta()
    assert json.loads(meta.custom_metadata_map["interpolants"]) == done.about
    assert [port["name"] for port in done.about["inputs"]] == ["noise", "cond", "guidance"]
    assert done.about["inputs"][0]["shape"] == ["batch", 2]
    assert "0 = 0, 1 = 1. -1 stands for no condition" in done.about["inputs"][1]["about"]
    assert meta.producer_name == "interpolants"
    assert "Standard normal noise" in meta.description
    assert "Solver heun, 2 steps." in str(done)
    held = {"interpolants.json": ""}
    file = export(labelled, tmp_path / "guided.pt2", method="heun", n_steps=2).file
    torch.export.load(file, extra_files=held)
    assert json.loads(held["interpolants.json"])["sampler"]["steps"] == 2


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 2)

    def forward(self, x, t, cond=None):
        return self.line(x) if bool(x.sum() > 0) else -x


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "dopri5"}, "the solver must have fixed steps.*got 'dopri5'. Use euler"),
        ({"method": "sra1", "eps": 0.5}, "noise from Brownian increments alone, got 'sra1'"),
        ({"method": "ancestral"}, "noise from Brownian increments alone, got 'ancestral'"),
        ({"what": "velocity", "eps": 0.5}, "eps must not be passed with what='velocity', got 0.5"),
        ({"what": "velocity", "method": "heun"}, "method must not be passed with what='velocity'"),
        ({"what": "velocty"}, "what must be one of sampler, jumps, velocity.*Did you mean 'velocity'"),
        (
            {"guidance": 2.0},
            "guidance needs a Bridge that knows its fields with and without, got no condition",
        ),
        ({"n_steps": 0}, "n_steps must be a whole number >= 1, got 0"),
        ({"dtype": "float16"}, "dtype must be one of float32, float64"),
        ({"out": "a.txt"}, "the ending of the file must be one of .pt2, .onnx"),
        ({"out": "a.onnx", "dtype": "float64"}, "dtype must be float32 for .onnx"),
        ({"shape": (2,)}, "shape and cond are for fields alone"),
        ({"what": "score", "out": "taken.pt2"}, "taken.pt2 must not exist, got an existing file"),
        ({"tolerance": 0}, "tolerance must be finite and > 0"),
        (
            {"method": "heun", "n_steps": 3, "tolerance": 1e-30, "out": "b.onnx"},
            "must agree with the library to 1e-30",
        ),
    ],
)
def test_what_cannot_go_out_is_refused_and_leaves_no_file(one, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.pt2").touch()
    with pytest.raises(InvalidInputError, match=message):
        export(one, **{"out": "new.pt2", **options})
    assert [file.name for file in tmp_path.iterdir()] == ["taken.pt2"]


def test_models_without_fields_or_a_fit_are_refused(tmp_path):
    file = tmp_path / "new.pt2"
    with pytest.raises(InvalidInputError, match="the bridge must be fitted"):
        export(itp.Bridge(), file)
    with pytest.raises(InvalidInputError, match="GaussianFit must have learnt fields, and units"):
        export(GaussianFit().fit(x1=X1), file)
    with pytest.raises(InvalidInputError, match="must be a fitted method or Fields, got Linear"):
        export(nn.Linear(2, 2), file)
    flow = LearnedFields(Linear(envelope=ZeroEnvelope()), velocity=lambda x, t: x)
    with pytest.raises(NotIdentifiableError, match="score"):
        export(flow, file, what="score", shape=(2,))


def test_a_network_that_branches_on_values_is_refused_in_words(tmp_path):
    fields = LearnedFields(OneSidedLinear(), velocity=Branching())
    with pytest.raises(
        InvalidInputError, match=r"must be such that torch\.export can trace them.*branch on values"
    ):
        export(fields, tmp_path / "new.pt2", shape=(2,), method="euler", n_steps=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_file_is_replaced_on_purpose_only(one, tmp_path):
    file = tmp_path / "v.pt2"
    file.write_text("mine")
    export(one, file, what="velocity", force=True)
    assert file.stat().st_size > 1000


def test_onnx_without_its_packages_says_what_to_install(one, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'interpolants\[export\]'"):
        export(one, tmp_path / "a.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("ending", BOTH)
def test_jumps_of_a_flow_map_are_its_samples(tmp_path, ending):
    flow = FlowMap(path="one_sided_linear", **SMALL).fit(x1=X1, **QUIET)
    done = export(flow, tmp_path / f"jumps.{ending}", what="jumps", n_steps=3)
    run = runs(done.file)
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    x, times = flow.frame.decode(noise), [0.0, 1 / 3, 2 / 3, 1.0]
    for s, t in itertools.pairwise(times):
        x = flow.jump(x, s, t)
    assert_close(run(noise=noise), x, rtol=1e-5, atol=1e-4)
    assert done.about["sampler"]["steps"] == 3
    assert "jumps of a FlowMap" in str(done)


@pytest.mark.slow
def test_jumps_go_back_between_two_sets(tmp_path):
    flow = FlowMap(path="linear", **SMALL).fit(X0, X1, **QUIET)
    done = export(flow, tmp_path / "back.pt2", what="jumps", reverse=True, time_grid=[0.0, 0.25, 1.0])
    found = runs(done.file)(x=X1[:4])
    assert_close(found, flow.transport(X1[:4], reverse=True, times=[0.0, 0.25, 1.0]), rtol=1e-5, atol=1e-4)


def test_jumps_are_refused_where_there_are_none(one, tmp_path):
    flow = FlowMap(path="linear", directions="forward", **SMALL).fit(X0, X1, **QUIET)
    for model, options, message in (
        (one, {}, "needs a model of jumps"),
        (flow, {"method": "heun"}, "method must not be passed"),
        (flow, {"eps": 0.5}, "eps must not be passed"),
        (flow, {"reverse": True}, "both directions"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            export(model, tmp_path / "none.pt2", what="jumps", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("method", "n_steps"), [("heun", 2), ("midpoint", 2), ("euler", 3)])
def test_jumps_are_no_fields_for_another_solver(method, n_steps):
    flow = FlowMap(path="linear", **SMALL).fit(X0, X1, **QUIET)
    jumps = flow.jumps([0.0, 0.5, 1.0])
    euler = sample(jumps, flow.frame.encode(X0[:3]), method="euler", n_steps=2).x
    assert_close(flow.frame.decode(euler), flow.transport(X0[:3], n_steps=2))
    with pytest.raises(InvalidInputError, match="Euler steps along their own grid"):
        sample(jumps, X1[:3], method=method, n_steps=n_steps)

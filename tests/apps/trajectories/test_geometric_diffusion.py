"""Symmetries of network, anchor and sampler; free particles; densities on the subspace of mean zero."""

import copy
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.trajectories import GeometricDiffusion
from interpolants.apps.trajectories.data.tracks import Tracks
from interpolants.apps.trajectories.metrics.displacement_errors import displacement
from interpolants.apps.trajectories.nets.equivariant_tracks import EquivariantTracks, edge_mask
from interpolants.apps.trajectories.problems.charged_particles import ChargedParticles
from interpolants.apps.trajectories.track_velocity import TrackVelocity
from interpolants.apps.trajectories.training_tracks import covariance_root
from interpolants.apps.trajectories.zero_mean import ZeroMeanBasis, without_mean
from interpolants.fields.learned import LearnedFields
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning
from interpolants.framework.capabilities import NotAbleError
from interpolants.framework.method import load
from interpolants.likelihood import log_prob
from interpolants.paths import OneSidedTrigonometric

SMALL = {"context": 4, "horizon": 3, "width": 8, "blocks": 2, "steps": 12, "batch_size": 8, "n_steps": 4}


def tracks(n=12, strength=1.0, frames=8, seed=0, dim=3):
    problem = ChargedParticles(3, frames, strength, every=20, dt=0.005, dim=dim)
    return problem.sample(n, generator=torch.Generator().manual_seed(seed))


def orthogonal(dim, mirror, seed=3):
    matrix = torch.linalg.qr(
        torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    )[0]
    return matrix if (torch.linalg.det(matrix) < 0) == mirror else torch.cat([-matrix[:1], matrix[1:]])


@pytest.fixture(scope="module")
def model():
    return GeometricDiffusion(**SMALL).fit(tracks())


# --- the network


def net_and_input(dim=3, **settings):
    net = EquivariantTracks(width=8, channels=2, blocks=2, **settings).double()
    g = torch.Generator().manual_seed(0)
    h = torch.randn(2, 5, 4, 8, dtype=torch.float64, generator=g)
    x = torch.randn(2, 5, 4, 2, dim, dtype=torch.float64, generator=g)
    seen = torch.ones(2, 5, 4, dtype=torch.bool)
    seen[0, :, 3] = False
    seen[1, 0, 0] = False
    return net, h, x, seen


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_network_turns_mirrors_and_shifts_with_its_input(dim):
    net, h, x, seen = net_and_input(dim)
    turn, shift = orthogonal(dim, mirror=True), torch.arange(1.0, dim + 1, dtype=torch.float64)
    edges = edge_mask(4)
    told, moved = net(h, x, seen, edges)
    again, turned = net(h, x @ turn.T + shift, seen, edges)
    assert_close(turned, moved @ turn.T + shift, atol=1e-10, rtol=0)
    assert_close(again, told, atol=1e-10, rtol=0)
    assert (moved - x).abs().max() > 1e-3


@pytest.mark.parametrize("dim", [2, 3])
def test_without_reflections_it_turns_but_tells_left_from_right(dim):
    net, h, x, seen = net_and_input(dim, reflections=False)
    moved = net(h, x, seen, edge_mask(4))[1]
    turn, mirror = orthogonal(dim, mirror=False), orthogonal(dim, mirror=True)
    assert_close(net(h, x @ turn.T, seen, edge_mask(4))[1], moved @ turn.T, atol=1e-10, rtol=0)
    assert (net(h, x @ mirror.T, seen, edge_mask(4))[1] - moved @ mirror.T).abs().max() > 1e-6


def test_a_shift_of_all_times_changes_nothing_and_the_distance_of_times_does():
    net, h, x, seen = net_and_input()
    times = torch.arange(5)
    moved = net(h, x, seen, edge_mask(4), times)[1]
    assert_close(net(h, x, seen, edge_mask(4), times + 70)[1], moved, atol=1e-10, rtol=0)
    assert (net(h, x, seen, edge_mask(4), 2 * times)[1] - moved).abs().max() > 1e-6


def test_a_permutation_of_nodes_permutes_the_output():
    net, h, x, seen = net_and_input()
    order = torch.tensor([2, 0, 3, 1])
    edges = edge_mask(4, [(0, 1), (1, 2), (2, 3)])
    told, moved = net(h, x, seen, edges)
    other = net(h[:, :, order], x[:, :, order], seen[:, :, order], edges[order][:, order])
    assert_close(other[0], told[:, :, order], atol=1e-12, rtol=0)
    assert_close(other[1], moved[:, :, order], atol=1e-12, rtol=0)


def test_what_is_not_there_is_never_looked_at():
    net, h, x, seen = net_and_input()
    edges = edge_mask(4)
    moved = net(h, x, seen, edges)[1]
    other = torch.where(seen[..., None, None], x, 1e3)
    found = net(torch.where(seen[..., None], h, -7.0), other, seen, edges)[1]
    assert_close(found[seen], moved[seen], atol=1e-12, rtol=0)


def test_coincident_points_and_nodes_without_neighbours_have_finite_gradients():
    net, h, x, seen = net_and_input()
    x = torch.zeros_like(x).requires_grad_()
    moved = net(h, x, seen, edge_mask(4, [(0, 1)]))[1]
    moved.square().sum().backward()
    assert x.grad.isfinite().all()
    assert not moved.any(), "differences of equal positions are zero"


@pytest.mark.parametrize("bad", [[0, 0], [0, 4], [0], [0, 1, 2]])
def test_edges_out_of_range_are_refused(bad):
    with pytest.raises(InvalidInputError, match="every edge must be a pair"):
        edge_mask(4, [bad])


# --- the sampler


@pytest.mark.cases(2)
@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("exact", "tolerance"), [(False, 1e-4), (True, 1e-10)])
def test_forecasts_turn_with_the_given_frames_seed_by_seed(model, mirror, exact, tolerance):
    given = tracks(seed=5).frames(0, 4)
    turn, shift = orthogonal(3, mirror), torch.tensor([5.0, -3.0, 40.0], dtype=torch.float64)
    first = model.forecast(given, members=2, exact=exact).x
    turned = replace(given, x=given.x @ turn.T + shift)
    second = model.forecast(turned, members=2, exact=exact).x
    assert_close(second, first @ turn.T + shift, atol=tolerance, rtol=0)
    assert first.std(1).mean() > 1e-4, "members differ"


def test_the_control_without_symmetry_fails_the_same_test():
    control = GeometricDiffusion(**SMALL, symmetry="none").fit(tracks())
    given = tracks(seed=5).frames(0, 4)
    turn = orthogonal(3, mirror=False)
    first = control.forecast(given, members=1).x
    second = control.forecast(replace(given, x=given.x @ turn.T), members=1).x
    assert (second - first @ turn.T).abs().max() > 1e-3


def test_a_member_depends_on_seed_case_and_number_alone(model):
    given = tracks(seed=5).frames(0, 4)
    whole = model.forecast(given, members=3).x
    part = model.forecast(given[4:6], members=2, first_index=4).x
    assert_close(part, whole[4:6, :2], atol=1e-4, rtol=0)
    assert not torch.allclose(model.forecast(given, members=1, seed=1).x, whole[:, :1])


def test_the_anchor_learns_through_the_state_and_the_end_of_the_path(model):
    from interpolants.apps.trajectories.training_tracks import TrackLoss, encoded

    net, windows = model.state["net"].train().requires_grad_(True), model._windows_of(tracks())
    batch = encoded(windows, model.state["units"])
    batch |= {"t": torch.full((len(windows),), 0.5), "weight": torch.ones(len(windows))}
    loss = TrackLoss(model.path)(net, batch, torch.Generator().manual_seed(0))["velocity"].mean()
    loss.backward()
    assert net.anchor.table.weight.grad[:, :-1].abs().max() > 1e-3
    assert net.anchor.weights.weight.grad.abs().max() > 1e-4
    net.eval().requires_grad_(False)


def test_noise_of_the_base_has_the_covariance_of_what_the_anchor_misses():
    """Of random walks, constant velocity set aside: residuals about the last frame grow as min(s, t)."""
    steps = torch.randn(4000, 9, 1, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    settings = {**SMALL, "context": 4, "horizon": 4, "steps": 1, "anchor": "last"}
    model = GeometricDiffusion(**settings).fit(steps.cumsum(1))
    net, scale = model.state["net"], model.state["units"].scale
    white = torch.randn(20_000, 4, 1, 2, generator=torch.Generator().manual_seed(1))
    noise = scale * net.spread * net.base_noise(white)
    found = torch.einsum("rsnd,rtnd->st", noise, noise) / (2 * len(noise))
    ahead = torch.arange(1.0, 5.0)
    exact = torch.minimum(ahead[:, None], ahead)
    assert_close(found, exact, rtol=0.05, atol=0)

    windows = model._windows_of(Tracks.of(steps.cumsum(1), who="test"))
    root = covariance_root(net, windows, model.state["units"], least=1e-6, white=0.3)
    whitened = torch.where(torch.eye(4).bool(), exact, 0.7 * exact)
    assert_close((scale**2 * root @ root.T).float(), whitened, rtol=0.05, atol=0)


def test_free_particles_are_met_to_two_hundredths():
    """Two frames say where each will be: the anchor is that, and the noise about it goes."""
    settings = {**SMALL, "context": 6, "horizon": 10, "steps": 20}
    free = GeometricDiffusion(**settings).fit(tracks(40, 0.0, frames=16))
    test = tracks(20, 0.0, frames=16, seed=9)
    found = displacement(free.forecast(test.frames(0, 6), members=2).x, test.x[:, 6:])
    assert float(found.average.mean()) < 0.02
    still = displacement(test.x[:, None, 5:6].expand(-1, 1, 10, -1, -1), test.x[:, 6:])
    assert float(still.average.mean()) > 0.2


# --- whole trajectories


def test_an_exact_score_has_the_density_of_the_subspace_by_the_flow():
    """Of ``P N(0, s^2 I)``: ``(n - 1) D`` dimensions, whatever the ambient ones."""
    n, d, s = 8, 3, 1.4
    x = without_mean(
        s * torch.randn(5, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )
    path = OneSidedTrigonometric()

    def velocity(y, t):
        a, b, a1, b1 = (
            f(t).reshape(-1, 1, 1) for f in (path.alpha, path.beta, path.alpha_dot, path.beta_dot)
        )
        return (a * a1 + b * b1 * s**2) / (a**2 + b**2 * s**2) * y

    found = log_prob(LearnedFields(path, velocity=velocity), ZeroMeanBasis(n).forward(x), path.base).log_prob
    rank = (n - 1) * d
    exact = -0.5 * x.square().sum((1, 2)) / s**2 - rank * math.log(s * math.sqrt(2 * math.pi))
    ambient = exact - d * math.log(s * math.sqrt(2 * math.pi))
    assert_close(found, exact, rtol=1e-2, atol=0)
    assert ((found - ambient).abs() > 0.05 * ambient.abs()).all()


@pytest.fixture(scope="module")
def whole():
    return GeometricDiffusion(**{**SMALL, "context": 0, "horizon": 3, "blocks": 1}).fit(tracks(dim=2))


def test_whole_trajectories_have_mean_zero_and_a_density_that_no_motion_changes(whole):
    drawn = whole.sample(5)
    assert drawn.shape == (5, 3, 3, 2)
    assert_close(drawn.mean((1, 2)), torch.zeros(5, 2, dtype=torch.float64), atol=1e-6, rtol=0)
    x = tracks(3, frames=3, dim=2, seed=8)
    found = whole.log_prob(x, n_steps=4)
    turned = replace(x, x=x.x @ orthogonal(2, mirror=True).T + 7.0)
    assert_close(whole.log_prob(turned, n_steps=4), found, atol=1e-8, rtol=0)
    with pytest.raises(NotAbleError, match="no frames are given"):
        whole.forecast(x)


def test_a_silent_network_leaves_the_density_of_its_noise(whole, monkeypatch):
    """Positions about their mean are normal with the deviation of the units, in (3 * 3 - 1) * 2 dimensions."""
    net = copy.deepcopy(whole.state["net"])
    with torch.no_grad():
        for part in net.parameters():
            part.zero_()
    monkeypatch.setitem(whole.state, "net", net)
    x, scale = tracks(3, frames=3, dim=2, seed=8), whole.state["units"].scale
    gap = (x.x - x.x.mean((1, 2), keepdim=True)) / scale
    exact = -gap.square().sum((1, 2, 3)) / 2 - 16 * math.log(scale * math.sqrt(2 * math.pi))
    assert_close(whole.log_prob(x, n_steps=2), exact)


def test_a_state_is_moved_by_its_displacement_and_a_number_times_itself(generator):
    net = TrackVelocity(
        "last", 2, 3, nodes=2, dim=2, types=1, mixing=torch.eye(3).tolist(), width=8, blocks=1
    )
    features = torch.randn(4, 3, 2, 8, generator=generator)
    change, x = torch.randn(2, 4, 3, 2, 2, generator=generator)
    with torch.no_grad():
        net.gate.bias.fill_(0.7)
        assert_close(net._joined(features, change, x), change + 0.7 * x)


@pytest.mark.slow
def test_a_density_in_other_units_differs_by_their_volume():
    """(S N - 1) D log c for positions c times as large."""
    x = tracks(6, frames=3, dim=2)
    settings = {**SMALL, "context": 0, "horizon": 3, "steps": 3, "blocks": 1}
    small = GeometricDiffusion(**settings).fit(x)
    large = GeometricDiffusion(**settings).fit(replace(x, x=10 * x.x))
    gap = small.log_prob(x, n_steps=4) - large.log_prob(replace(x, x=10 * x.x), n_steps=4)
    assert_close(gap, torch.full_like(gap, (3 * 3 - 1) * 2 * math.log(10)), atol=1e-3, rtol=0)


# --- what users have


def test_gaps_ragged_cases_tables_and_files(model, tmp_path):
    x = tracks(10)
    full = x.with_gaps()
    full[:, 1, 0] = torch.nan
    full[0, :, 2] = torch.nan
    ragged = [full[0, :7], *full[1:]]
    fitted = GeometricDiffusion(**SMALL).fit({"x": ragged, "types": list(x.types)})
    found = fitted.forecast({"x": full[:, :4], "types": x.types}, members=2)
    assert found.x[0, :, :, 2].isnan().all()
    assert found.x[1:].isfinite().all()
    rows = [
        (case, frame, node, int(x.types[case, node]), *full[case, frame, node].tolist())
        for case in range(2)
        for frame in range(4)
        for node in range(3)
    ]
    table = pd.DataFrame(rows, columns=["track", "frame", "node", "type", "x", "y", "z"])
    own = fitted.forecast(table, members=2)
    assert_close(own.x, found.x[:2], atol=1e-4, rtol=0, equal_nan=True)
    assert list(own.table().index.names) == ["case", "member", "frame", "node"]
    table.to_csv(tmp_path / "given.csv", index=False)
    assert_close(fitted.forecast(str(tmp_path / "given.csv"), members=2).x, own.x, equal_nan=True)
    back = load(fitted.save(tmp_path / "model"))
    assert torch.equal(back.forecast(table, members=2).x.nan_to_num(), own.x.nan_to_num())


def test_single_nodes_may_come_without_their_axis():
    x = np.cumsum(np.random.default_rng(0).normal(size=(20, 9, 2)), 1)
    found = GeometricDiffusion(**SMALL).fit(x).forecast(x[:, :4], members=2)
    assert found.x.shape == (20, 2, 3, 1, 2)


def test_longer_contexts_end_where_their_tracks_end(model):
    x = tracks(4, frames=8)
    late = x.with_gaps()
    late[:, 6:] = torch.nan
    late = {"x": late, "types": x.types}
    assert_close(
        model.forecast(late, members=1).x, model.forecast(x.frames(2, 6), members=1).x, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: m.forecast(torch.zeros(1, 4, 3, 2)), "3 dimensions of the fit, got 2"),
        (
            lambda m: m.forecast({"x": torch.full((1, 4, 3, 3), torch.nan), "types": [0, 1, 0]}),
            "nothing of case 0",
        ),
        (lambda m: m.forecast(tracks(1), steps=4), r"steps must be a whole number in \[1, 3\], got 4"),
        (lambda m: m.forecast({"x": tracks(1).x, "types": [0, 1, 5]}), "types must be among the 2"),
        (
            lambda m: m.forecast(tracks(1).x),
            "types of nodes must be passed, since the training data had 2, got none",
        ),
        (lambda m: m.clone().fit(tracks(frames=6)), "at least 7 frames"),
        (lambda m: m.clone().set_params(edges=[[0, 3]]).fit(tracks()), "among 0 ... 2"),
        (lambda m: m.clone().set_params(path="linear"), "path must be one-sided"),
        (lambda m: m.clone().set_params(anchor="learned"), "Did you mean 'learnt'"),
    ],
)
def test_bad_input_is_refused(model, call, told):
    with pytest.raises(InvalidInputError, match=told):
        call(model)


def test_held_tracks_choose_the_weights():
    fitted = GeometricDiffusion(**{**SMALL, "validate_every": 5}).fit(
        tracks(), held={"tracks": tracks(seed=4)}
    )
    assert fitted.about["validation"]


def test_types_matter_and_tracks_know_them(model):
    x = tracks(4, seed=6).frames(0, 4)
    other = replace(x, types=1 - x.types)
    assert not torch.allclose(model.forecast(x, members=1).x, model.forecast(other, members=1).x)
    assert isinstance(x, Tracks)


def test_a_case_without_its_axis_is_not_taken_for_single_nodes(model):
    case = tracks(1).x[0]
    with pytest.raises(
        InvalidInputError,
        match=r"got 8 cases of 3 frames without an axis of nodes. A single case needs x\[None\]",
    ):
        model.forecast({"x": case, "types": [0]})


def test_frames_that_count_by_tens_are_told_of(model):
    x = np.cumsum(np.random.default_rng(0).normal(size=(4, 9, 2)), 1)
    rows = [(case, 10 * frame, *x[case, frame]) for case in range(4) for frame in range(9)]
    table = pd.DataFrame(rows, columns=["track", "frame", "x", "y"])
    with pytest.raises(InvalidInputError, match=r"one in 10 of every case.*table\['frame'\] // 10"):
        GeometricDiffusion(**SMALL).fit(table)
    fitted = GeometricDiffusion(**SMALL).fit(table.assign(frame=table.frame // 10))
    with (
        pytest.warns(OutsideWarning, match="case 0 shows its last 1"),
        pytest.warns(OutsideWarning, match="one frame in 10 was seen"),
    ):
        fitted.forecast(table, members=1)


def test_distances_in_other_units_are_told_of(model):
    x = tracks(2).frames(0, 4)
    with pytest.warns(OutsideWarning, match="distances of context"):
        model.forecast(replace(x, x=1000 * x.x), members=1)

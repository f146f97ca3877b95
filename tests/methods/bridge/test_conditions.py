"""Guidance and SDE likelihood through the estimator; that they are right is measured where they live."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants import Bridge
from interpolants.dynamics import sample
from interpolants.foundations.errors import InvalidInputError
from interpolants.guidance import ClassifierFree
from interpolants.likelihood import SdeLogProb
from interpolants.likelihood import log_prob as sde_log_prob
from interpolants.methods.bridge.held_out import Ends, set_aside
from interpolants.methods.parts.conditions import ConditionForm
from interpolants.methods.parts.start_points import Pool
from interpolants.training.pairs import draw_pairs

QUIET = {"progress": False}
TINY = {"net": {"kind": "mlp", "width": 32, "depth": 2}, "batch_size": 128}
SOME = {"steps": 400, "drop_condition": 0.2, **TINY}


def labelled():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 800)
    return torch.as_tensor(rng.normal(size=(800, 2)) * 0.5 + np.where(labels, 1.0, -1.0)[:, None]), labels


@pytest.fixture(scope="module")
def bridge():
    x1, labels = labelled()
    return Bridge("one_sided_linear", **SOME).fit(x1=x1, cond=labels, **QUIET)


@pytest.mark.slow
def test_guidance_goes_further_than_the_condition_and_less_far_than_none(bridge):
    def mean(**how):
        return float(bridge.sample(500, cond=1, seed=0, n_steps=20, **how).mean())

    plain, weak, strong = mean(), mean(guidance=0.0), mean(guidance=3.0)
    assert weak < plain - 0.3
    assert strong > plain + 0.1
    assert mean(guidance=1.0) == pytest.approx(plain, abs=1e-5)
    # Outside of the interval there is none.
    assert mean(guidance=3.0, guidance_interval=(0.0, 0.0)) < strong


def test_guidance_is_that_of_the_guided_fields_for_every_form_of_strength(bridge):
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    cond = torch.ones(5, dtype=torch.long)
    fields = ClassifierFree(bridge.fields, 2.0, (0.2, 0.7))
    wanted = sample(fields, bridge.frame.encode(x), eps=0.3, seed=2, cond=cond).x
    how = {"eps": 0.3, "seed": 2, "cond": 1, "guidance_interval": (0.2, 0.7)}
    for strength in (2, [2.0] * 5, np.full(5, 2.0), lambda t: 2.0 * torch.ones_like(t)):
        found = bridge.transport(x, guidance=strength, **how)
        assert_close(found, bridge.frame.decode(wanted), atol=1e-5, rtol=1e-5)


def test_what_guidance_needs_is_kept_in_the_file(bridge, tmp_path):
    again = Bridge.load(bridge.save(tmp_path / "kept"))
    assert again.get_params()["drop_condition"] == SOME["drop_condition"]
    one, two = (b.sample(3, cond=0, guidance=2.0, seed=3) for b in (bridge, again))
    assert_close(one, two)


def test_guidance_without_what_it_needs_is_refused(bridge):
    x1, labels = labelled()
    plain = Bridge("one_sided_linear", steps=2, **TINY).fit(x1=x1, cond=labels, **QUIET)
    with pytest.raises(InvalidInputError, match=r"got a bridge with drop_condition=0\. Fit Bridge\(drop_"):
        plain.sample(2, cond=1, guidance=2.0)
    with pytest.raises(InvalidInputError, match="got no condition"):
        bridge.sample(2, guidance=2.0)
    with pytest.raises(InvalidInputError, match=r"one number per sample, \(3,\), got \(2,\)"):
        bridge.sample(3, cond=1, guidance=[1.0, 2.0])
    with pytest.raises(InvalidInputError, match=r"drop_condition must lie in \[0, 1\), got 1"):
        Bridge(drop_condition=1.0)


def test_the_density_of_the_sde_comes_in_data_units(bridge):
    x = labelled()[0][:6].float()
    how = {"eps": 0.4, "paths": 4, "n_steps": 10, "seed": 5}
    found = bridge.log_prob(x, cond=1, details=True, **how)
    assert isinstance(found, SdeLogProb)
    encoded = bridge.frame.encode(x)
    cond = torch.ones(6, dtype=torch.long)
    raw = sde_log_prob(bridge.fields, encoded, bridge.fitted_path.base, cond=cond, **how)
    volume = float(bridge.frame.log_volume(encoded[:1].double()))
    assert abs(volume) > 0.1
    for name in ("log_prob", "lower_bound", "low", "high"):
        assert_close(getattr(found, name), getattr(raw, name) + volume)
    assert_close(bridge.log_prob(x, cond=1, **how), found.log_prob)


QUICK = {"steps": 2, "batch_size": 16, "net": {"kind": "mlp", "width": 8, "depth": 1}}


def conditioned(cond):
    return Bridge("one_sided_linear", held_out=0, **QUICK).fit(x1=torch.randn(40, 2), cond=cond, **QUIET)


def test_one_number_per_row_is_taken_when_sampling_as_it_is_when_learning():
    bridge = conditioned(np.linspace(-1, 1, 40, dtype=np.float32))
    rows = torch.tensor([0.0, 1.0, 2.0])
    wanted = bridge.sample(3, cond=rows[:, None], seed=0)
    for given in (rows, rows.long(), rows.tolist(), rows.numpy()[::-1][::-1]):
        assert_close(bridge.sample(3, cond=given, seed=0), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        (torch.full((5,), 2), "cond must have shape"),
        (torch.rand(5), "cond must have shape"),
        ([0.0, np.nan, 1.0], "cond must be finite"),
        ("a", "cond must be numbers"),
        ([1j, 0, 0], "cond must be real"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(cond, message):
    with pytest.raises(InvalidInputError, match=message):
        conditioned(torch.randn(40, 3)).sample(5, cond=cond)


def test_a_label_is_a_whole_number(bridge):
    assert bridge.sample(2, cond=1.0).shape == (2, 2)
    with pytest.raises(InvalidInputError, match=r"cond must be labels, whole numbers, got \[0\.7"):
        bridge.sample(2, cond=0.7)


def test_labels_may_be_any_view_and_stay_the_user_s():
    labels = np.arange(40) % 3
    backwards = conditioned(labels[::-1])
    assert backwards.training_rows(40)[1].tolist() == labels[::-1].tolist()
    labels.setflags(write=False)
    read_only = conditioned(labels)
    labels.setflags(write=True)
    labels[:] = 0
    assert read_only.classes == 3


def test_the_way_back_starts_from_rows_of_the_label(bridge):
    x1, labels = labelled()
    labels = torch.as_tensor(labels)

    def starts(n, cond, **how):
        done = bridge.sample(
            n, reverse=True, cond=cond, n_steps=1, return_path=True, details=True, seed=3, **how
        )
        return done.path[0].double()

    mixed = torch.arange(60) % 2
    for asked in (0, 1, mixed):
        found = starts(60, asked)
        apart = torch.cdist(found, x1)
        assert float(apart.min(1).values.max()) < 1e-5
        assert torch.equal(labels[apart.argmin(1)], torch.as_tensor(asked).expand(60))
        assert len(found.unique(dim=0)) > 20
        again = starts(13, asked if isinstance(asked, int) else asked[40:53], first_index=40)
        assert_close(again, found[40:53], rtol=0, atol=0)
    assert_close(starts(60, -1), starts(60, None), rtol=0, atol=0)  # the null label is that of none


def test_a_label_without_stored_rows_has_no_way_back():
    pool = Pool(torch.randn(4, 2), torch.tensor([0, 2, 0, 2]))
    with pytest.raises(InvalidInputError, match=r"start from stored rows of their label, .* got label 1"):
        pool.draw(3, 0, 0, torch.tensor([0, 1, 2]))


def test_the_only_rows_of_a_label_are_learnt_rather_than_held_out():
    x1 = torch.arange(40.0)[:, None]
    plain = set_aside(Ends(x1 + 100, x1), 0.5, 0, paired=True)[1].x1.long().flatten()
    labels = torch.zeros(40, dtype=torch.long)
    labels[plain[:3]], labels[plain[5]] = 1, 2
    kept, away = set_aside(Ends(x1 + 100, x1, labels), 0.5, 0, paired=True)
    assert sorted(kept.cond.unique().tolist()) == [0, 1, 2]
    assert len(away.x1) == 16
    for part in (kept, away):
        assert torch.equal(part.x0, part.x1 + 100)
        assert torch.equal(part.cond, labels[part.x1.long().flatten()])
    assert len(torch.cat([kept.x1, away.x1]).unique()) == 40
    bridge = Bridge("one_sided_linear", held_out=0.5, **{**QUICK, "seed": 0})
    alone = Ends(None, x1, torch.arange(40))
    assert set_aside(alone, "auto", 0, paired=False)[1] is None
    with pytest.raises(InvalidInputError, match="at least 2 rows beside the only ones of a label, got 0"):
        set_aside(alone, 0.5, 0, paired=False)
    assert bridge.fit(x1=torch.randn(40, 2), cond=labels, **QUIET).sample(3, cond=2).shape == (3, 2)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_label_that_no_row_had_is_refused(reverse, tmp_path):
    bridge = conditioned(2 * (np.arange(40) % 2))
    bridge.save(tmp_path / "model")
    for one in (bridge, Bridge.load(tmp_path / "model")):
        for asked in (1, [0, 1, 2]):
            with pytest.raises(InvalidInputError, match="cond must be labels of the fit, 0, 2, got 1"):
                one.sample(3, cond=asked, reverse=reverse)
        assert one.sample(3, cond=[0, 2, 0], reverse=reverse).shape == (3, 2)
    bridge = conditioned({"kind": 2 * (np.arange(40) % 2), "size": np.linspace(-1, 1, 40, dtype=np.float32)})
    with pytest.raises(InvalidInputError, match=r"cond\['kind'\] must be labels of the fit, 0, 2, got 1"):
        bridge.sample(2, cond={"kind": [0, 1], "size": [0.5, 0.1]}, reverse=reverse)


def test_a_label_that_no_row_had_is_no_class_and_is_not_listed():
    bridge = conditioned(1 + np.arange(40) % 3)
    found = bridge.classify(np.random.default_rng(0).normal(size=(100, 2)), levels=2)
    assert set(found["label"].tolist()) <= {1, 2, 3}
    assert (found["probability"][:, 0] == 0).all()
    np.testing.assert_allclose(found["probability"].sum(1), 1)
    for unknown, got in ((0, "0"), (4, "4")):
        with pytest.raises(InvalidInputError, match=f"labels of the fit, 1 to 3, got {got}"):
            bridge.sample(2, cond=unknown, reverse=True)
    with pytest.raises(InvalidInputError, match=r"got 'high'\. Known: 1, 2, 3"):
        bridge.sample(2, cond="high", reverse=True)


def test_labels_beyond_those_of_the_fit_are_refused():
    bridge = conditioned(2 * (np.arange(40) % 2))
    with pytest.raises(InvalidInputError, match="labels of the fit, 0, 2, got 3"):
        bridge.sample(3, cond=3, reverse=True)


@pytest.mark.parametrize(
    ("kind", "within", "own"),
    [("sinkhorn", "labels", True), ("minibatch_ot", "labels", True), ("sinkhorn", None, False)],
)
def test_labels_choose_the_starts_where_pairs_were_made_within_them(kind, within, own):
    x1, labels = labelled()
    coupling = {"kind": kind, "within": within}
    x0 = torch.as_tensor(np.where(labels, 5.0, -5.0))[:, None].expand(-1, 2)
    few = {**TINY, "steps": 2, "batch_size": 32}
    bridge = Bridge("linear", coupling=coupling, **few).fit(x0, x1, cond=labels, cond0=labels, **QUIET)
    for label, place in ((0, -5.0), (1, 5.0)):
        done = bridge.sample(40, cond=label, n_steps=1, return_path=True, details=True, seed=3)
        assert set(done.path[0].round().flatten().tolist()) == ({place} if own else {-5.0, 5.0})


@pytest.mark.slow
def test_errors_for_the_noise_level_are_over_pairs_within_labels(tmp_path, monkeypatch):
    """Two labels ten apart at both ends: a pair that crossed them would begin left and end right, or the other way."""
    labels = torch.arange(2000) % 2
    x = (10.0 * labels - 5)[:, None] + torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    coupling = {"kind": "minibatch_ot", "within": "labels"}
    made = Bridge("linear", coupling=coupling, held_out=0.2, standardize=False, **QUICK)
    made.fit(x, x.roll(1, 0), cond=labels.roll(1), cond0=labels, progress=False)
    made.save(tmp_path / "bridge")
    seen = []

    def watched(*rows, **known):
        seen.append(draw_pairs(*rows, **known))
        return seen[-1]

    monkeypatch.setattr("interpolants.methods.bridge.noise_level.draw_pairs", watched)
    for bridge in (made, Bridge.load(tmp_path / "bridge")):
        rows = bridge.examples(300)
        assert torch.equal(rows.cond0 == 1, rows.x0[:, 0] > 0)
        bridge.choose_eps(n=200, n_steps=4)
    made.choose_eps(x[:400], x[:400], cond=labels[:400], cond0=labels[:400], n=200, n_steps=4)
    assert len(seen) == 3
    for start, end, cond in seen:
        assert torch.equal(start[:, 0] > 0, cond == 1)
        assert torch.equal(end[:, 0] > 0, cond == 1)


def test_the_form_of_conditions_is_read_off_their_type_and_dimensions():
    forms = [
        ConditionForm.of(c) for c in (torch.tensor([0, 4, 2]), torch.zeros(5, 3), torch.zeros(5, 2, 8, 8))
    ]
    assert [(form.labels, form.vector, form.field) for form in forms] == [(5, 0, 0), (0, 3, 0), (0, 0, 2)]


def test_labels_of_x0_that_nothing_reads_are_told():
    x, labels = labelled()
    few = {**TINY, "steps": 2}
    with pytest.warns(UserWarning, match="cond0 has no effect"):
        Bridge("linear", **few).fit(x, x + 5, cond=labels, cond0=labels, **QUIET)

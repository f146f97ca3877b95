import math

import pytest
import torch
from torch.testing import assert_close

from interpolants.nets import (
    ConditionEmbedding,
    ConditionKinds,
    FieldCondition,
    FourierTime,
    drop_condition,
    null_condition,
)


def kinds(**settings):
    return ConditionKinds(who="Net", **settings)


# Time ------------------------------------------------------------------------------------------------------


def test_features_are_sines_and_cosines_at_geometric_frequencies():
    t = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    found = FourierTime(6, low=0.5, high=8.0).double()(t)
    angle = 2 * math.pi * t[:, None] * torch.tensor([0.5, 2.0, 8.0], dtype=torch.float64)
    assert_close(found, torch.cat([angle.sin(), angle.cos()], 1), rtol=0, atol=1e-14)


def test_a_scalar_time_is_one_row_of_a_batch():
    features = FourierTime(16)
    row = features(torch.tensor(0.37))
    assert row.shape == (16,)
    assert torch.equal(features(torch.tensor([0.37, 0.37])), row.expand(2, -1))


def test_default_features_tell_every_time_from_every_other():
    # The lowest pair turns by a quarter over [0, 1]: its cosine strictly decreases.
    phi = FourierTime(16)(torch.linspace(0, 1, 1001))
    assert (phi[:, 8].diff() < 0).all()


def test_half_precision_does_not_round_the_frequencies():
    t = torch.rand(100, generator=torch.Generator().manual_seed(0))
    features = FourierTime(16)
    expected = features(t)
    assert torch.equal(features.bfloat16()(t), expected)
    assert torch.equal(features.double().bfloat16()(t), expected)


def test_float64_features_are_exact_after_a_change_of_type():
    t = torch.tensor(0.9, dtype=torch.float64)
    found = FourierTime(2, low=0.3, high=0.3).bfloat16().double()(t)
    assert_close(found[0].item(), math.sin(2 * math.pi * 0.27), rtol=0, atol=1e-15)


def test_features_have_no_weights_and_are_not_stored():
    features = FourierTime(8)
    assert not list(features.parameters())
    assert not features.state_dict()


@pytest.mark.parametrize("bad", [-2, 3, 2.0])
def test_a_bad_number_of_features_is_refused(bad):
    with pytest.raises(ValueError, match=f"features must be an even .* got {bad}"):
        FourierTime(bad)


@pytest.mark.parametrize("bad", [(0.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan, 1.0)])
def test_bad_frequencies_are_refused(bad):
    with pytest.raises(ValueError, match="0 < low <= high"):
        FourierTime(4, low=bad[0], high=bad[1])


# Conditions ------------------------------------------------------------------------------------------------


def embedding(seed=0, **settings):
    layer = ConditionEmbedding(5, kinds(**settings))
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.parameters():
        parameter.data.normal_(generator=generator)
    return layer


def embed(layer, cond, bias, rows=4):
    return layer(layer.kinds.split(cond, torch.zeros(rows, 3)), bias)


def test_labels_pick_their_row_and_minus_one_picks_the_null():
    layer = embedding(n_classes=3)
    bias = torch.arange(5.0)
    found = embed(layer, torch.tensor([2, -1, 0, 2]), bias)
    assert_close(found, layer.table.weight[[3, 0, 1, 3]] + bias)
    assert_close(embed(layer, None, bias), layer.table.weight[0] + bias)


def test_a_bias_per_row_gives_what_a_shared_one_gives():
    layer = embedding(n_classes=3, cond_dim=2)
    bias = torch.arange(5.0)
    cond = {"label": torch.tensor([2, -1, 0, 2]), "vector": torch.randn(4, 2)}
    assert_close(embed(layer, cond, bias.expand(4, -1)), embed(layer, cond, bias))


def test_vectors_are_embedded_linearly_and_nan_rows_by_the_null():
    layer = embedding(cond_dim=2)
    bias = torch.ones(5)
    vector = torch.tensor([[1.0, 2.0], [math.nan, math.nan], [0.0, 0.0], [-1.0, 0.5]])
    found = embed(layer, vector, bias)
    known = [0, 2, 3]
    assert_close(found[known], vector[known] @ layer.linear.weight.T + bias)
    assert_close(found[1], layer.null_vector.weight[0] + bias)
    assert_close(embed(layer, None, bias), found[1])


def test_a_vector_with_one_missing_entry_is_a_fault_and_not_a_null():
    vector = torch.tensor([[1.0, math.nan]])
    assert embed(embedding(cond_dim=2), vector, torch.zeros(5), rows=1).isnan().all()


def test_a_null_row_leaves_no_nan_in_the_gradients():
    layer = embedding(cond_dim=2)
    vector = torch.tensor([[1.0, 2.0], [math.nan, math.nan]])
    embed(layer, vector, torch.zeros(5), rows=2).sum().backward()
    assert_close(layer.linear.weight.grad, torch.tensor([1.0, 2.0]).expand(5, 2))
    assert_close(layer.null_vector.weight.grad, torch.ones(1, 5))


def test_labels_and_vectors_add_up_and_may_be_absent_apart():
    layer = embedding(n_classes=3, cond_dim=2)
    bias, label, vector = torch.zeros(5), torch.tensor([0, 1, 2, -1]), torch.randn(4, 2)
    both = embed(layer, {"label": label, "vector": vector}, bias)
    only_label, only_vector = embed(layer, {"label": label}, bias), embed(layer, vector, bias)
    assert_close(both, only_label + only_vector - embed(layer, None, bias))


def test_a_field_is_joined_to_the_channels_and_its_null_is_a_constant():
    layer = FieldCondition(2)
    layer.null.weight.data = torch.tensor([[3.0, 4.0]])
    x, field = torch.randn(3, 1, 2, 2), torch.randn(3, 2, 2, 2)
    field[1] = math.nan
    found = layer(x, field)
    assert torch.equal(found[:, :1], x)
    assert torch.equal(found[[0, 2], 1:], field[[0, 2]])
    assert torch.equal(found[1, 1], torch.full((2, 2), 3.0))
    assert torch.equal(found[1, 2], torch.full((2, 2), 4.0))
    assert torch.equal(layer(x, None)[1], found[1].where(torch.arange(3)[:, None, None] > 0, x[1]))


def test_null_condition_keeps_the_form():
    cond = {"label": torch.tensor([0, 3]), "rest": (torch.ones(2, 3), None)}
    null = null_condition(cond)
    assert torch.equal(null["label"], torch.tensor([-1, -1]))
    assert null["rest"][0].isnan().all()
    assert null["rest"][0].shape == (2, 3)
    assert null["rest"][1] is None
    assert null_condition(None) is None


def test_a_share_of_rows_is_dropped_whole():
    # 4000 rows, p = 0.3, seed 0: the count is within 4 standard errors (29) of 1200.
    cond = {"label": torch.zeros(4000, dtype=torch.long), "vector": torch.zeros(4000, 3)}
    dropped = drop_condition(cond, 0.3, generator=torch.Generator().manual_seed(0))
    gone = dropped["label"] == -1
    assert abs(gone.sum() - 1200) < 4 * 29
    assert torch.equal(dropped["vector"].isnan().all(1), gone)
    assert torch.equal(dropped["vector"].isnan().any(1), gone)
    assert torch.equal(cond["label"], torch.zeros(4000, dtype=torch.long))


@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 2, 4, 5)])
def test_rows_of_labels_vectors_and_fields_are_dropped_one_by_one(shape):
    cond = torch.ones(shape, dtype=torch.long if len(shape) == 1 else torch.float32)
    dropped = drop_condition(cond, 0.5, generator=torch.Generator().manual_seed(0)).reshape(7, -1)
    gone = (dropped != 1).any(1)
    assert 0 < gone.sum() < 7
    assert (dropped[gone] != 1).all()


def test_drop_nothing_and_drop_all():
    label = torch.arange(5)
    assert torch.equal(drop_condition(label, 0.0), label)
    assert torch.equal(drop_condition(label, 1.0), null_condition(label))
    assert drop_condition(None, 0.5) is None


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
def test_a_bad_probability_is_refused(bad):
    with pytest.raises(ValueError, match=rf"probability must lie in \[0, 1\], got {bad}"):
        drop_condition(torch.zeros(3, dtype=torch.long), bad)


def test_types_without_a_null_are_refused():
    for bad in (torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="must have a null value"):
            null_condition(bad)


@pytest.mark.parametrize(
    ("settings", "cond", "message"),
    [
        ({}, torch.zeros(4), "takes no condition, got a tensor"),
        ({"n_classes": 3}, [0, 1, 2, 0], "integer labels .*got list"),
        (
            {"n_classes": 3},
            torch.zeros(3, dtype=torch.long),
            r"cond label must have shape \(4,\).*got \(3,\)",
        ),
        ({"n_classes": 3}, torch.zeros(4, 1, dtype=torch.long), r"cond label must have shape \(4,\)"),
        ({"n_classes": 3}, torch.zeros(4), r"labels must be integers, got torch.float32.*\.long"),
        ({"cond_dim": 2}, torch.zeros(4, 3), r"cond vector must have shape \(4, 2\).*got \(4, 3\)"),
        ({"cond_dim": 2}, torch.zeros(4, 2, dtype=torch.long), "floating type, got torch.int64"),
        ({"cond_channels": 1}, torch.zeros(4, 2), r"cond field must have shape \(4, 1\)"),
        ({"n_classes": 3, "cond_dim": 2}, {"lable": None}, "got 'lable'. Did you mean 'label'"),
        ({"n_classes": 3, "cond_dim": 2}, {"label": 3}, "cond label must be a tensor, got int"),
        ({"n_classes": 3, "cond_dim": 2}, torch.zeros(4, 2, 2), "got torch.float32 of shape"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(settings, cond, message):
    with pytest.raises(ValueError, match=f"Net: .*{message}"):
        kinds(**settings).split(cond, torch.zeros(4, 3))


@pytest.mark.parametrize("label", [-2, 3, 1000])
def test_a_label_out_of_range_is_refused(label):
    with pytest.raises(ValueError, match=rf"Net: labels must lie in 0 \.\.\. 2, .*{label}"):
        embed(embedding(n_classes=3), torch.tensor([label] * 4), torch.zeros(5))


@pytest.mark.parametrize(
    "bad", [{"n_classes": 0}, {"n_classes": 2.0}, {"cond_dim": True}, {"cond_channels": -1}]
)
def test_bad_kinds_are_refused(bad):
    with pytest.raises(ValueError, match=f"Net: {next(iter(bad))} must be"):
        kinds(**bad)

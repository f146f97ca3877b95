"""Joint predictions of every method that predicts: the distribution of each row stays, and the rest is refused."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.framework.answers import Predictive
from interpolants.framework.capabilities import NotAbleError
from interpolants.testing.asking import able, call, inputs, plain, some
from laws.instances import method_cards
from laws.trials import fitted

pytestmark = pytest.mark.usefixtures("rooms")

PREDICTING = [card for card in method_cards() if "predict" in card.verbs]
# Methods whose Predictive has no covariance between rows, and why.
WITHOUT = {
    "mean_value": "its two moments are plugged in: rows are independent",
    "mean_field": "moments of solutions at each point, plugged in",
    "random_grid_process": "the spread of u follows from a tolerance, point by point",
}


@pytest.mark.parametrize("card", PREDICTING, ids=lambda card: card.id)
def test_a_joint_prediction_has_the_rows_of_the_plain_one(card):
    method, one, _ = fitted(card)
    predict = next(ability for ability in able(method) if ability.verb == "predict")
    given = inputs(predict, method, one.task, one.probe)
    single = plain(call(method, predict, given))
    if "joint" not in predict.options:
        assert not isinstance(single, Predictive) or card.id in WITHOUT
        with pytest.raises(NotAbleError, match="joint must be False, got True"):
            call(method, predict, given, joint=True)
        return
    together = plain(call(method, predict, given, joint=True))
    assert together.joint is not None
    assert single.joint is None
    mean, std = (plain(x).double() for x in (single.mean, single.std))
    assert_close(plain(together.mean).double(), mean, rtol=1e-6, atol=1e-9)
    assert_close(plain(together.std).double(), std, rtol=1e-6, atol=1e-9)
    covariance = together.covariance
    rows = covariance.shape[-1]
    assert covariance.shape == (single.loc.shape[2], rows, rows)
    assert_close(covariance, covariance.mT)
    assert_close(covariance.diagonal(dim1=1, dim2=2).T, std.square(), rtol=1e-6, atol=1e-12)
    # Of some rows it is the part of that of all; rows that are equal share everything but their noise.
    size = float(covariance.abs().max())
    part = plain(call(method, predict, some(given, slice(0, 3)), joint=True))
    assert_close(part.covariance, covariance[:, :3, :3], rtol=1e-5, atol=1e-6 * size)
    if "noise" in predict.options:
        twice = some(given, torch.tensor([0, 0]))
        pair = plain(call(method, predict, twice, joint=True)).covariance
        function = plain(plain(call(method, predict, twice, noise=False)).std).double().square()
        assert_close(pair[:, 0, 1], function[0], rtol=1e-5, atol=1e-6 * size)
    y = mean[:1] + 0.3 * std[:1]
    alone = together.rows(slice(0, 1))
    assert_close(alone.log_prob(y), single.rows(slice(0, 1)).log_prob(y)[0])
    assert together.sample(2).shape == single.sample(2).shape

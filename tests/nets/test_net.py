"""The base of networks: initial weights by kind of layer, and times that are given as a number."""

import torch
from torch import nn
from torch.testing import assert_close

from interpolants.nets import MLP
from interpolants.nets.net import empty_table, materialise


def parts():
    with torch.device("meta"):
        return nn.ModuleDict(
            {
                "linear": nn.Linear(30, 400),
                "conv": nn.Conv2d(3, 400, (2, 5)),
                "silent": nn.Linear(30, 4),
                "weighted": nn.Linear(2, 5000),
                "table": empty_table(400, 30),
                "norm": nn.LayerNorm(6),
            }
        )


def test_weights_are_uniform_with_variance_one_over_their_inputs_and_embeddings_normal():
    net = parts().requires_grad_(False)
    factors = torch.tensor([3.0, 1.0])
    materialise(net, 0, gains={net["silent"]: 0.0, net["weighted"]: factors, net["conv"]: 2.0})
    # 12000 draws: the variance of a uniform law is known to 0.8 %, of a normal one to 1.3 %.
    for weight, variance in ((net["linear"].weight, 1 / 30), (net["conv"].weight, 4 / 30)):
        assert_close(weight.square().mean(), torch.tensor(variance), rtol=0.04, atol=0)
        assert abs(float(weight.mean())) < 4 * (variance / 12000) ** 0.5
        assert_close(weight.abs().max(), torch.tensor(3 * variance).sqrt(), rtol=0.01, atol=0)
    assert_close(net["weighted"].weight.square().mean(0), factors.square() / 2, rtol=0.06, atol=0)
    assert not net["silent"].weight.any()
    assert_close(net["table"].weight.std(), torch.tensor(0.5), rtol=0.04, atol=0)
    assert float(net["table"].weight.abs().max()) > 1.5  # beyond a uniform law of that variance
    assert bool((net["norm"].weight == 1).all())
    for name in ("linear", "conv", "silent", "weighted", "norm"):
        assert not net[name].bias.any()


def test_a_number_is_a_time_for_all_rows(generator):
    net, x = MLP(2, width=8), torch.randn(3, 2, generator=generator)
    net.output.weight.data.normal_(generator=generator)
    for t in (0.25, 1):
        assert_close(net(x, t), net(x, torch.full((3,), float(t))))

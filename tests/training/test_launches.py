"""What a training step and a sampler's evaluation ask of PyTorch beyond the bare network: operations, which are exact.

Times are noise on a shared machine; numbers of operations are not.
"""

from collections import Counter

import torch
from benchmarks.peers.items.training import ours
from benchmarks.peers.nets import PlainMLP
from torch.nn.functional import mse_loss

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.paths import OneSidedLinear


def _operations(work) -> Counter:
    work()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        work()
    return Counter(event.name for event in profile.events() if event.name.startswith("aten::"))


def _of_one(few, many, count) -> Counter:
    """Operations of one step, from runs that differ by so many."""
    difference = _operations(many)
    difference.subtract(_operations(few))
    return Counter({name: found / count for name, found in difference.items() if found})


def _bare(steps):
    net = PlainMLP(2, width=8)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    x, t = torch.randn(16, 2), torch.rand(16)

    def work():
        for _ in range(steps):
            loss = mse_loss(net(x, t), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return work


def test_a_training_step():
    net, pool = PlainMLP(2, width=8), torch.randn(100, 2)
    bare = _of_one(_bare(4), _bare(8), 4)
    step = _of_one(ours(net, pool, 16, 4), ours(net, pool, 16, 8), 4)
    assert step.total() <= bare.total() + 70  # batch, noise, times, path, loss and the norm of the gradient
    assert step["aten::_fused_adam_"] == 1
    assert step["aten::_foreach_norm"] == 1
    assert step["aten::item"] <= 14  # the network's ten counts of steps, two times, the loss, the norm
    averaged = _of_one(ours(net, pool, 16, 4, plain=False), ours(net, pool, 16, 8, plain=False), 4)
    assert averaged["aten::_foreach_lerp_"] == 1


def test_an_evaluation_of_a_sampler():
    net = PlainMLP(2, width=8).eval().requires_grad_(False)
    fields, x = LearnedFields(OneSidedLinear(), velocity=net), torch.randn(64, 2)
    t = torch.full((64,), 0.3)

    def bare(count):
        def work():
            with torch.no_grad():
                for _ in range(count):
                    net(x, t)

        return work

    def flow(steps):
        return lambda: sample(fields, x, n_steps=steps, method="euler", time_grid="uniform")

    one, step = _of_one(bare(4), bare(8), 4), _of_one(flow(4), flow(8), 4)
    # An addition; the time made wide and copied, as users' functions may keep it; its place on the clock.
    assert step.total() <= one.total() + 9
    assert step["aten::item"] == 0

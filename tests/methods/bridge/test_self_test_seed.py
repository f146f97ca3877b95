"""The self-test draws by its seed alone."""

import torch

from interpolants.methods import Bridge


def test_check_gives_one_answer_and_leaves_the_global_generator_alone():
    x = torch.randn(120, 2, generator=torch.Generator().manual_seed(0))
    net = {"kind": "mlp", "width": 8, "depth": 1}
    for ends, path in (((None, x), "vp"), ((x, x + 1), "linear")):
        bridge = Bridge(path=path, net=net, steps=5, batch_size=16, seed=0)
        bridge.fit(*ends, progress=False)
        state, first = torch.get_rng_state(), bridge.check()
        assert torch.equal(torch.get_rng_state(), state)
        with torch.random.fork_rng():
            torch.manual_seed(2)
            again = bridge.check()
        assert [check.value for check in again.checks] == [check.value for check in first.checks]

import torch

from interpolants.dynamics.samplers import _watch_in


def test_a_watcher_in_a_basis_sees_states_at_their_times_and_replaces_them():
    class Twice:
        def forward(self, x):
            return 2 * x

        def inverse(self, u):
            return u / 2

    seen = []

    def watch(n, t, x):
        seen.append((n, float(t), x.tolist()))
        return x + 1 if n == 2 else None

    inner = _watch_in(Twice(), watch)
    assert inner(1, torch.tensor(0.25), torch.tensor([[4.0]])) is None
    assert inner(2, torch.tensor(0.5), torch.tensor([[4.0]])).tolist() == [[6]]
    assert seen == [(1, 0.25, [[2]]), (2, 0.5, [[2]])]
    assert _watch_in(Twice(), None) is None

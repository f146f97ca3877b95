"""Exits from a network of layers: thresholds at their ends, mixed exits against rows alone, counts by hooks."""

import pytest
import torch
from torch.testing import assert_close

from interpolants.dynamics import sample
from interpolants.fields import LearnedFields, Preconditioned
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.invariance import VECTOR, whole_rows
from interpolants.generative.acceleration.exit_heads import ExitHeads
from interpolants.generative.acceleration.layer_exit import (
    LayerExit,
    StaticExit,
    _interpolated,
    run_layers,
    weights_hash,
)
from interpolants.guidance import ClassifierFree
from interpolants.nets import MLP, ImageTransformer, UNet
from interpolants.paths import OneSidedLinear

SHAPE = (1, 8, 8)
NETS = {
    "transformer": lambda **s: ImageTransformer(SHAPE, width=16, depth=5, attention_heads=2, **s),
    "long skips": lambda **s: ImageTransformer(
        SHAPE, width=16, depth=5, attention_heads=2, long_skips=True, **s
    ),
    "mlp": lambda **s: MLP(SHAPE, width=24, depth=6, residual=True, **s),
}
each_net = pytest.mark.parametrize("make", NETS.values(), ids=NETS)
TABLE = ((0.0, 0.5), (1.0, 0.5))


def start(rows=5, seed=0):
    return torch.randn(rows, *SHAPE, generator=torch.Generator().manual_seed(seed))


def stirred(module, scale=1.0):
    source = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        if not parameter.any():
            parameter.data = (
                scale * torch.randn(parameter.shape, generator=source) / parameter[0].numel() ** 0.5
            )
    return module.eval()


def made(make, **settings):
    net = stirred(make(**settings))
    return net, stirred(ExitHeads(net.n_layers, net.width, net.per_token))


@each_net
def test_the_ends_of_the_threshold_are_all_layers_and_the_first(make):
    net, exits = made(make)
    fields, x, run = LearnedFields(OneSidedLinear(), velocity=net), start(90), {"n_steps": 4}
    base = sample(fields, x, **run).x
    for criterion in ("absolute", "gap"):
        none, all_ = (sample(fields, x, modifiers=LayerExit(exits, criterion, t), **run) for t in (0.0, 1.0))
        assert torch.equal(none.x, base)
        assert all_.reports[0]["layers"].tolist() == [1.0] * 90
        first = sample(fields, x, modifiers=StaticExit(exits, 1), **run)
        assert torch.equal(all_.x, first.x)
    full = sample(fields, x, modifiers=StaticExit(exits, net.n_layers), **run).x
    assert torch.equal(full, base)
    # Never met, but asked everywhere: still the bits of the base.
    never = sample(fields, x, modifiers=LayerExit(exits, "absolute", 1e-9), **run)
    assert torch.equal(never.x, base)
    assert never.reports[0]["layers"].tolist() == [net.n_layers] * 90


@each_net
@pytest.mark.parametrize("rows", [3, 40, 100])
@pytest.mark.parametrize("fewest", [0, VECTOR])
def test_mixed_exits_are_each_row_alone_and_layers_are_counted_by_hooks(make, rows, fewest):
    net, exits = made(make)
    x, t = start(rows), torch.tensor(0.3)
    with torch.no_grad():
        tokens = net.tokens(net.layer(0, net.stem(x, t)))
        limit = float(exits.estimate("error", 0, tokens, t).flatten(1).mean(1).median())
    leaving = LayerExit(exits, "absolute", limit).leaving()
    seen = []
    blocks = net.blocks if isinstance(net, ImageTransformer) else net.hidden
    for block in blocks:
        block.register_forward_hook(lambda module, given, out: seen.append(len(out)))
    with torch.no_grad():
        answer, tally = run_layers(net, exits, leaving, x, t, fewest=fewest)
        batch = list(seen)
        alone = [run_layers(net, exits, leaving, x[i : i + 1], t) for i in range(rows)]
    depth = tally.depth
    assert len(set(depth.tolist())) > 1
    assert_close(answer, torch.cat([a for a, _ in alone]), rtol=1e-5, atol=1e-5)
    assert torch.equal(depth, torch.cat([d.depth for _, d in alone]))
    assert tally.computed == sum(batch)
    running = [int((depth > k).sum()) for k in range(net.n_layers)]
    # Rows that still run; padded, where asked for, to sizes on which results do not depend, but never to more.
    assert batch == [min(rows, whole_rows(n, fewest)) if fewest else n for n in running if n]


@pytest.mark.slow
@each_net
def test_rows_do_not_feel_their_batch_to_the_last_bit(make):
    net, exits = made(make)
    fields, x = LearnedFields(OneSidedLinear(), velocity=net), start(90)
    with torch.no_grad():
        tokens = net.tokens(net.layer(0, net.stem(x, torch.tensor(0.0))))
        limit = float(exits.estimate("error", 0, tokens, torch.tensor(0.0)).flatten(1).mean(1).median())
    rule = LayerExit(exits, "absolute", limit)
    for run in ({"n_steps": 4}, {"n_steps": 4, "method": "ddim"}):
        whole = sample(fields, x, modifiers=rule, **run)
        assert 1 < float(whole.reports[0]["layers"].mean()) < net.n_layers
        part = sample(fields, x, chunk=20, modifiers=rule, **run)
        assert torch.equal(part.x, whole.x)
        assert torch.equal(part.reports[0]["layers"], whole.reports[0]["layers"])


@pytest.mark.cases(2)
@each_net
@pytest.mark.parametrize("invariant", [False, True])
@pytest.mark.parametrize("rows", [1, 8, 50])
def test_a_run_with_exits_never_does_more_work_than_one_without(make, rows, invariant):
    """Eight rows went through 3.46 times the layers of a plain run, where 0.58 were reported."""
    net, exits = made(make)
    fields, x = LearnedFields(OneSidedLinear(), velocity=net), start(rows)
    with torch.no_grad():
        tokens = net.tokens(net.layer(0, net.stem(start(50), torch.tensor(0.0))))
        limit = float(exits.estimate("error", 0, tokens, torch.tensor(0.0)).flatten(1).mean(1).median())
    run = {"n_steps": 4, "method": "ddim", "invariant": invariant}
    sample(fields, x, modifiers=LayerExit(exits, "absolute", 1e-9), **run)  # probes are remembered
    work = []
    blocks = net.blocks if isinstance(net, ImageTransformer) else net.hidden
    for block in blocks:
        block.register_forward_hook(lambda module, given, out: work.append(len(out)))
    sample(fields, x, **run)
    plain, chunk = sum(work), work[0]
    work.clear()
    done = sample(fields, x, modifiers=LayerExit(exits, "absolute", limit), **run)
    assert sum(work) <= plain
    computed = done.reports[0]["computed"]
    assert_close(computed, torch.full((rows,), sum(work) / chunk / 4, dtype=torch.float64))
    if not invariant:
        assert_close(done.reports[0]["layers"].sum(), computed.sum())


def test_patience_waits_for_layers_in_a_row():
    net, exits = made(lambda: MLP(SHAPE, width=24, depth=8, residual=True))
    met = torch.tensor(
        [[1, 1, 0, 0, 0, 0], [0, 1, 0, 1, 1, 0], [1, 0, 1, 0, 1, 0], [0] * 6], dtype=torch.bool
    )
    for patience, expected in ((1, [1, 2, 1, 7]), (2, [2, 5, 7, 7]), (3, [7, 7, 7, 7])):
        for row in range(4):
            with torch.no_grad():
                _, tally = run_layers(
                    net, exits, lambda i, tokens, t, row=row: met[row : row + 1, i], start(1), torch.tensor(0.3),
                    consecutive=patience,
                )  # fmt: skip
            assert tally.depth.tolist() == [expected[row]]


def test_a_static_exit_is_written_by_hand_and_a_schedule_follows_the_steps():
    net, exits = made(NETS["transformer"])
    fields, x = LearnedFields(OneSidedLinear(), velocity=net), start(20)
    found = sample(fields, x, method="euler", n_steps=4, modifiers=StaticExit(exits, [2, 5]))
    assert found.reports[0]["by_call"][0].tolist() == [2, 2, 5, 5]
    state = x
    with torch.no_grad():
        for k in range(4):
            t = torch.tensor(k / 4)
            at = net.layer(1, net.layer(0, net.stem(state, t)))
            state = state + 0.25 * (exits.answer(net, 1, at) if k < 2 else net(state, t))
    assert_close(found.x, state, rtol=1e-4, atol=1e-5)


def test_the_relative_rule_compares_with_the_table_at_the_time():
    _, exits = made(NETS["mlp"])
    tokens, t = torch.randn(3, 1, 24), torch.tensor(0.25)
    u = exits.estimate("error", 1, tokens, t).mean((1, 2)).detach()
    for at, table in ((float(u[0]) + 1e-3, ((0.0, 0.0), (0.5, 2 * float(u[0]) + 2e-3))),):
        rule = LayerExit(exits, "relative", 0.0, table).leaving()
        assert rule(1, tokens, t).tolist() == (u <= at).tolist()
        assert rule(1, tokens, t.expand(3)).tolist() == (u <= at).tolist()
    wide = LayerExit(exits, "relative", 1.0, ((0.0, float(u.max()) / 1.9), (1.0, float(u.max()) / 1.9)))
    assert bool(wide.leaving()(1, tokens, t).all())
    with pytest.raises(InvalidInputError, match="times of the network must lie"):
        rule(1, tokens, torch.tensor(0.7))


def test_the_table_is_joined_by_lines_and_holds_its_ends_a_little_beyond_them():
    table = torch.tensor([[0.1, 3.0], [0.2, 5.0], [0.8, -1.0]], dtype=torch.float64)
    t = torch.tensor([0.099, 0.1, 0.15, 0.2, 0.5, 0.65, 0.8, 0.801], dtype=torch.float64)
    wanted = torch.tensor([3.0, 3.0, 4.0, 5.0, 2.0, 0.5, -1.0, -1.0], dtype=torch.float64)
    assert_close(_interpolated(table, t), wanted)
    assert_close(torch.stack([_interpolated(table, one) for one in t]), wanted)
    for outside in (0.09, 0.81):
        with pytest.raises(InvalidInputError, match=r"must lie in its table, \[0.1, 0.8\]"):
            _interpolated(table, torch.tensor(outside))


def test_a_time_that_the_table_has_twice_is_no_gap_in_it():
    """Clocks stand still where noise drowns all: several steps of a run are one time of the network."""
    table = torch.tensor([[0.0, 3.0], [0.0, 3.0], [0.5, 5.0], [1.0, 7.0], [1.0, 7.0]], dtype=torch.float64)
    t = torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64)
    assert_close(_interpolated(table, t), torch.tensor([3.0, 4.0, 7.0], dtype=torch.float64))


def test_both_halves_of_guidance_and_wrappers():
    net, exits = made(NETS["mlp"], n_classes=3)
    path = OneSidedLinear()
    fields = LearnedFields(path, velocity=Preconditioned(net, path, ("velocity",), 1.0))
    guided, cond = ClassifierFree(fields, 2.0), torch.arange(20) % 3
    found = sample(
        guided, start(20), cond=cond, n_steps=3, method="ddim", modifiers=LayerExit(exits, "gap", 1.0)
    )
    assert found.reports[0]["layers"].tolist() == [1.0] * 20


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e: LayerExit(e, "sometimes"), "criterion must be one of"),
        (lambda e: LayerExit(e, "gap", 1.5), "threshold"),
        (lambda e: LayerExit(e, "relative", 0.1), "calibration table"),
        (
            lambda e: LayerExit(e, "relative", 0.1, ((0.5, 1.0), (0.0, 1.0))),
            "times of the table must be in increasing order",
        ),
        (lambda e: StaticExit(e, 0), "schedule"),
        (lambda e: StaticExit(e, 9), "at most the 5 layers"),
        (lambda e: StaticExit(e, []), "schedule must have at least 1"),
        (lambda e: ExitHeads(1, 4, 2), "n_layers"),
        (lambda e: ExitHeads(3, 4, 2, head="none"), "head must be one of"),
    ],
)
def test_bad_settings_are_refused(make, message):
    _, exits = made(NETS["mlp"])
    with pytest.raises(InvalidInputError, match=message):
        make(exits)


def test_what_does_not_fit_is_refused():
    net, exits = made(NETS["mlp"])
    rule = LayerExit(exits, "gap", 0.3, backbone=weights_hash(net))
    other = stirred(MLP(SHAPE, width=24, depth=6, residual=True, seed=1))
    cases = (
        (rule, {"velocity": other}, "other weights"),
        (rule, {"velocity": UNet(SHAPE, channels=8).eval()}, "network of 5 layers"),
        (rule, {"velocity": MLP(SHAPE, width=24, depth=6).eval()}, "network of 5 layers"),
        (rule, {"velocity": net, "noise": other}, "one network, got 2"),
        (
            LayerExit(exits, "gap", 0.3),
            {"velocity": stirred(MLP(SHAPE, width=24, depth=6, residual=True)).train()},
            r"\.eval\(\)",
        ),
    )
    for modifier, given, message in cases:
        with pytest.raises(InvalidInputError, match=message):
            sample(LearnedFields(OneSidedLinear(), **given), start(), n_steps=2, modifiers=modifier)
    net.eval()
    sample(LearnedFields(OneSidedLinear(), velocity=net), start(), n_steps=2, modifiers=rule)

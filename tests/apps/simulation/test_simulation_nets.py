import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from interpolants.apps.simulation.data.mesh_fields import MeshField
from interpolants.apps.simulation.data.prompts import NUMBER
from interpolants.apps.simulation.latent_transformer import LatentTransformer, _cut, _joined
from interpolants.apps.simulation.mesh_autoencoder import MeshAutoencoder, _doubled
from interpolants.apps.simulation.nets.point_packs import PointPack
from interpolants.apps.simulation.prompt_reader import PromptReader
from interpolants.apps.simulation.simulation_training import CloudBatches, CloudLoss, SimulationUnits
from interpolants.apps.simulation.simulator_parts import changes, frame_units
from interpolants.foundations.errors import InvalidInputError
from stirred_nets import stirred


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def small(**changes):
    return MeshAutoencoder(1, **{"nodes": 8, "times": 8, "width": 8, "radius": 0.3, **changes})


def clouds(generator, sizes=(30, 70)):
    return [torch.rand(n, 3, generator=generator) for n in sizes]


def test_a_grid_twice_as_fine_takes_its_nodes_from_channels_in_turn():
    x = torch.arange(2 * 8 * 3 * 4 * 5.0).reshape(2, 8, 3, 4, 5)
    found = _doubled(x)
    assert found.shape == (2, 1, 6, 8, 10)
    for a, b, c in ((0, 0, 0), (1, 0, 1), (1, 1, 0)):
        assert torch.equal(found[:, 0, a::2, b::2, c::2], x[:, 4 * a + 2 * b + c])


def test_patches_go_back_to_where_they_came_from(generator):
    x = torch.randn(2, 3, 4, 8, 6, generator=generator)
    patches = _cut(x, 2)
    assert patches.shape == (2, 2 * 4 * 3, 3 * 8)
    assert torch.equal(_joined(patches, (3, 4, 8, 6), 2), x)
    assert_close(patches[0, 1], x[0, :, :2, :2, 2:4].flatten())


def test_simulations_of_a_pack_do_not_feel_each_other_nor_the_order_of_their_points(generator):
    code, parts = small(), clouds(generator)
    values = [torch.randn(len(part), 1, generator=generator) for part in parts]
    together, _ = code.encode(PointPack.of(parts), torch.cat(values))
    for k, (part, u) in enumerate(zip(parts, values, strict=True)):
        order = torch.randperm(len(part), generator=generator)
        alone, _ = code.encode(PointPack.of([part[order]]), u[order])
        assert_close(alone[0], together[k], rtol=0, atol=1e-5)
    asked = PointPack.of(clouds(generator, (5, 9)))
    found = code.at(code.decode(together), asked)
    for k, part in enumerate(asked.parts()):
        alone = code.at(code.decode(together[k : k + 1]), PointPack.of([part]))
        assert_close(alone, found[asked.item == k], rtol=0, atol=1e-5)


def test_every_simulation_weighs_alike_whatever_its_mesh(generator):
    """Points of the loss: 10 that are off by the whole, 30 that are exact."""
    code = small()
    parts = clouds(generator, (10, 30))
    values = torch.randn(40, 1, generator=generator)
    pack = PointPack.of(parts)
    batch = {"cloud": pack, "values": PointPack.of(list(values.split([10, 30]))), "asked": pack}
    mean, spread = code.encode(pack, values)
    code.encode = lambda cloud, u: (mean, spread - 100)
    exact = code.at(code.decode(mean), pack)
    off = exact + (pack.item == 0)[:, None]
    batch["truth"] = PointPack.of(list(off.split([10, 30])))
    found = CloudLoss(0.0)(code, batch, generator)["reconstruction"]
    assert_close(found, torch.tensor([1.0, 0.0]), rtol=0, atol=1e-5)


def test_the_encoder_sees_from_half_of_a_mesh_to_all_of_it_at_all_times(generator):
    times, mesh = torch.tensor([0.0, 1.0, 2.0]).double(), torch.rand(4, 2, generator=generator).double()
    field = MeshField(mesh, times, torch.rand(3, 4, 1, generator=generator))
    units = SimulationUnits.fit([field], [[0, 0], [1, 1]])
    batch = CloudBatches([field], units, 100, 5)(0, generator, 0, 1)
    assert set(batch["cloud"].sizes.tolist()) == {6, 9, 12}
    cloud, values = units.cloud(field)
    told = {tuple(row): float(u) for row, u in zip(cloud.tolist(), values, strict=True)}
    for name, truth in (("cloud", "values"), ("asked", "truth")):
        pairs = zip(batch[name].rows.tolist(), batch[truth].rows, strict=True)
        assert all(told[tuple(row)] == float(u) for row, u in pairs)


def test_the_loss_stays_finite_however_sure_or_unsure_the_code_is(generator):
    code = small(latent=2)
    pack, values = PointPack.of(clouds(generator)), torch.randn(100, 1, generator=generator)
    batch = {"cloud": pack, "values": PointPack.of(list(values.split([30, 70]))), "asked": pack}
    batch["truth"] = batch["values"]
    for size in (-1e4, 1e4):
        code.code.bias[2:] = size
        assert all(bool(part.isfinite().all()) for part in CloudLoss(1.0)(code, batch, generator).values())


def test_units_weigh_every_simulation_alike_and_undo_themselves(generator):
    times = torch.tensor([0.0, 2.0]).double()
    fields = [
        MeshField(torch.rand(n, 2, generator=generator).double(), times, torch.full((2, n, 1), value))
        for n, value in ((5, 0.0), (500, 4.0))
    ]
    units = SimulationUnits.fit(fields, [[0, 0], [1, 1]])
    assert_close(units.mean, torch.tensor([2.0]).double())
    assert_close(units.std, torch.tensor([2.0]).double())
    assert_close(units.places(torch.tensor([[1.0, 0.25, 1.0]]).double()), torch.tensor([[0.5, 0.25, 1.0]]))


def test_padding_of_prompts_changes_nothing(generator):
    reader = PromptReader(9, (2, 2, 2), width=16, heads=2)
    codes, numbers = torch.tensor([[4, NUMBER, 5, 0, 0, 0]]), torch.tensor([[0.0, 0.3, 0.0, 0.0, 0.0, 0.0]])
    padded, bare = reader(codes, numbers), reader(codes[:, :3], numbers[:, :3])
    assert_close(padded[:, :3], bare)
    assert bool(padded[:, 3:].isnan().all())
    assert_close(reader.guess(padded), reader.guess(bare))
    assert bool(reader.guess(reader(torch.zeros_like(codes), numbers)).isnan().all())


def test_what_is_not_told_is_as_if_it_was_not_there(generator):
    net = LatentTransformer(
        (2, 2, 4, 6), text_width=16, frames=2, frame_channels=3, width=16, depth=2, heads=2
    )
    stirred(net)
    x, t = torch.randn(3, 2, 2, 4, 6, generator=generator), torch.rand(3, generator=generator)
    told = {
        "words": torch.randn(3, 5, 16, generator=generator),
        "guess": torch.randn(3, 2, 2, 4, 6, generator=generator),
        "frames": torch.randn(3, 2, 3, 8, 12, generator=generator),
    }
    nothing = {name: torch.full_like(part, torch.nan) for name, part in told.items()}
    assert_close(net(x, t, nothing), net(x, t))
    for name, part in told.items():
        other = net(x, t, {**nothing, name: part})
        assert float((other - net(x, t)).abs().max()) > 1e-3, name
    masked = {**told, "words": told["words"].clone()}
    masked["words"][:, 3:] = torch.nan
    assert_close(net(x, t, masked), net(x, t, {**told, "words": told["words"][:, :3]}))


def test_later_frames_are_changes_in_units_of_their_own(generator):
    seen = torch.randn(5, 3, 2, 4, 4, generator=generator)
    seen[:, :, -1] = 1.0
    found = changes(seen)
    assert_close(found[:, 2, 0], seen[:, 2, 0] - seen[:, 1, 0])
    assert_close(found[:, 0, 0], seen[:, 0, 0])
    assert torch.equal(found[:, :, -1], seen[:, :, -1])
    scaled = frame_units(seen).encode(found)
    assert_close(scaled[:, :, 0].std((0, 2, 3)), torch.ones(3), rtol=0, atol=1e-4)
    assert torch.equal(scaled[:, :, -1], seen[:, :, -1])


def test_a_reader_adds_what_stands_around_each_word():
    """Kernels that take the word before, twice, and a silent layer: words with the weights 1, 2, 1 of a binomial."""
    reader = PromptReader(9, (2, 2, 2), width=16, heads=2)
    for near in reader.near:
        near.weight.zero_(), near.bias.zero_()
        near.weight[:, :, near.kernel_size[0] // 2 - 1] = torch.eye(16)
    for silent in (reader.layer.own.mix, reader.layer.narrow):
        silent.weight.zero_(), silent.bias.zero_()
    words = 10 + 10 * torch.rand(9, 16, generator=torch.Generator().manual_seed(0))  # gelu leaves these alone
    reader.embedding.weight.copy_(words)
    codes = torch.tensor([[4, 6, 5, 8, 0]])
    e = torch.cat([torch.zeros(2, 16), words[codes[0, :4]]])
    wanted = reader.norm(e[2:] + 2 * e[1:-1] + e[:-2])
    assert_close(reader(codes, torch.zeros(1, 5))[0, :4], wanted)


def test_units_are_those_of_channels_of_any_size_and_place(generator):
    """The mean of squares less the square of the mean has no digits far from 0, and a constant 0.1 seems to vary."""
    times, mesh = torch.tensor([0.0, 2.0]).double(), torch.rand(50, 2, generator=generator).double()
    wave = torch.randn(2, 50, 1, generator=generator, dtype=torch.float64)
    for shift, scale in ((0.0, 1e-14), (1e6, 1e-4), (101325.0, 1e-3)):
        units = SimulationUnits.fit([MeshField(mesh, times, shift + scale * wave)], None)
        assert_close(units.std / scale, wave.std(correction=0)[None], rtol=1e-4, atol=0)
    for value in (0.0, 0.1, 300.7):
        with pytest.raises(InvalidInputError, match=r"fit: every channel must vary, got channels \[0\]"):
            SimulationUnits.fit([MeshField(mesh, times, torch.full_like(wave, value))] * 3, None)


def test_changes_that_are_the_same_in_all_simulations_have_a_unit():
    seen = torch.zeros(4, 3, 5, 2)
    seen[:, 1] = 2.0
    units = frame_units(seen)
    assert bool((units.scale > 0).all())


def test_the_divergence_of_codes_is_that_of_normal_distributions():
    class Fixed:
        def encode(self, cloud, values):
            return torch.tensor([[0.5, -2.0]]), torch.tensor([[0.3, -1.0]])

        def decode(self, z):
            return z

        def at(self, channels, asked):
            return torch.zeros(1, 1)

    one = PointPack.of([torch.zeros(1, 1)])
    batch = dict.fromkeys(("cloud", "values", "asked", "truth"), one)
    found = CloudLoss(2.0)(Fixed(), batch, torch.Generator().manual_seed(0))["divergence"]
    mean, log_variance = Fixed().encode(None, None)
    law, standard = Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)
    assert_close(found, 2 * kl_divergence(law, standard).sum(1))

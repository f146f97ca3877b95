"""Networks of diffusers as fields: against exact predictions for Gaussian data, and against its own samplers."""

import json
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from diffusers_like import UNetLike, seeded
from interpolants.dynamics import sample
from interpolants.exchange import from_diffusers
from interpolants.foundations.errors import InvalidInputError
from interpolants.guidance import ClassifierFree
from interpolants.likelihood import log_prob
from interpolants.nets.split import SplitNet
from interpolants.paths.discrete_schedule import linear_betas

STEPS, MEAN, STD = 1000, 0.7, 0.4
LEVELS = torch.cumprod(1 - torch.tensor(linear_betas(STEPS), dtype=torch.float64), 0)
SCHEDULERS = {
    kind: SimpleNamespace(alphas_cumprod=LEVELS.float(), config={"prediction_type": kind})
    for kind in ("epsilon", "sample", "v_prediction")
}


class Exact(nn.Module):
    """What a network would predict that has learnt N(mean, std^2) without error; the mean is moved by the class."""

    def __init__(self, kind, classes=None):
        super().__init__()
        self.kind, self.asked = kind, []
        self.config = {"in_channels": 1, "num_class_embeds": classes}

    def forward(self, x, k, class_labels=None, return_dict=True):
        self.asked.append(k)
        place = k.double().clamp(0, STEPS - 1)
        low = place.floor().long()
        high = (low + 1).clamp(max=STEPS - 1)
        level = torch.exp(torch.lerp(LEVELS[low].log(), LEVELS[high].log(), place - low)).reshape(-1, 1, 1, 1)
        a, s = level.sqrt(), (1 - level).sqrt()
        mean = MEAN if class_labels is None else MEAN + class_labels.double().reshape(-1, 1, 1, 1)
        z = s * (x - a * mean) / (a**2 * STD**2 + s**2)
        x1 = (x - s * z) / a
        found = {"epsilon": z, "sample": x1, "v_prediction": a * z - s * x1}[self.kind].to(x.dtype)
        return (found,) if not return_dict else SimpleNamespace(sample=found)


def noise(rows=64, size=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 1, size, size, generator=generator, dtype=dtype)


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_a_step_is_asked_for_by_its_number_and_means_its_level(kind):
    net = Exact(kind)
    fields = from_diffusers(net, SCHEDULERS[kind])
    for k in (0, 1, 499, 999):
        t, x = fields.path.time_of(k + 1), noise()
        a, s = LEVELS[k].sqrt(), (1 - LEVELS[k]).sqrt()
        z = s * (x - a * MEAN) / (a**2 * STD**2 + s**2)
        found = fields.noise(x, t), fields.denoised(x, t)
        assert_close(net.asked[-1], torch.full((len(x),), float(k), dtype=torch.float64), rtol=0, atol=1e-9)
        assert_close(found[0], z, rtol=1e-4, atol=1e-4)
        assert_close(found[1], (x - s * z) / a, rtol=1e-4, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_the_flow_and_its_density_are_those_of_the_data(kind):
    fields = from_diffusers(Exact(kind), SCHEDULERS[kind])
    x = noise()
    found = sample(fields, x, method="ddim", n_steps=400, seed=0).x
    assert_close(found, MEAN + STD * x, rtol=0, atol=0.02)
    points = MEAN + STD * noise(16)
    expected = (-0.5 * ((points - MEAN) / STD).square() - math.log(STD * math.sqrt(2 * math.pi))).sum(
        (1, 2, 3)
    )
    told = log_prob(fields, points, fields.path.base, method="midpoint", n_steps=300).log_prob
    assert_close(told, expected, rtol=0, atol=0.05)


def test_the_sde_has_the_same_marginals():
    fields = from_diffusers(Exact("epsilon"), SCHEDULERS["epsilon"])
    found = sample(fields, noise(4000), eps=1.0, n_steps=200, seed=1).x
    error = STD / math.sqrt(found.numel())
    assert abs(float(found.mean()) - MEAN) < 5 * error + 0.005
    assert abs(float(found.std()) - STD) < 0.02


def test_labels_reach_the_network_and_guidance_extrapolates():
    fields = from_diffusers(Exact("epsilon", classes=3), SCHEDULERS["epsilon"], null_label=0)
    x, labels = noise(6), torch.tensor([0, 1, 2, 0, 1, 2])
    t = fields.path.time_of(300)
    shown = fields.denoised(x, t, labels)
    assert_close(fields.denoised(x, t), fields.denoised(x, t, torch.zeros(6, dtype=torch.long)))
    guided = ClassifierFree(fields, 2.0).denoised(x, t, labels)
    assert_close(guided, 2 * shown - fields.denoised(x, t))


@pytest.mark.parametrize(
    ("net", "scheduler", "options", "message"),
    [
        (Exact("epsilon"), None, {}, "a network needs its scheduler"),
        (
            Exact("epsilon"),
            SCHEDULERS["epsilon"],
            {"prediction": "noise"},
            "prediction must be one of epsilon",
        ),
        (Exact("epsilon"), SimpleNamespace(config={}), {}, "must define what the network predicts"),
        (Exact("epsilon"), SimpleNamespace(config={}), {"prediction": "epsilon"}, "must have alphas_cumprod"),
        (3, SCHEDULERS["epsilon"], {}, "net must be a module"),
        ("nowhere/at/all", None, {}, "the folder must exist, got nowhere/at/all. Nothing is downloaded"),
    ],
)
def test_bad_input_is_refused(net, scheduler, options, message):
    with pytest.raises(InvalidInputError, match=message):
        from_diffusers(net, scheduler, **options)


def test_states_and_labels_of_another_form_are_refused():
    fields = from_diffusers(Exact("epsilon"), SCHEDULERS["epsilon"])
    with pytest.raises(InvalidInputError, match=r"states must have shape \(B, 1, H, W\), got \(4, 3, 2, 2\)"):
        fields.noise(torch.zeros(4, 3, 2, 2), 0.5)
    with pytest.raises(InvalidInputError, match="a network without classes takes no condition"):
        fields.noise(noise(4), 0.5, torch.arange(4))
    named = from_diffusers(Exact("epsilon", classes=3), SCHEDULERS["epsilon"])
    with pytest.raises(InvalidInputError, match="must be told a label"):
        named.noise(noise(4), 0.5)
    with pytest.raises(InvalidInputError, match="cond must be one label per row"):
        named.noise(noise(4), 0.5, torch.zeros(4))
    with pytest.raises(InvalidInputError, match="cond must be labels 0 to 2, got 3"):
        named.noise(noise(4), 0.5, torch.arange(4))


def test_folders_without_safetensors_or_of_other_classes_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    (tmp_path / "diffusion_pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InvalidInputError, match=r"must contain diffusion_pytorch_model\.safetensors"):
        from_diffusers(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "os.system"}))
    with pytest.raises(InvalidInputError, match="the class of the network must be one of UNet2DModel"):
        from_diffusers(tmp_path)


class Tower(nn.Module):
    """A network of a folder, as deep and wide as its settings say."""

    @classmethod
    def from_config(cls, config):
        made = cls()
        made.layers = nn.ModuleList(
            nn.Linear(config["width"], config["width"]) for _ in range(config["depth"])
        )
        return made


class Mixin:
    """What schedulers of diffusers are."""

    @classmethod
    def from_config(cls, config):
        return SimpleNamespace(
            alphas_cumprod=torch.linspace(0.9, 0.1, config["num_train_timesteps"]), config={}
        )


def stranger(folder, *, width=4, depth=2, steps=10):
    """A folder of a pipeline whose weights are those of two layers of width 4."""
    for name in ("unet", "scheduler"):
        (folder / name).mkdir()
    config = {"_class_name": "UNet2DModel", "width": width, "depth": depth}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    weights = Tower.from_config({"width": 4, "depth": 2}).state_dict()
    save_file(weights, folder / "unet" / "diffusion_pytorch_model.safetensors")
    schedule = {"_class_name": "SomeScheduler", "num_train_timesteps": steps}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule))
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 5}, r"must fit its weights: layers\.0\.weight must have shape \(5, 5\), got \(4, 4\)"),
        ({"width": 10**6}, "no larger than the weights"),
        ({"depth": 10**7}, "no larger than the weights"),
        ({"steps": 10**12}, "num_train_timesteps in .* must be .*1000000"),
        ({"steps": True}, "num_train_timesteps in .* must be"),
        ({"width": "wide"}, "must fit .*config"),
    ],
)
def test_a_folder_from_a_stranger_makes_no_network_that_it_does_not_hold(
    tmp_path, monkeypatch, options, message
):
    kinds = {
        "UNet2DModel": Tower,
        "SchedulerMixin": Mixin,
        "SomeScheduler": type("SomeScheduler", (Mixin,), {}),
    }
    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(**kinds, __spec__=None))
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    assert from_diffusers(stranger(tmp_path / "good"), prediction="epsilon").path.n_steps == 10
    with pytest.raises(InvalidInputError, match=message):
        from_diffusers(stranger(tmp_path / "bad", **options), prediction="epsilon")
    weights = tmp_path / "good" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(b"\xff" * 7 + b"\x0f{}")
    with pytest.raises(InvalidInputError, match="must be a whole safetensors file"):
        from_diffusers(tmp_path / "good", prediction="epsilon")


# --- split into an encoder and a decoder


def halves_are_the_whole(fields, labels=None):
    net, x = fields.networks[0], noise(5, 8, torch.float32)
    assert isinstance(net, SplitNet)
    times = torch.linspace(0.1, 0.9, 5)
    with torch.no_grad():
        for t in (times, times[2]):
            assert torch.equal(net.decode(net.encode(x, t, labels), t, labels), net(x, t, labels))
        early, late = (net.encode(x, t, labels) for t in times[[0, 4]])
        moved = net.decode(early, times[4], labels)
        assert not torch.equal(
            moved, net.decode(late, times[4], labels)
        )  # the state is seen by the encoder alone
        assert not torch.equal(moved, net.decode(early, times[0], labels))  # and each half by its own time
    return net


@pytest.mark.parametrize("kind", ["epsilon", "sample", "flow_prediction"])
@pytest.mark.parametrize("variance", [False, True])
def test_a_unet_is_its_encoder_and_its_decoder_to_the_bit(kind, variance):
    scheduler = SCHEDULERS.get(
        kind, SimpleNamespace(config={"prediction_type": kind, "num_train_timesteps": 9})
    )
    halves_are_the_whole(from_diffusers(UNetLike(variance=variance), scheduler))
    labels = torch.tensor([0, 2, 1, 1, 0])
    halves_are_the_whole(from_diffusers(UNetLike(classes=3, variance=variance), scheduler), labels)
    halves_are_the_whole(from_diffusers(UNetLike(embedding="fourier", centred=True), scheduler))


def test_networks_that_need_the_state_in_the_decoder_stay_whole():
    assert not isinstance(from_diffusers(UNetLike(), SCHEDULERS["v_prediction"]).networks[0], SplitNet)
    beside = UNetLike()
    beside.up_blocks[0].skip_conv = nn.Identity()
    assert not isinstance(from_diffusers(beside, SCHEDULERS["epsilon"]).networks[0], SplitNet)
    assert not isinstance(from_diffusers(Exact("epsilon"), SCHEDULERS["epsilon"]).networks[0], SplitNet)


# --- beside diffusers itself


@pytest.fixture
def diffusers():
    return pytest.importorskip("diffusers")


def unet(diffusers, **options):
    with seeded():
        return diffusers.UNet2DModel(
            sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=8,
            block_out_channels=(8, 16), down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"), **options,
        )  # fmt: skip


def dit(diffusers):
    with seeded():
        net = diffusers.DiTTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, in_channels=2, out_channels=4, num_layers=2, sample_size=8,
            patch_size=2, num_embeds_ada_norm=10,
        )  # fmt: skip
        for weight in net.parameters():  # its gates begin at zero, and answers would not depend on labels
            nn.init.normal_(weight, std=0.1)
    return net


def test_a_unet_of_diffusers_is_split_to_the_bit(diffusers):
    scheduler = diffusers.DDPMScheduler()
    halves_are_the_whole(from_diffusers(unet(diffusers), scheduler))
    told = unet(diffusers, num_class_embeds=4, resnet_time_scale_shift="scale_shift")
    halves_are_the_whole(from_diffusers(told, scheduler), torch.tensor([0, 2, 1, 1, 0]))
    halves_are_the_whole(from_diffusers(unet(diffusers, time_embedding_type="fourier"), scheduler))


def ddim_run(scheduler, ask, x, steps):
    """The peer's own sampler, and the times of its steps in ours."""
    scheduler.set_timesteps(steps)
    for k in scheduler.timesteps:
        x = scheduler.step(ask(x, k), k, x).prev_sample
    return x, [1 - (int(k) + 1) / STEPS for k in scheduler.timesteps] + [1.0]


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_ddim_is_that_of_diffusers(diffusers, kind):
    net = unet(diffusers).eval()
    scheduler = diffusers.DDIMScheduler(prediction_type=kind, clip_sample=False)
    x = noise(3, 8, torch.float32)
    with torch.no_grad():
        theirs, times = ddim_run(scheduler, lambda y, k: net(y, k).sample, x, 10)
    ours = sample(from_diffusers(net, scheduler), x, method="ddim", time_grid=times, start=times[0]).x
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_a_dit_with_labels_and_guidance_runs_as_in_diffusers(diffusers):
    net, weight = dit(diffusers).eval(), 2.0
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    labels = torch.tensor([1, 7, 3])
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))

    def ask(y, k):
        without, told = (
            net(y, k.expand(3), class_labels=c).sample[:, :2] for c in (torch.full((3,), 10), labels)
        )
        return without + weight * (told - without)

    with torch.no_grad():
        theirs, times = ddim_run(scheduler, ask, x, 5)
    fields = ClassifierFree(from_diffusers(net, scheduler), weight)
    ours = sample(fields, x, cond=labels, method="ddim", time_grid=times, start=times[0]).x
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_flow_matching_of_diffusers_is_our_straight_path(diffusers):
    net = unet(diffusers).eval()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(6)
    x = y = noise(3, 8, torch.float32)
    with torch.no_grad():
        for k in scheduler.timesteps:
            y = scheduler.step(net(y, k).sample, k, y).prev_sample
    times = [1 - float(sigma) for sigma in scheduler.sigmas]
    ours = sample(from_diffusers(net, scheduler), x, method="euler", time_grid=times, start=times[0]).x
    assert_close(ours, y, rtol=1e-4, atol=1e-5)


def test_a_saved_pipeline_is_read_without_its_library_s_loader(diffusers, tmp_path):
    net, scheduler = (
        unet(diffusers, num_class_embeds=4),
        diffusers.DDPMScheduler(prediction_type="v_prediction"),
    )
    net.save_pretrained(tmp_path / "unet", safe_serialization=True)
    scheduler.save_pretrained(tmp_path / "scheduler")
    read, held = from_diffusers(tmp_path), from_diffusers(net, scheduler)
    x, labels = noise(2, 8, torch.float32), torch.tensor([0, 3])
    assert torch.equal(read.velocity(x, 0.5, labels), held.velocity(x, 0.5, labels))
    smaller = json.loads((tmp_path / "unet" / "config.json").read_text())
    (tmp_path / "unet" / "config.json").write_text(json.dumps({**smaller, "block_out_channels": [8, 24]}))
    with pytest.raises(InvalidInputError, match="must fit"):
        from_diffusers(tmp_path)

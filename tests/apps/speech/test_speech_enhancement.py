"""Restoration by exact networks, whose answers are known, and by small ones that were learnt."""

import math
from itertools import combinations, pairwise
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

import interpolants
from interpolants.apps.speech.degradations import AdditiveNoise, level_of
from interpolants.apps.speech.long_recordings import joined, length_of, pieces, starts
from interpolants.apps.speech.metrics.speech_quality import si_sdr
from interpolants.apps.speech.recordings import Recording
from interpolants.apps.speech.speech_enhancement import SpeechEnhancement, _regression
from interpolants.apps.speech.synthetic_speech import harmonic_signals
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.inner_nets import WrapsNet
from interpolants.foundations.tell import OutsideWarning, SettingWarning
from interpolants.nets.unet import UNet
from interpolants.objectives.times import UniformTimes
from interpolants.training.pairs import TimedNet

pytest.importorskip("julius")
TINY = {"kind": "unet", "channels": 4, "multipliers": (1, 2), "blocks": 1, "attention": ()}
SMALL = {"net": TINY, "frames": 16, "steps": 3, "batch_size": 2, "warmup": 0, "n_steps": 3}
SIGNALS = harmonic_signals(6, seconds=0.6)


def noisy(x, snr=5.0, seed=0):
    source = torch.Generator().manual_seed(seed)
    return AdditiveNoise(snr=snr, kinds=("white",)).degrade(x, 8000, level=level_of(x), generator=source)


@pytest.fixture(scope="module")
def model():
    return SpeechEnhancement(**SMALL).fit(SIGNALS)


class Halved(UNet):
    """The exact clean difference of a world in which clean spectra are half the degraded ones."""

    def forward(self, x, t, cond=None):
        return -0.5 * cond[:, :2] + 0 * x


def exact(**settings):
    """A model whose network knows that clean spectra are half the degraded ones, for any path and sampler."""
    found = SpeechEnhancement(**{**SMALL, "n_steps": 30, "learns": "noise", **settings}).fit(SIGNALS)
    halved = Halved((2, 64, 16), channels=4, multipliers=(1,), blocks=1, attention=(), cond_channels=2)
    found.state = {"net": _Noise(halved, found.path)}
    return found


class _Noise(WrapsNet):
    """The mean noise that belongs to a clean difference that is known."""

    def __init__(self, net, path):
        super().__init__()
        self.net, self.path = net, path

    def forward(self, x, t, cond=None):
        known, std = self.net(x, t, cond), self.path.widen(self.path.noise_std(t), x)
        return (x - self.path.widen(self.path.beta(t), x) * known) / std


@pytest.mark.cases(2)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"predictor": "reverse_diffusion"},
        {"corrections": 0, "n_steps": 60},
        {"path": {"kind": "ve", "smin": 0.01, "smax": 0.5}},
        {"normalise": "level"},
    ],
)
def test_a_network_that_knows_the_answer_gives_it(settings):
    """Half a spectrum under an exponent of 1/2 is a quarter of the sound, whatever its unit."""
    y, known = noisy(SIGNALS[0].samples)[:2000], exact(**settings)
    for loud in (1.0, 30.0):
        found = known.restore(loud * y)
        assert float(si_sdr(found, y)) > 15
        size = float((found @ y) / (y @ y)) / loud
        assert size == pytest.approx(0.25, abs=0.015)


def test_a_regressor_needs_no_noise():
    found = SpeechEnhancement(**SMALL, learns="mean").fit(SIGNALS)
    halved = Halved((2, 64, 16), channels=4, multipliers=(1,), blocks=1, attention=(), cond_channels=2)
    found.state = {"net": halved}
    y = noisy(SIGNALS[0].samples)
    assert_close(found.restore(y), y / 4, rtol=0, atol=1e-5)


def test_the_loss_of_a_regressor_is_the_square_of_its_error(generator):
    x1, error = torch.randn(2, 3, 2, 4, 5, generator=generator)
    weight = torch.tensor([1.0, 2.0, 3.0])
    batch = {"x1": x1, "cond": torch.zeros_like(x1)}

    def loss(answer):
        net = lambda x, t, cond: answer  # noqa: E731
        net.net = SimpleNamespace(weight=lambda x, t: {"denoised": weight})
        return _regression(net, batch, generator)["denoised"]

    squares = weight * error.flatten(1).square().sum(1)
    for sign in (-1, 0, 1):
        assert_close(loss(x1 + sign * error), sign**2 * squares)


@pytest.fixture(scope="module")
def by_setting(model):
    """The same fit for each value of ``learns``, which decides the loss and nothing else of it."""
    others = {learns: SpeechEnhancement(**SMALL, learns=learns).fit(SIGNALS) for learns in ("noise", "mean")}
    return {"clean": model, **others}


def test_each_value_of_learns_gives_other_weights(by_setting):
    """A regressor had the weights of the diffusion bit for bit."""
    weights = {
        k: torch.cat([p.flatten() for p in m.state["net"].parameters()]) for k, m in by_setting.items()
    }
    for one, other in combinations(("clean", "noise", "mean"), 2):
        assert not torch.equal(weights[one], weights[other]), (one, other)


def test_only_the_loss_of_a_regressor_has_no_noise(by_setting, generator):
    """And it is the squared error of ``net(0, 0, y)`` over the square of its unit."""
    x1, cond = torch.randn(2, 2, 2, 64, 16, generator=generator)
    batch = {"x1": x1, "cond": cond, "t": torch.tensor([0.3, 0.6]), "weight": torch.ones(2)}
    for learns, fitted in by_setting.items():
        net = fitted.state["net"]
        loss = fitted._loss(net, UniformTimes())
        with torch.no_grad():
            values = [
                loss(TimedNet(net, None), batch, torch.Generator().manual_seed(seed)) for seed in (0, 1)
            ]
        first, second = (torch.cat([v.flatten() for v in value.values()]) for value in values)
        assert torch.equal(first, second) == (learns == "mean"), learns
    net, zero = by_setting["mean"].state["net"], torch.zeros_like(x1)
    unit = net.weight(zero, torch.zeros(2))["denoised"].rsqrt()
    error = net(zero, torch.zeros(()), cond).detach() - x1
    loss = _regression(TimedNet(net, None), batch, generator)["denoised"].detach()
    assert_close(loss, (error / unit[:, None, None, None]).square().flatten(1).sum(1))


def test_a_file_does_not_feel_others_nor_its_place(model):
    lengths = (700, 4000, 1234)
    sounds = [noisy(SIGNALS[k].samples)[:n] for k, n in enumerate(lengths)]
    together = model.restore(sounds)
    assert [len(x) for x in together] == list(lengths)
    for x, found in zip(sounds, together, strict=True):
        assert torch.equal(model.restore(x), found)
    assert torch.equal(model.restore(sounds[::-1])[0], together[2])
    assert not torch.equal(model.restore(sounds[0], seed=1), together[0])


@pytest.mark.slow
def test_the_mean_of_draws_is_that_of_other_draws(model):
    """Independent draws about one mean: four halve what is random in the answer."""
    y = noisy(SIGNALS[0].samples)[:1500]
    one, more = (torch.stack([model.restore(y, seed=k, draws=n) for k in range(8)]) for n in (1, 4))
    assert torch.equal(one[0], model.restore(y))
    assert float(more.var(0).mean() / one.var(0).mean()) == pytest.approx(0.25, rel=0.25)
    assert_close(more.mean(0), one.mean(0), rtol=0, atol=3 * float(one.std(0).mean()))


def test_zeros_at_the_end_are_another_recording(model):
    """Why nothing is padded: group norms see the whole spectrum."""
    x = noisy(SIGNALS[0].samples)
    longer = model.restore(torch.cat([x, torch.zeros(1000)]))
    assert not torch.allclose(longer[: len(x)], model.restore(x), atol=1e-4)


def test_rates_channels_and_names_are_kept(model):
    both = torch.stack([noisy(SIGNALS[0].samples), noisy(SIGNALS[1].samples)])
    with pytest.warns(
        OutsideWarning, match="loses sound above 4000 Hz; recordings have 44100. Fit with rate=44100"
    ):
        found = model.restore(Recording(both, 44_100, "two"))
    assert (tuple(found.samples.shape), found.rate, found.name) == (tuple(both.shape), 44_100, "two")
    with pytest.warns(OutsideWarning):
        alone = model.restore(Recording(both[0], 44_100))
    assert torch.equal(alone.samples, found.samples[0])
    with pytest.warns(OutsideWarning):
        at_16 = model.restore(Recording(both[0].double(), 16_000))
    assert at_16.samples.dtype == torch.float64
    power = torch.fft.rfft(at_16.samples).abs().square()  # above half the model's rate there is nothing
    assert float(power[int(0.6 * len(power)) :].sum() / power.sum()) < 1e-3


@pytest.mark.parametrize("n", [63, 64, 65, 100, 200, 333])
def test_pieces_cover_the_whole_and_blend(n):
    x = torch.randn(2, 5, n, generator=torch.Generator().manual_seed(0))
    parts = pieces(x, 64, 16)
    assert_close(joined(parts, n, 16), x)
    assert all(part.shape[-1] <= max(64, 16) for part in parts)
    length = length_of(n, 64, 16)
    assert length <= 64
    assert all(0 < b - a <= length - 16 + 1 for a, b in pairwise(starts(n, length, 16)))
    ramps = joined([torch.full_like(part, k) for k, part in enumerate(parts)], n, 16)
    assert float(ramps.diff(dim=-1).max()) < 0.1 or n <= 64


def test_long_recordings_go_in_pieces():
    y = torch.cat([noisy(one.samples) for one in SIGNALS[:3]])  # 450 frames, of which 250 at once
    assert float(si_sdr(exact(n_steps=15).restore(y, longest=1.0), y)) > 15


@pytest.mark.slow
def test_pairs_are_learnt_from_as_they_are():
    """Degraded recordings with the sign turned: the regressor learns that the difference is -2 y."""
    clean = [one.samples for one in SIGNALS]
    settings = {**SMALL, "steps": 80, "batch_size": 8, "lr": 1e-2, "learns": "mean"}
    found = SpeechEnhancement(**settings).fit(clean, [-x for x in clean])
    assert float(si_sdr(found.restore(-clean[0]), clean[0])) > 6
    assert float(found.restore(-clean[0]) @ clean[0]) > 0


@pytest.mark.parametrize("settings", [{"learns": "noise"}, {"path": "vp"}, {"degradation": "reverberation"}])
def test_other_settings_fit_and_answer(settings):
    if settings.get("degradation"):
        settings = {"degradation": {"kind": "reverberation", "rooms": 2, "rt60": 0.2}}
    found = SpeechEnhancement(**SMALL, **settings).fit(SIGNALS).restore(SIGNALS[0].samples)
    assert bool(torch.isfinite(found).all())


def test_a_model_that_learnt_in_noise_of_ones_own_needs_it_no_more(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "noise").mkdir()
    soundfile.write(
        tmp_path / "noise" / "a.wav",
        torch.randn(8000, generator=torch.Generator().manual_seed(0)).mul(0.1).numpy(),
        8000,
    )
    own = {"kind": "additive_noise", "kinds": ["recorded"], "recordings": str(tmp_path / "noise")}
    found = SpeechEnhancement(**SMALL, degradation=own).fit(SIGNALS)
    found.save(tmp_path / "model")
    (tmp_path / "noise" / "a.wav").unlink()
    y = noisy(SIGNALS[0].samples)[:1500]
    assert torch.equal(interpolants.load(tmp_path / "model").restore(y), found.restore(y))
    with pytest.raises(InvalidInputError, match="the folder must contain"):
        SpeechEnhancement(**SMALL, degradation=own).fit(SIGNALS)


@pytest.mark.slow
def test_it_learns_to_take_noise_away():
    """White noise alone, 300 steps: well above the noisy signals, by the sampler and by the regressor."""
    signals = harmonic_signals(60, seconds=1.0)
    for learns in ("clean", "mean"):
        settings = {"degradation": {"kind": "additive_noise", "kinds": ["white"]}, "learns": learns}
        found = SpeechEnhancement(steps=300, lr=4e-3, ema=0.99, **settings).fit(signals[4:])
        before, after = [], []
        for k, one in enumerate(signals[:4]):
            y = noisy(one.samples, seed=k)
            before.append(float(si_sdr(y, one.samples)))
            after.append(float(si_sdr(found.restore(y), one.samples)))
        gain = (sum(after) - sum(before)) / 4
        # One draw is noisier than the mean, which the regressor gives.
        assert gain > {"clean": 0.8, "mean": 2.0}[learns], (learns, gain)


def test_the_command_restores_files_and_folders(model, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    model.save(tmp_path / "model")
    (tmp_path / "in").mkdir()
    for name, rate, ending in (("a", 8000, "wav"), ("b", 22_050, "flac")):
        # soft, since three steps of training make it louder
        soundfile.write(tmp_path / "in" / f"{name}.{ending}", 0.02 * noisy(SIGNALS[0].samples).numpy(), rate)
    run = CliRunner()
    one = [
        "restore",
        str(tmp_path / "model"),
        str(tmp_path / "in" / "b.flac"),
        "--out",
        str(tmp_path / "b.wav"),
    ]
    with pytest.warns(OutsideWarning):
        done = run.invoke(app, one)
    assert done.exit_code == 0, done.output
    x, rate = soundfile.read(tmp_path / "b.wav")
    assert (len(x), rate) == (len(SIGNALS[0]), 22_050)
    words = ["restore", str(tmp_path / "model"), str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    with pytest.warns(OutsideWarning):
        done = run.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a.wav", "b.flac"]
    again, _ = soundfile.read(tmp_path / "out" / "b.flac")
    assert_close(torch.from_numpy(again), torch.from_numpy(x), rtol=0, atol=1 / 16000)
    with pytest.warns(OutsideWarning):
        here = interpolants.load(tmp_path / "model").restore(tmp_path / "in" / "b.flac").samples
    written = here / max(1.0, float(here.abs().max()))
    assert_close(torch.from_numpy(x).float(), written, rtol=0, atol=1 / 16000)
    assert "must not exist" in " ".join(run.invoke(app, one).output.split())


CLEAN = SIGNALS[0].samples


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.restore([torch.zeros(4000), CLEAN[:20]]), "must last .* ms, a window of the spectrum"),
        (lambda m: m.restore(torch.full((400,), math.nan)), "NaN|nan|finite"),
        (lambda m: m.restore((CLEAN * 100).to(torch.int16)), "floating point"),
        (lambda m: SpeechEnhancement(path="linear"), "path"),
        (
            lambda m: SpeechEnhancement(path={"kind": "ouve", "stiffness": -1}),
            "stiffness must be finite and > 0",
        ),
        (lambda m: SpeechEnhancement(degradation="rain"), "degradation must be one of"),
        (lambda m: SpeechEnhancement(net="mlp", steps=1).fit(SIGNALS), "MLP|field|width|images"),
        (lambda m: SpeechEnhancement(**SMALL).fit([CLEAN], [CLEAN[:-1]]), "must be as long"),
        (
            lambda m: SpeechEnhancement(**SMALL).fit([Recording(CLEAN, 8000)], [Recording(CLEAN, 16000)]),
            "must have one rate",
        ),
        (lambda m: SpeechEnhancement(**SMALL).fit([CLEAN, torch.zeros(900)]), "must not be silent"),
        (lambda m: SpeechEnhancement(**SMALL).fit([CLEAN, CLEAN], [CLEAN]), "as many rows"),
    ],
)
def test_bad_input_is_refused(model, call, message):
    with pytest.raises(InvalidInputError, match=message):
        call(model)


def test_files_of_any_ending_but_sound_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"the file's ending must be one of .*got '.mp3'"):
        SIGNALS[0].write_file(tmp_path / "a.mp3")


def test_a_silent_channel_stays_silent_beside_another(model):
    x = noisy(SIGNALS[0].samples)
    found = model.restore(Recording(torch.stack([x, 0 * x]), 8000)).samples
    assert torch.equal(found[0], model.restore(Recording(x, 8000)).samples)
    assert float(found[1].abs().max()) == 0


def test_a_silent_recording_comes_back_and_does_not_hold_up_a_folder(model):
    silent = Recording(torch.zeros(4000), 8000, "empty.wav")
    with pytest.warns(OutsideWarning, match=r"empty\.wav: silence throughout\. It comes back as it is"):
        found = model.restore([silent, Recording(CLEAN, 8000)])
    assert torch.equal(found[0].samples, silent.samples)
    assert torch.equal(found[1].samples, model.restore(Recording(CLEAN, 8000)).samples)


def test_pairs_in_another_order_are_told_by_their_names():
    clean = [Recording(torch.sin(torch.arange(900.0) * (k + 1) / 9), 8000, f"p{k}") for k in range(3)]
    model = SpeechEnhancement(steps=1)
    with pytest.raises(InvalidInputError, match="in the order of the clean ones, p1 in place 1, got p2"):
        model.fit(clean, [clean[0], clean[2], clean[1]])


@pytest.mark.parametrize("size", [1e-6, 1e8])
def test_recordings_far_from_the_noise_of_the_path_are_told_of(size):
    """Without a unit of their own: restored recordings of size 1e-6 had been noise of 35 dB above them."""
    clean = [size * one.channels[0] for one in SIGNALS]
    with pytest.warns(SettingWarning, match=r"answers will miss the difference\. Use normalise='peak'"):
        SpeechEnhancement(normalise="none", **SMALL).fit(clean)
    SpeechEnhancement(normalise="none", **{**SMALL, "learns": "mean"}).fit(clean)  # warnings are errors here
    SpeechEnhancement(**SMALL).fit(clean)


def test_pieces_of_a_long_recording_are_two_windows_long_at_least():
    widths = []

    def difference(part, seed):
        widths.append(part.shape[-1])
        return torch.ones_like(part)

    held = SimpleNamespace(
        frames=16, rate=16000, longest=1e-3, transform=SimpleNamespace(hop=128), _difference=difference
    )
    spectrum = torch.randn(2, 3, 200)
    found = SpeechEnhancement._drawn(held, spectrum, 0)
    assert set(widths) == {32}
    assert_close(found, spectrum + 1)

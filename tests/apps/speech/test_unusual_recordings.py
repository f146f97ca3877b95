"""Offsets, clicks and clipping are told, and speech with none of them is not."""

import warnings

import pytest
import torch
from torch.testing import assert_close
from typer.testing import CliRunner

from interpolants.apps.speech.recordings import Recording
from interpolants.apps.speech.speech_enhancement import SpeechEnhancement
from interpolants.apps.speech.synthetic_speech import harmonic_signals
from interpolants.apps.speech.unusual_recordings import has_click, is_clipped, offset_of
from interpolants.cli.app import app
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import OutsideWarning

pytest.importorskip("julius")
TINY = {"kind": "unet", "channels": 4, "multipliers": (1, 2), "blocks": 1, "attention": ()}
SIGNALS = harmonic_signals(12, seconds=0.6)
X = SIGNALS[0].samples + 0.02 * torch.randn(len(SIGNALS[0]), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    settings = {"net": TINY, "frames": 16, "steps": 3, "batch_size": 2, "warmup": 0, "n_steps": 3}
    return SpeechEnhancement(**settings).fit(SIGNALS)


def test_speech_and_steady_tones_have_nothing_of_this():
    tone = torch.sin(torch.arange(8000) * 0.173)
    for y in [*(one.samples for one in SIGNALS), tone, torch.randn(8000) + 0.1]:
        assert (offset_of(y, 8000), has_click(y), is_clipped(y)) == (0, False, False)


def test_each_is_seen():
    assert offset_of(X + 0.3, 8000) == pytest.approx(0.3 + float(X.mean()), abs=1e-6)
    clicked = X.clone()
    clicked[2000] = 20 * X.abs().max()
    assert has_click(clicked)
    assert is_clipped(X.clamp(-0.5 * X.abs().max(), 0.5 * X.abs().max()))


def test_a_fragment_of_a_slow_wave_is_no_offset():
    assert offset_of(torch.sin(torch.arange(40) / 40), 8000) == 0


def test_an_offset_is_seen_from_a_quarter_of_a_second_on():
    y = torch.randn(2400, generator=torch.Generator().manual_seed(0)) + 1.0
    assert offset_of(y, 8000) == pytest.approx(1.0, abs=0.1)
    assert offset_of(y[:1800], 8000) == 0


def test_an_offset_is_taken_away_and_told(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = model.restore(X - X.mean())
    with pytest.warns(OutsideWarning, match="a constant offset. It was taken away"):
        found = model.restore(X + 0.5)
    assert_close(found, plain, rtol=0, atol=1e-4)


def test_clicks_and_clipping_are_told_with_names(model):
    clicked = X.clone()
    clicked[2000] = 20 * X.abs().max()
    both = [Recording(clicked, 8000, "hall"), Recording(X.clamp(-0.1, 0.1), 8000, "loud"), Recording(X, 8000)]
    with pytest.warns(OutsideWarning) as told:
        model.restore(both)
    words = sorted(str(one.message) for one in told)
    assert len(words) == 2
    assert words[0].startswith("SpeechEnhancement.restore: hall: a click far above all else.")
    assert words[1].startswith("SpeechEnhancement.restore: loud: samples cut off at their peak.")


def test_a_lower_rate_than_the_models_is_told(model):
    with pytest.warns(OutsideWarning, match="below the model's. The band from there to 4000 Hz is empty"):
        assert model.restore(Recording(X, 4000)).rate == 4000


def test_less_than_a_window_is_refused(model):
    with pytest.raises(InvalidInputError, match=r"a recording must last 15.8 ms, .* got 12.5 ms"):
        model.restore(X[:100])
    assert len(model.restore(X[:160])) == 160


def test_a_folder_is_not_answered_with_a_file(model, tmp_path):
    soundfile = pytest.importorskip("soundfile")
    model.save(tmp_path / "model")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.flac", 0.02 * X.numpy(), 8000)  # soft: the model is hardly trained
    run, words = CliRunner(), ["restore", str(tmp_path / "model"), str(tmp_path / "in"), "--out"]
    done = run.invoke(app, [*words, str(tmp_path / "out.wav")])
    assert done.exit_code == 2
    assert "answers for a folder of files must go to a folder, got '.wav'" in " ".join(done.output.split())
    assert run.invoke(app, [*words, str(tmp_path / "out.v2")]).exit_code == 0
    assert [file.name for file in (tmp_path / "out.v2").iterdir()] == ["a.flac"]
    done = run.invoke(app, [*words, str(tmp_path / "out.v2")])
    assert "must not exist" in " ".join(done.output.split())

"""Recordings: files of another program, arrays, rates, and what comes back."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from interpolants.apps.speech import recordings
from interpolants.apps.speech.prompts import recorded_prompts
from interpolants.apps.speech.recordings import (
    Recording,
    Recordings,
    at_rate,
    channels_of,
    read_folder,
    read_recording,
)
from interpolants.foundations.errors import InvalidInputError, MissingExtraError
from interpolants.foundations.tell import FileWarning
from interpolants.framework.role import Reading, Role

soundfile = pytest.importorskip("soundfile")
ROLE, READING = Role(name="observed", kind="recordings"), Reading("test")


def tone(n, rate, hertz=440.0):
    return 0.4 * torch.sin(2 * math.pi * hertz / rate * torch.arange(n, dtype=torch.float64)).float()


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_files_of_soundfile_are_read_and_written(tmp_path, ending):
    x = torch.stack([tone(4000, 16000), tone(4000, 16000, 100.0)])
    soundfile.write(tmp_path / f"in{ending}", x.T.numpy(), 16000, subtype="PCM_16")
    found = read_recording(tmp_path / f"in{ending}")
    assert (found.rate, found.name, tuple(found.samples.shape)) == (16000, "in", (2, 4000))
    assert_close(found.samples, x, rtol=0, atol=1 / 32000)
    found.write_file(tmp_path / f"out{ending}")
    again, rate = soundfile.read(tmp_path / f"out{ending}", always_2d=True)
    assert rate == 16000
    assert_close(torch.from_numpy(again.T).float(), x, rtol=0, atol=1 / 16000)


def test_louder_than_full_scale_is_made_smaller_and_not_clipped(tmp_path):
    with pytest.warns(FileWarning, match="samples reach 1.6 times full scale"):
        Recording(4 * tone(800, 8000), 8000).write_file(tmp_path / "loud.wav")
    x, _ = soundfile.read(tmp_path / "loud.wav")
    assert np.abs(x).max() == pytest.approx(1.0, abs=1e-3)
    assert_close(torch.from_numpy(x).float(), tone(800, 8000) / 0.4, rtol=0, atol=0.01)


def test_a_folder_is_read_by_name_and_below(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/z.wav", "a.flac"):
        soundfile.write(tmp_path / name, tone(300, 8000).numpy(), 8000)
    (tmp_path / "notes.txt").write_text("no sound")
    assert [one.name for one in read_folder(tmp_path)] == ["a", "b/z"]
    with pytest.raises(InvalidInputError, match=r"the folder must contain \.wav"):
        read_folder(tmp_path / "c")


@pytest.mark.parametrize(("old", "new"), [(8000, 16000), (16000, 8000), (44100, 8000)])
def test_a_tone_keeps_its_pitch_at_another_rate(old, new):
    found = at_rate(tone(old, old), old, new)
    assert len(found) == new
    inside = slice(new // 10, -new // 10)
    assert_close(found[inside], tone(new, new)[inside], rtol=0, atol=2e-3)


def test_everything_that_holds_sound_is_taken_and_given_back():
    kind, x = Recordings(), tone(300, 8000)
    cases = [
        (x, lambda z: torch.equal(z, x)),
        (x.numpy(), lambda z: isinstance(z, np.ndarray) and z.shape == (300,)),
        ([x, x[:100]], lambda z: [len(part) for part in z] == [300, 100]),
        (np.stack([x, x]), lambda z: isinstance(z, np.ndarray) and z.shape == (2, 300)),
        (x.double().numpy(), lambda z: z.dtype == np.float64),
        (Recording(x, 8000, "a"), lambda z: (z.rate, z.name) == (8000, "a")),
        ([Recording(x, 8000)], lambda z: isinstance(z, list) and z[0].rate == 8000),
    ]
    from interpolants.apps.speech.recordings import Heard

    for value, right in cases:
        found, given = kind.read(value, ROLE, READING)
        assert all(isinstance(one, Recording) for one in found)
        assert right(Heard(found).in_kind(given))


def test_channels_are_recordings_of_their_own():
    found = channels_of([Recording(torch.ones(2, 5), 8000), Recording(torch.ones(3), 0)], 8000)
    assert [len(x) for x in found] == [5, 5, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Recording(torch.ones(3, dtype=torch.int16)),
            "samples must be floating point, got torch.int16",
        ),
        (lambda: Recording(torch.ones(400, 2)), "longer than they have channels"),
        (lambda: Recording(torch.tensor([0.0, float("nan")])), "must be finite, got nan or inf at sample 1"),
        (lambda: Recording(torch.ones(2, 2, 2)), r"shape \(T,\) or \(C, T\)"),
        (lambda: read_recording("/nowhere/a.wav"), "the file must exist"),
        (lambda: Recordings().read(torch.ones(2, 3, 4), ROLE, READING), r"\(T,\) or several \(N, T\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInputError, match=message):
        call()


def test_a_file_that_is_no_sound_is_refused(tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(InvalidInputError, match=r"a.wav must be a sound file"):
        read_recording(tmp_path / "a.wav")


def test_prompts_that_are_short_or_soft_are_left_out(tmp_path, monkeypatch):
    for name, x in (("a", tone(9000, 8000)), ("b", tone(4000, 8000)), ("c", 0.01 * tone(9000, 8000))):
        soundfile.write(tmp_path / f"{name}.wav", x.numpy(), 8000)
    assert [one.name for one in recorded_prompts(str(tmp_path))] == ["a"]
    assert len(recorded_prompts(str(tmp_path), at_least=0.1)) == 2
    with pytest.raises(InvalidInputError, match="must contain prompts of at least 5 s"):
        recorded_prompts(str(tmp_path), at_least=5.0)
    monkeypatch.setattr("interpolants.apps.speech.prompts.FOLDER", tmp_path / "gone")
    with pytest.raises(MissingExtraError, match="apt-get install asterisk-core-sounds-en-wav"):
        recorded_prompts()


# --- sound of other programs ---------------------------------------------------------------------------------


def test_samples_with_their_rate_are_a_recording_in_either_order():
    x = tone(300, 16000)
    both = torch.stack([x, -x])
    pairs = [
        (x.numpy(), 16000),
        (16000, x.numpy()),
        [x, np.int64(16000)],
        {"array": x.numpy(), "sampling_rate": 16000},
    ]
    for value in pairs:
        (found,), given = Recordings().read(value, ROLE, READING)
        assert (found.rate, given.recorded) == (16000, True)
        assert_close(found.samples, x)
    (found,), _ = Recordings().read((both.T.numpy(), 16000), ROLE, READING)  # frames before channels
    assert_close(found.samples, both)
    found, _ = Recordings().read([(x, 16000), (x, 8000)], ROLE, READING)
    assert [one.rate for one in found] == [16000, 8000]


def test_a_column_of_samples_is_one_recording_and_channels_last_are_refused():
    from interpolants.apps.speech.recordings import Heard

    x = tone(300, 8000).numpy()
    found, given = Recordings().read(x[:, None], ROLE, READING)
    assert [len(one) for one in found] == [300]
    assert Heard(found).in_kind(given).shape == (300, 1)
    with pytest.raises(InvalidInputError, match=r"longer than they are many, \(N, T\), got \(300, 2\)"):
        Recordings().read(np.stack([x, x], 1), ROLE, READING)
    with pytest.raises(
        InvalidInputError, match=r"floating point, got int16. Divide whole numbers by full scale"
    ):
        Recordings().read((x * 30000).astype(np.int16), ROLE, READING)


@pytest.mark.parametrize(("encoding", "size"), [("PCM_24", 1e-5), ("FLOAT", 3.0)])
def test_an_answer_is_written_as_its_file_was(tmp_path, encoding, size):
    x = size * tone(800, 8000)
    soundfile.write(tmp_path / "in.wav", x.numpy(), 8000, subtype=encoding)
    read_recording(tmp_path / "in.wav").write_file(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").subtype == encoding
    assert_close(torch.from_numpy(soundfile.read(tmp_path / "out.wav")[0]).float(), x, rtol=0, atol=2e-7)
    quiet = Recording(0.1 * x, 8000, encoding=encoding)
    quiet.write_file(tmp_path / "out.ogg")  # which has an encoding of its own
    with pytest.raises(InvalidInputError, match="a recording must have a rate"):
        Recording(x).write_file(tmp_path / "none.wav")


@pytest.mark.parametrize("read", ["file", "folder"])
def test_sound_that_states_more_than_it_holds_is_refused(tmp_path, read):
    file = tmp_path / "a.flac"
    soundfile.write(file, np.sin(np.arange(4000)), 8000)
    data = bytearray(file.read_bytes())
    data[22:26] = b"\x7f\xff\xff\xff"  # the count of samples, at the end of FLAC's first block
    file.write_bytes(bytes(data))
    with pytest.raises(InvalidInputError, match=r"a\.flac must unpack to at most 300 times its size"):
        read_recording(file) if read == "file" else read_folder(tmp_path)


def test_silence_that_packs_well_is_read(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros(400_000), 8000)
    assert len(read_recording(tmp_path / "a.flac")) == 400_000


def test_the_size_of_sound_is_that_of_its_samples_in_float32(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros((1000, 2)), 8000)
    sizes = []
    monkeypatch.setattr(recordings, "check_unpacked", lambda *sized, times: sizes.append((*sized[2:], times)))
    read_recording(tmp_path / "a.wav")
    assert sizes == [((tmp_path / "a.wav").stat().st_size, 1000 * 2 * 4, 300)]

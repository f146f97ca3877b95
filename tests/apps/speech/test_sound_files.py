"""Sound files as strangers bring them: cut short, of other kinds, of one name, louder than full scale."""

import math
import warnings

import numpy as np
import pytest
import torch

from interpolants.apps.speech.recordings import Recording, Several, read_folder, read_recording
from interpolants.foundations.tell import FileWarning

soundfile = pytest.importorskip("soundfile")
X = 0.4 * np.sin(2 * math.pi * 440 / 8000 * np.arange(4000))


@pytest.mark.parametrize(
    ("encoding", "channels"), [("PCM_16", 1), ("PCM_24", 2), ("FLOAT", 1), ("ULAW", 1), ("PCM_U8", 2)]
)
def test_a_file_that_was_cut_short_is_told_and_a_whole_one_is_not(tmp_path, encoding, channels):
    file = tmp_path / "a.wav"
    soundfile.write(file, np.stack([X] * channels, 1), 8000, subtype=encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_recording(file)) == 4000
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) - 1000])
    with pytest.warns(FileWarning, match=r"a.wav holds \d+ of the 4000 samples that its header states"):
        assert len(read_recording(file)) < 4000


def test_an_odd_note_before_the_samples_does_not_hide_that_they_were_cut_short(tmp_path):
    """A chunk of an odd size is followed by a byte that its size does not count."""
    file = tmp_path / "a.wav"
    soundfile.write(file, X, 8000)
    data = file.read_bytes()
    place = data.index(b"data")
    noted = data[:place] + b"note\x03\x00\x00\x00abc\x00" + data[place:]
    noted = noted[:4] + (len(noted) - 8).to_bytes(4, "little") + noted[8:]
    file.write_bytes(noted)
    assert len(read_recording(file)) == 4000
    file.write_bytes(noted[:-1000])
    with pytest.warns(FileWarning, match="a.wav holds 3500 of the 4000 samples"):
        assert len(read_recording(file)) == 3500


def test_a_size_that_a_pipe_could_not_know_is_no_cut(tmp_path):
    file = tmp_path / "a.wav"
    soundfile.write(file, X, 8000)
    data = bytearray(file.read_bytes())
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(bytes(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_recording(file)) == 4000


def test_sound_of_a_folder_that_is_not_read_is_told(tmp_path):
    soundfile.write(tmp_path / "u.wav", X, 8000)
    (tmp_path / "notes.txt").write_text("no sound")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_folder(tmp_path)
    soundfile.write(tmp_path / "m.aiff", X, 8000)
    with pytest.warns(FileWarning, match=r"m.aiff: left out, folders are searched for .wav, .flac, .ogg"):
        assert len(read_folder(tmp_path)) == 1


def test_files_of_a_folder_keep_their_places_names_and_endings(tmp_path):
    (tmp_path / "in" / "b").mkdir(parents=True)
    for file in ("u.wav", "u.flac", "v.ogg", "b/u.wav"):
        soundfile.write(tmp_path / "in" / file, X, 8000)
    Several(read_folder(tmp_path / "in")).write_file(tmp_path / "out")
    found = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*")}
    assert found == {"u.wav", "u.flac", "v.ogg", "b/u.wav"}
    assert soundfile.info(tmp_path / "out" / "u.flac").format == "FLAC"


def test_recordings_of_one_name_are_numbered(tmp_path):
    Several([Recording(torch.from_numpy(X), 8000, name) for name in ("u", "u", "")]).write_file(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2.wav", "u_0.wav", "u_1.wav"]


def test_a_change_of_loudness_is_told_and_floats_need_none(tmp_path):
    loud = Recording(torch.from_numpy(4 * X), 8000)
    with pytest.warns(FileWarning, match=r"a.wav: samples reach 1.6 times full scale, so all were divided"):
        loud.write_file(tmp_path / "a.wav")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Recording(torch.from_numpy(4 * X), 8000, encoding="FLOAT").write_file(tmp_path / "b.wav")
    assert np.abs(soundfile.read(tmp_path / "b.wav")[0]).max() == pytest.approx(1.6, rel=1e-3)


@pytest.mark.parametrize("encoding", ["MPEG_LAYER_III", "IMA_ADPCM", "GSM610"])
def test_encodings_that_change_the_length_or_belong_elsewhere_are_not_taken_over(tmp_path, encoding):
    Recording(torch.from_numpy(X), 8000, encoding=encoding).write_file(tmp_path / "a.wav")
    found = soundfile.info(tmp_path / "a.wav")
    assert (found.frames, found.subtype) == (4000, "PCM_16")

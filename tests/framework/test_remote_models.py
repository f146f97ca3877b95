"""Models at addresses: saved and loaded with the same answers; cards that were edited are kept."""

import pytest
import torch

import interpolants as itp
from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.tell import FileWarning
from interpolants.methods.rivals.gaussian_fit import GaussianFit


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERPOLANTS_CACHE", str(tmp_path / "cache"))
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


@pytest.fixture
def model():
    return GaussianFit().fit(torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_model_answers_as_before_it_was_saved(scheme, model, tmp_path):
    address = f"{scheme}://{tmp_path}/model"
    assert model.save(address, license="mit") == address
    for back in (itp.load(address), GaussianFit.load(address)):
        assert torch.equal(back.sample(5, seed=1), model.sample(5, seed=1))


def test_a_card_that_was_edited_is_kept(model, memory):
    model.save("memory://m")
    memory.pipe_file("/m/README.md", b"# Mine\n")
    with pytest.warns(FileWarning, match="was edited, and is kept"):
        model.save("memory://m")
    assert memory.cat_file("/m/README.md") == b"# Mine\n"


def test_nothing_is_written_for_an_address_that_cannot_be_written_to(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for address in ("https://host/x", "gs://host/x", "pretrained:mine", "memory://a?b::c"):
        with pytest.raises(InvalidInputError):
            model.save(address)
    assert not (tmp_path / "cache").exists()
    assert list(tmp_path.iterdir()) == []

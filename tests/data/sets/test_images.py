import pytest
import torch
from torch.testing import assert_close

from interpolants.data.sets.images import load_digits, load_fashion_mnist
from interpolants.foundations.errors import InvalidInputError, MissingExtraError


def or_skip(load, *args, **options):
    try:
        return load(*args, **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_digits_are_scikit_learns():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    ours = load_digits("all")
    assert_close(ours.x, torch.from_numpy(theirs.images / 8 - 1).float()[:, None])
    assert torch.equal(ours.labels, torch.from_numpy(theirs.target).long())
    assert ours.x.min() == -1
    assert ours.x.max() == 1
    assert ours.info.scaling == "v / 8 - 1"


def test_digits_splits():
    train, test = load_digits("train"), load_digits("test")
    assert train.info.shape == (1437, 1, 8, 8)
    assert test.info.shape == (360, 1, 8, 8)
    assert bool((torch.bincount(test.labels) >= 34).all())
    with pytest.raises(
        InvalidInputError, match=r"load_digits: split must be .* got 'tset'. Did you mean 'test'"
    ):
        load_digits("tset")


def test_noise_stays_inside_a_level_and_belongs_to_the_row():
    plain, noisy = load_digits("all"), load_digits("all", dequantise=True)
    level = torch.floor((noisy.x.double() + 1) / 2 * 17)
    assert_close(level, (plain.x.double() + 1) * 8)
    offset = (noisy.x.double() + 1) / 2 * 17 - level
    # 115,008 uniforms: mean 1/2 and variance 1/12, each within 5 standard errors.
    assert abs(offset.mean() - 0.5) < 5 * (1 / 12 / offset.numel()) ** 0.5
    assert abs(offset.var() - 1 / 12) < 5 * (1 / 180 / offset.numel()) ** 0.5
    train = load_digits("train", dequantise=True)
    rows = {row.numpy().tobytes() for row in noisy.x}
    assert all(row.numpy().tobytes() in rows for row in train.x)


def test_fashion_mnist():
    test = or_skip(load_fashion_mnist, "test")
    assert test.info.shape == (10_000, 1, 28, 28)
    assert torch.equal(torch.bincount(test.labels), torch.full((10,), 1000))
    # Known from the publication: the first test image is an ankle boot; mean of all test pixels is 73.15.
    assert test.info.classes[test.labels[0]] == "Ankle boot"
    assert float((test.x.mean() + 1) * 127.5) == pytest.approx(73.15, abs=0.01)
    assert test.x.min() == -1
    assert test.x.max() == 1


@pytest.mark.slow
def test_fashion_mnist_noise_and_published_split():
    test = or_skip(load_fashion_mnist, "test", dequantise=True)
    plain = load_fashion_mnist("test")
    assert_close(torch.floor((test.x.double() + 1) * 128), (plain.x.double() + 1) * 127.5, rtol=0, atol=1e-4)


@pytest.mark.slow  # 5 s: 70,000 images
def test_fashion_mnist_whole():
    whole = or_skip(load_fashion_mnist, "all")
    train = load_fashion_mnist("train")
    assert torch.equal(whole.x[:60_000], train.x)
    assert torch.equal(whole.labels[60_000:], load_fashion_mnist("test").labels)
    assert float((train.x.mean() + 1) / 2) == pytest.approx(0.2860, abs=1e-4)  # known: 0.2860
    assert len(whole.info.sha256) == 4

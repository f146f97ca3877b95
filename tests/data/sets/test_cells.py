import pytest
import torch

from interpolants.data.sets.cells import load_krumsiek11, load_pbmc68k
from interpolants.foundations.errors import InvalidInputError, MissingExtraError


def or_skip(load, *args, **options):
    try:
        return load(*args, **options)
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_pbmc68k():
    data = or_skip(load_pbmc68k, "all")
    assert data.info.shape == (700, 50)
    assert int(torch.bincount(data.labels)[data.info.classes.index("Dendritic")]) == 240
    # Principal components: uncorrelated, variances falling.
    covariance = torch.cov(data.x.double().T)
    variance = covariance.diagonal()
    correlation = covariance / (variance[:, None] * variance).sqrt()
    assert float((correlation - torch.eye(50)).abs().max()) < 0.02
    assert bool((variance.diff() <= 1e-3).all())
    genes = load_pbmc68k("all", features="genes")
    assert genes.info.shape == (700, 765)
    assert len(genes.info.columns) == 765
    assert load_pbmc68k("test", features="umap").info.shape == (140, 2)


def test_krumsiek11():
    data = or_skip(load_krumsiek11, "all")
    assert data.info.shape == (640, 11)
    assert data.info.columns[:3] == ("Gata2", "Gata1", "Fog1")
    assert torch.bincount(data.labels).tolist() == [320, 80, 80, 80, 80]
    # The network decides between Gata1 and Pu.1: erythrocytes end with the first, monocytes with the second.
    gata1, pu1 = (data.info.columns.index(name) for name in ("Gata1", "Pu.1"))
    red, mono = (data.x[data.labels == data.info.classes.index(n)][-1] for n in ("erythrocyte", "monocyte"))
    assert red[gata1] > 0.9 > 0.1 > red[pu1]
    assert mono[pu1] > 0.9 > 0.1 > mono[gata1]
    time = load_krumsiek11("all", labels="time")
    assert time.labels.tolist() == list(range(160)) * 4
    assert time.info.classes == ()


def test_bad_options():
    with pytest.raises(
        InvalidInputError, match=r"load_pbmc68k: features must be .* got 'gene'. Did you mean 'genes'"
    ):
        load_pbmc68k(features="gene")
    with pytest.raises(
        InvalidInputError, match=r"load_krumsiek11: labels must be .* got 'times'. Did you mean 'time'"
    ):
        load_krumsiek11(labels="times")

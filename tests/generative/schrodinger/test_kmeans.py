import pytest
import torch
from torch.testing import assert_close

from interpolants.foundations.errors import InvalidInputError
from interpolants.generative.schrodinger.kmeans import kmeans


def test_clusters_far_apart_are_found(generator):
    truth = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]], dtype=torch.float64)
    label = torch.arange(400) % 4
    x = truth[label] + 0.1 * torch.randn(400, 2, generator=generator, dtype=torch.float64)
    found = kmeans(x, 4, generator=generator)
    order = torch.cdist(truth, found.centres).argmin(1)
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    # Each centre is the mean of its hundred points, to rounding.
    means = torch.stack([x[label == k].mean(0) for k in range(4)])
    assert_close(found.centres[order], means)
    assert found.counts.tolist() == [100, 100, 100, 100]
    assert torch.equal(found.labels, torch.cdist(x, found.centres).argmin(1))


def test_repeated_points_and_as_many_clusters_as_points(generator):
    x = torch.tensor([[1.0], [1.0], [2.0]])
    assert kmeans(x, 3, generator=generator).centres.flatten().sort().values.tolist() == [1.0, 1.0, 2.0]
    assert kmeans(x, 1, generator=generator).centres.item() == pytest.approx(4 / 3)


@pytest.mark.parametrize("k", [0, 4])
def test_a_bad_number_of_clusters_is_refused(k):
    with pytest.raises(InvalidInputError, match=f"k must lie between 1 and .* 3, got {k}"):
        kmeans(torch.zeros(3, 2), k)


def test_scikit_learn_finds_no_better_centres_from_ours(generator):
    cluster = pytest.importorskip("sklearn.cluster")
    x = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    found = kmeans(x, 5, n_iter=300, generator=generator)
    theirs = cluster.KMeans(5, init=found.centres.numpy(), n_init=1, tol=0).fit(x.numpy())
    assert_close(torch.from_numpy(theirs.cluster_centers_), found.centres)
    assert theirs.labels_.tolist() == found.labels.tolist()
    assert theirs.n_iter_ <= 2

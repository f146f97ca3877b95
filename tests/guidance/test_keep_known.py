import pytest
import torch

from interpolants.couplings import InPainting
from interpolants.dynamics import sample
from interpolants.fields import LearnedFields
from interpolants.foundations.errors import InvalidInputError, NotIdentifiableError
from interpolants.guidance import ClassifierFree, KeepKnown, guide
from interpolants.paths import Linear, ZeroEnvelope

PATH = Linear(envelope=ZeroEnvelope())


def test_known_entries_return_to_the_bit_and_hidden_ones_as_without(generator):
    fields = LearnedFields(PATH, velocity=lambda x, t, cond: torch.sin(x) + t.reshape(-1, 1, 1, 1))
    x1 = torch.randn(70, 1, 4, 4, generator=generator)
    start = InPainting(share=0.3, mask="tiles").degrade(x1, generator=generator)
    known = start.field.bool()
    plain = sample(fields, start.x0, n_steps=5, cond=start.field).x
    kept = sample(KeepKnown(fields), start.x0, n_steps=5, cond=start.field).x
    assert torch.equal(kept[known], x1[known])
    assert torch.equal(kept[~known], plain[~known])
    guided, cond = guide(fields, {"field": start.field}, torch.full((70,), 2.0))
    assert torch.equal(sample(KeepKnown(guided), start.x0, n_steps=5, cond=cond).x[known], x1[known])


def test_what_it_cannot_keep_is_refused():
    noisy = LearnedFields(Linear(), velocity=lambda x, t: x, noise=lambda x, t: x)
    with pytest.raises(InvalidInputError, match="without latent noise"):
        KeepKnown(noisy)
    kept = KeepKnown(LearnedFields(PATH, velocity=lambda x, t: x))
    with pytest.raises(InvalidInputError, match="must hold the mask"):
        kept.velocity(torch.zeros(2, 3), 0.5, torch.zeros(2))
    with pytest.raises(InvalidInputError, match=r"must hold the mask, \(2, 3\), got \(2, 1\)"):
        kept.velocity(torch.zeros(2, 3), 0.5, torch.ones(2, 1))  # a condition that is no mask
    with pytest.raises(InvalidInputError, match=r"must hold the mask, \(2, 1, 4, 4\), got \(2, 2, 4, 4\)"):
        kept.velocity(torch.zeros(2, 1, 4, 4), 0.5, {"field": torch.ones(2, 2, 4, 4)})
    with pytest.raises(NotIdentifiableError, match="not score"):
        kept.score(torch.zeros(2, 3), 0.5, torch.ones(2, 3))
    assert not kept.has_score
    assert isinstance(ClassifierFree(kept), ClassifierFree)


def test_where_no_mask_is_known_nothing_is_kept(generator):
    """A dropped condition is NaN: the row moves as without a mask."""
    fields = LearnedFields(PATH, velocity=lambda x, t, cond: torch.sin(x))
    x, mask = torch.randn(2, 1, 3, 3, generator=generator), torch.ones(2, 1, 3, 3)
    mask[1] = torch.nan
    found = KeepKnown(fields).velocity(x, 0.5, mask)
    assert torch.equal(found[0], torch.zeros(1, 3, 3))
    assert torch.equal(found[1], torch.sin(x[1]))


def test_the_mask_is_the_field_beside_a_vector_and_a_label(generator):
    fields = LearnedFields(PATH, velocity=lambda x, t, cond: torch.sin(x))
    x, mask = torch.randn(2, 2, 3, 3, generator=generator), torch.ones(2, 1, 3, 3)
    mask[:, :, 1] = 0
    told = {"label": torch.arange(2), "vector": torch.zeros(2, 5), "field": mask}
    assert torch.equal(KeepKnown(fields).velocity(x, 0.5, told), torch.sin(x) * (1 - mask))

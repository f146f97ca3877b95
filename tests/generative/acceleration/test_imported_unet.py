"""Features of a U-Net of diffusers are propagated."""

from types import SimpleNamespace

import torch

from diffusers_like import UNetLike
from interpolants.dynamics import sample
from interpolants.exchange import from_diffusers
from interpolants.generative.acceleration.encoder_propagation import EncoderPropagation
from interpolants.paths.discrete_schedule import linear_betas

LEVELS = torch.cumprod(1 - torch.tensor(linear_betas(1000), dtype=torch.float64), 0)
SCHEDULER = SimpleNamespace(alphas_cumprod=LEVELS.float(), config={"prediction_type": "sample"})


def test_features_of_an_imported_unet_are_propagated():
    """Every step a key: the plain run. Fewer keys: as many encoder calls, and an answer near it."""
    fields = from_diffusers(UNetLike(), SCHEDULER)
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = sample(fields, x, method="ddim", n_steps=12)
    keys = {m: sample(fields, x, method="ddim", n_steps=12, modifiers=EncoderPropagation(m)) for m in (1, 3)}
    assert torch.equal(keys[1].x, plain.x)
    assert keys[3].reports[0]["encoder_calls"].tolist() == [4] * 4
    assert keys[3].reports[0]["decoder_calls"].tolist() == [12] * 4
    gap = (keys[3].x - plain.x).norm() / plain.x.norm()
    assert 0 < float(gap) < 0.5

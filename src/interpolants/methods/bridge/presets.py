"""Bridges with the settings of a published system."""

from typing import Any

from interpolants.methods.bridge.bridge import Bridge


def PFGMPP(  # noqa: N802  # named like the system; it is called like a class
    df: float | str = 128,
    *,
    score: bool = False,
    smax: float = 160.0,
    smin: float = 0.004,
    rho: float = 7.0,
    mean: float = -0.5,
    std: float = 1.2,
    **settings: Any,
) -> Bridge:
    """A Poisson flow generative model in ``df`` extra dimensions: a `Bridge` that generates from Student-t noise.

    ::

        bridge = PFGMPP(128, seed=0).fit(x1=data)
        x = bridge.sample(1000, n_steps=18, finish="denoise")      # the paper's Heun steps, the last one Euler

    All lengths are in units of the data's standard deviation, which the bridge measures (the papers work with data of
    spread 1/2, so their numbers are half of these).

    Args:
        df: D, finite and > 0; ``"inf"`` is the ordinary diffusion of Karras et al.
        score: Learn the score beside the flow: then SDEs can be run. For finite D it does not follow from the flow.
        smax: Noise of the base.
        smin: Least noise above zero that a sampler visits.
        rho: Grid of the noise levels; see ``paths.EDM``.
        mean: Mean of the logarithm of the noise levels that are trained on.
        std: Its standard deviation.
        settings: Any other argument of `Bridge`: ``net``, ``seed``, ``steps``, ``lr`` ...

    Source: Xu et al. (2023), arXiv:2302.04265, trained and sampled as in Karras et al. (2022), arXiv:2206.00364.
    """
    path = {"kind": "edm", "df": df, "smax": smax, "smin": smin, "rho": rho}
    heads = ("denoised", "score") if score else ("denoised",)
    times = {"kind": "noise", "mean": mean, "std": std}
    return Bridge(path, heads=heads, times=times, precondition=True, **settings)

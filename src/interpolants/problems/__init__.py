"""Problems that carry their exact answer: densities, fields, bridges, posteriors."""

from interpolants.problems.gaussian_mixture import GaussianMixture, LabelledSample
from interpolants.problems.mixture_bridge import GaussianMixtureBridge, MixtureFields

__all__ = ["GaussianMixture", "GaussianMixtureBridge", "LabelledSample", "MixtureFields"]

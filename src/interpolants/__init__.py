"""Bridge two arbitrary distributions with stochastic interpolants."""

__version__ = "0.1.0"

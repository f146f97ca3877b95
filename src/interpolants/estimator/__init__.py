"""Former home of Bridge and the forecasters: everything here is in ``interpolants.methods`` now."""

raise ImportError(
    "interpolants.estimator is interpolants.methods now, e.g. from interpolants.methods import Bridge"
)

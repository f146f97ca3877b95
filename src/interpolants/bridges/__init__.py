"""Former home of most methods: everything here is in ``interpolants.methods`` now."""

raise ImportError(
    "interpolants.bridges is interpolants.methods now, e.g. from interpolants.methods import FlowMap"
)

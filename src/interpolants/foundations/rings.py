"""The rings around the core: folders of rooms, which import the core and never each other."""

# Each holds a room a folder, and a `_defaults.toml` that gives its cards their ring.
RINGS = ("apps", "sciml", "generative")

"""The bridge between two distributions: the method, its self-test, the choice of its noise level, presets."""

"""Bridges that are more than one fit of one path: each is made with settings, then `fit(x0, x1)`, `transport(x)`."""

__all__: list[str] = []

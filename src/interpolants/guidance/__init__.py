"""Guidance: fields that wrap fields, to steer samples by a condition."""

__all__: list[str] = []

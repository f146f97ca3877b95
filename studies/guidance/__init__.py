"""Classifier-free guidance on handwritten digits: accuracy and diversity against strength and interval."""

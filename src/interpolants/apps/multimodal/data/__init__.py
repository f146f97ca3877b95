"""Parts of multimodal alone: data."""

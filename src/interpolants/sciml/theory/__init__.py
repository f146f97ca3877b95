"""Theory of deep networks before and during training, beside networks that are drawn and trained."""

"""The study of noise on data that lie on a thin set."""

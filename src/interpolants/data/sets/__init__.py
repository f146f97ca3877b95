"""Data sets of installed packages, a loader and a card each; what reads and holds data lies in the package above."""

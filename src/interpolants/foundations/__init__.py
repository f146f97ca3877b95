"""The floor of the library: errors, randomness, cards, storage and arrays; it imports nothing of ours."""

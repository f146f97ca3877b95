"""Published libraries, hand-written best cases and the bare arithmetic, timed beside ours: see ``run``."""

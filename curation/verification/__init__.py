"""Is the answer right: where a trace states it, what it says, and whether that is the gold answer."""

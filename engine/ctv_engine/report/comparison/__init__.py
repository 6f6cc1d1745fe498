"""Several runs side by side: what was set, what came out, and whether it is chance."""

"""Which model: discovery, completeness, pinning and digests of checkpoint directories.

The directories belong to the training run: they are read, hard-linked from, and never touched.
"""

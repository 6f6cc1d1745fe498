"""Asking a language model over an OpenAI-compatible endpoint: cached, pinned, within a budget."""

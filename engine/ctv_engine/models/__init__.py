"""How a checkpoint answers: loading, prompts, letters, prefill and decode. Workers only."""

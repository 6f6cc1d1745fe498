"""What the numbers mean: pure functions on sequences. Imports without torch."""

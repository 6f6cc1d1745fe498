"""How an answer becomes a number.

``closed`` works on logits and needs torch; ``open_metrics`` works on stored text and does not.
"""

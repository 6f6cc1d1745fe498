"""How an answer becomes a number.

``closed`` works on logits and needs torch; ``open_metrics`` works on stored text and does not. It
names one function for each metric, from a module per family: ``exact``, ``anls``, ``relaxed``,
``mathvista``, ``vqa``; ``numerals`` reads numbers for all of them.
"""

"""Attention over the channel graph, trained by proximal policy optimisation."""

"""Proof that a pruned model is what was promised."""

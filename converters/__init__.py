"""Round trips to torch and exporters from frameworks; they know nothing of pruning."""

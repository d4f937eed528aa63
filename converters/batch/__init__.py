"""Following the batch axis through a graph: where it lies in each value, and what must change to free it."""

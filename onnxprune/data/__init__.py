"""Reading samples: the inputs of a model and their labels."""

"""What a model does on calibration inputs: the values inside it, and what contractions make of them.

feeds.py          batches of inputs, cut to the rows of one run
cuts.py           where contractions read prunable channels
probe.py          totals over values inside the model
dequantised.py    which constants are weights, and the numbers that quantised ones stand for
stored.py         weights where they are stored, perhaps behind nodes that can be undone
walks.py          a model run piece by piece on all inputs, each node once
forms.py          contractions as matrix products: columns, targets, matrices
windows.py        the columns that convolutions multiply by
grams.py          X^T X and X^T Y added up over batches, and least squares on them
"""

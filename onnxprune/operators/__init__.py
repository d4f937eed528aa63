"""What the analysis knows of each operator: how it couples channels and which numbers count them."""

"""`python -m onnxprune`, and what the console script `onnxprune` calls."""

from onnxprune.cli.main import main

if __name__ == "__main__":
    main()

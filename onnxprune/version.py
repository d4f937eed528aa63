"""The version, for the packaging and for the provenance written into models."""

VERSION = "0.1.0"

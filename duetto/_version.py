"""The version, for both distributions that hold this package: pyproject.toml, and duetto/pyproject.toml."""

__version__ = "0.1.0"

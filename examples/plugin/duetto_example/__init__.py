"""Separators and a tagger that show how Duetto is extended, and are of use in a studio all the same."""

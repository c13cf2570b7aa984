"""How the example duet is made, one step a file: sources, tune, pictures, film, check."""

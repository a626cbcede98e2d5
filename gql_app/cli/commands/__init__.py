"""The commands, one module each; every one has a `main` that carries it out and tells the exit code."""

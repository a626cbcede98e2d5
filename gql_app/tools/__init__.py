"""Tools: how a function becomes one, where they are found, and those that ship."""

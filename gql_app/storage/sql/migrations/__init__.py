"""How the tables came to be what they are: every version of them, one after the other."""

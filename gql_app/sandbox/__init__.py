"""Where expressions that could cost much are evaluated: in processes that are killed when they take too much."""

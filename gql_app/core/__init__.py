"""The pure core: what a workflow is and what follows when something happens to it."""

"""For the authors of tools: run tools and documents in tests, on virtual time."""

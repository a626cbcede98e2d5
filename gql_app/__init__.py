"""Run workflows of tools and agents and show them live over GraphQL."""

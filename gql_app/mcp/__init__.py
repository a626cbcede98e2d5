"""Tools of MCP servers: started or reached, listed, called, and started again when they die."""

"""What `gql-app mcp` serves: the runs of a server as tools for assistants, by the Model Context Protocol."""

"""The GraphQL API: its types, its resolvers, and what is published of it."""

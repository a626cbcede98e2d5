"""GraphQL over websockets, by the protocol graphql-transport-ws."""

from gql_app.web.sockets.handshake import GraphQLSockets

__all__ = ["GraphQLSockets"]

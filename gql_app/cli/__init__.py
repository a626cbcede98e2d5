"""The command line: `gql-app`."""

"""The service over HTTP and websockets."""

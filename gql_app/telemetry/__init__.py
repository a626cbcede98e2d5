"""What operators see of a service: metrics, logs and traces."""

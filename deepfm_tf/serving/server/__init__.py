"""The local server: its flags, gRPC, metrics."""

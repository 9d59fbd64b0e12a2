"""The local server's REST API."""

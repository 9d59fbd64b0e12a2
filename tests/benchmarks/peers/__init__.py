"""One worker per implementation, each started as a process of its own."""

"""Raw columns, from files and tables, chunk by chunk."""

"""Prepared data: shards on the disk, and what reads them."""

"""Commands that train many models and compare them."""

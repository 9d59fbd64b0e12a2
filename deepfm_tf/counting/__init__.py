"""One pass over the data: counts of values, moments and quantiles."""

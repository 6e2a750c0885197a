"""The graphs of a bundle, authored node by node from the weights."""

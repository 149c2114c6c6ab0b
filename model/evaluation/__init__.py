"""How wrong a network is: figures, benchmarks by name, and the page that shows them."""

"""From a dataset to batches: a pure plan of who reads what, two readers of shards, one loader."""

"""From a dataset to batches on the device: who reads what in which order, readers of shards, augmentation."""

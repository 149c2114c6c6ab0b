"""The one seam to Horovod, torch.distributed and a single process, and what ranks send each other."""

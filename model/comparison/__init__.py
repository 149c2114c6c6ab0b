"""Which architecture, which variant, how many images: grids of trainings, run side by side, judged alike, on one page."""

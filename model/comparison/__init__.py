"""Which architecture, which variant, how many images: grids of trainings, judged alike, on one page."""

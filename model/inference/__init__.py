"""A trained network in use: pictures, videos and cameras in, points out."""

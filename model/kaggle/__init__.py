"""Faces with missing points: gaps filled by models in rounds, several networks as one, and Kaggle's submission."""

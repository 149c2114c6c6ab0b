"""The one seam to MLflow: runs, figures and the registry of models."""

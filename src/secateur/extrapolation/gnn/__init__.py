"""Graph neural networks that predict scores."""

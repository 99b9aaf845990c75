"""The operator: watches Evaluations, runs one Job per model, publishes the results."""

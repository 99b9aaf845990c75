"""A real local Kubernetes for the demo and the tests: kind, a native single node, or the user's."""

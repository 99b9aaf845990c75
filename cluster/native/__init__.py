"""The native node: all of Kubernetes as processes of this machine, under one folder."""

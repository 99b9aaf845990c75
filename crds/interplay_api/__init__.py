"""The contract between operator, runner and command line: resources, plans, reports, resolution."""

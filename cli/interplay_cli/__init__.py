"""The interplay command: run without a cluster, and talk to one."""

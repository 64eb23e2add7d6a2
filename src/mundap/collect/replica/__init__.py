"""A server on this machine that speaks like the sites, with pages written for this project and every trap they set."""

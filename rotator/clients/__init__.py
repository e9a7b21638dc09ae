"""The only room that touches network, files, processes and time. Foreign errors are translated here, once."""

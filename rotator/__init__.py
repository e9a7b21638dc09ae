"""rotator keeps the credentials of API agents fresh and their secure API proxies correctly configured."""

__version__ = "0.1.0"

"""What proxies and agents read from Consul. Pure: values in, text and digests out."""

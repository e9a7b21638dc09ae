"""Everything on one machine: real servers, a sample fleet, traffic. For the demo and for the tests."""

"""One suite that every kind passes. See site.py for what a kind must bring, test_contract.py for what must hold."""

"""`python -m crypto_lakehouse` is `crypto-lakehouse`."""

from crypto_lakehouse.cli.main import main

main()

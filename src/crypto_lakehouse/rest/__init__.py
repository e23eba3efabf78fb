"""Fetch days of series from the exchange's API.

`fetch_day` is the entrance: it asks a `RestClient` for the rows of one series and UTC day, and
returns the responses. `endpoints` says what can be fetched and what it costs, `budget` lets
requests go within the limits of each host, by the time of its server (`server_clock`), and
`answers` refuses damaged rows.
"""

from crypto_lakehouse.rest.client import RestClient
from crypto_lakehouse.rest.endpoints import API_OF, fill_endpoints, why_not
from crypto_lakehouse.rest.fetch_day import days_per_page, fetch_day, is_too_old
from crypto_lakehouse.rest.fetched_day import FetchedDay
from crypto_lakehouse.rest.symbols import listed_symbols
from crypto_lakehouse.rest.usage import Usage

__all__ = [
    "API_OF",
    "FetchedDay",
    "RestClient",
    "Usage",
    "days_per_page",
    "fetch_day",
    "fill_endpoints",
    "is_too_old",
    "listed_symbols",
    "why_not",
]

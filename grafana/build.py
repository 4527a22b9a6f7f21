"""The dashboards as files: ``python -m grafana.build`` lists their names, with a name prints one.

``scripts/generate`` writes them to ``grafana/dashboards``; edit the Python, not the JSON.
"""

from __future__ import annotations

import json
import sys

from grafana import host_pages, people_pages, service_pages

PAGES = {
    page.__name__: page
    for page in (
        service_pages.overview,
        service_pages.latency,
        service_pages.providers,
        host_pages.host,
        host_pages.asterisk,
        people_pages.recordings,
        people_pages.business,
        people_pages.slo,
        people_pages.capacity,
    )
}


def main(arguments: list[str]) -> None:
    if not arguments:
        print("\n".join(PAGES))
    for name in arguments:
        print(json.dumps(PAGES[name](), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])

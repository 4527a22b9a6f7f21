"""The Grafana dashboards as code; :mod:`grafana.build` prints one as JSON."""

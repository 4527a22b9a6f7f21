"""Prometheus's rules as code; :mod:`prometheus.build` prints them, from ``alerts.yaml``."""

"""Files for Grafana and for the Prometheus behind it: a dashboard, its provisioning, and a scrape configuration."""

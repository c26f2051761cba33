"""How soon an alert tells of a disturbance, and how soon it is over: measured on a service that is really disturbed."""

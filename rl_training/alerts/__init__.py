"""Alerts: rules describe conditions, an alert is open while its rule's condition holds, channels receive messages."""

"""The routes of /v1/models/… that find, judge, fetch and keep models."""

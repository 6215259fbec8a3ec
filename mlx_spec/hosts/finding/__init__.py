"""Machines that offer themselves: found by Bonjour, agreed upon by a code on both screens, looked at before use."""

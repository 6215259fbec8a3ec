"""Markdown and code as Qt documents. The text never passes through HTML, so a model's answer cannot bring any."""

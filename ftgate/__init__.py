"""ftgate: a self-hosted LLM gateway with exact money, in one file."""

__version__ = "0.1.0"

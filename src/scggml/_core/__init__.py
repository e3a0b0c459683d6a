"""Arithmetic on arrays; AnnData never comes here."""

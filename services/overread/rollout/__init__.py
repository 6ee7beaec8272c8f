"""Release: evidence on locked patients, gates, sign-off, promotion and its reversal."""

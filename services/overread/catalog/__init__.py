"""The contract with other systems: what each event looks like, who says it where, and that this never breaks."""

"""Who may call and who pays."""

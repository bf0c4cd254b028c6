"""Programs that use the product as its users do."""

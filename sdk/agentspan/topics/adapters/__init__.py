"""What the topics can stand on; each is imported only where it is used."""

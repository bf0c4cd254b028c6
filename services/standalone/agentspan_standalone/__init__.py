"""The composition: any set of the services in one process."""

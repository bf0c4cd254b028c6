"""The SDK and the command line. It needs none of the server's dependencies."""

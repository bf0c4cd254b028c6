"""The contract: every message of the product as a frozen pydantic model. It imports nothing of ours."""

"""What all tests share: a Hypothesis profile that prints how to repeat a failure, and judges no test by its clock."""

from hypothesis import settings

settings.register_profile("agentspan", deadline=None, print_blob=True)
settings.load_profile("agentspan")

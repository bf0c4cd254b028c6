"""Tokens for Amazon MSK with IAM: `AGENTSPAN_KAFKA_TOKENS=agentspan.eventlog.msk:token`, or `KafkaConfig.oauth_token`.

Apart from the adapter because only this needs AWS's signer. Who asks is who AWS's own clients take the process for: a
role of the pod or the machine, or the variables of the environment.
"""


def token(region: str) -> tuple[str, float]:
    """A token, and the Unix time in seconds at which it ends. `region` is what `sasl.oauthbearer.config` says.

    Raises ModuleNotFoundError without the extra, and what the signer raises where it finds no credentials.
    """
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the signer is missing: pip install 'agentspan[msk]'", name=error.name) from error
    if not region:
        raise ValueError("which region? Give it as sasl.oauthbearer.config")
    signed, ends_ms = MSKAuthTokenProvider.generate_auth_token(region)
    return str(signed), float(ends_ms) / 1000

"""From an HTTP answer to a `Completion`, alike for every protocol: what a payload means is its builder's business."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Protocol

from agent.errors import ProviderError
from agent.providers.failures import Failures
from agent.providers.types import Completion, Finished, ReasoningDelta, StreamEvent, TextDelta
from agent.providers.wire import Answer


class Builder(Protocol):
    """Puts an answer together, from stream events or from one whole object."""

    @property
    def ended(self) -> bool:
        """Whether the protocol's own end of the answer was seen."""
        ...

    @property
    def empty(self) -> bool:
        """Whether nothing arrived that a person or a tool could use."""
        ...

    def fault(self, payload: Mapping[str, Any]) -> Any:
        """The error that a payload reports in place of an answer; None for none."""
        ...

    def take(self, payload: Mapping[str, Any]) -> Sequence[TextDelta | ReasoningDelta]:
        """Add a payload; the pieces to show. Raises `TypeError` or the like on nonsense."""
        ...

    def completion(self) -> Completion:
        """The finished answer."""
        ...


async def stream(sent: Answer, builder: Builder, failures: Failures) -> AsyncGenerator[StreamEvent, None]:
    """The answer piece by piece. Closing the generator early closes the socket. Raises `ProviderError`."""
    try:
        async for batch in sent.batches():
            for payload in batch:
                for event in _take(builder, payload, failures):
                    yield event
            # A server that breaks the connection after the answer's end has still answered.
            sent.complete = builder.ended
        completion = _end(sent, builder, failures)
    except ProviderError as error:
        error.answering = True
        raise
    finally:
        await sent.aclose()
    yield Finished(completion)


async def whole(sent: Answer, builder: Builder, failures: Failures) -> Completion:
    """The answer in one piece. Raises `ProviderError`."""
    try:
        async for batch in sent.batches():
            for payload in batch:
                _take(builder, payload, failures)
            sent.complete = builder.ended
        return _end(sent, builder, failures)
    except ProviderError as error:
        error.answering = True
        raise
    finally:
        await sent.aclose()


async def send_simplified(
    post: Callable[[dict[str, Any]], Any], made: dict[str, Any], simplify: Callable[[dict[str, Any], str], bool]
) -> Answer:
    """Send, and send again without what the server says it does not know, as long as `simplify` finds such a thing."""
    while True:
        try:
            answer: Answer = await post(made)
            return answer
        except ProviderError as error:
            if error.status not in (400, 404, 422) or not simplify(made, str(error)):
                raise


def _take(builder: Builder, payload: Mapping[str, Any], failures: Failures) -> Sequence[TextDelta | ReasoningDelta]:
    try:
        fault = builder.fault(payload)
        if fault is None:
            return builder.take(payload)
    except (TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
        raise failures.garbage(b"") from error
    raise failures.in_stream(fault)


def _end(sent: Answer, builder: Builder, failures: Failures) -> Completion:
    if not sent.done and not builder.ended:
        raise failures.silent() if builder.empty else failures.broke_off()
    try:
        completion = builder.completion()
    except (TypeError, AttributeError, KeyError, IndexError, ValueError) as error:
        raise failures.garbage(b"") from error
    usage = completion.usage
    if builder.empty and completion.finish_reason == "stop" and not (usage.output_tokens or usage.reasoning_tokens):
        raise failures.silent()
    return completion
